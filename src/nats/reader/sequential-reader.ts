/**
 * Reads one JetStream stream, or the messages of some subjects in it, from a sequence onwards: each message once, in
 * order, whatever happens to the server, the connection or the consumer in between.
 *
 * Owns: an ephemeral pull consumer that is thrown away and made again at the first sign of trouble, its inbox, its
 * pulls, the records read ahead. Does not own: the connection, the positions in checkpoints, the splits.
 *
 * - R1 What is buffered is exactly the messages after `position`, without a gap: a delivery sequence that does not go
 *   up by one throws the consumer away, and a new one starts after the last record in the buffer.
 * - R2 Nothing that a consumer sent counts after it was thrown away: each has its own inbox, and so its own
 *   subscription id.
 * - R3 Memory is bounded: the server sends only what was pulled; pulls in flight and buffered records together are at
 *   most `recordsBufferedMax` records and `bytesBufferedMax` bytes, but always at least one record of any size.
 * - R4 Each time a consumer is made, the stream must still be the one that was discovered, and must still have what
 *   comes next (P32); else reading ends with a SourcePositionError.
 * - R5 A bounded input ends (P31) at `end`, at any later sequence (not emitted), or when nothing is pending. `end` was
 *   the stream's last sequence, so whatever is to come is there already.
 */
import {
  AckPolicy,
  type ConsumerConfig,
  DeliverPolicy,
  JetStreamApiError,
  type JetStreamManager,
} from "@nats-io/jetstream";
import { createInbox, type Msg, nanos, nuid, type Subscription } from "@nats-io/transport-node";
import type { Logger } from "../../dataflow/connector.ts";
import type { Collect, PollStatus } from "../../dataflow/source.ts";
import type { TroubleWatch } from "../../dataflow/trouble.ts";
import { DisconnectedError, EnvironmentError, OperatorError, PermissionDeniedError } from "../../errors.ts";
import type { DivertedMessages } from "../connection/diverting-transport.ts";
import type { NatsEnvironment } from "../connection/environment.ts";
import { isPassing, NatsLink } from "../connection/link.ts";
import { type Decode, type DecodeRange, decodeMessage, decodeRange, type ParsedMessage } from "./decoding.ts";
import { Delivery, endsWithRandomToken } from "./delivery.ts";
import { PullWindow } from "./pull-window.ts";
import { RecordBuffer } from "./record-buffer.ts";
import { missingStream, positionProblem } from "./stream-identity.ts";
import { filterConfig } from "./subject-filter.ts";

export interface SequentialReaderOptions<T> {
  readonly nats: NatsEnvironment;
  readonly logger: Logger;
  /** Told of consumers that cannot be made, and of those that bring nothing. */
  readonly reading: TroubleWatch;
  /** Named in errors of `decode`. */
  readonly operator: string;
  readonly stream: string;
  /** `created` of the stream at discovery: a stream with another one is another stream. */
  readonly created: string;
  /** Subject filters that do not overlap; empty: all messages. */
  readonly filters: readonly string[];
  /** Reading begins with the first message after this sequence. */
  readonly after: number;
  /** true: the message after `after` must still be there if it ever was. false: begin with whatever there is. */
  readonly resumed: boolean;
  /** Last sequence of a bounded input; undefined: never ends. */
  readonly end?: number | undefined;
  readonly decode: Decode<T>;
  /** "public": the library's callback even where the connection could divert. Default "diverting". */
  readonly mode?: "diverting" | "public" | undefined;
  /** A power of two, at least 16. Default 8192. Pulls bring a quarter of it. */
  readonly recordsBufferedMax?: number;
  /** Default 16 MiB. */
  readonly bytesBufferedMax?: number;
  /** The server shows a sign of life after so much silence; five halves of it without one are taken for a loss. Default 1000. */
  readonly heartbeatMs?: number;
}

/**
 * creating: no consumer, one is being made; reading: there is one; ended: all of a bounded input is buffered or given
 * out; failed: `#failure` is thrown when the buffer is empty.
 */
