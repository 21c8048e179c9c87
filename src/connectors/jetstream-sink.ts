/**
 * The JetStream sink: records become messages of a stream, exactly once without relying on the duplicate window.
 *
 * Owns: the user's options, what is asked of the stream, and the writer that buffers, stages and commits.
 * Does not own: the cut into parts (transaction-buffer.ts), the marker and its retries (nats/sink-marker.ts), the
 * wire form of a batch (nats/atomic-publisher.ts).
 *
 * - J1 Nothing reaches the stream before the decision; a commit sends what was staged, byte for byte (C2, P13).
 * - J2 Each part is one atomic batch that ends with the marker of the writer that cut it, also when another subtask
 *   commits it after a rescale: that marker is taken over first (P22, P23).
 * - J3 `write` refuses whatever a commit could be refused for (P24).
 * - J4 Input stops while segments wait to be staged, and while a commit is under way with more than two transactions
 *   behind it (P25). Transactions that merely wait for a decision never stop it: the barrier that decides them comes
 *   behind records.
 */
import type { JetStreamManager, StreamConfig } from "@nats-io/jetstream";
import type { ConnectorEnvironment } from "../dataflow/connector.ts";
import type {
  Committable,
  PreparingTransaction,
  Sink,
  SinkEnvironment,
  SinkGuarantee,
  SinkWriter,
} from "../dataflow/sink.ts";
import {
  asMarkerMemory,
  type MarkerExpectation,
  type MarkerMemory,
  type MarkerOwner,
  memoryOf,
  partsCommitted,
  signature,
} from "../dataflow/transaction-marker.ts";
import { CommitRefusedError, ConfigurationError, EnvironmentError, invariant } from "../errors.ts";
import { AckedPublisher } from "../nats/acked-publisher.ts";
import { BATCH_HEADER_BYTES_MAX, BATCH_MESSAGES_MAX } from "../nats/atomic-publisher.ts";
import { NatsEnvironment } from "../nats/environment.ts";
import { type MessageRange, MessageReader } from "../nats/message-block.ts";
import { isAtLeast } from "../nats/server-version.ts";
import { SinkMarker } from "../nats/sink-marker.ts";
import {
  addCommand,
  createStream,
  editCommand,
  isLiteralSubject,
  isSubjectToken,
  readStream,
  risks,
  shortcomings,
  subjectMatcher,
} from "../nats/sink-target.ts";
import { RecordForm, type RecordShape } from "./jetstream-record.ts";
import {
  countParts,
  detailOf,
  type PartLimits,
  parseDetail,
  rangesOf,
  type Segment,
  TransactionBuffer,
} from "./transaction-buffer.ts";

export interface JetStreamSinkOptions<T> extends RecordShape<T> {
  readonly stream: string;
  /** Default "exactly-once"; needs nats-server 2.12 or newer. */
  readonly guarantee?: "exactly-once" | "at-least-once";
  /** Default `tidemark-marker.<stream>`; the stream's subjects must contain `<markerPrefix>.>`. */
  readonly markerPrefix?: string;
  /** true: create the stream, or switch on what it lacks, when the job is submitted. Default false. */
  readonly provision?: boolean;
  /** With `provision`: the subjects of a stream that has to be created. Default: `subject`, when it is a text. */
  readonly subjects?: readonly string[];
  /** Messages in one atomic batch beside the marker, 1 to 999 (the server's limit is 1000). Default 999. */
  readonly partMessagesMax?: number;
  /** Bytes after which a part ends, 1 KiB to 32 MiB. Default 1 MiB. */
  readonly partBytesMax?: number;
}

interface Resolved<T> {
  readonly shape: RecordShape<T>;
  readonly stream: string;
  readonly guarantee: "exactly-once" | "at-least-once";
  readonly markerPrefix: string;
  readonly provision: boolean;
  readonly subjects: readonly string[];
  readonly partMessagesMax: number;
  readonly partBytesMax: number;
}

const SERVER_VERSION_MIN = "2.12.0";
const ACK_WINDOW = 2_000;
const DECIDED_MAX = 2;

/** @throws ConfigurationError */
export function jetstreamSink<T>(options: JetStreamSinkOptions<T>): Sink<T> {
  return new JetStreamSink(resolve(options));
}

