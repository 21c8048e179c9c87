/**
 * Makes the first checkpoint of a job that is restored from somewhere else.
 *
 * Owns: finding and reading what it is restored from, checking that it fits, copying it into the job's own storage.
 * Does not own: whether the job may start (submission.ts).
 *
 * What is copied lies under the new incarnation, and under a generation of its own with which the new record begins:
 * the one above all that a job of this name has had. So a sweep of the life before, which goes on beside the copying,
 * takes it for too young (OR2), and whatever of it no record names is swept by the job's first generation. So the new
 * job depends on nothing of the old one (Flink's NO_CLAIM), and nothing that runs already can delete it.
 */

import { planOfCheckpoint } from "../../../../machines/leader/rescale.ts";
import type { JobRecord, SavepointMetadata, SubtaskSnapshot } from "../../../../machines/protocol.ts";
import { isTombstone } from "../../../../machines/record.ts";
import {
  copyManifest,
  type OpenStorage,
  readSavepoint,
  splitLocation,
} from "../../../checkpoint/savepoint.ts";
import { type CheckpointStorage, listAll, neededObjects, objectNames } from "../../../checkpoint/storage.ts";
import type { JobSubmission, RestoreRequest } from "../../../control/messages.ts";
import {
  ConfigurationError,
  describeError,
  EnvironmentError,
  InvariantError,
  ObjectCorruptError,
  ObjectMissingError,
  RecordUnreadableError,
  RequestRefusedError,
  StorageRefusedError,
  StorageStalledError,
} from "../../../errors.ts";
import { encodeManifest } from "../../../formats/manifest.ts";
import { withKeyGroupsOf } from "../../../job/restore/key-groups.ts";
import { planRestore, snapshotsFor } from "../../../job/restore/restore-plan.ts";
import { restoredSplits } from "../../../job/restore/restored-splits.ts";
import { readManifest } from "../../manifest.ts";
import { cutShort } from "../report/unfinished.ts";
import { restorableSubtasks } from "./passed-over.ts";
import type { Fork } from "./submission.ts";

const CHECKPOINT = "checkpoint:";
const TRIES_MAX = 5;

export interface RestorableState extends SavepointMetadata {
  /** The storage of the objects that its manifest names. */
  readonly storage: CheckpointStorage;
}

export interface RestoreSources {
  /** The storage of checkpoints; asked for only where a retained one is meant. */
  readonly findStorage: () => Promise<CheckpointStorage>;
  readonly openStorage: OpenStorage;
  readonly recordOf: (job: string) => Promise<JobRecord | undefined>;
  /** The machine whose directories are meant, for messages. */
  readonly host: string;
}

/** Where the copy belongs: the life that the job begins with it. */
export interface NewLife {
  readonly incarnation: string;
  /** Above all that the job has had. */
  readonly generation: number;
}

/** The leader's: what is restored is copied into its storage of checkpoints. */
export interface LeaderSources extends Omit<RestoreSources, "findStorage"> {
  readonly storage: CheckpointStorage;
}

/** @throws RequestRefusedError saying what is wrong with the location or with what lies there */
export async function readRestorable(location: string, sources: RestoreSources): Promise<RestorableState> {
  return await whileReplaced(location, sources, () => readOnce(location, sources));
}

/**
 * Does what reads a checkpoint, and again where an object was missing and the job has a newer one: a job that runs
 * deletes its latest checkpoint once it has another, also while a job is restored from it.
 * @throws what `read` throws; RequestRefusedError when the job is always faster
 */
async function whileReplaced<T>(
  location: string,
  records: Pick<RestoreSources, "recordOf">,
  read: () => Promise<T>,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    const before = await latestOf(location, records);
    try {
      return await read();
    } catch (error) {
      const isMissing = error instanceof RequestRefusedError && error.cause instanceof ObjectMissingError;
      if (!isMissing || before === undefined || (await latestOf(location, records)) === before) throw error;
      if (tries < TRIES_MAX) continue;
      throw new RequestRefusedError(
        `cannot restore from ${location}: the job has replaced each of ${TRIES_MAX} checkpoints before it was read: restore ` +
          "from a savepoint of it, or have it retain more (checkpointing.retained)",
        { cause: error },
      );
    }
  }
}

