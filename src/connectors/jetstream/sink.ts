/**
 * The JetStream sink: records become messages of a stream, exactly once without relying on the duplicate window.
 *
 * Owns: the user's options, and what is asked of server and stream before anything is written.
 * Does not own: writing; see transactional-writer.ts and, for at-least-once, acked-writer.ts.
 */
import { checkMembers } from "../../config/members.ts";
import { show } from "../../config/quantity.ts";
import type { ConnectorEnvironment } from "../../dataflow/connector.ts";
import type { Sink, SinkEnvironment, SinkGuarantee, SinkTarget, SinkWriter } from "../../dataflow/sink.ts";
import { unknownLife } from "../../dataflow/transaction-marker.ts";
import {
  ConfigurationError,
  EnvironmentError,
  PrerequisiteError,
  StreamMissingError,
  type WantedStream,
} from "../../errors.ts";
import { parseMarkerMemory } from "../../formats/transactions/transaction-marker.ts";
import { NatsEnvironment, type StreamConfig } from "../../nats/connection/environment.ts";
import { natsCommand } from "../../nats/connection/nats-command.ts";
import { MessageLimit } from "../../nats/limits/message-limit.ts";
import {
  AtomicPublisher,
  BATCH_HEADER_BYTES_MAX,
  BATCH_MESSAGES_MAX,
} from "../../nats/publisher/atomic-publisher.ts";
import { bucketStream } from "../../nats/publisher/bucket-stream.ts";
import { streamMissing } from "../../nats/publisher/missing-stream.ts";
import {
  defaultMarkerPrefix,
  fittingParts,
  readStream,
  risks,
  type Shortcoming,
  shortcomings,
  targetGone,
  unsuitable,
} from "../../nats/publisher/sink-target.ts";
import { storedMarkers } from "../../nats/publisher/stored-markers.ts";
import {
  assertChangeable,
  assertCreatable,
  createStream,
  newStream,
  updateStream,
} from "../../nats/publisher/stream-provision.ts";
import { capturesAll, isLiteralSubject, isSubjectToken } from "../../nats/publisher/stream-subjects.ts";
import { isAtLeast } from "../../nats/server/server-version.ts";
import { AckedWriter } from "./acked-writer.ts";
import { RecordForm, type RecordShape } from "./record.ts";
import { MarkedTarget, TransactionalWriter } from "./transactional-writer.ts";

