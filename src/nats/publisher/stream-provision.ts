/**
 * The stream of a sink, made or changed because the job says `provision: true`; or only what would come of that (P56).
 *
 * A server cannot be asked whether it would make a stream. So what it is known to refuse is looked at: limits of the
 * account, subjects of other streams. That is said in the words of the server's own refusal.
 */
import {
  JetStreamApiError,
  type JetStreamManager,
  StorageType,
  type StreamConfig,
  type StreamUpdateConfig,
} from "@nats-io/jetstream";
import type { WantedStream } from "../../errors.ts";
import type { NatsEnvironment } from "../connection/environment.ts";
import { inOneSentence } from "../connection/jetstream-refusal.ts";
import { NatsLink } from "../connection/link.ts";
import { bucketStream } from "./bucket-stream.ts";
import { creation } from "./missing-stream.ts";
import { overlaps } from "./stream-subjects.ts";

const SUBJECTS_OVERLAP = {
  code: 400,
  err_code: 10065,
  description: "subjects overlap with an existing stream",
};
const STREAMS_MAX = { code: 400, err_code: 10027, description: "maximum number of streams reached" };
const MAX_BYTES_REQUIRED = {
  code: 400,
  err_code: 10113,
  description: "account requires a stream config to have max bytes set",
};

type NewStream = Partial<StreamConfig> & Pick<StreamConfig, "name" | "subjects">;

/** @throws EnvironmentError that says what the server refuses, and what to do */
export async function createStream(nats: NatsEnvironment, wanted: WantedStream): Promise<StreamConfig> {
  const manager = await nats.manager();
  const config = newStream(wanted);
  const advice = adviceFor(nats, wanted, config, await ownersOf(manager, config.subjects));
  return await NatsLink.of(nats.connection).ask(
    cannotCreate(wanted),
    async () => (await manager.streams.add(config)).config,
    advice,
  );
}

/**
 * @param planned streams that would be made before it
 * @throws EnvironmentError as `createStream` does
 */
export async function assertCreatable(
  nats: NatsEnvironment,
  wanted: WantedStream,
  planned: readonly StreamConfig[] = [],
): Promise<void> {
  const manager = await nats.manager();
  const config = newStream(wanted);
  const owners = [...(await ownersOf(manager, config.subjects)), ...ownersAmong(planned, config.subjects)];
  const { limits, streams } = await NatsLink.of(nats.connection).ask(cannotCreate(wanted), () =>
    manager.getAccountInfo(),
  );
  const refused = limits.max_bytes_required
    ? MAX_BYTES_REQUIRED
    : limits.max_streams >= 0 && streams + planned.length >= limits.max_streams
      ? STREAMS_MAX
      : owners.length > 0
        ? SUBJECTS_OVERLAP
        : undefined;
  if (refused === undefined) return;
  const error = new JetStreamApiError(refused);
  throw inOneSentence(cannotCreate(wanted), error, adviceFor(nats, wanted, config, owners));
}

export async function updateStream(
  nats: NatsEnvironment,
  stream: string,
  change: Partial<StreamUpdateConfig>,
): Promise<void> {
  const manager = await nats.manager();
  await NatsLink.of(nats.connection).ask(cannotChange(stream, change), () =>
    manager.streams.update(stream, change),
  );
}

/** @throws EnvironmentError as `updateStream` does */
export async function assertChangeable(
  nats: NatsEnvironment,
  config: StreamConfig,
  change: Partial<StreamUpdateConfig>,
): Promise<void> {
  const added = (change.subjects ?? []).filter((subject) => !config.subjects?.includes(subject));
  const owners = await ownersOf(await nats.manager(), added);
  if (owners.every((owner) => owner === config.name)) return;
  throw inOneSentence(cannotChange(config.name, change), new JetStreamApiError(SUBJECTS_OVERLAP));
}

const cannotCreate = ({ stream }: WantedStream): string => `stream ${stream} cannot be created`;

const cannotChange = (stream: string, change: Partial<StreamUpdateConfig>): string =>
  `stream ${stream} cannot be changed (${Object.keys(change).join(", ")})`;

/** The configuration as far as a sink needs it; the server adds its defaults. */
export function newStream({ stream, subjects, markerSubjects }: WantedStream): NewStream {
  const bucket = bucketStream(stream);
  const own = bucket?.subjects ?? subjects;
  return {
    name: stream,
    subjects: markerSubjects === undefined ? [...own] : [...own, markerSubjects],
    ...bucket?.settings,
    storage: StorageType.File,
    ...{ allow_atomic: true, allow_rollup_hdrs: true, allow_msg_ttl: true },
  };
}

/** Better next steps than those for any stream. */
function adviceFor(
  nats: NatsEnvironment,
  wanted: WantedStream,
  { subjects }: NewStream,
  owners: readonly string[],
): Record<number, string> {
  const named =
    owners.length === 0 ? "another stream" : owners.map((owner) => `stream ${owner}`).join(" and ");
  return {
    [SUBJECTS_OVERLAP.err_code]:
      `the subjects ${subjects.join(", ")} belong in part to ${named}, and each subject belongs to one stream: write ` +
      "to that stream, or choose other subjects",
    [MAX_BYTES_REQUIRED.err_code]: `this account wants a size limit for every stream: create it by hand, ${creation(nats, wanted, true)}`,
  };
}

function ownersAmong(streams: readonly StreamConfig[], subjects: readonly string[]): string[] {
  const owning = streams.filter((stream) =>
    stream.subjects?.some((own) => subjects.some((subject) => overlaps(own, subject))),
  );
  return owning.map(({ name }) => name);
}

/** Names of the streams that have some of the subjects; none where that cannot be told. */
async function ownersOf(manager: JetStreamManager, subjects: readonly string[]): Promise<string[]> {
  const names = new Set<string>();
  try {
    for (const subject of subjects) for await (const name of manager.streams.names(subject)) names.add(name);
  } catch {
    // Only for a better message, or to know it before the server says it.
  }
  return [...names];
}
