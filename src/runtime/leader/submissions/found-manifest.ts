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

/** Reads for as long as it takes (P20). undefined: there is no checkpoint, or `signal` has aborted. */
export async function findManifest(
  record: JobRecord,
  {
    storage,
    troubles,
    signal,
    clock,
  }: {
    readonly storage: CheckpointStorage;
    readonly troubles: TroubleWatcher;
    readonly signal: AbortSignal;
    readonly clock: Clock;
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
        if (error instanceof ObjectMissingError) return { found: "missing", object };
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
