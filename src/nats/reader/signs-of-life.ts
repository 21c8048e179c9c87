/**
 * Whether the consumers of one reader live, by what comes from the one at hand.
 *
 * Owns: how long the consumer has been silent, how many before it brought nothing at all, and what the user is told of
 * that. Does not own: throwing a consumer away and making the next (ephemeral-consumer.ts).
 *
 * - SL1 A consumer is gone when it was asked for messages and has been silent for five halves of a heartbeat. Ticks are
 *   counted instead of milliseconds: while this process itself hangs, neither ticks nor messages come, and that is no
 *   loss.
 * - SL2 The user is told of a trouble as soon as a consumer is lost that had shown no life, or may not be asked, and
 *   that it has passed as soon as one shows life.
 */
import type { TroubleWatch } from "../../dataflow/trouble.ts";
import type { PermissionDeniedError } from "../../errors.ts";

export const TICKS_PER_HEARTBEAT = 2;
export const RETRY_WAIT_FIRST_MS = 20;
export const RETRY_WAIT_MAX_MS = 500;
const SILENT_TICKS_MAX = 5;

export class SignsOfLife {
  readonly #reading: TroubleWatch;
  #silentTicks = 0;
  /** The consumer at hand has brought a message or a heartbeat. */
  #alive = false;
  /** Consumers in a row that were lost before they had shown any life. */
  #lifelessInARow = 0;
  /** Why the consumer at hand brings nothing, as the server says. */
  #denied: PermissionDeniedError | undefined;

  constructor(reading: TroubleWatch) {
    this.#reading = reading;
  }

  /** Another consumer is at hand, or none. */
  begins(): void {
    this.#silentTicks = 0;
    this.#alive = false;
  }

  /** The server has said something about the consumer's pulls. */
  heard(): void {
    this.#silentTicks = 0;
  }

  /** A message or a heartbeat of the consumer is there. */
  shown(): void {
    this.#silentTicks = 0;
    if (this.#alive) return;
    this.#alive = true;
    this.#denied = undefined;
    this.#reading.passed();
  }

  /** The consumer may not be asked for messages; it is made again when it has been silent for long enough. */
  pullDenied(error: PermissionDeniedError): void {
    this.#denied = error;
    this.#reading.failed(error);
  }

  /** The consumer at hand is thrown away. */
  lost(why: string): void {
    this.#lifelessInARow = this.#alive ? 0 : this.#lifelessInARow + 1;
    if (this.#lifelessInARow > 0) this.#reading.failed(this.#denied ?? why);
  }

  /**
   * The pause before the next consumer is made. The first one is made at once; a server that lets consumers be made and
   * then refuses every pull is not asked at full speed.
   */
  get restMs(): number {
    if (this.#lifelessInARow <= 1) return 0;
    return Math.min(RETRY_WAIT_FIRST_MS * 2 ** this.#lifelessInARow, RETRY_WAIT_MAX_MS);
  }

  /** Called with each tick. @param isAsked the consumer has an open pull, and the connection is up */
  isGone(isAsked: boolean): boolean {
    this.#silentTicks = isAsked ? this.#silentTicks + 1 : 0;
    return this.#silentTicks > SILENT_TICKS_MAX;
  }
}
