/**
 * Reads a JetStream stream: one split, or one split for each group of subjects.
 *
 * Owns: which splits there are, and which of them a subtask reads. Does not own: reading one split without gaps
 * (src/nats/reader/sequential-reader.ts), showing progress (src/nats/reader/progress.ts).
 *
 * - JS1 `discover` fixes what is read: stream, its creation time, subjects, first and last sequence. It is stored
 *   before the first read, so every generation reads the same input (P31, P32).
 * - JS2 The position of a split holds two sequences. `read`: exactly the records up to it are before the barrier.
 *   `accounted`: nothing of the split up to it can be lost any more (P42).
 * - JS3 Nothing is acknowledged. What the server knows of progress is display, except on interest streams.
 */
import type { ConnectorEnvironment, SubtaskEnvironment } from "../../dataflow/connector.ts";
import type {
  Collect,
  PollStatus,
  Skipped,
  Source,
  SourceReader,
  SourceSplit,
  SplitPosition,
} from "../../dataflow/source.ts";
import { EnvironmentError, PrerequisiteError } from "../../errors.ts";
import {
  parseReadPosition,
  parseStreamSplit,
  type ReadPosition,
  type StreamSplit,
} from "../../formats/positions/stream-position.ts";
import { NatsEnvironment, type StreamInfo } from "../../nats/connection/environment.ts";
import { inOneSentence } from "../../nats/connection/jetstream-refusal.ts";
import { NatsLink } from "../../nats/connection/link.ts";
import { natsCommand } from "../../nats/connection/nats-command.ts";
import { streamMissing } from "../../nats/publisher/missing-stream.ts";
import { isStreamMissing } from "../../nats/publisher/sink-target.ts";
import { type Decode, type Decoder, exactJson } from "../../nats/reader/decoding.ts";
import type { Integers } from "../../nats/reader/json-integers.ts";
import { decisionAboutGaps } from "../../nats/reader/positions/stream-position.ts";
import {
  assertFree,
  CONSUMER_RESET_SINCE,
  ProgressConsumer,
  progressName,
} from "../../nats/reader/progress.ts";
import { SequentialReader } from "../../nats/reader/sequential-reader.ts";
import { filtersOverlap } from "../../nats/reader/subject-filter.ts";
import { isAtLeast } from "../../nats/server/server-version.ts";
import { checkOptions, filtersOf, type JetStreamSourceOptions, wrong } from "./source-options.ts";

export type { JetStreamSourceOptions };

/** Plain data, stored in the job record (JS1). */
type JetStreamSplit = SourceSplit & StreamSplit;

/**
 * Records are parsed by JSON.parse; T is what you know them to be. The default of `decode`.
 *
 * JSON.parse rounds whole numbers beyond 2^53: 64-bit ids that differ in their last digits become one. `integers` says
 * what becomes of such numbers instead: "bigint", "text" (a string of their digits), or "refuse" (the job fails).
 * Numbers that are exact stay numbers, whatever it says.
 */
export function jetstreamSource<T = unknown>(
  options: JetStreamSourceOptions & { readonly decode?: "json"; readonly integers?: Integers },
): Source<T>;
/** Records are UTF-8 text. */
export function jetstreamSource(
  options: JetStreamSourceOptions & { readonly decode: "text" },
): Source<string>;
/** Records are copies of the payloads. */
export function jetstreamSource(
  options: JetStreamSourceOptions & { readonly decode: "bytes" },
): Source<Uint8Array>;
/** Records are what `decode` returns for (data, subject). `data` is a view: copy what is to be kept of it. */
export function jetstreamSource<T>(
  options: JetStreamSourceOptions & { readonly decode: Decoder<T> },
): Source<T>;
/** @throws ConfigurationError naming the option */
export function jetstreamSource<T>(
  options: JetStreamSourceOptions & { readonly decode?: Decode<T>; readonly integers?: Integers },
): Source<T> {
  checkOptions(options);
  const { integers } = options;
  const decode = integers === undefined ? (options.decode ?? "json") : (exactJson(integers) as Decoder<T>);
  return {
    kind: "jetstream",
    replayable: true,
    bounded: options.until === "end",
    discover: (environment) => discover(options, environment),
    open: (environment, splits) => open(options, decode, environment, splits),
  };
}