function resolve<T>(options: JetStreamSinkOptions<T>): Resolved<T> {
  const { stream, subject, guarantee = "exactly-once" } = options;
  if (!isSubjectToken(stream)) throw new ConfigurationError("stream", `"${stream}" is no name of a stream`);
  const markerPrefix = options.markerPrefix ?? `tidemark-marker.${stream}`;
  if (!isLiteralSubject(markerPrefix)) {
    throw new ConfigurationError("markerPrefix", `markerPrefix "${markerPrefix}" is no literal subject`);
  }
  return {
    shape: options,
    stream,
    guarantee,
    markerPrefix,
    provision: options.provision ?? false,
    subjects: options.subjects ?? (typeof subject === "string" ? [subject] : []),
    partMessagesMax: within(options.partMessagesMax ?? BATCH_MESSAGES_MAX - 1, "partMessagesMax", 1, 999),
    partBytesMax: within(options.partBytesMax ?? 1024 ** 2, "partBytesMax", 1024, 32 * 1024 ** 2),
  };
}

function within(value: number, key: string, min: number, max: number): number {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value;
  throw new ConfigurationError(key, `${key} is ${value}, and must be a whole number from ${min} to ${max}`);
}

class JetStreamSink<T> implements Sink<T> {
  readonly kind = "jetstream";
  readonly guarantee: SinkGuarantee;
  readonly #options: Resolved<T>;

  constructor(options: Resolved<T>) {
    this.#options = options;
    this.guarantee = options.guarantee;
  }

  async check(environment: ConnectorEnvironment): Promise<void> {
    const nats = NatsEnvironment.of(environment, "the JetStream sink");
    const manager = await nats.manager();
    if (this.guarantee === "exactly-once") this.#assertServer(nats);
    const config = await this.#providedStream(manager);
    if (this.guarantee === "exactly-once") {
      for (const risk of risks(config)) {
        environment.logger.warn({ stream: config.name }, `stream ${config.name}: ${risk}`);
      }
    }
    // A constant subject that the stream does not take is a mistake in the job, and shows here.
    this.#recordForm(config);
  }

  async open(environment: SinkEnvironment): Promise<SinkWriter<T>> {
    const nats = NatsEnvironment.of(environment, "the JetStream sink");
    const manager = await nats.manager();
    const config = await this.#existingStream(manager);
    const form = this.#recordForm(config);
    const messageBytesMax = messageLimit(nats, config);
    if (this.guarantee === "at-least-once") {
      return new AckedWriter(form, nats, environment, messageBytesMax);
    }
    this.#assertServer(nats);
    const { partMessagesMax, partBytesMax } = this.#options;
    const target = new MarkedTarget(this.#options, nats, manager, environment);
    const limits = {
      messageBytesMax: messageBytesMax - BATCH_HEADER_BYTES_MAX,
      partMessagesMax,
      partBytesMax,
    };
    const writer = new TransactionalWriter(form, limits, target, environment);
    await writer.takeOver(asMarkerMemory(environment.restoredState));
    return writer;
  }

  #recordForm(config: StreamConfig): RecordForm<T> {
    const { shape, stream, markerPrefix } = this.#options;
    const withMarkers = this.guarantee === "exactly-once";
    return new RecordForm(shape, {
      stream,
      subjects: config.subjects,
      markerPrefix: withMarkers ? markerPrefix : undefined,
    });
  }

