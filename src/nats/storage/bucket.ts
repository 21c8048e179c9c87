/**
 * The stream below a bucket (KV or object store): made when it is not there, checked and brought up to date when it is.
 *
 * What lies in our buckets is the only copy of a job. So a bucket that forgets by itself, or that lives in memory, is
 * refused, whoever made it.
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
import { ConfigurationError, describeError, EnvironmentError, NoRespondersError } from "../../errors.ts";
import type { NatsLink } from "../connection/link.ts";

export interface BucketSettings {
  /** Letters, digits, `_` and `-`. */
  readonly bucket: string;
  /** Copies of the data in a cluster, 1 to 5. Default: as the bucket has it, 1 for a new one. */
  readonly replicas?: number | undefined;
  /** Size limit in bytes. Default: as the bucket has it, none for a new one. */
  readonly maxBytes?: number | undefined;
}

/** @param shape what makes the stream a KV bucket or an object store */
export async function openBucket(
  link: NatsLink,
  manager: JetStreamManager,
  what: string,
  settings: BucketSettings,
  shape: Pick<StreamConfig, "name" | "subjects"> & Partial<StreamConfig>,
): Promise<void> {
  if (!/^[-\w]+$/.test(settings.bucket)) {
    throw new ConfigurationError(
      "bucket",
      `bucket "${settings.bucket}": use letters, digits, "_" and "-" only`,
    );
  }
  const present =
    (await settled(link, what, () => infoOf(manager, shape.name))) ??
    (await settled(link, what, () =>
      manager.streams.add({
        ...shape,
        retention: RetentionPolicy.Limits,
        storage: StorageType.File,
        discard: DiscardPolicy.New,
        allow_rollup_hdrs: true,
        allow_direct: false,
        num_replicas: settings.replicas ?? 1,
        max_bytes: settings.maxBytes ?? -1,
      }),
    ));
  const { config } = present;
  const refuse = (why: string): never => {
    throw new EnvironmentError(`${what}: ${why}; delete the bucket or name another one`);
  };
  if (config.storage !== StorageType.File) refuse("it keeps its data in memory and would lose it");
  if (config.max_age > 0) refuse("it has a time-to-live and would delete live data");
  if (config.discard !== DiscardPolicy.New) refuse("when full it would delete old data");
  const change = {
    ...(settings.replicas !== undefined && settings.replicas !== config.num_replicas
      ? { num_replicas: settings.replicas }
      : {}),
    ...(settings.maxBytes !== undefined && settings.maxBytes !== config.max_bytes
      ? { max_bytes: settings.maxBytes }
      : {}),
  };
  if (Object.keys(change).length > 0) {
    await settled(link, what, () => manager.streams.update(shape.name, change));
  }
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

async function settled<T>(link: NatsLink, what: string, send: () => Promise<T>): Promise<T> {
  try {
    return await link.call(what, send);
  } catch (error) {
    if (error instanceof NoRespondersError) {
      throw new EnvironmentError(
        `${what}: JetStream is not enabled on this server; enable it there, or name its domain (--domain) or the ` +
          "prefix of its API (--api-prefix)",
        { cause: error },
      );
    }
    if (error instanceof JetStreamApiError) {
      throw new EnvironmentError(`${what}: ${describeError(error)}`, { cause: error });
    }
    throw error;
  }
}

/** Of JetStream's error codes: `JetStreamApiCodes`. */
export function hasCode(error: unknown, code: number): boolean {
  return error instanceof JetStreamApiError && error.code === code;
}
