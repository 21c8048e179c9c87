/**
 * Reads one JetStream stream, or the messages of some subjects in it, from a sequence onwards: each message once, in
 * order, whatever happens to the server, the connection or the consumer in between.
 *
 * Owns: the records read ahead, the end of a bounded input. Does not own: the consumer (ephemeral-consumer.ts), what is
 * missing (gap-inquiry.ts) and what is a gap (gap-judge.ts), the positions in checkpoints, the splits.
 *
 * - SR1 What is given out is exactly the messages after the position; what is missing between two of them was judged
 *   before the second is given out (P42).
 * - SR2 Memory is bounded: pulls in flight and buffered records together are at most `recordsBufferedMax` records and
 *   `bytesBufferedMax` bytes, but always at least one record of any size.
 * - SR3 Each time a consumer is made, and each time something is missing, the stream must still be the one that was
 *   discovered (P32); else reading ends with a SourcePositionError.
 * - SR4 A bounded input ends (P31) at `end`, at any later sequence (not emitted), or when nothing is pending. `end` was
 *   the stream's last sequence, so whatever is to come is there already. What is missing before it is judged, too.
 * - SR5 Markers of sinks are no records (P43): the position goes over them.
 */
import type { ConsumerInfo, StreamInfo } from "@nats-io/jetstream";
import type { Msg } from "@nats-io/transport-node";
import type { Logger } from "../../dataflow/connector.ts";
import type { Collect, Gaps, PollStatus, Skipped } from "../../dataflow/source.ts";
import type { TroubleWatch } from "../../dataflow/trouble.ts";
import { OperatorError } from "../../errors.ts";
import type { ReadPosition } from "../../formats/positions/stream-position.ts";
import type { NatsEnvironment } from "../connection/environment.ts";
import { isMarker, MARKER_HEADER } from "../publisher/marker-header.ts";
import { type Decode, type DecodeRange, decodeMessage, decodeRange, type ParsedMessage } from "./decoding.ts";
import type { Delivery } from "./delivery.ts";
import { type ConsumerReader, EphemeralConsumer } from "./ephemeral-consumer.ts";
import { GapInquiry } from "./positions/gap-inquiry.ts";
import { GapJudge, NOTHING_SKIPPED } from "./positions/gap-judge.ts";
import { SkippedLog } from "./positions/skipped-log.ts";
import { identityProblem, inputEnded } from "./positions/stream-position.ts";
import { Silence, StreamState } from "./positions/stream-state.ts";
import { NO_RECORD, type PlacedRecord, RecordBuffer } from "./record-buffer.ts";
import { ServerBacklog } from "./server-backlog.ts";

export interface SequentialReaderOptions<T> {
  readonly nats: NatsEnvironment;
  readonly logger: Logger;
  /** Told of consumers that cannot be made, of those that bring nothing, and of questions without an answer. */
  readonly reading: TroubleWatch;
  /** Named in commands that mend the input. */
  readonly job: string;
  /** Named in errors of `decode`. */
  readonly operator: string;
  readonly stream: string;
  /** `created` of the stream at discovery: a stream with another one is another stream. */
  readonly created: string;
  /** The retention that the stream had at discovery; undefined: it does not matter. */
  readonly retention?: StreamInfo["config"]["retention"] | undefined;
  /** Subject filters that do not overlap; empty: all messages. */
  readonly filters: readonly string[];
  /** The position to go on at; its messages must still be there if they ever were. undefined: at `start`. */
  readonly position?: ReadPosition | undefined;
  /** First sequence wanted, if there is no position; it must still be there. undefined: the first one there is. */
  readonly start?: number | undefined;
  /** With neither position nor start: the first one that there once was. What is gone since counts as skipped. */
  readonly first?: number | undefined;
  /** Last sequence of a bounded input; undefined: never ends. */
  readonly end?: number | undefined;
  /** What to do when messages may have gone unread: "fail" stops in front of them, "skip" counts them and goes on. */
  readonly gaps: Gaps;
  readonly decode: Decode<T>;
  /** "public": the library's callback even where the connection could divert. Default "diverting". */
  readonly mode?: "diverting" | "public" | undefined;
  /** A power of two, at least 16. Default 8192. Pulls bring a quarter of it. */
  readonly recordsBufferedMax?: number;
  /** Default 16 MiB. */
  readonly bytesBufferedMax?: number;
  /**
   * The server shows a sign of life after so much silence; five halves of it without one are taken for a loss. Default
   * 1000.
   */
  readonly heartbeatMs?: number;
}

