/**
 * How large a message to a stream may be, headers included, and which setting says so. The server counts against both.
 */
import type { StreamConfig } from "../connection/environment.ts";
import type { PayloadLimit } from "./payload-limit.ts";

export class MessageLimit {
  readonly bytesMax: number;
  readonly #payload: PayloadLimit;
  readonly #config: StreamConfig;

  private constructor(payload: PayloadLimit, config: StreamConfig) {
    const { max_msg_size: ofStream } = config;
    this.#payload = payload;
    this.#config = config;
    this.bytesMax = ofStream > 0 ? Math.min(ofStream, payload.bytesMax) : payload.bytesMax;
  }

  /** The limit of a stream, as server and stream have it now. */
  static async of(payload: PayloadLimit, config: StreamConfig): Promise<MessageLimit> {
    await payload.ask();
    return new MessageLimit(payload, config);
  }

  /**
   * The setting that a message is too large for; a limit of the server that is raised later is looked for from here on.
   */
  exceeded(): string {
    const { name, max_msg_size: ofStream } = this.#config;
    if (this.bytesMax === ofStream) return `max_msg_size of stream ${name}`;
    this.#payload.met();
    return "max_payload of nats-server";
  }
}