type ReaderState = "creating" | "reading" | "ended" | "failed" | "closed";

const RECORDS_BUFFERED_MAX = 8192;
const BYTES_BUFFERED_MAX = 16 * 1024 * 1024;
const HEARTBEAT_MS = 1000;
const PULL_EXPIRES_MS = 30_000;
const CONSUMER_INACTIVE_MS = 60_000;
const REQUEST_TIMEOUT_MS = 2000;
const RETRY_WAIT_FIRST_MS = 20;
const RETRY_WAIT_MAX_MS = 500;
const CLOSE_WAIT_MS = 500;
/** A server that has just started may answer before it knows all of its streams. */
const MISSING_STREAM_CONFIRMED_MS = 1000;
/** JetStream error codes. */
const CONSUMERS_LIMIT_REACHED = 10026;
const STREAM_NOT_FOUND = 10059;

export class SequentialReader<T> implements DivertedMessages {
  /** How often a consumer was made again. */
  recreations = 0;
  readonly #options: SequentialReaderOptions<T>;
  readonly #link: NatsLink;
  readonly #buffer: RecordBuffer<T>;
  readonly #delivery = new Delivery();
  readonly #decodeRange: DecodeRange<T>;
  readonly #decodeMessage: (message: ParsedMessage) => T;
  readonly #end: number;
  readonly #window: PullWindow;
  readonly #heartbeatMs: number;
  #manager: JetStreamManager | undefined;
  #state: ReaderState = "creating";
  #failure: Error | undefined;
  /** Sequence of the record that could not be decoded; it is the next after the buffer. */
  #undecodable: number | undefined;
  /** Last sequence that needs no reading any more: buffered, given out, or not ours. */
  #received: number;
  #resumed: boolean;
  #wake: (() => void) | undefined;
  #idle = false;

  // The consumer at hand.
  /** Counts consumers: what belongs to an older one is dropped (R2). */
  #attempt = 0;
  #consumer: string | undefined;
  #subscription: Subscription | undefined;
  #inbox = "";
  #hasRandomToken: boolean | undefined;

  #watchdog: NodeJS.Timeout | undefined;
  #silentTicks = 0;
  /** Consumers in a row that were lost before they had shown any life. */
  #barren = 0;
  /** Why the consumer at hand brings nothing, as the server says. */
  #denied: PermissionDeniedError | undefined;
  #alive = false;
  #checkingEnd = false;
  #forgetLink: (() => void) | undefined;
  #forgetDenials: (() => void) | undefined;

  constructor(options: SequentialReaderOptions<T>) {
    this.#options = options;
    this.#link = NatsLink.of(options.nats.connection);
    const recordsMax = options.recordsBufferedMax ?? RECORDS_BUFFERED_MAX;
    this.#buffer = new RecordBuffer(recordsMax, options.after);
    this.#window = new PullWindow(recordsMax, options.bytesBufferedMax ?? BYTES_BUFFERED_MAX);
    this.#heartbeatMs = options.heartbeatMs ?? HEARTBEAT_MS;
    this.#decodeRange = decodeRange(options.decode);
    this.#decodeMessage = decodeMessage(options.decode);
    this.#received = options.after;
    this.#resumed = options.resumed;
    this.#end = options.end ?? Number.POSITIVE_INFINITY;
  }

