/** Which record of a job holds for a submission: a pure function. */
import type { JobRecord } from "../../../../machines/protocol.ts";
import { DisconnectedError } from "../../../errors.ts";
import type { JobRuntime } from "../job-runtime.ts";
import { hasEnded } from "./refusals.ts";

/**
 * The job's record, as its leader here has it; of what has ended as it is stored, because it may have been disposed of
 * meanwhile.
 *
 * @throws DisconnectedError when what is known here is of the past, and no reason to refuse anything: a newer leader
 *   has written the record (P9), or the job's end is stored and its leader does not know it yet
 */
export function presentRecord(
  running: Pick<JobRuntime, "ended" | "record"> | undefined,
  stored: JobRecord | undefined,
): JobRecord | undefined {
  if (running?.ended !== false) return stored;
  const { record } = running;
  if (stored !== undefined && (stored.token > record.token || (hasEnded(stored) && !hasEnded(record))))
    throw new DisconnectedError(`job ${record.job}: its record is newer than what is known here`);
  return record;
}