async function discover(
  options: JetStreamSourceOptions,
  environment: ConnectorEnvironment,
): Promise<JetStreamSplit[]> {
  const nats = NatsEnvironment.of(environment, `the source of stream "${options.stream}"`);
  const info = await streamInfo(nats, options, environment);
  const groups = (options.subjects ?? [[]]).map(filtersOf);
  checkStream(options, groups, info, nats);
  const showsProgress = await hasRoomForProgress(options, groups.length, info, nats, environment);
  warnOfForeignSubjects(groups, info, environment);
  const start = firstSequence(options, info);
  const end = options.until === "end" ? info.state.last_seq : undefined;
  const splits = groups.map((filters) => ({
    id: idOf(filters),
    ...(typeof options.progress === "string" && {
      progressConsumer: progressName([options.progress, idOf(filters)]),
    }),
    stream: options.stream,
    input: `stream ${options.stream}`,
    created: info.created,
    retention: info.config.retention,
    filters,
    ...decisionAboutGaps(options.gaps, info.config, filters),
    ...(!showsProgress && { showsProgress: false as const }),
    ...(options.readsOwnOutput && { readsOwnOutput: options.readsOwnOutput }),
    ...(start === undefined ? {} : { start }),
    ...(end === undefined ? {} : { end }),
  }));
  for (const { stream, progressConsumer: name } of splits)
    if (name !== undefined) await assertFree(nats, environment.job, { stream, name });
  return splits;
}

const idOf = (filters: readonly string[]): string => (filters.length === 0 ? "all" : filters.join(","));

async function streamInfo(
  nats: NatsEnvironment,
  options: JetStreamSourceOptions,
  environment: ConnectorEnvironment,
): Promise<StreamInfo> {
  const { stream } = options;
  const manager = await nats.manager();
  try {
    return await NatsLink.of(nats.connection).call(`stream "${stream}"`, () => manager.streams.info(stream));
  } catch (error) {
    if (!isStreamMissing(error)) throw inOneSentence(`stream "${stream}"`, error);
    const subjects = (options.subjects ?? []).flatMap((entry) => filtersOf(entry));
    const { resumes } = environment;
    throw streamMissing(
      nats,
      { stream, subjects, usedBy: "source", markerSubjects: undefined, resumes },
      error,
    );
  }
}

/** What this source cannot do with the stream or the server. */
function checkStream(
  options: JetStreamSourceOptions,
  groups: readonly (readonly string[])[],
  info: StreamInfo,
  nats: NatsEnvironment,
): void {
  const { serverVersion } = nats;
  const { retention } = info.config;
  const named = `stream "${options.stream}"`;
  if (retention === "workqueue") {
    throw new EnvironmentError(
      `${named} is a work queue, which is not supported yet: read it from a stream with limits retention that sources it (${natsCommand(nats, "stream", "add", `${options.stream}_LOG`, `--source=${options.stream}`)})`,
    );
  }
  if (retention === "interest" && options.progress === false) {
    throw wrong("progress", `${named} keeps only what a consumer waits for; the progress consumer is needed`);
  }
  if (retention === "interest" && !isAtLeast(serverVersion, CONSUMER_RESET_SINCE)) {
    throw new EnvironmentError(
      `${named} has interest retention: freeing what was read needs nats-server ${CONSUMER_RESET_SINCE}, this is ${serverVersion}; use limits retention`,
    );
  }
  const inactiveNs = info.config.consumer_limits?.inactive_threshold ?? 0;
  if (retention === "interest" && inactiveNs > 0) {
    throw new PrerequisiteError(
      `${named} has interest retention and consumer_limits.inactive_threshold ${inactiveNs / 1e6} ms: the server would delete the progress consumer, which is never pulled from, after that time, and the messages that it holds; take inactive_threshold out of consumer_limits: ${natsCommand(nats, "stream", "edit", options.stream, "--interactive")}`,
    );
  }
  if (groups.some((filters) => filters.length > 1) && !isAtLeast(serverVersion, "2.10.0")) {
    throw new EnvironmentError(
      `several subjects in one split need nats-server 2.10.0, this is ${serverVersion}; make them splits of their own`,
    );
  }
}

