/** What a user gives up of a job that has not ended in order. */
import type { JobRecord, JobStatus } from "../protocol.ts";

const ABANDONED_KEPT = 10;

/**
 * A decided checkpoint that a user has given up, by a disposal or a fresh start, while its output may not have been
 * committed in full: what was not, never will be. The audit record of P17.
 */
export interface AbandonedCheckpoint {
  readonly checkpointId: number;
  readonly incarnation: string;
  /** Status of the job at that moment. */
  readonly status: JobStatus;
  readonly by: "dispose" | "fresh-start";
  readonly atMs: number;
}

/**
 * The record's list once a user gives up what the job has decided and not committed (P17). A job that has ended in
 * order has committed all of it (P18).
 */
export function abandonedWith(
  record: JobRecord,
  by: AbandonedCheckpoint["by"],
  atMs: number,
): readonly AbandonedCheckpoint[] {
  const { status, incarnation, abandoned } = record;
  const latest = record.checkpoints.at(-1);
  const isSettled =
    status === "finished" || status === "stopped" || status === "canceled" || status === "suspended";
  if (latest === undefined || isSettled) return abandoned;
  const { checkpointId } = latest;
  return [...abandoned, { checkpointId, incarnation, status, by, atMs }].slice(-ABANDONED_KEPT);
}