  #assertServer(nats: NatsEnvironment): void {
    if (isAtLeast(nats.serverVersion, SERVER_VERSION_MIN)) return;
    throw new EnvironmentError(
      `exactly-once output to stream ${this.#options.stream} needs nats-server ${SERVER_VERSION_MIN} or newer on every ` +
        `server, and this one is ${nats.serverVersion}. Upgrade it, or accept repeated records after failures with ` +
        'guarantee: "at-least-once"',
    );
  }

  async #existingStream(manager: JetStreamManager): Promise<StreamConfig> {
    const { stream } = this.#options;
    const config = await readStream(manager, stream);
    if (config === undefined) throw this.#streamMissing();
    if (this.guarantee === "exactly-once") this.#assertSuitable(config);
    return config;
  }

  async #providedStream(manager: JetStreamManager): Promise<StreamConfig> {
    const { stream, provision } = this.#options;
    if (!provision) return this.#existingStream(manager);
    const config = await readStream(manager, stream);
    if (config === undefined) return this.#create(manager);
    if (this.guarantee === "at-least-once") return config;
    const found = shortcomings(config, this.#markerSubjects);
    const update = Object.assign({}, ...found.map((each) => each.update)) as Partial<StreamConfig>;
    if (Object.keys(update).length > 0) await manager.streams.update(stream, update);
    return this.#existingStream(manager);
  }

  #create(manager: JetStreamManager): Promise<StreamConfig> {
    const { stream, subjects } = this.#options;
    if (subjects.length === 0) {
      throw new ConfigurationError(
        "subjects",
        `stream ${stream} does not exist, and creating it needs its subjects: name them in option subjects`,
      );
    }
    return createStream(manager, stream, this.#allSubjects());
  }

  #streamMissing(): EnvironmentError {
    const { stream } = this.#options;
    return new EnvironmentError(
      `stream ${stream} does not exist. Create it: ${addCommand(stream, this.#allSubjects())}; or let the job ` +
        "do it with provision: true",
    );
  }

  /** Of a stream that is to be created. */
  #allSubjects(): string[] {
    const { subjects } = this.#options;
    const own = subjects.length === 0 ? ["<your subjects>"] : subjects;
    return this.guarantee === "exactly-once" ? [...own, this.#markerSubjects] : [...own];
  }

  #assertSuitable(config: StreamConfig): void {
    const found = shortcomings(config, this.#markerSubjects);
    if (found.length === 0) return;
    throw new EnvironmentError(unsuitable(this.#options.stream, found));
  }

  get #markerSubjects(): string {
    return `${this.#options.markerPrefix}.>`;
  }
}

function unsuitable(stream: string, found: ReturnType<typeof shortcomings>): string {
  const reasons = found.map((each) => each.text).join("; ");
  const command = editCommand(stream, found);
  const mending = [];
  if (command !== undefined) mending.push(`run: ${command} (or provision: true)`);
  if (found.some((each) => each.flags === undefined)) mending.push("write to a new stream");
  return `stream ${stream} cannot take exactly-once output: ${reasons}. To mend it, ${mending.join(", and ")}`;
}

/** The server counts headers and payload together against both limits. */
function messageLimit(nats: NatsEnvironment, config: StreamConfig): number {
  const payloadMax = nats.connection.info?.max_payload ?? 1024 ** 2;
  return config.max_msg_size > 0 ? Math.min(config.max_msg_size, payloadMax) : payloadMax;
}

type TargetOptions = Pick<Resolved<unknown>, "stream" | "markerPrefix">;

/** The stream of one sink subtask with the markers of all writers whose transactions it commits (J2). */
class MarkedTarget {
  readonly #options: TargetOptions;
  readonly #nats: NatsEnvironment;
  readonly #manager: JetStreamManager;
  readonly #environment: SinkEnvironment;
  readonly #owner: MarkerOwner;
  readonly #markers = new Map<number, SinkMarker>();

  constructor(
    options: TargetOptions,
    nats: NatsEnvironment,
    manager: JetStreamManager,
    environment: SinkEnvironment,
  ) {
    if (!isSubjectToken(environment.operator)) {
      throw new ConfigurationError(
        environment.operator,
        `"${environment.operator}" is no token of a subject`,
      );
    }
    this.#options = options;
    this.#nats = nats;
    this.#manager = manager;
    this.#environment = environment;
    this.#owner = signature(environment);
  }

  /** @throws what `SinkMarker.takeOver` throws */
  async markerOf(writer: number, expected: MarkerExpectation): Promise<SinkMarker> {
    const known = this.#markers.get(writer);
    if (known !== undefined) return known;
    const marker = new SinkMarker(
      {
        connection: this.#nats.connection,
        manager: this.#manager,
        stream: this.#options.stream,
        subject: this.#subjectOf(writer),
        diagnose: (messages) => this.#diagnose(writer, messages),
        onRetry: (description, attempts) => this.#logRetry(description, attempts),
      },
      this.#owner,
    );
    await marker.takeOver(expected);
    this.#markers.set(writer, marker);
    return marker;
  }