/** The options of `jetstreamSink`. */
export interface JetStreamSinkOptions<T> extends RecordShape<T> {
  /** Name of the stream that the sink writes to. It must exist, or `provision` must be true. */
  readonly stream: string;
  /** Default "exactly-once"; needs nats-server 2.12 or newer. */
  readonly guarantee?: "exactly-once" | "at-least-once";
  /** Default `tidemark-marker.<stream>`; the stream's subjects must contain `<markerPrefix>.>`. */
  readonly markerPrefix?: string;
  /**
   * true: create the stream, `KV_x` as the KV bucket x, or switch on what it lacks, when the job is submitted. Default
   * false.
   */
  readonly provision?: boolean;
  /**
   * The subjects of a stream that `provision` creates. Default: `subject`, when it is a text; of a KV bucket, the
   * bucket's own.
   */
  readonly subjects?: readonly string[];
  /**
   * Messages in one atomic batch beside the marker, 1 to 999. Default 999, or what server (limits.batch.max_msgs, 1000
   * unless configured otherwise) and stream take, when that is less.
   */
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
/** The time that a server has at submission to say how large a batch may be. */
const PROBE_TIMEOUT_MS = 5_000;

/**
 * Writes records as messages of a stream, exactly once unless `guarantee` says otherwise. @throws ConfigurationError
 */
export function jetstreamSink<T>(options: JetStreamSinkOptions<T>): Sink<T> {
  return new JetStreamSink(resolve(options));
}

const OPTIONS = [
  "stream",
  "subject",
  "encode",
  "headers",
  "guarantee",
  "markerPrefix",
  "provision",
  "subjects",
  "partMessagesMax",
  "partBytesMax",
];

function resolve<T>(options: JetStreamSinkOptions<T>): Resolved<T> {
  checkMembers(options, OPTIONS, "jetstreamSink", "option");
  const { stream, subject, guarantee = "exactly-once" } = options;
  checkKinds(options);
  if (guarantee !== "exactly-once" && guarantee !== "at-least-once") {
    throw new ConfigurationError(
      "guarantee",
      `guarantee must be "exactly-once" or "at-least-once", got ${show(guarantee)}`,
    );
  }
  if (!isSubjectToken(stream)) throw new ConfigurationError("stream", `"${stream}" is no name of a stream`);
  const markerPrefix = options.markerPrefix ?? defaultMarkerPrefix(stream);
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

/** What a member must be, in words, and whether it is. */
const KINDS: readonly (readonly [keyof JetStreamSinkOptions<never>, string, (given: unknown) => boolean])[] =
  [
    ["subject", "a text or a function", (given) => typeof given === "string" || typeof given === "function"],
    ["headers", "a function", (given) => typeof given === "function"],
    ["provision", "true or false", (given) => typeof given === "boolean"],
    ["subjects", "an array of texts", (given) => Array.isArray(given) && given.every(isText)],
  ];

const isText = (one: unknown): boolean => typeof one === "string";

function checkKinds(options: JetStreamSinkOptions<never>): void {
  for (const [name, wanted, isOne] of KINDS) {
    const given: unknown = options[name];
    if (isOne(given) || (given === undefined && name !== "subject")) continue;
    throw new ConfigurationError(name, `jetstreamSink: ${name} must be ${wanted}, got ${show(given)}`);
  }
}

function within(value: number, key: string, min: number, max: number): number {
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value;
  throw new ConfigurationError(key, `${key} is ${value}, and must be a whole number from ${min} to ${max}`);
}

class JetStreamSink<T> implements Sink<T> {
  readonly kind = "jetstream";
  readonly guarantee: SinkGuarantee;
  readonly target: SinkTarget;
  readonly #options: Resolved<T>;

  constructor(options: Resolved<T>) {
    this.#options = options;
    this.guarantee = options.guarantee;
    const { subject } = options.shape;
    this.target = { stream: options.stream, subject: typeof subject === "string" ? subject : undefined };
  }

  async check(environment: ConnectorEnvironment): Promise<void> {
    const nats = NatsEnvironment.of(environment, "the JetStream sink");
    const transactional = this.guarantee === "exactly-once";
    if (transactional) this.#assertServer(nats);
    const { isThere, config } = await this.#target(nats, environment);
    for (const risk of risks(nats, config, transactional)) {
      environment.logger.warn({ stream: config.name }, `stream ${config.name}: ${risk}`);
    }
    // A stream that is not there cannot be asked.
    if (transactional && isThere) await this.#assertBatches(nats);
    this.#assertTakesSubject(config);
    if (transactional && isThere) await this.#assertKnown(nats, environment);
  }

  /** No earlier life of the job has written to the stream that no record knows. */
  async #assertKnown(
    nats: NatsEnvironment,
    { unrecorded, job }: Pick<ConnectorEnvironment, "unrecorded" | "job">,
  ): Promise<void> {
    if (unrecorded === undefined) return;
    const { stream } = this.#options;
    const markers = await storedMarkers(nats, stream, this.#markerSubjects);
    const refusal = unknownLife(markers, job, `stream ${stream}`, unrecorded);
    if (refusal !== undefined) throw refusal;
  }

  async open(environment: SinkEnvironment): Promise<SinkWriter<T>> {
    const nats = NatsEnvironment.of(environment, "the JetStream sink");
    const memory = parseMarkerMemory(environment.restoredState, environment.operator);
    const resumed = memory !== undefined;
    const config = await this.#existingStream(nats, resumed).catch((error: unknown) => {
      throw resumed && error instanceof StreamMissingError
        ? targetGone(this.#options.stream, error.cause)
        : error;
    });
    const form = this.#recordForm(config);
    const limit = await MessageLimit.of(nats, config);
    if (this.guarantee === "at-least-once") {
      return new AckedWriter(form, nats, config.name, environment, limit);
    }
    this.#assertServer(nats);
    const target = new MarkedTarget(this.#options, nats, await nats.manager(), environment);
    const marker = await target.markerOf(environment.subtaskIndex, {
      restoredCheckpointId: environment.restoredCheckpointId,
      memory,
    });
    const batchMessagesMax = await marker.batchMessagesMax();
    const limits = {
      messageBytesMax: limit.bytesMax - BATCH_HEADER_BYTES_MAX,
      ...fittingParts(this.#options, config, batchMessagesMax, environment.parallelism),
    };
    return new TransactionalWriter(form, limits, limit, target, marker, environment);
  }

  /** The user who submits a job may have no leave to publish. So no answer says nothing, and the writers ask again. */
  async #assertBatches(nats: NatsEnvironment): Promise<void> {
    const subject = `${this.#options.markerPrefix}.probe`;
    const most = await new AtomicPublisher(nats).batchMessagesMax(subject, PROBE_TIMEOUT_MS);
    if (typeof most === "string" || most >= 2) return;
    throw new EnvironmentError(
      `stream ${this.#options.stream} cannot take exactly-once output: nats-server allows ${most} messages in an atomic ` +
        "batch, and a record and its marker are 2. Raise limits { batch { max_msgs: 1000 } } in the jetstream block of " +
        "its configuration and restart it",
    );
  }

  #recordForm(config: StreamConfig): RecordForm<T> {
    const { shape, stream, markerPrefix } = this.#options;
    const withMarkers = this.guarantee === "exactly-once";
    return new RecordForm(shape, {
      stream,
      subjects: config.subjects ?? [],
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

  /**
   * @param resumed the job has written to it before
   * @param planned as another sink of the same submission would make it
   */
  async #existingStream(
    nats: NatsEnvironment,
    resumed = false,
    planned?: StreamConfig,
  ): Promise<StreamConfig> {
    const { stream, guarantee } = this.#options;
    const config = planned ?? (await readStream(nats, stream))?.config;
    if (config === undefined) throw streamMissing(nats, { ...this.#wanted, resumes: resumed });
    const found = this.#shortcomings(config);
    if (found.length > 0) {
      const text = unsuitable(nats, stream, found, guarantee, resumed);
      const mendable = found.every(({ flags }) => flags !== undefined);
      throw mendable ? new PrerequisiteError(text) : new EnvironmentError(text);
    }
    return config;
  }

  /**
   * The stream as the sink needs it, made so with `provision`.
   * Nothing is made or changed if `dryRun` is true: the answer is what it would be.
   */
  async #target(
    nats: NatsEnvironment,
    {
      dryRun,
      resumes = false,
      planned: plans,
      made,
    }: Pick<ConnectorEnvironment, "dryRun" | "resumes" | "planned" | "made">,
  ): Promise<{ readonly isThere: boolean; readonly config: StreamConfig }> {
    const { stream, provision } = this.#options;
    const others = dryRun === true ? plannedStreams(plans) : new Map<string, StreamConfig>();
    const plan = (config: StreamConfig) => plans?.set(planOf(stream), config);
    const foreseen = others.get(stream);
    const info = provision ? await readStream(nats, stream) : undefined;
    const isThere = provision ? info !== undefined : foreseen === undefined;
    // A stream that is made anew would not tell what was committed.
    const isForeseen = provision && (info !== undefined || foreseen !== undefined || !resumes);
    const found = isForeseen
      ? (foreseen ?? info?.config)
      : await this.#existingStream(nats, resumes, foreseen);
    if (found === undefined) {
      this.#assertSubjects();
      const planned = newStream(this.#wanted) as StreamConfig;
      this.#assertTakesSubject(planned);
      if (dryRun) {
        await assertCreatable(nats, this.#wanted, [...others.values()]);
        plan(planned);
        return { isThere, config: planned };
      }
      const config = await createStream(nats, this.#wanted);
      made?.(`stream ${stream} (to delete it: ${natsCommand(nats, "stream", "rm", stream)})`);
      return { isThere: true, config };
    }
    const missing = this.#shortcomings(found);
    const mendable = missing.every((each) => Object.keys(each.update).length > 0);
    const update = Object.assign({}, ...missing.map((each) => each.update)) as Partial<StreamConfig>;
    if (missing.length === 0 || !mendable)
      return { isThere, config: await this.#existingStream(nats, resumes, foreseen) };
    const planned = { ...found, ...update };
    this.#assertTakesSubject(planned);
    if (dryRun) {
      await assertChangeable(nats, found, update);
      plan(planned);
      return { isThere, config: planned };
    }
    await updateStream(nats, stream, update);
    made?.(`settings of stream ${stream} (${Object.keys(update).join(", ")})`);
    return { isThere: true, config: await this.#existingStream(nats, resumes) };
  }

  /**
   * A constant subject that the stream does not take is a mistake in the job: known before anything is made or changed.
   */
  #assertTakesSubject(config: StreamConfig): void {
    this.#recordForm(config);
  }

  /** @throws ConfigurationError when a stream that is to be made would not take what the job writes */
  #assertSubjects(): void {
    const { stream, subjects } = this.#options;
    const bucket = bucketStream(stream);
    if (bucket === undefined && subjects.length === 0) {
      throw new ConfigurationError(
        "subjects",
        `stream ${stream} does not exist, and creating it needs its subjects: name them in option subjects`,
      );
    }
    const outside = subjects.find((one) => bucket !== undefined && !capturesAll(bucket.subjects, one));
    if (bucket !== undefined && outside !== undefined) {
      throw new ConfigurationError(
        "subjects",
        `stream ${stream} is the ${bucket.kind === "kv" ? "KV bucket" : "object store"} ${bucket.bucket}, which takes only ` +
          `${bucket.subjects.join(", ")}, and not ${outside}: correct the subject, or write to a stream with another name`,
      );
    }
  }

  get #wanted(): WantedStream {
    const { stream, subjects, guarantee } = this.#options;
    const markerSubjects = guarantee === "exactly-once" ? this.#markerSubjects : undefined;
    return { stream, subjects, usedBy: "sink", markerSubjects };
  }

  #shortcomings(config: StreamConfig): Shortcoming[] {
    return shortcomings(config, this.guarantee === "exactly-once" ? this.#markerSubjects : undefined);
  }

  get #markerSubjects(): string {
    return `${this.#options.markerPrefix}.>`;
  }
}

const PLANNED = "stream ";
const planOf = (stream: string): string => PLANNED + stream;

/** By name. */
function plannedStreams(plans: ReadonlyMap<string, unknown> = new Map()): Map<string, StreamConfig> {
  const streams = [...plans].filter(([what]) => what.startsWith(PLANNED));
  return new Map(streams.map(([what, config]) => [what.slice(PLANNED.length), config as StreamConfig]));
}
