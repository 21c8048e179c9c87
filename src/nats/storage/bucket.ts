/**
 * The stream below a bucket (KV or object store): made when it is not there, checked and brought up to date when it is.
 *
 * What lies in our buckets is the only copy of a job. So a bucket that forgets by itself, lives in memory, or refuses
 * what we write is refused, whatever client made it.
 */
import {
  DiscardPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  type JetStreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from "@nats-io/jetstream";
import {
  ConfigurationError,
  EnvironmentError,
  NoRespondersError,
  RequestTimeoutError,
} from "../../errors.ts";
import { shellCommand } from "../../shell-command.ts";
import { pause } from "../../timer.ts";
import type { NatsEnvironment } from "../connection/environment.ts";
import { refusalCode } from "../connection/jetstream-refusal.ts";
import { NatsLink } from "../connection/link.ts";
import { natsCommand } from "../connection/nats-command.ts";

export interface BucketSettings {
  /** Letters, digits, `_` and `-`. */
  readonly bucket: string;
  /** Copies of the data in a cluster, 1 to 5. Default: as the bucket has it, 1 for a new one. */
  readonly replicas?: number | undefined;
  /** Size limit in bytes. Default: as the bucket has it, none for a new one. */
  readonly maxBytes?: number | undefined;
  /** Called when the bucket was made, in words, with the command that deletes it. */
  readonly made?: (what: string) => void;
}

/** What makes the stream a KV bucket or an object store. */
export interface BucketShape {
  /** "KV bucket x": begins messages. */
  readonly what: string;
  readonly stream: Pick<StreamConfig, "name" | "subjects"> & Partial<StreamConfig>;
  /** Size limit of a new one where the account wants one and none was given; undefined: the user has to give one. */
  readonly maxBytesIfRequired?: number;
  /** The command that makes the bucket with a size limit. */
  readonly addCommand: string;
  /** true: rollups and purges take messages out. */
  readonly purges: boolean;
  /** The largest message that will come; where that is not known, the smallest limit with which a job can run. */
  readonly messageBytesMax: number;
}

/** A command waits no longer for a better message. */
const DIAGNOSIS_MS = 2000;
/** JetStream's error code where an account wants a size limit for every stream. */
const MAX_BYTES_REQUIRED = 10113;

/** @throws EnvironmentError when JetStream is not there, refuses the bucket, or it cannot be trusted */
export async function openBucket(
  nats: NatsEnvironment,
  manager: JetStreamManager,
  settings: BucketSettings,
  shape: BucketShape,
): Promise<void> {
  const { what, stream } = shape;
  const link = NatsLink.of(nats.connection);
  if (!/^[-\w]+$/.test(settings.bucket)) {
    throw new ConfigurationError(
      "bucket",
      `bucket "${settings.bucket}": use letters, digits, "_" and "-" only`,
    );
  }
  const found = await settled(link, what, () => infoOf(manager, stream.name));
  const present = found ?? (await added(link, manager, settings, shape));
  if (found === undefined)
    settings.made?.(`${what} (to delete it: ${natsCommand(nats, "stream", "rm", stream.name)})`);
  const { config } = present;
  const problem = problemOf(config, shape);
  if (problem !== undefined) throw new EnvironmentError(`${what}: ${inWords(nats, shape, problem)}`);
  const change = {
    ...(settings.replicas !== undefined && settings.replicas !== config.num_replicas
      ? { num_replicas: settings.replicas }
      : {}),
    ...(settings.maxBytes !== undefined && settings.maxBytes !== config.max_bytes
      ? { max_bytes: settings.maxBytes }
      : {}),
  };
  if (Object.keys(change).length > 0) {
    await settled(link, what, () => manager.streams.update(stream.name, change));
  }
}

async function added(
  link: NatsLink,
  manager: JetStreamManager,
  settings: BucketSettings,
  { what, stream, maxBytesIfRequired, addCommand }: BucketShape,
): Promise<{ config: StreamConfig }> {
  const add = (maxBytes: number | undefined) =>
    manager.streams.add({
      ...stream,
      retention: RetentionPolicy.Limits,
      storage: StorageType.File,
      discard: DiscardPolicy.New,
      allow_rollup_hdrs: true,
      allow_direct: false,
      num_replicas: settings.replicas ?? 1,
      max_bytes: maxBytes ?? -1,
    });
  const advice = {
    [MAX_BYTES_REQUIRED]: `this account wants a size limit for every stream: give --bucket-max-bytes, or make it by hand: ${addCommand}`,
  };
  return await settled(
    link,
    what,
    async () => {
      try {
        return await add(settings.maxBytes);
      } catch (error) {
        const required = refusalCode(error) === MAX_BYTES_REQUIRED && settings.maxBytes === undefined;
        if (!required || maxBytesIfRequired === undefined) throw error;
        return await add(maxBytesIfRequired);
      }
    },
    advice,
  );
}

interface BucketProblem {
  readonly text: string;
  /** The flags of `nats stream edit`; undefined: the setting cannot be taken back. */
  readonly flag?: string;
}

/** Why the stream must not hold the only copy of a job; undefined: it may. */
function problemOf(
  config: StreamConfig,
  { stream, purges, messageBytesMax }: BucketShape,
): BucketProblem | undefined {
  if (config.storage !== StorageType.File) return { text: "it keeps its data in memory and would lose it" };
  if (config.sealed) return { text: "it is sealed and takes no writes" };
  if (config.mirror !== undefined) return { text: "it is a mirror and takes no writes" };
  if (config.max_age > 0)
    return { text: "it has a time-to-live and would delete live data", flag: "--max-age=0" };
  if (config.discard !== DiscardPolicy.New)
    return { text: "when full it would delete old data", flag: "--discard=new" };
  if (config.retention !== RetentionPolicy.Limits)
    return { text: "it deletes what consumers have read", flag: "--retention=limits" };
  if (config.no_ack)
    return {
      text: "it acknowledges nothing (no_ack), so no write would ever be known to be stored",
      flag: "--ack",
    };
  if (config.subject_transform !== undefined)
    return { text: "it stores under other subjects (subject_transform)", flag: "--interactive" };
  const missing = stream.subjects.find((subject) => !config.subjects?.includes(subject));
  if (missing !== undefined)
    return {
      text: `its stream ${stream.name} does not take ${missing}`,
      flag: `--subjects=${stream.subjects.join(",")}`,
    };
  if (config.discard_new_per_subject)
    return {
      text: "it refuses to replace a value (discard_new_per_subject)",
      flag: "--no-discard-per-subject",
    };
  if (purges && config.deny_purge)
    return { text: "it does not let objects be replaced and deleted (deny_purge)" };
  if (purges && !config.allow_rollup_hdrs)
    return {
      text: "it does not let objects be replaced and deleted (allow_rollup_hdrs off)",
      flag: "--allow-rollup",
    };
  if (purges && config.max_msgs_per_subject > 0)
    return {
      text: "it would drop pieces of objects (max_msgs_per_subject)",
      flag: "--max-msgs-per-subject=-1",
    };
  if (config.max_msg_size > 0 && config.max_msg_size < messageBytesMax) {
    return {
      text: `it takes messages of at most ${config.max_msg_size} bytes (max_msg_size), and ${messageBytesMax} are needed`,
      flag: "--max-msg-size=-1",
    };
  }
  return undefined;
}

/** The problem as a sentence. No advice is to delete the bucket: what lies in it is the only copy. */
function inWords(nats: NatsEnvironment, { stream }: BucketShape, { text, flag }: BucketProblem): string {
  if (flag === undefined)
    return (
      `${text}, which cannot be taken back. Put a copy with other settings in its place ` +
      `(nats stream backup ${stream.name} DIR, nats stream rm ${stream.name}, nats stream restore DIR --config=FILE), ` +
      "or begin anew under another --prefix"
    );
  const words = flag === "--interactive" ? [flag] : [flag, "--force"];
  return `${text}; to mend it, run: ${natsCommand(nats, "stream", "edit", stream.name, ...words)}`;
}

/**
 * What a user has changed since it was opened, with the next step, for an act that fails again and again.
 * @returns undefined when its settings do not tell, or cannot be asked for
 */
export async function diagnoseBucket(
  nats: NatsEnvironment,
  manager: JetStreamManager,
  shape: BucketShape,
): Promise<string | undefined> {
  const { name } = shape.stream;
  const bound = new AbortController();
  const unanswered = pause(DIAGNOSIS_MS, bound.signal).then(() => {
    throw new RequestTimeoutError(`${shape.what}: no answer in time`);
  });
  try {
    const asked = NatsLink.of(nats.connection).call(shape.what, () => infoOf(manager, name));
    const found = await Promise.race([asked, unanswered]);
    if (found === undefined)
      return `it does not exist any more: restore stream ${name} from a backup (nats stream restore DIR)`;
    const problem = problemOf(found.config, shape);
    return problem === undefined ? undefined : inWords(nats, shape, problem);
  } catch {
    return undefined;
  } finally {
    unanswered.catch(() => undefined);
    bound.abort();
  }
}

/** Whether the bucket is there, for a reader, which makes nothing. @param stream below the bucket */
export async function hasBucket(
  link: NatsLink,
  manager: JetStreamManager,
  what: string,
  stream: string,
): Promise<boolean> {
  return (await settled(link, what, () => infoOf(manager, stream))) !== undefined;
}

/** When the stream below the bucket was made; undefined: there is none. @throws what `NatsLink.call` throws */
export async function bucketCreation(
  nats: NatsEnvironment,
  manager: JetStreamManager,
  stream: string,
): Promise<string | undefined> {
  return (await NatsLink.of(nats.connection).call(`stream ${stream}`, () => infoOf(manager, stream)))
    ?.created;
}

async function infoOf(
  manager: JetStreamManager,
  stream: string,
): Promise<{ readonly config: StreamConfig; readonly created: string } | undefined> {
  try {
    return await manager.streams.info(stream);
  } catch (error) {
    if (hasCode(error, JetStreamApiCodes.StreamNotFound)) return undefined;
    throw error;
  }
}

async function settled<T>(
  link: NatsLink,
  what: string,
  send: () => Promise<T>,
  advice?: Readonly<Record<number, string>>,
): Promise<T> {
  try {
    return await link.ask(what, send, advice);
  } catch (error) {
    if (error instanceof NoRespondersError) {
      throw new EnvironmentError(
        `${what}: JetStream is not enabled on this server; enable it there, or name its domain (--domain) or the ` +
          "prefix of its API (--api-prefix)",
        { cause: error },
      );
    }
    throw error;
  }
}

/** Whether an error has one of JetStream's error codes (`JetStreamApiCodes`). */
export function hasCode(error: unknown, code: number): boolean {
  return error instanceof JetStreamApiError && error.code === code;
}

export function objectStoreShape(what: string, bucket: string, messageBytesMax: number): BucketShape {
  return {
    what,
    stream: { name: `OBJ_${bucket}`, subjects: [`$O.${bucket}.C.>`, `$O.${bucket}.M.>`] },
    addCommand: shellCommand("nats", "object", "add", bucket, "--max-bucket-size=…"),
    purges: true,
    messageBytesMax,
  };
}

/** The command that takes away the limit by which a stream is full, as the server names it. */
export function moreRoom(nats: NatsEnvironment, stream: string, { message }: Error): string {
  const flag = /maximum messages/.test(message) ? "--max-msgs=-1" : "--max-bytes=-1";
  return natsCommand(nats, "stream", "edit", stream, flag, "--force");
}