  close(): void {
    for (const marker of this.#markers.values()) marker.close();
  }

  #subjectOf(writer: number): string {
    const { incarnation, operator } = this.#environment;
    return `${this.#options.markerPrefix}.${incarnation}.${operator}.${writer}`;
  }

  #logRetry(description: string, attempts: number): void {
    const fields = { stream: this.#options.stream, attempts };
    const { logger } = this.#environment;
    if (attempts % 8 === 0) logger.warn(fields, `commit is still retried: ${description}`);
    else logger.debug(fields, `commit is retried: ${description}`);
  }

  /** Somebody may have changed the stream since `open` (P24). */
  async #diagnose(writer: number, messages: MessageRange | undefined): Promise<void> {
    const { stream, markerPrefix } = this.#options;
    let config: StreamConfig | undefined;
    try {
      config = await readStream(this.#manager, stream);
    } catch {
      return; // Not answered: nothing is known, the commit is tried again.
    }
    // A missing stream is for the marker's own read to find, which asks more than once.
    if (config === undefined) return;
    const found = shortcomings(config, `${markerPrefix}.>`);
    if (found.length > 0)
      throw new CommitRefusedError(`${unsuitable(stream, found)}, then start the job again`);
    const lost = messages && firstSubjectOutside(messages, [...config.subjects]);
    if (lost === undefined) return;
    throw new CommitRefusedError(
      `stream ${stream} does not take subject ${lost} any more, and a transaction of writer ${writer} holds a record ` +
        `for it. Run: nats stream edit ${stream} --subjects="${[...config.subjects, lost].join(",")}" --force, then ` +
        "start the job again",
    );
  }
}

function firstSubjectOutside(messages: MessageRange, subjects: readonly string[]): string | undefined {
  const isCaptured = subjectMatcher(subjects);
  const reader = new MessageReader(messages);
  while (reader.next()) if (!isCaptured(reader.subject)) return reader.subject;
  return undefined;
}

class TransactionalWriter<T> implements SinkWriter<T> {
  readonly #form: RecordForm<T>;
  readonly #buffer: TransactionBuffer;
  readonly #limits: PartLimits;
  readonly #target: MarkedTarget;
  readonly #environment: SinkEnvironment;
  /** Cut by this writer in this generation, not yet committed. */
  readonly #uncommitted = new Map<number, readonly Segment[]>();
  #marker: SinkMarker | undefined;
  #committing = false;
  #closed = false;
  #wake: () => void = () => {};

