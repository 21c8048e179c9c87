/**
 * Publishes single messages into JetStream with a window of outstanding acknowledgements: several times
 * cheaper than the client's own `publish`, which keeps a timer and a promise for each message.
 *
 * - AK1 A message is kept until its acknowledgement, and published again when none comes in time (at least once).
 * - AK2 Each carries a message id, so that inside the stream's duplicate window a repeated one is stored once.
 * - AK3 Repeated messages come behind later ones: the order is that of first attempts only while nothing fails.
 * - AK4 Only what names a stream and a sequence is an acknowledgement. A service may answer on the same subject.
 */
import { createInbox, MsgHdrsImpl, type NatsConnection, type Subscription } from "@nats-io/transport-node";
import { CommitRefusedError } from "../../errors.ts";
import { shellCommand } from "../../shell-command.ts";
import { describeValue } from "../../state/described.ts";
import type { NatsEnvironment } from "../connection/environment.ts";
import { hasNoRoom } from "../connection/jetstream-refusal.ts";
import { isTooLarge, NatsLink } from "../connection/link.ts";

/** The most bytes of the message id and of what surrounds the lines of headers. */
const HEADER_BYTES_MAX = 128;

export const ackedTiming = { ackTimeoutMs: 4_000, sweepMs: 500 };

interface Outstanding {
  readonly id: number;
  readonly subject: string;
  readonly headerLines: string;
  readonly payload: string | Uint8Array;
  sentAt: number;
  /** true: the message was refused, or not acknowledged in time. */
  troubled: boolean;
}

export interface AckedEvents {
  /** The window has room again, or everything is acknowledged. */
  onAcknowledged(): void;
  onFailed(error: unknown): void;
  /** A message will be sent again, and why. */
  onRetry(reason: unknown): void;
  /** No message waits to be sent again any more. */
  onRecovered(): void;
}

export class AckedPublisher {
  readonly #stream: string;
  readonly #nats: NatsEnvironment;
  readonly #connection: NatsConnection;
  readonly #idPrefix: string;
  readonly #window: number;
  readonly #events: AckedEvents;
  readonly #inbox: string;
  readonly #subscription: Subscription;
  readonly #sweep: NodeJS.Timeout;
  readonly #outstanding = new Map<number, Outstanding>();
  #lastId = 0;
  readonly #headers = new HeaderLines();
  #resending = false;
  #failed = false;
  /** How many of the outstanding ones are troubled. */
  #troubled = 0;
  readonly #forgetDenials: () => void;
  #flushes: (() => void)[] = [];

