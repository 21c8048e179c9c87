/**
 * How large a message may be: the `max_payload` of the server that this process is connected to.
 *
 * Owns: what is known of it, and finding out when it has been raised. Does not own: what becomes of a message that is
 * too large; that is for its sender.
 *
 * nats-server says the limit when a connection begins. A reload that changes it says nothing (maxPayloadOption in
 * server/reload.go):
 *
 * - PY1 A limit that was lowered is met by the first message beyond it, for which the server closes the connection. The
 *   next connection knows.
 * - PY2 A limit that was raised is found by asking. As long as something has not fitted, the server is asked again and
 *   again, by a connection of its own that ends at once; a reconnect would lose what is under way.
 * - PY3 Work that would be given up because of the limit asks first (`ask`).
 */
import type { NatsConnection } from "@nats-io/transport-node";
import type { TroubleWatch, TroubleWatcher } from "../../dataflow/trouble.ts";
import { startTimer } from "../../timer.ts";

/** The server's default, until its first word says otherwise. */
const DEFAULT_BYTES_MAX = 1024 * 1024;
/** What requests, heartbeats and pieces of objects need together with their headers. */
export const PAYLOAD_BYTES_MIN = 4096;
const ASK_FIRST_MS = 1000;
const ASK_LAST_MS = 15_000;
/** The server is asked no longer when everything has fitted for so long. */
const FORGOTTEN_MS = 300_000;
/** What has not fitted and does not come again is no trouble any more. */
const QUIET_MS = 15_000;

/** What nats-server at this connection's address says now; rejects when it does not answer. */
export type AskPayloadLimit = () => Promise<number>;

export class PayloadLimit {
  /** Limits of server and streams, with their values, for which records were refused (message-limit.ts). */
  readonly refusedFor = new Set<string>();
  readonly #connection: NatsConnection;
  #known = DEFAULT_BYTES_MAX;
  /** The limit as the connection before the present one knew it. */
  #before = 0;
  #askServer: AskPayloadLimit | undefined;
  #asking: Promise<void> | undefined;
  /** true: a message has not fitted, and the limit has not been raised since; forgotten after a while. */
  #met = false;
  #metMs = 0;
  #pauseMs = ASK_FIRST_MS;
  #cancelAsk: (() => void) | undefined;
  #sending: TroubleWatch | undefined;
  #cancelQuiet: () => void = () => {};
  #closed = false;

  constructor(connection: NatsConnection) {
    this.#connection = connection;
    this.#before = this.bytesMax;
  }

  /** The largest message in bytes, headers included. */
  get bytesMax(): number {
    this.#known = this.#connection.info?.max_payload ?? this.#known;
    return this.#known;
  }

  /** Whether the server takes a message of this size; it closes the connection for a larger one (PY1). */
  fits(bytes: number): boolean {
    if (bytes <= this.bytesMax) return true;
    this.met();
    return false;
  }

  /**
   * Something has not fitted. From here on the server is asked for its limit, no more often for what does not fit
   * again.
   */
  met(): void {
    this.#metMs = performance.now();
    if (this.#met) return;
    this.#met = true;
    this.#pauseMs = ASK_FIRST_MS;
    this.#askLater();
  }

  /** Whatever was larger than the new limit may come again. */
  reconnected(): void {
    if (this.bytesMax < this.#before) this.met();
    if (this.bytesMax > this.#before) this.#raised();
    this.#before = this.bytesMax;
  }

  /**
   * The same as `met`, for a message that is dropped. That is a trouble until the limit is raised, or none is dropped
   * for a while.
   */
  dropped(bytes: number, subject: string): void {
    this.met();
    this.#sending?.failed(`${bytes} bytes to ${subject.replace(/\d+/g, "*")}: ${this.inWords(bytes)}`);
    this.#cancelQuiet();
    this.#cancelQuiet = startTimer(QUIET_MS, () => this.#sending?.passed(), false);
  }

  /** Says why a message of this size does not fit, and what to do. */
  inWords(bytes: number): string {
    return `nats-server takes messages of at most ${this.bytesMax} bytes; raise max_payload in its configuration to ${bytes} or more and reload it`;
  }

  /**
   * Resolves when the limit is known as it is now, or cannot be asked for. Costs nothing when everything has fitted.
   */
  async ask(): Promise<void> {
    if (!this.#met || this.#closed) return;
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    await this.#asking;
  }

  askWith(askServer: AskPayloadLimit): void {
    this.#askServer = askServer;
  }

  watchWith(troubles: TroubleWatcher): void {
    this.#sending = troubles.watch("sending a large message over NATS");
  }

  close(): void {
    this.#closed = true;
    this.#cancelAsk?.();
    this.#cancelQuiet();
    this.#sending?.forget();
  }

  #askLater(): void {
    if (this.#askServer === undefined || this.#closed) return;
    this.#cancelAsk?.();
    this.#cancelAsk = startTimer(
      this.#pauseMs,
      () => {
        this.#pauseMs = Math.min(2 * this.#pauseMs, ASK_LAST_MS);
        if (performance.now() - this.#metMs > FORGOTTEN_MS) this.#met = false;
        void this.ask().then(() => {
          if (this.#met) this.#askLater();
        });
      },
      false,
    );
  }

  async #ask(): Promise<void> {
    const { info } = this.#connection;
    const bytesMax = await this.#askServer?.().catch(() => undefined);
    // The answer is about another connection by now.
    if (bytesMax === undefined || info === undefined || this.#connection.info !== info) return;
    if (bytesMax <= info.max_payload) return;
    // The server has raised it for this connection, too; the library looks here before it publishes.
    info.max_payload = bytesMax;
    this.#raised();
  }

  #raised(): void {
    this.#before = this.bytesMax;
    this.#met = false;
    this.#cancelAsk?.();
    this.#cancelQuiet();
    this.#sending?.passed();
  }
}