  constructor(form: RecordForm<T>, limits: PartLimits, target: MarkedTarget, environment: SinkEnvironment) {
    this.#form = form;
    this.#limits = limits;
    this.#target = target;
    this.#environment = environment;
    this.#buffer = new TransactionBuffer(environment.staging, limits, {
      onStaged: () => this.#wake(),
      onFailed: (error) => {
        // Without this segment no transaction can be prepared any more (P14).
        if (!this.#closed) environment.fail(error);
      },
    });
  }

  async takeOver(memory: MarkerMemory | undefined): Promise<void> {
    const { restoredCheckpointId, subtaskIndex } = this.#environment;
    this.#marker = await this.#target.markerOf(subtaskIndex, { restoredCheckpointId, memory });
  }

  write(value: T): void {
    const form = this.#form;
    form.prepare(value);
    if (!this.#buffer.append(form.subject, form.headerLines, form.payload)) {
      throw form.refusal(`is refused: larger than ${this.#limits.messageBytesMax} bytes with its headers`);
    }
  }

  blocked(): boolean {
    return this.#buffer.isFull || (this.#committing && this.#uncommitted.size > DECIDED_MAX);
  }

  onAvailable(wake: () => void): void {
    this.#wake = wake;
  }

  cut(checkpointId: number): PreparingTransaction | undefined {
    const segments = this.#buffer.cut();
    if (segments.length === 0) return undefined;
    this.#uncommitted.set(checkpointId, segments);
    return { checkpointId, prepared: () => this.#prepare(checkpointId, segments) };
  }

  snapshot(): MarkerMemory {
    return memoryOf(this.#marker!.current);
  }

  async commit(transaction: Committable): Promise<void> {
    this.#committing = true;
    try {
      const marker = await this.#markerFor(transaction.writer);
      await this.#commitParts(transaction, marker);
    } finally {
      this.#committing = false;
      this.#wake();
    }
  }

  /** What was written leaves with its transaction, not before (J1). */
  async flush(): Promise<void> {}

  async close(): Promise<void> {
    this.#closed = true;
    this.#target.close();
  }

  async #prepare(checkpointId: number, segments: readonly Segment[]): Promise<Committable> {
    const detail = detailOf(segments);
    const handles = await Promise.all(segments.map((segment) => segment.staged));
    const staged = handles.filter((handle) => handle !== undefined);
    return { checkpointId, writer: this.#environment.subtaskIndex, staged, detail };
  }

  /** A transaction proves that its writer had created a marker: one that is missing was lost (P22). */
  #markerFor(writer: number): Promise<SinkMarker> {
    const memory: MarkerMemory = { markerExists: true, checkpointId: 0 };
    const { restoredCheckpointId } = this.#environment;
    return this.#target.markerOf(writer, { restoredCheckpointId, memory });
  }

  async #commitParts(transaction: Committable, marker: SinkMarker): Promise<void> {
    const { checkpointId } = transaction;
    this.#assertOldest(transaction);
    const detail = parseDetail(transaction.detail);
    const parts = countParts(detail);
    const committed = partsCommitted(marker.current, checkpointId, parts);
    let part = 0;
    for (const [index, cuts] of detail.segments.entries()) {
      const end = part + cuts.length / 2;
      if (end > committed) {
        const bytes = await this.#bytesOf(transaction, detail.inline, index);
        for (const range of rangesOf(bytes, cuts)) {
          part += 1;
          if (part > committed) await marker.advance(range, { checkpointId, part, parts });
        }
      }
      part = end;
    }
    this.#forget(transaction);
  }

  async #bytesOf(transaction: Committable, inline: string | undefined, index: number): Promise<Uint8Array> {
    const kept = this.#own(transaction)?.[index]?.bytes;
    if (kept !== undefined) return kept;
    if (inline !== undefined) return Buffer.from(inline, "base64");
    return this.#environment.staging.get(transaction.staged[index]!);
  }

  /** The marker would take an older transaction for a committed one. */
  #assertOldest(transaction: Committable): void {
    if (this.#own(transaction) === undefined) return;
    const [oldest] = this.#uncommitted.keys();
    invariant(
      oldest === transaction.checkpointId,
      `transaction ${transaction.checkpointId} is to be committed before ${oldest} (P17)`,
    );
  }

  #own(transaction: Committable): readonly Segment[] | undefined {
    if (transaction.writer !== this.#environment.subtaskIndex) return undefined;
    return this.#uncommitted.get(transaction.checkpointId);
  }

  #forget(transaction: Committable): void {
    const segments = this.#own(transaction);
    if (segments === undefined) return;
    this.#buffer.release(segments);
    this.#uncommitted.delete(transaction.checkpointId);
  }
}

/** At least once: records are sent at once, and barriers wait until the stream has acknowledged them. */
class AckedWriter<T> implements SinkWriter<T> {
  readonly #form: RecordForm<T>;
  readonly #publisher: AckedPublisher;
  readonly #messageBytesMax: number;
  #wake: () => void = () => {};

  constructor(
    form: RecordForm<T>,
    nats: NatsEnvironment,
    environment: SinkEnvironment,
    messageBytesMax: number,
  ) {
    this.#form = form;
    const { incarnation, generation, operator, subtaskIndex } = environment;
    const idPrefix = `${incarnation}.${generation}.${operator}.${subtaskIndex}`;
    this.#messageBytesMax = messageBytesMax - idPrefix.length - MESSAGE_ID_BYTES_MAX;
    this.#publisher = new AckedPublisher(nats.connection, idPrefix, ACK_WINDOW, {
      onAcknowledged: () => this.#wake(),
      onFailed: (error) => environment.fail(error),
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
        throw form.refusal(`is refused: larger than ${this.#messageBytesMax} bytes with its headers`);
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
  }
}

/** Header names, separators and the counter around the prefix of a message id. */
const MESSAGE_ID_BYTES_MAX = 64;