  /** Resolves when reading has begun, however long the server is away. @throws SourcePositionError, EnvironmentError */
  async open(): Promise<void> {
    if (this.#received >= this.#end) {
      this.#state = "ended";
      return;
    }
    this.#manager = await this.#options.nats.patientManager(REQUEST_TIMEOUT_MS);
    this.#forgetDenials = this.#link.denials.onPublish(
      (subject) => subject.startsWith(this.#pullSubjects),
      (error) => this.#pullDenied(error),
    );
    this.#forgetLink = this.#link.onBack(() => this.#recreate("reconnected"));
    this.#watchdog = setInterval(() => this.#watch(), this.#heartbeatMs / 2);
    this.#watchdog.unref();
    await this.#create();
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** All records up to this sequence were given out, and none after it. 0: none yet, from the stream's beginning. */
  get position(): number {
    return this.#buffer.position;
  }

  get recordsBuffered(): number {
    return this.#buffer.length;
  }

  get bytesBuffered(): number {
    return this.#buffer.bytes;
  }

  /** "stream LINES sequence 42": the record last given out, or the one that could not be. */
  describePosition(): string {
    return this.#describe(this.#undecodable ?? this.position);
  }

  onAvailable(wake: () => void): void {
    this.#wake = wake;
  }

  /** @throws what ended reading, when everything before it was given out; what `collect` throws */
  poll(collect: Collect<T>, recordsMax: number): PollStatus {
    const buffer = this.#buffer;
    if (buffer.length === 0 && this.#failure !== undefined) throw this.#failure;
    buffer.take(collect, recordsMax);
    if (this.#state === "reading") this.#pullIfRoom();
    if (buffer.length > 0 || this.#failure !== undefined) return "more";
    if (this.#state === "ended") return "ended";
    this.#idle = true;
    return "idle";
  }

  /** Frees the consumer on the server, if that is quickly possible; the server forgets it by itself after a minute. */
  async close(): Promise<void> {
    if (this.#state === "closed") return;
    this.#state = "closed";
    const consumer = this.#consumer;
    this.#release();
    if (consumer === undefined) return;
    const wait = new AbortController();
    await Promise.race([this.#deleteConsumer(consumer), delay(CLOSE_WAIT_MS, wait.signal)]);
    wait.abort();
  }

  // Messages

  onMessage(
    bytes: Buffer,
    subjectStart: number,
    subjectEnd: number,
    replyStart: number,
    replyEnd: number,
    dataStart: number,
    dataEnd: number,
  ): void {
    this.#hasRandomToken ??= endsWithRandomToken(bytes, replyStart, replyEnd);
    this.#delivery.read(bytes, replyStart, replyEnd, this.#hasRandomToken);
    if (!this.#isNext()) return;
    let value: T;
    try {
      value = this.#decodeRange(bytes, dataStart, dataEnd, subjectStart, subjectEnd);
    } catch (error) {
      this.#decodeFailed(error);
      return;
    }
    this.#accept(value, dataEnd - dataStart);
  }

  onChunkEnd(): void {
    if (this.#state === "reading") this.#pullIfRoom();
    if (this.#idle && this.#buffer.length > 0) this.#wakeUp();
  }

  /** A message that the library has parsed: a status message, or anything in the public mode. */
  #onLibraryMessage(message: Msg): void {
    const reply = message.reply;
    if (reply === undefined || reply === "") {
      this.#onStatus(message);
      return;
    }
    if (this.#hasRandomToken === undefined) {
      const bytes = Buffer.from(reply, "latin1");
      this.#hasRandomToken = endsWithRandomToken(bytes, 0, bytes.length);
    }
    this.#delivery.readText(reply, this.#hasRandomToken);
    if (!this.#isNext()) return;
    let value: T;
    try {
      value = this.#decodeMessage(message);
    } catch (error) {
      this.#decodeFailed(error);
      return;
    }
    this.#accept(value, message.data.length);
    this.onChunkEnd();
  }

  /** Is the delivery at hand to be buffered (R1, R5)? */
  #isNext(): boolean {
    this.#silentTicks = 0;
    if (!this.#alive) this.#showsLife();
    if (this.#state !== "reading") return false;
    if (this.#delivery.deliverySequence !== this.#window.delivered + 1) {
      this.#recreate("messages were lost on the way");
      return false;
    }
    this.#window.arrived();
    if (this.#delivery.streamSequence > this.#end) {
      this.#finish();
      return false;
    }
    return true;
  }

  #accept(value: T, bytes: number): void {
    const { streamSequence, timestampMs, pending } = this.#delivery;
    this.#buffer.push(value, streamSequence, timestampMs, bytes);
    this.#received = streamSequence;
    this.#resumed = true;
    if (this.#end !== Number.POSITIVE_INFINITY && (pending === 0 || streamSequence >= this.#end))
      this.#finish();
  }

  #decodeFailed(error: unknown): void {
    const { streamSequence } = this.#delivery;
    this.#undecodable = streamSequence;
    this.#fail(new OperatorError(this.#options.operator, error, this.#describe(streamSequence)));
  }

  // Status messages

  #onStatus(message: Msg): void {
    this.#silentTicks = 0;
    if (this.#state !== "reading") return;
    const headers = message.headers;
    const code = headers?.code ?? 0;
    if (headers === undefined || code === 0) return;
    if (code === 100) {
      if (!this.#alive) this.#showsLife();
      this.#onHeartbeat(Number(headers.get("Nats-Last-Consumer")), Number(headers.get("Nats-Last-Stream")));
      return;
    }
    // The end of a pull says how much of it is left; where it does not, the consumer itself has a problem.
    const left = headers.get("Nats-Pending-Messages");
    if (code === 503 || left === "") {
      this.#recreate(`the server answered ${code} ${headers.description}`);
      return;
    }
    this.#window.ended(Number(left), code === 409 && /maxbytes/i.test(headers.description));
    this.#pullIfRoom();
  }

  /** Nothing was sent for a while. `delivered`: the consumer's count; `examined`: stream sequence it has come to. */
  #onHeartbeat(delivered: number, examined: number): void {
    if (delivered > this.#window.delivered) {
      this.#recreate("messages were lost on the way");
      return;
    }
    // An older heartbeat that was overtaken by messages says nothing.
    if (delivered < this.#window.delivered) return;
    if (this.#end !== Number.POSITIVE_INFINITY) void this.#checkEnd();
    // Else a rare subject's position would stay behind until the stream has dropped what comes after it (R4).
    if (this.#options.filters.length > 0 && this.#buffer.length === 0 && examined > this.#received) {
      this.#received = Math.min(examined, this.#end);
      this.#buffer.position = this.#received;
      this.#resumed = true;
    }
  }

  /** The last messages of a bounded input may have been deleted while we waited for them. */
  async #checkEnd(): Promise<void> {
    const attempt = this.#attempt;
    const consumer = this.#consumer;
    if (this.#checkingEnd || consumer === undefined) return;
    this.#checkingEnd = true;
    try {
      const info = await this.#call("read a consumer's state", (manager) =>
        manager.consumers.info(this.#options.stream, consumer),
      );
      const upToDate = attempt === this.#attempt && info.delivered.consumer_seq === this.#window.delivered;
      if (upToDate && info.num_pending === 0) this.#finish();
    } catch {
      // The next heartbeat asks again, and no heartbeat is a loss.
    } finally {
      this.#checkingEnd = false;
    }
  }

  #pullIfRoom(): void {
    const { connection } = this.#options.nats;
    const pull = this.#window.next(this.#buffer.length, this.#buffer.bytes);
    if (pull === undefined || connection.isClosed()) return;
    const subject = `${this.#pullSubjects}${this.#consumer}`;
    const request = {
      batch: pull.records,
      max_bytes: pull.bytes,
      expires: nanos(PULL_EXPIRES_MS),
      idle_heartbeat: nanos(this.#heartbeatMs),
    };
    connection.publish(subject, JSON.stringify(request), { reply: this.#inbox });
  }

  // The consumer's life

  /**
   * Ticks are counted instead of milliseconds: while this process itself hangs, neither ticks nor messages come, and
   * that is no loss.
   */
  #watch(): void {
    if (this.#options.nats.connection.isClosed()) {
      this.#fail(new DisconnectedError(`${this.#describe(this.#received)}: the NATS connection was closed`));
      return;
    }
    if (this.#state !== "reading" || !this.#window.open || this.#link.connectedForMs() === 0) {
      this.#silentTicks = 0;
      return;
    }
    this.#silentTicks++;
    if (this.#silentTicks > 5) this.#recreate("the consumer is silent");
  }

  #showsLife(): void {
    this.#alive = true;
    this.#denied = undefined;
    this.#options.reading.passed();
  }

  /** The consumer is made again when it has been silent for long enough. */
  #pullDenied(error: PermissionDeniedError): void {
    this.#denied = error;
    this.#options.reading.failed(error);
  }

  /** Before the name of a consumer. */
  get #pullSubjects(): string {
    return `${this.#options.nats.apiPrefix}.CONSUMER.MSG.NEXT.${this.#options.stream}.`;
  }

  #recreate(why: string): void {
    if (this.#state !== "reading" && this.#state !== "creating") return;
    this.recreations++;
    this.#barren = this.#alive ? 0 : this.#barren + 1;
    const { logger, reading, stream } = this.#options;
    logger.debug({ stream, sequence: this.#received, why }, "the reader's consumer is made again");
    if (this.#barren > 0) reading.failed(this.#denied ?? why);
    void this.#create();
  }

  /** Ends as soon as a newer call has taken over. */
  async #create(): Promise<void> {
    this.#dropConsumer();
    this.#state = "creating";
    const attempt = this.#attempt;
    let missingSince: number | undefined;
    // At once, but not in a tight loop with a server that lets consumers be made and then refuses every pull.
    if (this.#barren > 1) await delay(Math.min(RETRY_WAIT_FIRST_MS * 2 ** this.#barren, RETRY_WAIT_MAX_MS));
    if (attempt !== this.#attempt) return;
    for (let waitMs = RETRY_WAIT_FIRST_MS; ; waitMs = Math.min(2 * waitMs, RETRY_WAIT_MAX_MS)) {
      try {
        await this.#createOnce(attempt);
        return;
      } catch (error) {
        if (attempt !== this.#attempt) return;
        const now = performance.now();
        if (isStreamNotFound(error)) missingSince ??= now;
        else missingSince = undefined;
        const failure = this.#permanentFailure(error, missingSince !== undefined ? now - missingSince : 0);
        if (failure !== undefined) {
          this.#fail(failure);
          return;
        }
        this.#options.reading.failed(error);
        await delay(waitMs);
        if (attempt !== this.#attempt) return;
      }
    }
  }

  async #createOnce(attempt: number): Promise<void> {
    const { stream, nats, created, end } = this.#options;
    const name = `tidemark_${nuid.next()}`;
    const consumer = await this.#call("make a consumer", (manager) =>
      manager.consumers.add(stream, this.#consumerConfig(name)),
    );
    // After the consumer: were the stream made anew in between, the consumer would be gone (R4).
    const info = await this.#call("read the stream's state", (manager) => manager.streams.info(stream)).catch(
      (error: unknown) => {
        void this.#deleteConsumer(name);
        throw error;
      },
    );
    if (attempt !== this.#attempt) {
      void this.#deleteConsumer(name);
      return;
    }
    this.#consumer = name;
    const problem = positionProblem(
      { stream, created, received: this.#received, end, resumed: this.#resumed },
      info,
    );
    if (problem !== undefined) {
      this.#fail(problem);
      return;
    }
    if (this.#end !== Number.POSITIVE_INFINITY && consumer.num_pending === 0) {
      this.#finish();
      return;
    }
    this.#inbox = createInbox(inboxPrefix(nats.connection));
    const subscription = nats.connection.subscribe(this.#inbox, {
      callback: (error, message) => {
        if (attempt !== this.#attempt) return;
        if (error) this.#fail(new EnvironmentError(`stream "${stream}": ${error.message}`, { cause: error }));
        else this.#onLibraryMessage(message);
      },
    });
    this.#subscription = subscription;
    if (this.#options.mode !== "public") nats.diverter?.divert(subscription.getID(), this);
    this.#state = "reading";
    this.#pullIfRoom();
  }

  #consumerConfig(name: string): Partial<ConsumerConfig> {
    const { filters } = this.#options;
    const fromBeginning = this.#received === 0;
    return {
      name,
      description: "tidemark source; reads ahead, positions are in the job's checkpoints",
      ack_policy: AckPolicy.None,
      ...(fromBeginning
        ? { deliver_policy: DeliverPolicy.All }
        : { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: this.#received + 1 }),
      ...filterConfig(filters),
      inactive_threshold: nanos(CONSUMER_INACTIVE_MS),
      mem_storage: true,
      num_replicas: 1,
    };
  }

  /** What it means when no consumer can be made; undefined: try again. */
  #permanentFailure(error: unknown, missingMs: number): Error | undefined {
    const { stream, nats } = this.#options;
    if (isStreamNotFound(error)) {
      if (missingMs < MISSING_STREAM_CONFIRMED_MS) return undefined;
      return missingStream(stream, this.#received, error);
    }
    if (nats.connection.isClosed()) {
      return new DisconnectedError(`stream "${stream}": the NATS connection was closed`, { cause: error });
    }
    if (isPassing(error) || error instanceof PermissionDeniedError) return undefined;
    if (error instanceof EnvironmentError) return error;
    if (
      error instanceof JetStreamApiError &&
      error.status === 400 &&
      error.code !== CONSUMERS_LIMIT_REACHED
    ) {
      return new EnvironmentError(`stream "${stream}": the server refuses a consumer: ${error.message}`, {
        cause: error,
      });
    }
    return undefined;
  }

  /** All that is to be read is buffered. */
  #finish(): void {
    this.#state = "ended";
    this.#release();
    this.#wakeUp();
  }

  #fail(error: Error): void {
    if (this.#state !== "creating" && this.#state !== "reading") return;
    this.#state = "failed";
    this.#failure = error;
    this.#release();
    this.#wakeUp();
  }

  /** Nothing more will be read. */
  #release(): void {
    clearInterval(this.#watchdog);
    this.#forgetLink?.();
    this.#forgetDenials?.();
    this.#options.reading.forget();
    this.#dropConsumer();
  }

  /** From here on nothing counts that comes from the consumer at hand (R2). */
  #dropConsumer(): void {
    this.#attempt++;
    if (this.#subscription !== undefined) {
      this.#options.nats.diverter?.release(this.#subscription.getID());
      if (!this.#options.nats.connection.isClosed()) this.#subscription.unsubscribe();
      this.#subscription = undefined;
    }
    if (this.#consumer !== undefined && this.#state !== "closed") void this.#deleteConsumer(this.#consumer);
    this.#consumer = undefined;
    this.#hasRandomToken = undefined;
    this.#window.reset();
    this.#silentTicks = 0;
    this.#alive = false;
  }

  async #deleteConsumer(name: string): Promise<void> {
    await this.#call("delete a consumer", (manager) =>
      manager.consumers.delete(this.#options.stream, name),
    ).catch(() => undefined);
  }

  async #call<R>(what: string, send: (manager: JetStreamManager) => Promise<R>): Promise<R> {
    const manager = this.#manager as JetStreamManager;
    return await this.#link.call(`stream "${this.#options.stream}": ${what}`, () => send(manager));
  }

  #describe(sequence: number): string {
    return `stream ${this.#options.stream} sequence ${sequence}`;
  }

  #wakeUp(): void {
    this.#idle = false;
    this.#wake?.();
  }
}

function isStreamNotFound(error: unknown): boolean {
  return error instanceof JetStreamApiError && error.code === STREAM_NOT_FOUND;
}

/** A user with narrow permissions has an inbox of their own; the library's interface does not tell it. */
function inboxPrefix(connection: unknown): string | undefined {
  return (connection as { options?: { inboxPrefix?: string } }).options?.inboxPrefix;
}

function delay(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
