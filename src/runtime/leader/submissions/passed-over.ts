/**
 * Restores from a savepoint that its job has gone back behind (P59).
 *
 * Owns: whether what such a savepoint holds for sinks can be committed exactly once, what the user is told where it
 * cannot, and what `--write-again` makes of it. Does not own: when a job goes back (machines/leader/fallback.ts), how a
 * sink commits (dataflow/sink.ts).
 */
import { type Fallback, passedOver } from "../../../../machines/leader/fallback.ts";
import type {
  CommittableHandle,
  JobRecord,
  SavepointMetadata,
  SubtaskSnapshot,
} from "../../../../machines/protocol.ts";
import type { RestoreRequest } from "../../../control/messages.ts";
import { RequestRefusedError } from "../../../errors.ts";
import { shellCommand } from "../../../shell-command.ts";

/**
 * What the new job's subtasks begin with.
 *
 * @param record of the job that took the savepoint; undefined: it is gone, and nothing can be told
 * @param incarnation of the new job
 * @throws RequestRefusedError where some of it could be in no output
 */
export function restorableSubtasks(
  source: SavepointMetadata,
  subtasks: SubtaskSnapshot[],
  record: JobRecord | undefined,
  { location, writeAgain }: RestoreRequest,
  incarnation: string,
): SubtaskSnapshot[] {
  const { manifest } = source;
  const fallback = record && passedOver(record, manifest);
  if (record === undefined || fallback === undefined) return subtasks;
  const isDoubtful = (one: CommittableHandle) =>
    one.incarnation === manifest.incarnation && one.checkpointId > fallback.completed;
  const doubtful = subtasks.flatMap(({ transactions }) => transactions.filter(isDoubtful));
  if (doubtful.length === 0) return subtasks;
  if (writeAgain)
    // They become the new job's own: its markers know nothing of what the other job has written.
    return subtasks.map((subtask) => ({
      ...subtask,
      transactions: subtask.transactions.map((one) => (isDoubtful(one) ? { ...one, incarnation } : one)),
    }));
  const isLiving =
    record.incarnation === manifest.incarnation &&
    (record.status === "created" || record.status === "running");
  // Its markers stand in front of what the savepoint holds, and no process moves them on any more.
  if (fallback.next === null && !isLiving) return subtasks;
  const sinks = [...new Set(doubtful.map(({ sink }) => sink))];
  throw new RequestRefusedError(
    `cannot restore from ${location}: ${whatHappened(record, fallback, sinks)}. ${waysOn(record, manifest, fallback, sinks)}`,
  );
}

function whatHappened({ job, status }: JobRecord, fallback: Fallback, sinks: readonly string[]): string {
  const { completed, next } = fallback;
  const back = `job ${job} went back behind it, to ${completed === 0 ? "its beginning" : `checkpoint ${completed}`}`;
  const held = `what the savepoint holds uncommitted for ${sinks.length === 1 ? "sink" : "sinks"} ${sinks.join(", ")}`;
  return next === null
    ? `${back}, is ${status}, and will write ${held} anew`
    : `${back}, and wrote its output anew from there until checkpoint ${next} or a later one, so nothing tells how much it wrote of ${held}, ` +
        "and what it did not write would be in no output";
}

function waysOn(
  record: JobRecord,
  { incarnation, checkpointId }: SavepointMetadata["manifest"],
  { completed, next }: Fallback,
  sinks: readonly string[],
): string {
  const { job, checkpoints, savepoints } = record;
  const latest = record.incarnation === incarnation ? checkpoints.at(-1) : undefined;
  const newer = savepoints.findLast(
    (one) => one.checkpointId > checkpointId && passedOver(record, { incarnation, ...one }) === undefined,
  );
  const places = [
    ...(latest !== undefined && next !== null ? [`checkpoint:${job}`] : []),
    ...(newer === undefined ? [] : [newer.location]),
  ];
  const from = places.map((place) => shellCommand("--from", place));
  const drops = sinks.map((sink) => shellCommand("--drop", sink)).join(" ");
  return [
    next === null
      ? `End the job first ("${shellCommand("tidemark", "cancel", job)}")`
      : from.length > 0
        ? `Go on with ${from.join(" or ")}`
        : "No newer state of the job is known",
    `or add --write-again: then nothing is missing, and what the job wrote behind ${completed === 0 ? "its beginning" : `checkpoint ${completed}`} may be there twice`,
    `or ${drops}: then what the savepoint holds for it is left out`,
  ].join("; ");
}
