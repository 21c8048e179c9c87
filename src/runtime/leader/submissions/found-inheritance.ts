/** What the leader of a restored job finds of the job that took the savepoint (P59). */
import type { JobRecord } from "../../../../machines/protocol.ts";
import type { ManifestFound } from "../../../../machines/recovery.ts";
import { type Clock, pauseOn } from "../../../clock.ts";
import type { TroubleWatcher } from "../../../dataflow/trouble.ts";
import { describeError, RecordUnreadableError, retryOf } from "../../../errors.ts";
import type { RecordStore } from "../../record-store.ts";
import { readRecord } from "../records/stored-record.ts";
import { holdsInherited, type Inheritance, inheritanceOf } from "./passed-over.ts";

const RETRY_MS = 250;
const NOTHING: Inheritance = { inherits: null };

/**
 * Reads that job's record for as long as it takes. Later than what it finds, a generation of that job may have been
 * raised: the sinks compare its markers with what is found (TM6).
 *
 * @param found that of the checkpoint that is restored
 */
export async function findInheritance(
  { origin }: JobRecord,
  found: ManifestFound | undefined,
  {
    store,
    troubles,
    signal,
    clock,
  }: {
    readonly store: RecordStore;
    readonly troubles: TroubleWatcher;
    readonly signal: AbortSignal;
    readonly clock: Clock;
  },
): Promise<Inheritance> {
  if (origin === null || found?.found !== "manifest") return NOTHING;
  const { manifest } = found;
  if (!holdsInherited(manifest, origin)) return NOTHING;
  const reading = troubles.watch(`reading the record of job ${origin.job}`);
  try {
    while (!signal.aborted) {
      try {
        return inheritanceOf(manifest, origin, (await readRecord(store, origin.job))?.record);
      } catch (error) {
        if (error instanceof RecordUnreadableError) return { refused: describeError(error) };
        if (retryOf(error) !== "now") throw error;
        reading.failed(error);
        await pauseOn(clock, RETRY_MS, signal);
      }
    }
    return NOTHING;
  } finally {
    reading.forget();
  }
}
