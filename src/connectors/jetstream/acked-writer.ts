/** The at-least-once writer of the JetStream sink: records are sent at once, barriers wait for the acknowledgements. */
import type { SinkEnvironment, SinkWriter } from "../../dataflow/sink.ts";
import type { TroubleWatch } from "../../dataflow/trouble.ts";
import { CommitRefusedError } from "../../errors.ts";
import type { NatsEnvironment } from "../../nats/connection/environment.ts";
import type { MessageLimit } from "../../nats/limits/message-limit.ts";
import { AckedPublisher } from "../../nats/publisher/acked-publisher.ts";
import type { RecordForm } from "./record.ts";

/** Records that may wait for their acknowledgement. */
const ACK_WINDOW = 2_000;
/** Header names, separators and the counter around the prefix of a message id. */
const MESSAGE_ID_BYTES_MAX = 64;

export class AckedWriter<T> implements SinkWriter<T> {
  readonly #form: RecordForm<T>;
  readonly #publisher: AckedPublisher;
  readonly #limit: MessageLimit;
  readonly #messageBytesMax: number;
  readonly #publishing: TroubleWatch;
  #wake: () => void = () => {};

  constructor(
    form: RecordForm<T>,
    nats: NatsEnvironment,
    stream: string,
    environment: SinkEnvironment,
    limit: MessageLimit,
  ) {
    this.#form = form;
    this.#publishing = environment.troubles.watch(`publishing to stream ${stream}`);
    const { incarnation, generation, operator, subtaskIndex } = environment;
    const idPrefix = `${incarnation}.${generation}.${operator}.${subtaskIndex}`;
    this.#limit = limit;
    this.#messageBytesMax = limit.bytesMax - idPrefix.length - MESSAGE_ID_BYTES_MAX;
    this.#publisher = new AckedPublisher(nats, stream, idPrefix, ACK_WINDOW, {
      onAcknowledged: () => this.#wake(),
      onFailed: (error) => environment.fail(error),
      onRetry: (reason) => this.#publishing.failed(reason),
      onRecovered: () => this.#publishing.passed(),
    });
  }

  write(value: T): void {
    const form = this.#form;
    form.prepare(value);
    const { headerLines, payload } = form;
    // Three bytes per UTF-16 unit is the most that text can take; only what comes near the limit is measured.
    const roughly = headerLines.length * 3 + payload.length * 3;
    if (roughly > this.#messageBytesMax) {
      const bytes = Buffer.byteLength(headerLines) + Buffer.byteLength(payload);
      if (bytes > this.#messageBytesMax) {
        const withOurs = bytes + this.#limit.bytesMax - this.#messageBytesMax;
        throw this.#limit.refusal(form.words, withOurs, this.#messageBytesMax);
      }
    }
    this.#publisher.publish(form.subject, headerLines, payload);
  }

  blocked(): boolean {
    return this.#publisher.isFull;
  }

  onAvailable(wake: () => void): void {
    this.#wake = wake;
  }

  cut(): undefined {
    return undefined;
  }

  snapshot(): unknown {
    return undefined;
  }

  async commit(): Promise<void> {
    throw new CommitRefusedError(
      "an at-least-once sink has no transactions; restore with the guarantee that wrote them",
    );
  }

  flush(): Promise<void> {
    return this.#publisher.flush();
  }

  async close(): Promise<void> {
    this.#publisher.close();
    this.#publishing.forget();
  }
}
