/**
 * The storage that holds the bytes of checkpoints and of staged transactions.
 *
 * Objects are immutable: a name is written once. A put that failed midway leaves nothing that a get would return.
 * A reader that has a handle can tell a missing object from a slow one and a changed one from the real one (P20).
 */
import type { ObjectHandle, StateHandle, SubtaskSnapshot } from "../../machines/protocol.ts";
import type { DirectoryNotes } from "./directory-notes.ts";

export type { ObjectHandle };

export interface StoredObject {
  readonly name: string;
  readonly bytes: number;
}

export interface CheckpointStorage {
  /** The name in messages: "object store bucket tidemark-checkpoints", "directory /var/lib/…". */
  readonly description: string;
  /**
   * The notes of a directory, which two processes may mean by the same name or by different ones. undefined: the
   * description says which storage it is.
   */
  readonly notes?: DirectoryNotes;
  /**
   * Resolves when the object is durable. Writing the same name again with the same content is allowed (a retry). When
   * it rejects, nothing of it is on its way any more, as far as a server that does not answer lets this be told.
   * @throws StorageRefusedError (full, read-only, other content under this name), StorageStalledError, the signal's
   * reason when aborted
   */
  put(
    name: string,
    content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    signal?: AbortSignal,
  ): Promise<ObjectHandle>;
  /** @throws ObjectMissingError, ObjectCorruptError, StorageStalledError */
  get(handle: ObjectHandle): Promise<Uint8Array>;
  /**
   * Resolves when the object is there, and whole as far as its size tells, and its digest where the storage keeps one.
   * @throws ObjectMissingError, ObjectCorruptError, StorageStalledError
   */
  assertPresent(handle: ObjectHandle): Promise<void>;
  /**
   * Deletes the object, if it is there, and what unfinished puts of this name have left. What is no object of this
   * storage, such as a directory in its place, stays.
   */
  delete(name: string): Promise<void>;
  /** Every object whose name begins with `prefix`. */
  list(prefix: string): AsyncIterable<StoredObject>;
  /**
   * What puts that are under way or never ended have left so far, by the name that their object would have; `get` and
   * `list` never show it. `bytes` is what it takes at most.
   */
  listUnfinished(prefix: string): AsyncIterable<StoredObject>;
}

/** What a storage is opened for. */
export interface StorageRequest {
  /**
   * "make": to write, so what it needs is made. "find": only to look; nothing is made or changed, and what is not there
   * is thrown.
   */
  readonly access: "make" | "find";
  /** What the names of the cluster begin with (`--prefix`): clusters of other prefixes keep their checkpoints apart. */
  readonly prefix: string;
}

/**
 * The default export of a module that `checkpointing.storage` names. Every process and command of a cluster calls it
 * once, and has to get the same storage, with the same `description`. What it throws ends the process or command.
 */
export type OpenCheckpointStorage = (
  request: StorageRequest,
) => CheckpointStorage | Promise<CheckpointStorage>;

/** An object, or what is left of one whose put never ended. */
export interface FoundObject extends StoredObject {
  readonly unfinished: boolean;
}

/** All that is stored under names that begin with `prefix`, each name once. */
export async function listAll(storage: CheckpointStorage, prefix: string): Promise<FoundObject[]> {
  const found = new Map<string, FoundObject>();
  // Unfinished ones come first, so that a put which ends meanwhile is seen.
  for await (const object of storage.listUnfinished(prefix))
    found.set(object.name, { ...object, unfinished: true });
  for await (const { name, bytes } of storage.list(prefix))
    found.set(name, { name, bytes: bytes + (found.get(name)?.bytes ?? 0), unfinished: false });
  return [...found.values()];
}

/** The checkpoint that an object belongs to. */
interface CheckpointPlace {
  readonly job: string;
  readonly incarnation: string;
  readonly generation: number;
  readonly checkpointId: number;
}

