/**
 * Which objects a coordinator deletes, and when: the twin of src/runtime/leader/checkpoints/object-reaper.ts.
 *
 * An object may be that of several checkpoints (P81). What may go is known at a stored write of the record, and when a
 * checkpoint is settled that rested on another one; it goes at any time after that.
 */
import type { CompletedCheckpoint, JobRecord } from "../../../../machines/protocol.ts";
import { droppedBy } from "../../../../machines/record.ts";
import type { ProcessOutcome } from "../../machine-process.ts";
import type { StoreEffect } from "../../process.ts";
import { change } from "../memory.ts";
import { allSubtasks, otherThan, regionsIn, subtasksIn } from "../plans.ts";
import { type ModelCheckpoint, objectName, objectsOf, snapshotObjects } from "../words.ts";
import type { CoordinatorDurable, Memory } from "./coordinator-memory.ts";
import { addTo, type LeaderHost, unique, without } from "./leader-host.ts";

/** A checkpoint is triggered whose barriers name this one: until it is settled, what that one reaches stays. */
export function holdBase(
  { variant }: LeaderHost,
  checkpointId: number,
  base: CompletedCheckpoint,
): ProcessOutcome[] {
  if (variant.faults.holdsNoBase) return [];
  const names = objectsOf(base as ModelCheckpoint);
  return [change<Memory>(({ bases }) => ({ bases: { ...bases, [checkpointId]: names } }))];
}

/** The checkpoint is settled. What nothing else needs may go. */
export function releaseBase(host: LeaderHost, checkpointId: number): ProcessOutcome[] {
  const { record, memory, variant } = host;
  const names = memory.bases[checkpointId];
  if (names === undefined || variant.faults.keepsBases) return [];
  return [
    change<Memory>(({ bases, deletable }) => {
      const others = without(bases, checkpointId);
      const kept = needed(record, others);
      return {
        bases: others,
        deletable: unique([...deletable, ...names.filter((name) => !kept.has(name))]),
      };
    }),
  ];
}

/** The checkpoint is given up: its own objects wait until the record says so (P48). */
export function releaseSnapshots(host: LeaderHost, checkpointId: number): ProcessOutcome[] {
  const { memory, bounds } = host;
  const isWritten = memory.savepoints[checkpointId]?.written === true;
  const disposed = isWritten ? [disposal(checkpointId)] : [];
  const snapshots = memory.pending[checkpointId] ?? memory.outlived[checkpointId];
  if (snapshots === undefined) return [...releaseBase(host, checkpointId), ...disposed];
  const names = [objectName.manifest(checkpointId), ...snapshotObjects(checkpointId, snapshots)];
  return [
    ...releaseBase(host, checkpointId),
    change<Memory>(({ givenUp, pending, outlived, savepoints }) => ({
      givenUp: bounds.objects ? { ...givenUp, [checkpointId]: names } : givenUp,
      pending: without(pending, checkpointId),
      outlived: without(outlived, checkpointId),
      savepoints: without(savepoints, checkpointId),
    })),
    ...disposed,
  ];
}

/** The write is stored: what it has made unreachable may go (P16), and what it says is given up (P48). */
export function reap(before: JobRecord, after: JobRecord): ProcessOutcome {
  const dropped = (droppedBy(before, after) as ModelCheckpoint[]).flatMap(objectsOf);
  return change<Memory>(({ due, deletable, givenUp, bases }) => {
    const kept = needed(after, bases);
    const recorded = after.aborted.filter(({ checkpointId }) => givenUp[checkpointId] !== undefined);
    const names = recorded.flatMap(({ checkpointId }) => givenUp[checkpointId]!);
    const emptied = recorded.map(({ checkpointId }) => [checkpointId, []] as const);
    return {
      due: [],
      givenUp: { ...givenUp, ...Object.fromEntries(emptied) },
      deletable: unique([...deletable, ...due, ...dropped, ...names].filter((name) => !kept.has(name))),
    };
  });
}

/** P21: whatever ids up to this one, all of generations that are over, may have left behind. */
export function sweep({ plan, record, bounds, variant, isOver, memory }: LeaderHost, lastId: number) {
  const ids = Array.from({ length: Math.min(lastId, record.reservedCheckpointId) }, (_, index) => index + 1);
  const over = isOver || variant.faults.sweepsTheLiving;
  const subtasks = over
    ? allSubtasks(bounds)
    : [
        ...memory.raised.flatMap((region) => regionsIn(bounds, plan)[region] ?? []),
        ...Object.keys(subtasksIn(bounds, otherThan(plan))),
      ];
  const names = ids.flatMap((checkpointId) => [
    objectName.manifest(checkpointId),
    ...subtasks.flatMap((subtask) => [
      objectName.state(checkpointId, subtask),
      objectName.staged({ checkpointId } as never, subtask),
    ]),
  ]);
  return change<Memory>(({ deletable, bases }) => {
    const kept = needed(record, bases);
    return { deletable: unique([...deletable, ...names.filter((name) => !kept.has(name))]) };
  });
}

/** What the record reaches, and what pending checkpoints may rest on. */
function needed(record: JobRecord, bases: Memory["bases"]): Set<string> {
  const reached = (record.checkpoints as ModelCheckpoint[]).flatMap(objectsOf);
  return new Set([...reached, ...Object.values(bases).flat()]);
}

export function deletion(name: string): StoreEffect {
  return { kind: "store", update: addTo("deleted", name), note: `delete ${name}` };
}

function disposal(checkpointId: number): StoreEffect {
  const update = (durable: CoordinatorDurable) => ({
    ...durable,
    savepoints: durable.savepoints.filter((id) => id !== checkpointId),
  });
  return { kind: "store", update, note: `dispose of savepoint ${checkpointId}` };
}