  /** @param stream that the records are for */
  constructor(nats: NatsEnvironment, stream: string, idPrefix: string, window: number, events: AckedEvents) {
    const { connection } = nats;
    this.#stream = stream;
    this.#nats = nats;
    this.#connection = connection;
    this.#idPrefix = idPrefix;
    this.#window = window;
    this.#events = events;
    this.#inbox = createInbox();
    this.#subscription = connection.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => {
        if (error === null) this.#answered(message.subject, message.data);
      },
    });
    this.#forgetDenials = NatsLink.of(connection).denials.onPublish(
      (subject) => this.#denied(subject) !== undefined,
      (error) => this.#retried(this.#denied(error.subject), error),
    );
    this.#sweep = setInterval(() => void this.#resend(), ackedTiming.sweepMs);
    this.#sweep.unref();
  }

  get isFull(): boolean {
    return this.#outstanding.size >= this.#window;
  }

  publish(subject: string, headerLines: string, payload: string | Uint8Array): void {
    this.#lastId += 1;
    const publishedTo = this.#nats.publishSubject(subject);
    const message: Outstanding = {
      id: this.#lastId,
      subject: publishedTo,
      headerLines,
      payload,
      sentAt: Date.now(),
      troubled: false,
    };
    this.#outstanding.set(message.id, message);
    this.#send(message);
  }

  /** Resolves when every message published so far, and until then, is acknowledged. */
  flush(): Promise<void> {
    if (this.#outstanding.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#flushes.push(resolve));
  }

  close(): void {
    clearInterval(this.#sweep);
    this.#forgetDenials();
    if (!this.#connection.isClosed()) this.#subscription.unsubscribe();
  }

  /** Ends publishing: no repetition helps against this refusal. */
  #fail(refusal: string): void {
    this.#failed = true;
    const stream = this.#stream;
    this.#events.onFailed(
      new CommitRefusedError(
        `stream ${stream} ${refusal}. Mend the stream (${shellCommand("nats", "stream", "info", stream)}) or write to another ` +
          "one, then start the job again",
      ),
    );
  }

  #send(message: Outstanding): void {
    this.#headers.lines = `Nats-Msg-Id: ${this.#idPrefix}.${message.id}\r\n${message.headerLines}`;
    const reply = `${this.#inbox}.${message.id}`;
    try {
      this.#connection.publish(message.subject, message.payload, { headers: this.#headers, reply });
    } catch (error) {
      if (!isTooLarge(error)) throw error;
      void this.#tooLarge(message);
    }
  }

  /**
   * The client itself refuses what is larger than the server's max_payload. That was larger when the record was
   * measured, and may be so again by now.
   */
  async #tooLarge(message: Outstanding): Promise<void> {
    const { payload } = NatsLink.of(this.#connection);
    payload.met();
    await payload.ask();
    const { headerLines, subject } = message;
    const bytes = HEADER_BYTES_MAX + Buffer.byteLength(headerLines) + Buffer.byteLength(message.payload);
    // What fits now is sent again by the sweep.
    if (this.#failed || payload.fits(bytes) || !this.#outstanding.has(message.id)) return;
    this.#fail(`refuses a record for ${subject} of ${bytes} bytes: ${payload.inWords(bytes)}`);
  }

  #answered(subject: string, data: Uint8Array): void {
    const id = Number(subject.slice(subject.lastIndexOf(".") + 1));
    const message = this.#outstanding.get(id);
    if (message === undefined) return;
    const refusal = refusalIn(data);
    if (refusal === undefined) {
      this.#outstanding.delete(id);
      if (message.troubled && --this.#troubled === 0) this.#events.onRecovered();
      this.#told();
    } else if (!refusal.passes && !this.#failed) {
      this.#fail(`refuses a record for ${message.subject}: ${refusal.description}`);
    }
    // What passes is sent again by the sweep.
    else this.#retried(message, `${message.subject}: ${refusal.description}`);
  }

  /** The oldest message to this subject that was not refused before. */
  #denied(subject: string): Outstanding | undefined {
    let refused: Outstanding | undefined;
    for (const message of this.#outstanding.values()) {
      if (message.subject !== subject) continue;
      if (!message.troubled) return message;
      refused ??= message;
    }
    return refused;
  }

  #retried(message: Outstanding | undefined, reason: unknown): void {
    if (message === undefined) return;
    if (!message.troubled) this.#troubled++;
    message.troubled = true;
    this.#events.onRetry(reason);
  }

  #told(): void {
    const { size } = this.#outstanding;
    if (size === 0) {
      const flushes = this.#flushes;
      this.#flushes = [];
      for (const resolve of flushes) resolve();
    }
    if (size === 0 || size === this.#window >>> 1) this.#events.onAcknowledged();
  }

  /** Oldest first. Nothing is sent while the connection is down: the client would queue it without bound. */
  async #resend(): Promise<void> {
    if (this.#outstanding.size === 0 || this.#resending || this.#connection.isClosed()) return;
    this.#resending = true;
    try {
      await this.#connection.flush();
      const now = Date.now();
      for (const message of this.#outstanding.values()) {
        if (now - message.sentAt < ackedTiming.ackTimeoutMs) continue;
        message.sentAt = now;
        if (!message.troubled)
          this.#retried(
            message,
            `${message.subject}: no acknowledgement within ${ackedTiming.ackTimeoutMs} ms`,
          );
        this.#send(message);
      }
    } catch {
      // Disconnected; the next sweep tries again.
    } finally {
      this.#resending = false;
    }
  }
}

/** Header lines that are ready for the wire; one object serves all messages, since `publish` reads it at once. */
class HeaderLines extends MsgHdrsImpl {
  lines = "";

  override encode(): Uint8Array {
    return Buffer.from(`NATS/1.0\r\n${this.lines}\r\n`);
  }
}

interface Refusal {
  readonly description: string;
  /** true: it helps to send the message again. */
  readonly passes: boolean;
}

/** undefined: acknowledged. An empty answer means that no stream listens, which passes when a leader is elected. */
function refusalIn(data: Uint8Array): Refusal | undefined {
  if (data.length === 0) return { description: "no stream answers", passes: true };
  // Acknowledgements are by far most of the answers and need no parsing.
  const text = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("latin1");
  const isError = text.includes('"error"');
  if (!isError && text.includes('"stream"') && text.includes('"seq"')) return undefined;
  const error = isError ? errorOf(text) : undefined;
  if (error === undefined)
    return { description: `a service that is no stream answers: ${describeValue(text)}`, passes: true };
  const description = `${error.description ?? "no description"} (${error.err_code ?? error.code})`;
  const passes = error.code === 429 || error.code === 503 || hasNoRoom(error.err_code);
  return { description, passes };
}

interface PublishError {
  readonly code: number;
  readonly err_code?: number;
  readonly description?: string;
}

/** undefined: it is none of JetStream's. */
function errorOf(text: string): PublishError | undefined {
  try {
    const { error } = JSON.parse(text) as { readonly error?: Partial<PublishError> | null };
    return typeof error?.code === "number" ? (error as PublishError) : undefined;
  } catch {
    return undefined;
  }
}
