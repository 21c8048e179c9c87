/** Where checkpoints and savepoints lie, and the storage that is opened for it: for the engine, or only to look. */
import { hostname } from "node:os";
import { BoundedCalls } from "../../checkpoint/bounded-calls.ts";
import { FileStorage } from "../../checkpoint/file-storage.ts";
import { boundedFiles } from "../../checkpoint/files.ts";
import { type OpenStorage, parseRoot } from "../../checkpoint/savepoint.ts";
import type { SavepointPlaces } from "../../checkpoint/savepoint-places.ts";
import type { CheckpointStorage } from "../../checkpoint/storage.ts";
import { systemClock } from "../../clock.ts";
import type { StorageConfig } from "../../config/checkpointing.ts";
import { ConfigurationError, EnvironmentError, StorageStalledError } from "../../errors.ts";
import { LeaderMemory, type LeaderMemoryOptions } from "../../memory/leader-memory.ts";
import { LEADER_MEMORY, MemoryStorage } from "../../memory/storage.ts";
import type { NatsEnvironment } from "../../nats/connection/environment.ts";
import { describeBucket } from "../../nats/storage/object-bucket.ts";
import { openNatsObjectStorage } from "../../nats/storage/object-storage.ts";
import { openS3Storage, S3Storage } from "../../s3/s3-storage.ts";
import { openModuleStorage } from "./module-storage.ts";

/** The buckets that are made for checkpoints and savepoints. */
export interface BucketOptions {
  readonly replicas?: number | undefined;
  readonly maxBytes?: number | undefined;
  /** Told of each one. */
  readonly made?: (what: string) => void;
}

/** The storage of a cluster's checkpoints, before it is opened. */
export interface PlacedStorage {
  readonly memory: LeaderMemoryOptions;
  /** null: no option names one, so it is the bucket. */
  readonly config: StorageConfig | null;
  /** The bucket of the storage "jetstream". */
  readonly bucket: string;
  /** First tokens of the cluster's names. */
  readonly prefix: string;
}

const DIRECTORY_KEY = "checkpointing.directory (--checkpoint-dir)";

/** The bounds of all calls to directories: the directories of this process share them. */
const directoryCalls = new BoundedCalls(systemClock);
const filesOf = (directory: string) => boundedFiles(directoryCalls, FileStorage.describe(directory));

/**
 * The storage for a process that writes to it.
 * @throws ConfigurationError, EnvironmentError
 */
export async function openCheckpointStorage(
  nats: NatsEnvironment,
  { config, bucket, prefix, memory }: PlacedStorage,
  opening: BucketOptions & { readonly leads: boolean },
): Promise<CheckpointStorage> {
  if (config?.kind === "module") return await openModuleStorage(config.path, { access: "make", prefix });
  if (config?.kind === "memory")
    return opening.leads ? new MemoryStorage({ description: LEADER_MEMORY }) : new LeaderMemory(memory);
  if (config?.kind === "s3") return await openS3Storage(config.location, config.endpoint);
  if (config?.kind !== "filesystem") return await openNatsObjectStorage(nats, { bucket, ...opening });
  const directory = await FileStorage.make(config.directory, {
    configurationKey: DIRECTORY_KEY,
    files: filesOf(config.directory),
    writeBufferBytes: config.writeBufferBytes,
  });
  const obstacle = await directory.notes.obstacle();
  if (obstacle === undefined) return directory;
  throw new ConfigurationError(
    DIRECTORY_KEY,
    `${DIRECTORY_KEY}: ${obstacle}; mount it so that this user may write there, or give another one`,
  );
}

/**
 * The storage for a process that only looks: nothing is made or changed.
 * @throws ConfigurationError when the directory is not there
 */
export async function findCheckpointStorage(
  nats: NatsEnvironment,
  { config, bucket, prefix, memory }: PlacedStorage,
): Promise<CheckpointStorage> {
  if (config?.kind === "module") return await openModuleStorage(config.path, { access: "find", prefix });
  if (config?.kind === "memory") return new LeaderMemory(memory);
  if (config?.kind === "s3") return await openS3Storage(config.location, config.endpoint);
  if (config?.kind !== "filesystem") return await openNatsObjectStorage(nats, { bucket, readOnly: true });
  const { directory } = config;
  return await FileStorage.existing(directory, {
    configurationKey: DIRECTORY_KEY,
    files: filesOf(directory),
  });
}

/** The description of the storage, as the storage itself would say it. Of our own it is known without a look. */
export async function describeCheckpointStorage(
  nats: NatsEnvironment,
  place: PlacedStorage,
): Promise<string> {
  if (place.config?.kind === "filesystem") return FileStorage.describe(place.config.directory);
  if (place.config?.kind === "memory") return LEADER_MEMORY;
  if (place.config?.kind === "s3") return S3Storage.describe(place.config.location);
  if (place.config?.kind === "module") return (await findCheckpointStorage(nats, place)).description;
  return describeBucket(place.bucket);
}

/**
 * Opens the storage of savepoints: a directory, as a path or a file: URL, `nats:<bucket>`, or `s3://<bucket>/<prefix>`,
 * which is on the server of the checkpoints where these are on one.
 */
export function storageOpener(
  nats: NatsEnvironment,
  checkpoints: StorageConfig | null,
  { places, ...settings }: BucketOptions & { readonly places?: SavepointPlaces } = {},
): OpenStorage {
  return async (root, access) => {
    const place = parseRoot(root);
    if ("location" in place)
      return openS3Storage(place.location, checkpoints?.kind === "s3" ? checkpoints.endpoint : undefined);
    if ("bucket" in place)
      return openNatsObjectStorage(
        nats,
        access === "find" ? { ...place, readOnly: true } : { ...place, ...settings },
      );
    const { directory } = place;
    const options = { configurationKey: "savepoint", files: filesOf(directory) };
    if (access === "make") {
      await directoryCalls.run(FileStorage.describe(directory), async () => await places?.prove(directory));
      return await FileStorage.make(directory, options);
    }
    const found = await options.files.stat(directory).catch((error: unknown) => {
      if (error instanceof StorageStalledError) throw error;
      return undefined;
    });
    if (found === undefined)
      throw new EnvironmentError(`there is no directory ${directory} on host ${hostname()}`);
    return new FileStorage(directory, { ...options, present: true });
  };
}
