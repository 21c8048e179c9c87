/** What the leader finds in storage of the checkpoint that a job is to go on from. */
import type { JobRecord } from "../../../../machines/protocol.ts";
import { latestCheckpoint } from "../../../../machines/record.ts";
import type { ManifestFound } from "../../../../machines/recovery.ts";
import type { CheckpointStorage } from "../../../checkpoint/storage.ts";
import { type Clock, pauseOn } from "../../../clock.ts";
import type { TroubleWatcher } from "../../../dataflow/trouble.ts";
import { ObjectCorruptError, ObjectMissingError, retryOf } from "../../../errors.ts";
import { readManifest } from "../../manifest.ts";

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
    host,
  }: {
    readonly storage: CheckpointStorage;
    readonly troubles: TroubleWatcher;
    readonly signal: AbortSignal;
    readonly clock: Clock;
    readonly isProven: () => boolean;
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
        return { found: "manifest", manifest: await readManifest(storage, latest.manifest) };
      } catch (error) {
        if (error instanceof ObjectMissingError) {
          if (isProven()) return { found: "missing", object };
          reading.failed(unproven(object, storage.description, host));
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

function unproven(object: string, storage: string, host: string): Error {
  return new Error(
    `object ${object} is not in ${storage} of host ${host}, and this coordinator took over before it could prove to the ` +
      "one before it that this is the same place. A worker of the job proves it. If another place is right, end this " +
      "coordinator, and start it with the --checkpoint-dir of the others",
  );
}
