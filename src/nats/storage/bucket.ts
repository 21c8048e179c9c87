/**
 * The stream below a bucket (KV or object store): made when it is not there, checked and brought up to date when it is.
 *
 * What lies in our buckets is the only copy of a job. So a bucket that forgets by itself, lives in memory, or refuses
 * what we write is refused, whoever made it.
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
import { ConfigurationError, EnvironmentError, NoRespondersError } from "../../errors.ts";
import { refusalCode } from "../connection/jetstream-refusal.ts";
import type { NatsLink } from "../connection/link.ts";

export interface BucketSettings {
  /** Letters, digits, `_` and `-`. */
  readonly bucket: string;
  /** Copies of the data in a cluster, 1 to 5. Default: as the bucket has it, 1 for a new one. */
  readonly replicas?: number | undefined;
  /** Size limit in bytes. Default: as the bucket has it, none for a new one. */
  readonly maxBytes?: number | undefined;
}

/** What makes the stream a KV bucket or an object store. */
export interface BucketShape {
  /** "KV bucket x": begins messages. */
  readonly what: string;
  readonly stream: Pick<StreamConfig, "name" | "subjects"> & Partial<StreamConfig>;
  /** Size limit of a new one where the account wants one and none was given; undefined: the user has to give one. */
  readonly maxBytesIfRequired?: number;
  /** Makes it by hand, with a size limit. */
  readonly addCommand: string;
  /** Messages are taken out by rollups and purges. */
  readonly purges: boolean;
  /** Largest message, 0 when there is no telling. */
  readonly messageBytesMax: number;
}

/** JetStream's error code where an account wants a size limit for every stream. */
const MAX_BYTES_REQUIRED = 10113;

/** @throws EnvironmentError when JetStream is not there, refuses the bucket, or it cannot be trusted */
export async function openBucket(
  link: NatsLink,
  manager: JetStreamManager,
  settings: BucketSettings,
  shape: BucketShape,
): Promise<void> {
  const { what, stream } = shape;
  if (!/^[-\w]+$/.test(settings.bucket)) {
    throw new ConfigurationError(
      "bucket",
      `bucket "${settings.bucket}": use letters, digits, "_" and "-" only`,
    );
  }
  const present =
    (await settled(link, what, () => infoOf(manager, stream.name))) ??
    (await added(link, manager, settings, shape));
  const { config } = present;
  const problem = problemOf(config, shape);
  if (problem !== undefined)
    throw new EnvironmentError(`${what}: ${problem}; delete the bucket or name another one`);
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

/** Why nothing of value should lie in it. */
function problemOf(
  config: StreamConfig,
  { stream, purges, messageBytesMax }: BucketShape,
): string | undefined {
  if (config.storage !== StorageType.File) return "it keeps its data in memory and would lose it";
  if (config.max_age > 0) return "it has a time-to-live and would delete live data";
  if (config.discard !== DiscardPolicy.New) return "when full it would delete old data";
  if (config.retention !== RetentionPolicy.Limits) return "it deletes what consumers have read";
  if (config.sealed) return "it is sealed and takes no writes";
  if (config.mirror !== undefined) return "it is a mirror and takes no writes";
  if (config.no_ack) return "it acknowledges nothing (no_ack), so no write would ever be known to be stored";
  if (config.subject_transform !== undefined) return "it stores under other subjects (subject_transform)";
  const missing = stream.subjects.find((subject) => !config.subjects?.includes(subject));
  if (missing !== undefined) return `its stream ${stream.name} does not take ${missing}`;
  if (config.discard_new_per_subject) return "it refuses to replace a value (discard_new_per_subject)";
  if (purges && (config.deny_purge || !config.allow_rollup_hdrs)) {
    return "it does not let objects be replaced and deleted (deny_purge, or allow_rollup_hdrs off)";
  }
  if (purges && config.max_msgs_per_subject > 0)
    return "it would drop pieces of objects (max_msgs_per_subject)";
  if (config.max_msg_size > 0 && config.max_msg_size < messageBytesMax) {
    return `it takes messages of at most ${config.max_msg_size} bytes (max_msg_size), and ${messageBytesMax} are needed`;
  }
  return undefined;
}

/** For a reader, who makes nothing. @param stream below the bucket */
export async function hasBucket(
  link: NatsLink,
  manager: JetStreamManager,
  what: string,
  stream: string,
): Promise<boolean> {
  return (await settled(link, what, () => infoOf(manager, stream))) !== undefined;
}

async function infoOf(
  manager: JetStreamManager,
  stream: string,
): Promise<{ config: StreamConfig } | undefined> {
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

/** Of JetStream's error codes: `JetStreamApiCodes`. */
export function hasCode(error: unknown, code: number): boolean {
  return error instanceof JetStreamApiError && error.code === code;
}
