/**
 * How large a message to a stream may be, headers included, and which setting says so. The server counts against both.
 * What becomes of a record that is larger: P65.
 */

import { RecordBeyondLimitError, RecordRefusedError } from "../../errors.ts";
import type { NatsEnvironment, StreamConfig } from "../connection/environment.ts";
import { NatsLink } from "../connection/link.ts";
import { natsCommand } from "../connection/nats-command.ts";

export class MessageLimit {
  readonly bytesMax: number;
  readonly #nats: NatsEnvironment;
  readonly #config: StreamConfig;
  /** A record was refused for this very limit before: it will be refused again, until a user raises it. */
  readonly #isKnown: boolean;

  private constructor(nats: NatsEnvironment, config: StreamConfig) {
    const { payload } = NatsLink.of(nats.connection);
    const { max_msg_size: ofStream } = config;
    this.#nats = nats;
    this.#config = config;
    this.bytesMax = ofStream > 0 ? Math.min(ofStream, payload.bytesMax) : payload.bytesMax;
    this.#isKnown = payload.refusedFor.has(this.#name);
  }

  /** The limit of a stream, as server and stream have it now. */
  static async of(nats: NatsEnvironment, config: StreamConfig): Promise<MessageLimit> {
    const { payload } = NatsLink.of(nats.connection);
    if (payload.refusedFor.size > 0) payload.met();
    await payload.ask();
    return new MessageLimit(nats, config);
  }

  /**
   * The refusal of a record. The limit may be another one by now: so the first one lets the generation begin again,
   * with what server and stream say then. A limit of the server that is raised later is looked for from here on.
   *
   * @param of the record in words @param bytes with all headers @param bytesMax that it may have without those of ours
   */
  refusal(of: string, bytes: number, bytesMax: number): RecordRefusedError {
    const { payload } = NatsLink.of(this.#nats.connection);
    const { name } = this.#config;
    const isStreams = this.#isStreams;
    if (!isStreams) payload.met();
    payload.refusedFor.add(this.#name);
    const setting = isStreams ? `max_msg_size of stream ${name}` : "max_payload of nats-server";
    const raise = isStreams
      ? `raise the limit (${natsCommand(this.#nats, "stream", "edit", name, `--max-msg-size=${bytes}`, "--force")})`
      : payload.inWords(bytes);
    const text = `${of} is refused: larger than ${bytesMax} bytes with its headers (${setting}); ${raise}, or write smaller records`;
    return this.#isKnown
      ? new RecordBeyondLimitError(`${text}, then start the job again: it goes on where it stopped`)
      : new RecordRefusedError(text);
  }

  get #isStreams(): boolean {
    return this.bytesMax === this.#config.max_msg_size;
  }

  get #name(): string {
    return `${this.#isStreams ? this.#config.name : ""} ${this.bytesMax}`;
  }
}