/** One of the objects that a subtask stores for a checkpoint. */
interface PartPlace extends CheckpointPlace {
  readonly subtask: string;
  readonly part: number;
}

/**
 * Names of objects are built here and nowhere else (P1, P2, P15): `<job>/<incarnation>/<generation>/<owner>/<part>`.
 */
export const objectNames = {
  job: (job: string): string => `${job}/`,
  incarnation: (at: { job: string; incarnation: string }): string => `${at.job}/${at.incarnation}/`,
  generation: (at: { job: string; incarnation: string; generation: number }): string =>
    `${at.job}/${at.incarnation}/${at.generation}/`,
  /** The prefix of what belongs to one checkpoint and to nothing else. */
  checkpoint: (at: CheckpointPlace): string => `${objectNames.generation(at)}checkpoint-${at.checkpointId}/`,
  manifest: (at: CheckpointPlace): string => `${objectNames.checkpoint(at)}manifest`,
  state: (at: PartPlace): string => `${objectNames.checkpoint(at)}${at.subtask.replace("/", "-")}.${at.part}`,
  /** Records that the barriers of one subtask have overtaken. */
  channels: (at: PartPlace): string =>
    `${objectNames.checkpoint(at)}${at.subtask.replace("/", "-")}.channels.${at.part}`,
  /** Parts are staged before it is known at which checkpoint their transaction will be cut (P25). */
  transaction: (at: {
    job: string;
    incarnation: string;
    generation: number;
    sink: string;
    writer: number;
    part: number;
  }): string => `${objectNames.generation(at)}transaction-${at.sink}-${at.writer}/${at.part}`,
  message: (at: { job: string; incarnation: string; generation: number; id: string }): string =>
    `${objectNames.generation(at)}message/${at.id}`,
};

/** The index of the subtask in the name of a part that was built here, and its incarnation; undefined: it is none. */
export function subtaskPlaceIn(
  name: string,
): { readonly incarnation: string; readonly index: number } | undefined {
  const found = /^[^/]+\/([^/]+)\/\d+\/checkpoint-\d+\/.+-(\d+)\.(?:channels\.)?\d+$/.exec(name);
  return found === null ? undefined : { incarnation: found[1]!, index: Number(found[2]) };
}

/** Whether a part belongs to a subtask, whatever its checkpoint. */
export function isPartOf(name: string, subtask: string): boolean {
  return name.slice(name.lastIndexOf("/") + 1).startsWith(`${subtask.replace("/", "-")}.`);
}

/** Job, incarnation, generation, owner, part. */
const NAME_PARTS = 5;

/** The generation in a name that was built here; undefined for any other name. */
export function generationIn(name: string): number | undefined {
  const parts = name.split("/");
  const generation = Number(parts[2]);
  if (parts.length !== NAME_PARTS) return undefined;
  return Number.isSafeInteger(generation) && generation >= 0 ? generation : undefined;
}

/** All that a copy of a snapshot needs: its own objects, and what its transactions have staged (P15). */
export function neededObjects(snapshot: SubtaskSnapshot): ObjectHandle[] {
  return [...snapshotObjects(snapshot), ...snapshot.transactions.flatMap(({ staged }) => staged)];
}

/**
 * The objects of a snapshot, each once, those that it has in common with older checkpoints among them (P81). Those of
 * its transactions are not (P15).
 */
export function snapshotObjects({
  states,
  channels,
}: Pick<SubtaskSnapshot, "states" | "channels">): ObjectHandle[] {
  const shared = channels.flatMap(({ object }) => (object === null ? [] : [[object.name, object] as const]));
  return [...states.flatMap(stateObjects), ...new Map(shared).values()];
}

/** The objects that hold a state, in order; what travels in the manifest itself is none. */
export function stateObjects(state: StateHandle): ObjectHandle[] {
  if (state.kind === "operator") return [];
  return state.pieces.flatMap(({ content }) => (content instanceof Uint8Array ? [] : [content]));
}
