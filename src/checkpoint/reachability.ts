/**
 * What a job's record reaches in checkpoint storage, and what may become of the rest (P15, P21): pure functions over
 * the record, the manifests that it names, and a listing. The leader's reaper deletes by them, operators look by them.
 *
 * - RE1 The record names manifests, a manifest names all that a restore needs; nothing else is reachable.
 * - RE2 Unreachable is not enough to go: an object of a region's present generation may be one that a pending
 *   checkpoint is about to name, and one of a newer generation means that the record is out of date.
 */
import type { CompletedCheckpoint, JobRecord, Manifest, ObjectHandle } from "../../machines/protocol.ts";
import { generationIn, type StoredObject, stateObjects } from "./storage.ts";

/** An object that a checkpoint needs. */
export interface NamedObject {
  readonly handle: ObjectHandle;
  /** The purpose in words: "manifest", "state of count in count/0", "transaction out@7 of writer 0". */
  readonly purpose: string;
}

export function objectsOf(checkpoint: CompletedCheckpoint, manifest: Manifest): NamedObject[] {
  return [
    { handle: checkpoint.manifest, purpose: "manifest" },
    ...manifest.subtasks.flatMap(({ subtask, states, channels, transactions }) => [
      ...states.flatMap((state) =>
        stateObjects(state).map((handle) => ({
          handle,
          purpose: `state of ${state.operator} in ${subtask}`,
        })),
      ),
      ...channels.flatMap(({ edge, object }) =>
        object === null ? [] : [{ handle: object, purpose: `records of edge ${edge} to ${subtask}` }],
      ),
      ...transactions.flatMap(({ sink, checkpointId, writer, staged }) =>
        staged.map((handle) => ({
          handle,
          purpose: `transaction ${sink}@${checkpointId} of writer ${writer}`,
        })),
      ),
    ]),
  ];
}

/** The job has ended for good: no user can resume it, and nothing of it is under way. */
export function hasEnded({
  status,
  checkpoints,
  disposed,
}: Pick<JobRecord, "status" | "checkpoints" | "disposed">): boolean {
  if (disposed !== undefined) return true;
  if (status === "failed") return checkpoints.length === 0;
  return status === "finished" || status === "stopped" || status === "canceled";
}

export type Standing =
  /** The object's generation is over: nothing will ever name it again. */
  | "collectable"
  /** A region has the object's generation, or it is a newer one: the object is in use, or too young to tell (RE2). */
  | "young"
  /** The object has a name that Tidemark does not give. */
  | "foreign";

export type UnreachableObject<Found extends StoredObject> = Found & {
  /** The object's generation; null: the object is foreign. */
  readonly generation: number | null;
  readonly standing: Standing;
};

/** @param reached every name that the record and its manifests name: all of them, or what is needed may be collected */
export function unreachable<Found extends StoredObject>(
  record: Pick<JobRecord, "generation" | "generations" | "status" | "checkpoints" | "disposed">,
  reached: ReadonlySet<string>,
  objects: readonly Found[],
): UnreachableObject<Found>[] {
  // Nothing is under way any more once a job has ended for good (P18).
  const ended = hasEnded(record);
  const isOver = (generation: number): boolean =>
    ended
      ? generation <= record.generation
      : generation < record.generation && !record.generations.includes(generation);
  return objects
    .filter(({ name }) => !reached.has(name))
    .map((object) => {
      const generation = generationIn(object.name) ?? null;
      const standing = generation === null ? "foreign" : isOver(generation) ? "collectable" : "young";
      return { ...object, generation, standing };
    });
}
