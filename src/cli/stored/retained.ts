/**
 * Jobs and their retained checkpoints as they lie in storage: no coordinator is needed to read them.
 *
 * What a running job no longer needs may be deleted while a command looks at it. That is no damage, so a command that
 * finds something missing looks at the record once more before it says so (`whileRetained`).
 */
import type { CompletedCheckpoint, JobRecord, Manifest } from "../../../machines/protocol.ts";
import { isTombstone } from "../../../machines/record.ts";
import type { CheckpointStorage } from "../../checkpoint/storage.ts";
import {
  EnvironmentError,
  ObjectCorruptError,
  ObjectMissingError,
  RecordUnreadableError,
  RequestRefusedError,
} from "../../errors.ts";
import { jobKey } from "../../formats/job-record.ts";
import { readRecord } from "../../runtime/leader/records/stored-record.ts";
import { readManifest } from "../../runtime/manifest.ts";
import type { RecordStore } from "../../runtime/record-store.ts";
import type { ClusterView } from "../assembly.ts";

const LOOKS = 10;

export interface StoredJobs {
  readonly jobs: readonly JobRecord[];
  /** What lies in the place of a job's record and is none. */
  readonly unreadable: readonly { readonly job: string; readonly reason: string }[];
}

export async function readJobs(records: RecordStore): Promise<StoredJobs> {
  const keys = await records.keys(jobKey(""));
  const jobs: JobRecord[] = [];
  const unreadable: { job: string; reason: string }[] = [];
  await Promise.all(
    keys.map(async (key) => {
      const job = key.slice(jobKey("").length);
      try {
        const found = await readRecord(records, job);
        if (found !== undefined && !isTombstone(found.record)) jobs.push(found.record);
      } catch (error) {
        if (!(error instanceof RecordUnreadableError)) throw error;
        unreadable.push({ job, reason: error.message });
      }
    }),
  );
  const byName = (one: { job: string }, other: { job: string }) => (one.job < other.job ? -1 : 1);
  return { jobs: jobs.sort(byName), unreadable: unreadable.sort(byName) };
}

/**
 * The records, for a command about one job.
 * @throws RequestRefusedError that names the bucket, when there is none
 */
export async function recordsOf(
  view: Pick<ClusterView, "findRecords" | "recordBucket">,
  job: string,
): Promise<RecordStore> {
  const records = await view.findRecords();
  if (records !== undefined) return records;
  throw new RequestRefusedError(`there is no job ${job}: ${bucketMissing(view.recordBucket)}`);
}

/** What is said where the records would be: the sentence of all commands. */
export function bucketMissing(bucket: string): string {
  return (
    `there is no KV bucket ${bucket}, which holds the records of jobs. If jobs have run with this --prefix, ` +
    `restore stream KV_${bucket} from a backup (nats stream restore DIR)`
  );
}

/** @throws RequestRefusedError when there is no such job */
export async function readJob(records: RecordStore, job: string): Promise<JobRecord> {
  const record = (await readRecord(records, job))?.record;
  if (record === undefined || isTombstone(record)) throw unknownJob(job);
  return record;
}

export function unknownJob(job: string): RequestRefusedError {
  return new RequestRefusedError(`there is no job ${job}; "tidemark list" lists the jobs`);
}

/** A retained checkpoint, and what lies under the name of its manifest. */
export type Retained =
  | { readonly checkpoint: CompletedCheckpoint; readonly manifest: Manifest }
  | {
      readonly checkpoint: CompletedCheckpoint;
      readonly damage: ObjectMissingError | ObjectCorruptError;
    };

/** @throws StorageStalledError: whether a manifest is there cannot be told */
export async function readRetained(record: JobRecord, storage: CheckpointStorage): Promise<Retained[]> {
  return await Promise.all(record.checkpoints.map((checkpoint) => readCheckpoint(checkpoint, storage)));
}

export async function readCheckpoint(
  checkpoint: CompletedCheckpoint,
  storage: CheckpointStorage,
): Promise<Retained> {
  try {
    return { checkpoint, manifest: await readManifest(storage, checkpoint.manifest) };
  } catch (error) {
    if (isDamage(error)) return { checkpoint, damage: error };
    throw error;
  }
}

export function isDamage(error: unknown): error is ObjectMissingError | ObjectCorruptError {
  return error instanceof ObjectMissingError || error instanceof ObjectCorruptError;
}

/** The same damage, with what it means for the command that met it. */
export function explained(
  damage: ObjectMissingError | ObjectCorruptError,
  job: string,
  consequence: string,
): Error {
  const Damage = damage instanceof ObjectMissingError ? ObjectMissingError : ObjectCorruptError;
  const next = `"tidemark checkpoints verify ${job}" lists what else is damaged`;
  return new Damage(damage.object, `${consequence}: ${damage.message}; ${next}`);
}

export interface Look {
  /** Ids of the checkpoints in which something is missing or corrupt. */
  readonly damagedCheckpoints: readonly number[];
}

/** What `look` finds in checkpoints that are still retained when it has looked. */
export async function whileRetained<T extends Look>(
  read: () => Promise<JobRecord>,
  look: (record: JobRecord) => Promise<T>,
): Promise<T> {
  let record = await read();
  for (let looks = 0; looks < LOOKS; looks++) {
    const found = await look(record);
    if (found.damagedCheckpoints.length === 0) return found;
    record = await read();
    const retained = new Set(record.checkpoints.map(({ checkpointId }) => checkpointId));
    if (found.damagedCheckpoints.every((id) => retained.has(id))) return found;
  }
  throw new EnvironmentError(
    `the checkpoints of job ${record.job} are replaced faster than they can be read; retain more of them ` +
      "(checkpointing.retained), or look while the job is suspended",
  );
}
