/**
 * Restores from a savepoint that its job has gone back behind (P59).
 *
 * Owns: whether what such a savepoint holds for sinks can be committed exactly once, at the restore and before each
 * deployment until it is, what the user is told where it cannot, and what `--write-again` makes of it. Does not own:
 * when a job goes back (machines/leader/fallback.ts), how a sink commits (dataflow/sink.ts).
 */
import { type Fallback, passedOver } from "../../../../machines/leader/fallback.ts";
import type {
  CommittableHandle,
  JobRecord,
  Manifest,
  RestoreOrigin,
  SavepointMetadata,
  SubtaskSnapshot,
} from "../../../../machines/protocol.ts";
import type { RestoreRequest } from "../../../control/messages.ts";
import type { InheritedFrom } from "../../../dataflow/sink.ts";
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
  const sinks = sinksOf(subtasks, isDoubtful);
  if (sinks.length === 0) return subtasks;
  if (writeAgain)
    // They become the new job's own: its markers know nothing of what the other job has written.
    return subtasks.map((subtask) => ({
      ...subtask,
      transactions: subtask.transactions.map((one) => (isDoubtful(one) ? { ...one, incarnation } : one)),
    }));
  if (isExact(record, manifest, fallback)) return subtasks;
  throw new RequestRefusedError(
    `cannot restore from ${location}: ${whatHappened(record, fallback, sinks)}. ${waysOn(record, manifest, fallback, sinks)}`,
  );
}

/** What lets a job commit what it has inherited; `refused`: why some of that could be in no output, or twice. */
export type Inheritance = { readonly inherits: InheritedFrom | null } | { readonly refused: string };

/**
 * Looks at the job that took the savepoint before each deployment: it may have gone back behind it since the restore.
 *
 * @param manifest that of the checkpoint that is restored
 * @param origin what the job was restored from
 * @param record of the job that took that; undefined: it is gone, and nothing can be told
 */
export function inheritanceOf(
  { subtasks }: Pick<Manifest, "subtasks">,
  origin: RestoreOrigin,
  record: JobRecord | undefined,
): Inheritance {
  const { incarnation, location } = origin;
  if (record === undefined) return { inherits: null };
  const inherits = { incarnation, generation: record.generation };
  const fallback = passedOver(record, origin);
  if (fallback === undefined || isExact(record, origin, fallback)) return { inherits };
  const sinks = sinksOf(
    subtasks,
    (one) => one.incarnation === incarnation && one.checkpointId > fallback.completed,
  );
  if (sinks.length === 0) return { inherits };
  return {
    refused:
      `what ${location} holds cannot be committed any more: ${whatHappened(record, fallback, sinks)}. ` +
      `Restore the job anew, with --fresh. ${waysOn(record, origin, fallback, sinks)}`,
  };
}

/** Whether a job holds something of the one that it was restored from. */
export function holdsInherited(
  { subtasks }: Pick<Manifest, "subtasks">,
  { incarnation }: RestoreOrigin,
): boolean {
  return sinksOf(subtasks, (one) => one.incarnation === incarnation).length > 0;
}

/** Its markers stand in front of what the savepoint holds, and no process moves them on any more. */
function isExact(
  record: JobRecord,
  { incarnation }: { readonly incarnation: string },
  { next }: Fallback,
): boolean {
  const isLiving =
    record.incarnation === incarnation && (record.status === "created" || record.status === "running");
  return next === null && !isLiving;
}

function sinksOf(
  subtasks: readonly SubtaskSnapshot[],
  isMeant: (one: CommittableHandle) => boolean,
): readonly string[] {
  const found = subtasks.flatMap(({ transactions }) => transactions.filter(isMeant));
  return [...new Set(found.map(({ sink }) => sink))];
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
  { incarnation, checkpointId }: Pick<Manifest, "incarnation" | "checkpointId">,
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
