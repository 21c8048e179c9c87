/**
 * Finds out which splits of a JetStream stream there are, and refuses what this source cannot do with it.
 *
 * Owns: the looks at stream, server and account before the first read. Does not own: reading (source-reader.ts).
 *
 * - JD1 `discover` fixes what is read: stream, its creation time, subjects, first and last sequence. It is stored
 *   before the first read, so every generation reads the same input (P31, P32). Until the first checkpoint there is
 *   no position, and each start begins where the split does; where the source says "first", with what there is by then.
 */
import type { ConnectorEnvironment } from "../../dataflow/connector.ts";
import type { SourceSplit } from "../../dataflow/source.ts";
import { EnvironmentError, PrerequisiteError } from "../../errors.ts";
import type { StreamSplit } from "../../formats/positions/stream-position.ts";
import { filtersOverlap } from "../../formats/positions/subject-filter.ts";
import { NatsEnvironment, type StreamInfo } from "../../nats/connection/environment.ts";
import { inOneSentence } from "../../nats/connection/jetstream-refusal.ts";
import { NatsLink } from "../../nats/connection/link.ts";
import { natsCommand } from "../../nats/connection/nats-command.ts";
import { streamMissing } from "../../nats/publisher/missing-stream.ts";
import { isStreamMissing } from "../../nats/publisher/sink-target.ts";
import { decisionAboutGaps } from "../../nats/reader/positions/stream-position.ts";
import { assertFree, CONSUMER_RESET_SINCE, progressName } from "../../nats/reader/progress.ts";
import { isAtLeast } from "../../nats/server/server-version.ts";
import { wildcardOf } from "./partitions.ts";
import { filterGroups, type JetStreamSourceOptions, wrong } from "./source-options.ts";
import { checkPartitionedStream, contradiction, StraySubjects } from "./stray-subjects.ts";

/** Plain data, stored in the job record (JD1). */
export type JetStreamSplit = SourceSplit & StreamSplit;

export async function discover(
  options: JetStreamSourceOptions,
  environment: ConnectorEnvironment,
): Promise<JetStreamSplit[]> {
  const nats = NatsEnvironment.of(environment, `the source of stream "${options.stream}"`);
  const info = await streamInfo(nats, options, environment);
  const groups = filterGroups(options);
  checkStream(options, groups, info, nats);
  const showsProgress = await hasRoomForProgress(options, groups.length, info, nats, environment);
  warnOfForeignSubjects(groups, info, environment);
  const start = firstSequence(options, info);
  const end = options.until === "end" ? info.state.last_seq : undefined;
  await checkPartitioned(options, info, start, nats, environment);
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
    ...(start === undefined ? { first: info.state.first_seq } : { start }),
    ...(end === undefined ? {} : { end }),
  }));
  for (const { stream, progressConsumer: name } of splits)
    if (name !== undefined) await assertFree(nats, environment.job, { stream, name });
  return splits;
}

/** Asked after `info`: a bounded input has been there by then. */
async function checkPartitioned(
  { partitions, stream }: JetStreamSourceOptions,
  info: StreamInfo,
  start: number | undefined,
  nats: NatsEnvironment,
  { logger }: ConnectorEnvironment,
): Promise<void> {
  if (partitions === undefined) return;
  checkPartitionedStream(partitions, info, (message) => logger.warn({ stream }, message));
  const problem = await new StraySubjects(partitions, nats, stream, start).problem();
  if (problem !== undefined) throw contradiction(partitions, problem);
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
    const { partitions } = options;
    const subjects =
      partitions === undefined ? filterGroups(options).flat() : [wildcardOf(partitions.subject)];
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