/**
 * Each split needs a consumer to be read by. One that shows its progress comes beside it where there is room: else it
 * could take the place of a reader that makes its own anew. On interest streams both are needed.
 */
async function hasRoomForProgress(
  { stream, progress }: JetStreamSourceOptions,
  splits: number,
  { config }: StreamInfo,
  nats: NatsEnvironment,
  { logger }: ConnectorEnvironment,
): Promise<boolean> {
  const most = await consumersMax(config, nats);
  const needed = config.retention === "interest" ? 2 * splits : splits;
  if (most < needed)
    throw new EnvironmentError(
      `stream "${stream}" takes at most ${most} consumers (max_consumers of the stream or the account), and reading ${splits} splits needs ${needed}: ` +
        `read several subjects in one split, or raise the limit (${natsCommand(nats, "stream", "info", stream)}, ${natsCommand(nats, "account", "info")})`,
    );
  const shown = progress !== false && most >= 2 * splits;
  if (progress !== false && !shown)
    logger.warn(
      { stream, consumersMax: most, splits },
      "the stream takes too few consumers for one that shows progress beside each reader (max_consumers); progress and lag are not shown",
    );
  return shown;
}

/** The limit of the stream, or of its account, which counts the consumers of each stream for itself. */
async function consumersMax(
  { name, max_consumers }: StreamInfo["config"],
  nats: NatsEnvironment,
): Promise<number> {
  if (max_consumers > 0) return max_consumers;
  const manager = await nats.manager();
  try {
    const { limits } = await NatsLink.of(nats.connection).call(`the account of stream "${name}"`, () =>
      manager.getAccountInfo(),
    );
    return limits.max_consumers > 0 ? limits.max_consumers : Number.POSITIVE_INFINITY;
  } catch {
    // A user who may not ask learns of the limit when a consumer is refused.
    return Number.POSITIVE_INFINITY;
  }
}

/** A mistyped subject would read nothing, for ever and in silence. Mirrors and transforms have other subjects. */
function warnOfForeignSubjects(
  groups: readonly (readonly string[])[],
  info: StreamInfo,
  { logger }: ConnectorEnvironment,
): void {
  const { subjects, mirror, sources, subject_transform: transform } = info.config;
  if (mirror !== undefined || sources !== undefined || transform !== undefined || !subjects?.length) return;
  for (const filter of groups.flat()) {
    if (subjects.some((subject) => filtersOverlap(subject, filter))) continue;
    logger.warn(
      { stream: info.config.name, filter, subjects },
      "the stream has no such subject; nothing will be read",
    );
  }
}

function firstSequence(
  { startAt, stream }: JetStreamSourceOptions,
  { state }: StreamInfo,
): number | undefined {
  if (startAt === undefined || startAt === "first") return undefined;
  if (startAt === "new") return state.last_seq + 1;
  const { sequence } = startAt;
  if (sequence < state.first_seq || sequence > state.last_seq + 1) {
    throw wrong(
      "startAt",
      `stream "${stream}" has the sequences ${state.first_seq} to ${state.last_seq}, not ${sequence}`,
    );
  }
  return sequence;
}

async function open<T>(
  options: JetStreamSourceOptions,
  decode: Decode<T>,
  environment: SubtaskEnvironment,
  positions: readonly SplitPosition[],
): Promise<SourceReader<T>> {
  const nats = NatsEnvironment.of(environment, `the source of stream "${options.stream}"`);
  const splits = positions.map(({ split, position }) =>
    openedSplit(
      options,
      decode,
      environment,
      nats,
      parseStreamSplit(split, environment.operator),
      parseReadPosition(position, split.id, environment.operator),
    ),
  );
  const reader = new JetStreamReader<T>(splits, options.until === "end");
  try {
    await Promise.all(
      splits.map(async ({ split, progress, reader: it }, index) => {
        const isResumed = positions[index]?.position !== undefined;
        if (split.retention === "interest" && progress !== undefined)
          // What the stream has dropped while the consumer was away may have been input of the split (P42).
          it.wasUnheld(await progress.ensure(isResumed));
        await it.open();
      }),
    );
  } catch (error) {
    await reader.close();
    throw error;
  }
  return reader;
}

