/** What must hold of objects: none that is needed is deleted, and each one that nothing needs goes in the end. */
import type { CheckpointInput } from "../../../../machines/leader/checkpoints/checkpoint-events.ts";
import type { CompositionState } from "../../composition.ts";
import type { View } from "../../process.ts";
import { leaves } from "../../pure-machine.ts";
import type { Bounds } from "../bounds.ts";
import { checkpointsIn } from "../held-actors.ts";
import type { CoordinatorDurable, Memory } from "../leader/coordinator-memory.ts";
import type { RecordState } from "../leader/records/record-server.ts";
import { WRITER, type WriterContext } from "../leader/records/record-writer.ts";
import { memoryOf } from "../memory.ts";
import { nameOfPlan, planAt, regionsIn, subtasksIn } from "../plans.ts";
import { type ModelCheckpoint, objectName, objectsOf, partsOf, RECORD } from "../words.ts";
import type { WorkerDurable } from "../worker/worker-host.ts";

export const DELETED_TOO_EARLY = "P16 what is deleted was durably useless before";
export const PENDING_IS_THERE = "P81 what a pending checkpoint consists of is there";

export function readable(view: View, coordinators: readonly string[]): string | undefined {
  const record = view.local<RecordState>(RECORD)?.record;
  const latest = record?.checkpoints.at(-1) as ModelCheckpoint | undefined;
  if (latest === undefined) return undefined;
  const durables = coordinators.map((id) => view.durable<CoordinatorDurable>(id));
  const deleted = deletedIn(view, coordinators);
  for (const checkpoint of record!.checkpoints as ModelCheckpoint[]) {
    if (!durables.some(({ manifests }) => manifests.includes(checkpoint.checkpointId)))
      return `the manifest of checkpoint ${checkpoint.checkpointId} was never written`;
    const gone = objectsOf(checkpoint).find((name) => deleted.has(name));
    if (gone !== undefined) return `${gone}, which checkpoint ${checkpoint.checkpointId} names, is deleted`;
  }
  return undefined;
}

/** Objects that a checkpoint consists of which its leader may still decide, as far as its subtasks have said. */
function neededByPending(view: View, coordinator: string): { checkpointId: number; names: string[] }[] {
  const process = view.local<CompositionState>(coordinator);
  const record = view.local<RecordState>(RECORD)?.record;
  if (process === undefined || record?.status !== "running") return [];
  const { token } = process.actors.get(WRITER)!.snapshot.context as WriterContext;
  if (token !== record.token) return [];
  const { pending } = memoryOf<Memory>(process);
  return checkpointsIn(process).flatMap((actor) => {
    const { snapshot } = process.actors.get(actor)!;
    const { checkpointId, generation } = snapshot.context as CheckpointInput;
    const isOpen = leaves(snapshot).some((leaf) => leaf === "preparing" || leaf.startsWith("persisting."));
    const snapshots = pending[checkpointId];
    if (!isOpen || generation !== record.generation || snapshots === undefined) return [];
    const manifest = objectName.manifest(checkpointId);
    return {
      checkpointId,
      names: objectsOf({ checkpointId, snapshots }).filter((name) => name !== manifest),
    };
  });
}

export function pendingIsThere(view: View, coordinators: readonly string[]): string | undefined {
  const deleted = deletedIn(view, coordinators);
  for (const coordinator of coordinators)
    for (const { checkpointId, names } of neededByPending(view, coordinator)) {
      const gone = names.find((name) => deleted.has(name));
      if (gone !== undefined) return `${gone}, which checkpoint ${checkpointId} consists of, is deleted`;
    }
  return undefined;
}

function deletedIn(view: View, coordinators: readonly string[]): Set<string> {
  return new Set(coordinators.flatMap((id) => view.durable<CoordinatorDurable>(id).deleted));
}

/**
 * The goal: of all that was ever stored, only what the record reaches is still there, and what transactions have staged
 * that are not decided: these wait for the next checkpoint (P14).
 */
export function isClean(view: View, coordinators: readonly string[], workers: readonly string[]): boolean {
  const server = view.local<RecordState>(RECORD);
  if (server === undefined) return false;
  const { record, decided } = server;
  const left = new Set([
    ...workers.flatMap((worker) => view.durable<WorkerDurable>(worker).stored),
    ...coordinators.flatMap((id) => view.durable<CoordinatorDurable>(id).manifests.map(objectName.manifest)),
    ...decided.flatMap(objectsOf),
  ]);
  for (const name of deletedIn(view, coordinators)) left.delete(name);
  for (const checkpoint of record.checkpoints as ModelCheckpoint[])
    for (const name of objectsOf(checkpoint)) left.delete(name);
  return left.size === 0;
}

/**
 * A deletion follows the write that makes its object useless: the checkpoint is given up, was dropped, was copied as a
 * savepoint, or its generation is over, or the job is. What another checkpoint has in common with it stays (P81).
 */
export function deletedTooEarly(
  before: View,
  after: View,
  process: string,
  bounds: Bounds,
): string | undefined {
  if (!bounds.coordinators.includes(process)) return undefined;
  const known = before.durable<CoordinatorDurable>(process).deleted;
  const { deleted } = after.durable<CoordinatorDurable>(process);
  if (deleted.length === known.length) return undefined;
  const server = before.local<RecordState>(RECORD)!;
  const needed = new Set([
    ...(server.record.checkpoints as ModelCheckpoint[]).flatMap(objectsOf),
    ...bounds.coordinators.flatMap((id) => neededByPending(before, id)).flatMap(({ names }) => names),
  ]);
  const used = bounds.coordinators.flatMap((id) => before.durable<CoordinatorDurable>(id).used);
  const early = deleted.find(
    (name) => !known.includes(name) && (needed.has(name) || !isUseless(name, server, used, bounds)),
  );
  return early && `${process} deletes ${early}, and the record does not say yet that it is not needed`;
}

function isUseless(
  name: string,
  { record, decided, plans }: RecordState,
  used: CoordinatorDurable["used"],
  bounds: Bounds,
): boolean {
  const { kind, checkpointId, subtask } = partsOf(name);
  if (["finished", "canceled", "stopped"].includes(record.status)) return true;
  const taken = used.find((one) => one.checkpointId === checkpointId);
  // There is nothing of an id that was only reserved.
  if (taken === undefined) return true;
  const generation = Math.max(...taken.generations);
  if (generation < record.planSince) return true;
  // It is no subtask of the plan that the checkpoint was taken of.
  if (kind !== "manifest" && !(subtask in subtasksIn(bounds, planAt(plans, generation)))) return true;
  const regions = regionsIn(bounds, nameOfPlan(record.plan));
  const region = regions.findIndex((subtasks) => subtasks.includes(subtask));
  const isOver = (at: number) => record.generations[at] !== taken.generations[at];
  if (kind === "manifest" ? regions.some((_, at) => isOver(at)) : isOver(region)) return true;
  const ids = record.checkpoints.map((one) => one.checkpointId);
  const dropped = decided.filter((one) => !ids.includes(one.checkpointId));
  if (dropped.some((one) => objectsOf(one).includes(name))) return true;
  if (kind === "staged") return false;
  const known = [...record.aborted, ...(kind === "state" ? record.savepoints : [])];
  return known.some((one) => one.checkpointId === checkpointId);
}