/**
 * reading: more may come; ending: all of a bounded input has come, something that is missing in it is being judged;
 * ended: all of it is buffered or given out; failed: `#failure` is thrown when what is released is given out.
 */
type ReaderState = "reading" | "ending" | "ended" | "failed" | "closed";

const RECORDS_BUFFERED_MAX = 8192;
const BYTES_BUFFERED_MAX = 16 * 1024 * 1024;
const HEARTBEAT_MS = 1000;

export class SequentialReader<T> implements ConsumerReader {
  readonly #options: SequentialReaderOptions<T>;
  readonly #consumer: EphemeralConsumer;
  readonly #buffer: RecordBuffer<T>;
  readonly #judge: GapJudge<T>;
  readonly #inquiry: GapInquiry<T>;
  readonly #silence: Silence;
  readonly #decodeRange: DecodeRange<T>;
  readonly #decodeMessage: (message: ParsedMessage) => T;
  readonly #end: number;
  #state: ReaderState = "reading";
  #failure: Error | undefined;
  /** Sequence of the record that could not be decoded; it is the next after the buffer. */
  #undecodable: number | undefined;
  #wake: (() => void) | undefined;
  #idle = false;
  #checkingEnd = false;
  readonly #backlog: ServerBacklog;

  constructor(options: SequentialReaderOptions<T>) {
    const { nats, logger, reading, stream, filters, position, start, end, mode } = options;
    this.#options = options;
    const recordsBufferedMax = options.recordsBufferedMax ?? RECORDS_BUFFERED_MAX;
    const accounted = position?.accounted ?? (start ?? 1) - 1;
    this.#buffer = new RecordBuffer(recordsBufferedMax, position?.read ?? 0);
    const log = new SkippedLog(options);
    this.#judge = new GapJudge(
      {
        ...options,
        end,
        accounted,
        resumed: position !== undefined || start !== undefined,
        skipped: position?.skipped ?? NOTHING_SKIPPED,
        onSkipped: (range, why) => log.skipped(range, why, this.#judge.skipped),
      },
      this.#buffer,
    );
    const streamState = StreamState.of(nats, stream);
    this.#inquiry = new GapInquiry(
      { nats, stream, job: options.job, operator: options.operator, reading },
      this.#judge,
      {
        wanted: () => this.#judges,
        judged: () => this.#missingWasJudged(),
        failed: (problem) => this.#failInFront(problem),
      },
      streamState,
    );
    this.#silence = new Silence({
      state: streamState,
      reading,
      reached: () => this.#judge.reached,
      judge: (info, received) => this.#whyNothingComes(info, received),
    });
    this.#consumer = new EphemeralConsumer(
      {
        nats,
        logger,
        reading,
        stream,
        job: options.job,
        operator: options.operator,
        filters,
        mode: mode ?? "diverting",
        recordsBufferedMax,
        bytesBufferedMax: options.bytesBufferedMax ?? BYTES_BUFFERED_MAX,
        heartbeatMs: options.heartbeatMs ?? HEARTBEAT_MS,
      },
      this,
    );
    this.#backlog = new ServerBacklog(() => this.#consumer.pending());
    this.#decodeRange = decodeRange(options.decode);
    this.#decodeMessage = decodeMessage(options.decode);
    this.#end = end ?? Number.POSITIVE_INFINITY;
  }

  /**
   * Called before `open`: the consumer that holds the messages of an interest stream was away until the stream had come
   * to this sequence.
   */
  wasUnheld(upTo: number): void {
    this.#judge.unheld = upTo;
  }

  /** Resolves when reading has begun, however long the server is away. @throws SourcePositionError, EnvironmentError */
  async open(): Promise<void> {
    if (this.#judge.accounted >= this.#end) {
      this.#state = "ended";
      return;
    }
    await this.#consumer.open();
    if (this.#failure !== undefined && this.#buffer.released === 0) throw this.#failure;
  }

  /** Sequence of the record last given out. 0: none yet. */
  get read(): number {
    return this.#buffer.position;
  }

  get position(): ReadPosition {
    const { read } = this;
    return {
      read,
      accounted: Math.max(read, this.#judge.accountedOut),
      skipped: this.#judge.skippedOut,
    };
  }

  /** All that was skipped, also before records that are still buffered. */
  get skipped(): Skipped {
    return this.#judge.skipped;
  }

  get reached(): number {
    return this.#judge.reached;
  }

  get recordsBuffered(): number {
    return this.#buffer.length;
  }

  get bytesBuffered(): number {
    return this.#buffer.bytes;
  }

  /** How often the consumer was made again. */
  get recreations(): number {
    return this.#consumer.recreations;
  }

  /** "stream LINES sequence 42": the record last given out, or the one that could not be. */
  describePosition(): string {
    return this.#describe(this.#undecodable ?? this.read);
  }

  onAvailable(wake: () => void): void {
    this.#wake = wake;
  }

  /** @throws what ended reading, when everything before it was given out; what `collect` throws */
  poll(collect: Collect<T>, recordsMax: number): PollStatus {
    const buffer = this.#buffer;
    // What is in front of a record that could not be decoded is judged and given out first.
    const failed = this.#failure !== undefined && !this.#judges;
    if (failed && buffer.released === 0) throw this.#failure;
    buffer.take(collect, recordsMax);
    if (this.#state === "reading") this.#consumer.pullIfRoom();
    if (failed || buffer.released > 0) return "more";
    if (this.#state === "ended") return "ended";
    this.#idle = true;
    return "idle";
  }

  /** What there is to be read: "more" also while the server has something that has not come yet. */
  get status(): PollStatus {
    if (this.#buffer.length > 0) return "more";
    if (this.#state === "ended") return "ended";
    return this.#backlog.records > 0 ? "more" : "idle";
  }

  /** About how many messages are left. */
  get pending(): number {
    const { length } = this.#buffer;
    if (this.#state !== "reading") return length;
    // What has come behind the end of a bounded input is none of it.
    return Math.min(length + this.#backlog.records, Math.max(length, this.#end - this.read));
  }

  /** The record that is given out next, if it has come, else the one before it. */
  get front(): PlacedRecord | undefined {
    return this.#buffer.front;
  }

  /** Frees the consumer on the server, if that is quickly possible; the server forgets it by itself after a minute. */
  async close(): Promise<void> {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#options.reading.forget();
    await this.#consumer.close();
  }

  // What the consumer tells

  onCreated(stream: StreamInfo, consumer: ConsumerInfo): void {
    this.#backlog.records = consumer.num_pending;
    const problem = this.#judge.begins(stream);
    if (problem !== undefined) this.onFailed(problem);
    else if (this.#judge.accounted >= this.#end) this.#allHasCome();
    else if (this.#end !== Number.POSITIVE_INFINITY && consumer.num_pending === 0) this.#allHasCome();
    this.#wakeIfReleased();
  }

  onDelivered(
    delivery: Delivery,
    bytes: Buffer,
    subjectStart: number,
    subjectEnd: number,
    headerStart: number,
    dataStart: number,
    dataEnd: number,
  ): void {
    if (delivery.streamSequence > this.#end) {
      this.#allHasCome();
      return;
    }
    if (headerStart < dataStart && isMarker(bytes, headerStart, dataStart)) {
      this.#passOver(delivery);
      return;
    }
    let value: T;
    try {
      value = this.#decodeRange(bytes, dataStart, dataEnd, subjectStart, subjectEnd);
    } catch (error) {
      this.#decodeFailed(error, delivery.streamSequence);
      return;
    }
    this.#accept(value, delivery, dataEnd - dataStart);
  }

  onDeliveredMessage(delivery: Delivery, message: Msg): void {
    if (delivery.streamSequence > this.#end) {
      this.#allHasCome();
      return;
    }
    if (message.headers?.has(MARKER_HEADER)) {
      this.#passOver(delivery);
      return;
    }
    let value: T;
    try {
      value = this.#decodeMessage(message);
    } catch (error) {
      this.#decodeFailed(error, delivery.streamSequence);
      return;
    }
    this.#accept(value, delivery, message.data.length);
  }

  onChunkEnd(): void {
    if (!this.#judge.settled) this.#inquiry.ask();
    this.#wakeIfReleased();
  }

  onHeartbeat(examined: number): void {
    if (this.#end !== Number.POSITIVE_INFINITY) void this.#checkEnd();
    else this.#silence.heard();
    void this.#backlog.checkOnSilence();
    const { reached } = this.#judge;
    const to = Math.min(examined, this.#end);
    // Else a rare subject's position would stay behind until the stream has dropped what comes after it.
    if (to > reached) this.#judge.reached = to;
    if (!this.#judge.settled) this.#inquiry.ask();
  }

  onFailed(error: Error): void {
    if (this.#state !== "reading" && this.#state !== "ending") return;
    this.#state = "failed";
    this.#failure = error;
    this.#consumer.release();
    this.#wakeUp();
  }

  #accept(value: T, { streamSequence, timestampMs, pending }: Delivery, bytes: number): void {
    this.#backlog.records = pending;
    this.#buffer.push(value, streamSequence, timestampMs, bytes);
    this.#judge.arrived(streamSequence);
    if (this.#end !== Number.POSITIVE_INFINITY && (pending === 0 || streamSequence >= this.#end))
      this.#allHasCome();
  }

  #passOver({ streamSequence, timestampMs, pending }: Delivery): void {
    this.#backlog.records = pending;
    // A message with nothing to judge in front of it need not be remembered.
    if (streamSequence !== this.#judge.accounted + 1)
      this.#buffer.push(NO_RECORD, streamSequence, timestampMs, 0);
    this.#judge.arrived(streamSequence);
    if (this.#end !== Number.POSITIVE_INFINITY && (pending === 0 || streamSequence >= this.#end))
      this.#allHasCome();
  }

  #decodeFailed(error: unknown, sequence: number): void {
    this.#undecodable = sequence;
    this.#judge.reached = sequence - 1;
    this.onFailed(new OperatorError(this.#options.operator, error, this.#describe(sequence)));
    if (!this.#judge.settled) this.#inquiry.ask();
  }

  // The end of a bounded input

  /** The last messages of a bounded input may have been deleted while we waited for them. */
  async #checkEnd(): Promise<void> {
    if (this.#checkingEnd) return;
    this.#checkingEnd = true;
    try {
      if ((await this.#consumer.pending()) === 0) this.#allHasCome();
    } catch {
      // The next heartbeat asks again, and no heartbeat is a loss.
    } finally {
      this.#checkingEnd = false;
    }
  }

  #allHasCome(): void {
    if (this.#state !== "reading") return;
    this.#state = "ending";
    this.#judge.reached = this.#end;
    this.#consumer.release();
    if (this.#judge.settled) this.#finish();
    else this.#inquiry.ask();
  }

  #finish(): void {
    this.#state = "ended";
    this.#wakeUp();
  }

  // What is missing

  /** Something is missing in front of what has come, and its judgement matters. */
  get #judges(): boolean {
    if (this.#judge.settled || this.#state === "ended" || this.#state === "closed") return false;
    return this.#state !== "failed" || this.#undecodable !== undefined;
  }

  /** The server has answered, and what it accounts for is released. */
  #missingWasJudged(): void {
    if (this.#state === "ending" && this.#judge.settled) this.#finish();
    else if (this.#failure !== undefined && this.#judge.settled) this.#wakeUp();
    else this.#wakeIfReleased();
  }

  /** Puts the problem in front of whatever else has failed meanwhile. */
  #failInFront(problem: Error): void {
    this.onFailed(problem);
    this.#failure = problem;
    this.#undecodable = undefined;
    this.#wakeUp();
  }

  #whyNothingComes(info: StreamInfo, received: number): string | undefined {
    if (this.#state !== "reading") return undefined;
    const problem = identityProblem({ ...this.#options, received, end: undefined }, info);
    if (problem === undefined) return inputEnded(this.#options.job, info, this.#options.filters);
    this.onFailed(problem);
    return undefined;
  }

  #describe(sequence: number): string {
    return `stream ${this.#options.stream} sequence ${sequence}`;
  }

  #wakeIfReleased(): void {
    if (this.#idle && this.#buffer.released > 0) this.#wakeUp();
  }

  #wakeUp(): void {
    this.#idle = false;
    this.#wake?.();
  }
}
