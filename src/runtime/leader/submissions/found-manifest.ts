/** What the leader finds in storage of the checkpoint that a job is to go on from. */
import type { JobRecord } from "../../../../machines/protocol.ts";
import { latestCheckpoint } from "../../../../machines/record.ts";
import type { ManifestFound } from "../../../../machines/recovery.ts";
import type { CheckpointStorage } from "../../../checkpoint/storage.ts";
import { type Clock, pauseOn } from "../../../clock.ts";
import type { TroubleWatcher } from "../../../dataflow/trouble.ts";
import { ObjectCorruptError, ObjectMissingError, retryOf } from "../../../errors.ts";
import { readManifest } from "../../manifest.ts";
import type { DirectoryDoubt } from "../directory-doubt.ts";

const RETRY_MS = 250;

/**
 * Reads for as long as it takes (P20). What is missing where it is not proven that the job has its checkpoints there is
 * waited for, too: this may be another directory (P62). undefined: there is no checkpoint, or `signal` has aborted.
 */
export async function findManifest(
  record: JobRecord,
  {
    storage,
    troubles,
    signal,
    clock,
    isProven,
    doubt,
    host,
  }: {
    readonly storage: CheckpointStorage;
    readonly troubles: TroubleWatcher;
    readonly signal: AbortSignal;
    readonly clock: Clock;
    readonly isProven: () => boolean;
    readonly doubt: DirectoryDoubt;
    readonly host: string;
  },
): Promise<ManifestFound | undefined> {
  const latest = latestCheckpoint(record);
  if (latest === undefined) return undefined;
  const reading = troubles.watch(`reading checkpoints from ${storage.description}`);
  const object = latest.manifest.name;
  try {
    while (!signal.aborted) {
      try {
        const manifest = await readManifest(storage, latest.manifest);
        doubt.found();
        if (manifest.job === record.job && manifest.incarnation === record.incarnation)
          return { found: "manifest", manifest };
        const problem = `it is the manifest of job ${manifest.job}, incarnation ${manifest.incarnation}`;
        return { found: "corrupt", object, problem };
      } catch (error) {
        if (error instanceof ObjectMissingError) {
          if (isProven()) return { found: "missing", object };
          const lacking = `object ${object} is not in ${storage.description} of host ${host}`;
          doubt.lacks(lacking);
          reading.failed(unproven(lacking));
          await pauseOn(clock, RETRY_MS, signal);
          continue;
        }
        if (error instanceof ObjectCorruptError) return { found: "corrupt", object, problem: error.message };
        if (retryOf(error) !== "now") throw error;
        reading.failed(error);
        await pauseOn(clock, RETRY_MS, signal);
      }
    }
    return undefined;
  } finally {
    reading.forget();
  }
}

function unproven(lacking: string): Error {
  return new Error(
    `${lacking}, and nothing has proven to this coordinator that the job has its checkpoints there. A worker of the job ` +
      "proves it. If another place is right, start a coordinator with the --checkpoint-dir of the others: this one " +
      "gives way to it",
  );
}