interface OpenSplit<T> {
  readonly split: JetStreamSplit;
  readonly reader: SequentialReader<T>;
  readonly progress: ProgressConsumer | undefined;
}

function openedSplit<T>(
  options: JetStreamSourceOptions,
  decode: Decode<T>,
  environment: SubtaskEnvironment,
  nats: NatsEnvironment,
  split: JetStreamSplit,
  position: ReadPosition | undefined,
): OpenSplit<T> {
  const { logger, job, operator, troubles, signal } = environment;
  const { stream, created, filters, retention, gaps, start, end } = split;
  const reader = new SequentialReader<T>({
    nats,
    logger,
    operator,
    stream,
    created,
    retention,
    filters,
    position,
    start,
    end,
    gaps,
    decode,
    mode: options.reader,
    reading: troubles.watch(`reading stream ${stream}`),
  });
  // The reader may be closed while it is still being opened.
  signal.addEventListener("abort", () => void reader.close());
  if (options.progress === false || split.showsProgress === false)
    return { split, reader, progress: undefined };
  const name = split.progressConsumer ?? progressName(["tidemark", job, operator, split.id]);
  return {
    split,
    reader,
    progress: new ProgressConsumer({ nats, logger, job, stream, retention, name, filters }),
  };
}

class JetStreamReader<T> implements SourceReader<T> {
  readonly #splits: readonly OpenSplit<T>[];
  readonly #bounded: boolean;
  /** The split to ask first: they take turns. */
  #first = 0;
  /** The split of the record last given out. */
  #current: OpenSplit<T> | undefined;

  constructor(splits: readonly OpenSplit<T>[], bounded: boolean) {
    this.#splits = splits;
    this.#bounded = bounded;
  }

  poll(collect: Collect<T>, recordsMax: number): PollStatus {
    const splits = this.#splits;
    if (splits.length === 0) return this.#bounded ? "ended" : "idle";
    let budget = recordsMax;
    let more = false;
    let ended = true;
    let at = this.#first;
    this.#first = (this.#first + 1) % splits.length;
    for (let asked = 0; asked < splits.length; asked++) {
      const split = splits[at]!;
      at = (at + 1) % splits.length;
      const { reader } = split;
      const buffered = reader.recordsBuffered;
      const previous = this.#current;
      this.#current = split;
      const status = reader.poll(collect, budget);
      const given = buffered - reader.recordsBuffered;
      if (given === 0) this.#current = previous;
      budget -= given;
      if (status !== "ended") ended = false;
      if (status === "more") more = true;
      if (budget <= 0) {
        if (asked < splits.length - 1) more = true;
        break;
      }
    }
    if (more) return "more";
    return ended ? "ended" : "idle";
  }

  onAvailable(wake: () => void): void {
    for (const { reader } of this.#splits) reader.onAvailable(wake);
  }

  describePosition(): string {
    return (this.#current ?? this.#splits[0])?.reader.describePosition() ?? "no split";
  }

  snapshot(): SplitPosition[] {
    return this.#splits.map(({ split, reader }) => ({ split, position: reader.position }));
  }

  skipped(): Skipped {
    let ranges = 0;
    let sequences = 0;
    for (const { reader } of this.#splits) {
      const { skipped } = reader;
      ranges += skipped.ranges;
      sequences += skipped.sequences;
    }
    return { ranges, sequences };
  }

  checkpointCompleted(positions: readonly SplitPosition[]): void {
    for (const { split, position } of positions) {
      const { accounted } = position as ReadPosition; // My own, of `snapshot`.
      this.#splits.find((it) => it.split.id === split.id)?.progress?.completed(accounted);
    }
  }

  async close(): Promise<void> {
    await Promise.all(
      this.#splits.map(async ({ reader, progress }) => {
        await reader.close();
        await progress?.close();
      }),
    );
  }
}