/** undefined: the location means no latest checkpoint. */
async function latestOf(
  location: string,
  { recordOf }: Pick<RestoreSources, "recordOf">,
): Promise<number | undefined> {
  if (!location.startsWith(CHECKPOINT) || location.includes("/")) return undefined;
  const record = await recordOf(location.slice(CHECKPOINT.length)).catch(() => undefined);
  if (record === undefined || isTombstone(record)) return undefined;
  return record.checkpoints.at(-1)?.checkpointId;
}

async function readOnce(location: string, sources: RestoreSources): Promise<RestorableState> {
  try {
    if (location.startsWith(CHECKPOINT)) return await readRetained(location, sources);
    const storage = await sources.openStorage(splitLocation(location).root, "find");
    return { ...(await readSavepoint(location, storage)), storage };
  } catch (error) {
    throw refusalOf(location, error, sources.host);
  }
}

/** What is wrong with the location, said to the client that gave it. Anything else stays what it is. */
function refusalOf(location: string, cause: unknown, host: string): unknown {
  const known =
    cause instanceof ObjectMissingError ||
    cause instanceof ObjectCorruptError ||
    cause instanceof ConfigurationError ||
    cause instanceof StorageRefusedError ||
    cause instanceof StorageStalledError ||
    cause instanceof EnvironmentError;
  if (!known) return cause;
  const absent = cause instanceof ObjectMissingError && !/^(checkpoint|nats):/.test(location);
  const where = absent ? `; it was looked for on host ${host}, which must see this directory` : "";
  return new RequestRefusedError(`cannot restore from ${location}: ${describeError(cause)}${where}`, {
    cause,
  });
}

async function readRetained(location: string, sources: RestoreSources): Promise<RestorableState> {
  const [job = "", id] = location.slice(CHECKPOINT.length).split("/");
  const record = await sources.recordOf(job);
  if (record === undefined || isTombstone(record))
    throw new RequestRefusedError(`cannot restore from ${location}: there is no job ${job}`);
  const found =
    id === undefined
      ? record.checkpoints.at(-1)
      : record.checkpoints.find(({ checkpointId }) => String(checkpointId) === id);
  if (found === undefined) {
    const kept = record.checkpoints.map(({ checkpointId }) => checkpointId).join(", ") || "none";
    throw new RequestRefusedError(
      `cannot restore from ${location}: job ${job} (${record.status}) keeps these checkpoints: ${kept}`,
    );
  }
  const storage = await sources.findStorage();
  const manifest = await readManifest(storage, found.manifest);
  return {
    format: 1,
    location,
    createdAtMs: found.completedAtMs,
    drained: found.allFinished,
    unfinished: found.allFinished ? (record.savepoints.at(-1)?.drained ?? []) : [],
    plan: planOfCheckpoint(record, found.checkpointId),
    splits: record.splits,
    manifest,
    storage,
  };
}

interface Fitting {
  readonly source: RestorableState;
  /** What was handed in, with the number of key groups of the state. */
  readonly submission: JobSubmission;
  /** The snapshots of the new job's subtasks. */
  readonly subtasks: SubtaskSnapshot[];
}

/**
 * @param incarnation of the new job
 * @throws RequestRefusedError when it does not fit the job, or its own job has gone back behind it
 */
async function readFitting(
  restore: RestoreRequest,
  handedIn: JobSubmission,
  incarnation: string,
  sources: LeaderSources,
): Promise<Fitting> {
  const { location, drop } = restore;
  const source = await readOnce(location, { ...sources, findStorage: async () => sources.storage });
  if (source.drained)
    throw new RequestRefusedError(
      `cannot restore from ${location}: the job was drained before it was taken, every operator had finished; no job can go on from it${cutShort(source.unfinished)}`,
    );
  const submission = withKeyGroupsOf(handedIn, source.plan);
  const { problems } = planRestore(source, submission.plan, drop, submission.splits);
  if (problems.length > 0)
    throw new RequestRefusedError(
      `the state in ${location} does not fit job ${submission.job}:\n${problems.map((problem) => `  - ${problem}`).join("\n")}`,
    );
  const record = await sources.recordOf(source.manifest.job).catch((error: unknown) => {
    if (!(error instanceof RecordUnreadableError)) throw error;
    throw new RequestRefusedError(`cannot restore from ${location}: ${error.message}`, { cause: error });
  });
  const subtasks = snapshotsFor(source, submission.plan, drop);
  return { source, submission, subtasks: restorableSubtasks(source, subtasks, record, restore, incarnation) };
}

