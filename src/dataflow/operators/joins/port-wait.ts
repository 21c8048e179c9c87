/**
 * The wait of one port of a subtask's operator for what another port brings.
 *
 * Owns: when it is over. Does not own: the records that are held (dataflow/input-gate.ts), that the wait was over
 * before a restore (the operator's state).
 *
 * - HW1 It is over for good, and at a place in the awaited input: behind its first record ("first"), or where all of
 *   its channels are idle ("caughtUp"). Channels that have ended are waited for no more.
 */
import type { WatermarkCombiner } from "../../time/watermark-combiner.ts";
import type { OpenWait } from "../contract.ts";

/** Made when the operator's state is restored. */
export interface PortWaitOptions {
  readonly wait: OpenWait;
  /** The port that each channel leads to. */
  readonly ports: readonly number[];
  readonly senders: Pick<WatermarkCombiner, "senderIsIdle">;
  readonly hasEnded: (channel: number) => boolean;
  /** Called once, when the held channels may be read. */
  readonly onOver?: () => void;
}

export class PortWait {
  readonly #options: PortWaitOptions;
  readonly #awaited: readonly number[];
  readonly #held: readonly number[];
  #isOver: boolean;

  constructor(options: PortWaitOptions) {
    const { ports, wait } = options;
    const channelsOf = (port: number) => ports.flatMap((one, channel) => (one === port ? [channel] : []));
    this.#options = options;
    this.#awaited = channelsOf(wait.awaitedPort);
    this.#held = channelsOf(wait.heldPort);
    this.#isOver = wait.isOver;
    if (this.#isOver) wait.end();
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** The channels of which no record is taken. */
  get held(): readonly number[] {
    return this.#isOver ? [] : this.#held;
  }

  /** Records of this channel were processed. */
  processed(channel: number): void {
    if (this.#options.wait.until === "first" && this.#awaited.includes(channel)) this.#end();
  }

  /** A mark or an end was taken. */
  told(): void {
    const { wait, senders, hasEnded } = this.#options;
    const isThere = (channel: number) =>
      hasEnded(channel) || (wait.until === "caughtUp" && senders.senderIsIdle(channel));
    if (this.#awaited.every(isThere)) this.#end();
  }

  #end(): void {
    const { wait, onOver } = this.#options;
    if (this.#isOver) return;
    this.#isOver = true;
    wait.end();
    onOver?.();
  }
}