/**
 * Everything that `forkFrom` does, but all that is copied is one byte, and that does not stay (P56).
 * @throws RequestRefusedError as `forkFrom` does
 */
export async function assertForkable(
  restore: RestoreRequest,
  submission: JobSubmission,
  life: NewLife,
  sources: LeaderSources,
  signal: AbortSignal,
): Promise<void> {
  await whileReplaced(restore.location, sources, () => tryFork(restore, submission, life, sources, signal));
}

async function tryFork(
  restore: RestoreRequest,
  submission: JobSubmission,
  { incarnation, generation }: NewLife,
  sources: LeaderSources,
  signal: AbortSignal,
): Promise<void> {
  const { source, subtasks } = await readFitting(restore, submission, incarnation, sources);
  const { checkpointId } = source.manifest;
  const name = objectNames.manifest({ job: submission.job, incarnation, generation, checkpointId });
  try {
    for (const object of subtasks.flatMap(neededObjects)) await source.storage.get(object);
    await sources.storage.put(name, [new Uint8Array(1)], signal);
  } catch (error) {
    throw refusalOf(restore.location, error, sources.host);
  } finally {
    await removeAll({ job: submission.job, incarnation }, sources.storage);
  }
}

/**
 * The objects belong to an incarnation that no record has named yet. What cannot be deleted is swept by the job's first
 * generation.
 */
async function removeAll(
  at: { readonly job: string; readonly incarnation: string },
  storage: CheckpointStorage,
): Promise<void> {
  try {
    for (const { name } of await listAll(storage, objectNames.incarnation(at))) await storage.delete(name);
  } catch (error) {
    if (error instanceof InvariantError) throw error;
  }
}

/** @throws RequestRefusedError when it does not fit the job, or cannot be copied: then nothing of it stays */
export async function forkFrom(
  restore: RestoreRequest,
  handedIn: JobSubmission,
  life: NewLife,
  sources: LeaderSources,
  nowMs: number,
  signal: AbortSignal,
): Promise<Fork> {
  const { location } = restore;
  return await whileReplaced(location, sources, () =>
    forkOnce(restore, handedIn, life, sources, nowMs, signal),
  );
}

async function forkOnce(
  restore: RestoreRequest,
  handedIn: JobSubmission,
  { incarnation, generation }: NewLife,
  sources: LeaderSources,
  nowMs: number,
  signal: AbortSignal,
): Promise<Fork> {
  const { location, mode, drop } = restore;
  const { source, submission, subtasks } = await readFitting(restore, handedIn, incarnation, sources);
  const { checkpointId } = source.manifest;
  const at = { job: submission.job, incarnation, generation, checkpointId };
  const copyInto = async (storage: CheckpointStorage) => {
    const copied = await copyManifest(
      { ...source.manifest, subtasks },
      source.storage,
      storage,
      (part) => objectNames.state({ ...at, subtask: "restored", part }),
      signal,
    );
    const { job, graphFingerprint } = submission;
    const content = encodeManifest({ ...copied, job, incarnation, generation, graphFingerprint });
    const handle = await storage.put(objectNames.manifest(at), [content], signal);
    return { handle, bytes: content.length };
  };
  const { handle, bytes } = await copyInto(sources.storage).catch(async (error: unknown) => {
    await removeAll({ job: submission.job, incarnation }, sources.storage);
    throw refusalOf(location, error, sources.host);
  });
  return {
    incarnation,
    plan: submission.plan,
    graphFingerprint: submission.graphFingerprint,
    splits: restoredSplits(source.splits, submission.splits, drop),
    origin: {
      location,
      job: source.manifest.job,
      incarnation: source.manifest.incarnation,
      generation: source.manifest.generation,
      checkpointId,
      mode: location.startsWith(CHECKPOINT) ? "no-claim" : mode,
    },
    checkpoint: {
      checkpointId,
      generation,
      manifest: handle,
      completedAtMs: nowMs,
      bytes,
      allFinished: false,
    },
  };
}
