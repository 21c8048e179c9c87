/**
 * Savepoints: snapshots that depend on nothing else, kept where their user wants them.
 *
 * Owns: what a savepoint is on disk, writing one from a manifest, reading one, copying what a manifest names from one
 * storage to another. Does not own: when one is taken (machines/leader/checkpoints/checkpointing.ts), whether it fits a
 * job (restore-plan).
 *
 * SP1  A savepoint names only objects of its own: also what pending transactions have staged is copied (P15).
 * SP2  Its metadata is written last, under a name that holds its digest: what can be found is complete and unchanged.
 *
 * A location is `<root>/<name>`. The root is a directory (a path or a file: URL), `nats:<bucket>`, a JetStream object
 * store, or `s3://<bucket>/<prefix>`. Below the name: `metadata.<sha256>` and the numbered objects.
 */
import { isAbsolute } from "node:path";
import { fileURLToPath } from "node:url";
import type {
  Manifest,
  ObjectHandle,
  SavepointMetadata,
  StateHandle,
  StatePiece,
} from "../../machines/protocol.ts";
import { ConfigurationError, ObjectCorruptError, ObjectMissingError } from "../errors.ts";
import { encodeSavepoint, parseSavepoint } from "../formats/savepoint-metadata.ts";
import { digestText, newDigest } from "./content.ts";
import { type CheckpointStorage, listAll, neededObjects } from "./storage.ts";

/**
 * Opens the storage behind a root. Only `make` makes the directory or the bucket.
 * @throws ConfigurationError for what is no root, EnvironmentError, also when there is no directory to `find`
 */
export type OpenStorage = (root: string, access: "find" | "make") => Promise<CheckpointStorage>;

const METADATA = "metadata.";
const OURS = /^(metadata\.[0-9a-f]{64}|\d+)$/;
const GIVEN_NAME = /-savepoint-\d+-[0-9a-f]{8}$/;

export function savepointLocation(
  root: string,
  of: { readonly job: string; readonly incarnation: string; readonly checkpointId: number },
): string {
  return `${root.replace(/\/+$/, "")}/${of.job}-savepoint-${of.checkpointId}-${of.incarnation.slice(0, 8)}`;
}

export type SavepointRoot =
  | { readonly bucket: string }
  | { readonly directory: string }
  /** "s3://bucket/prefix" */
  | { readonly location: string };

/** No part of the prefix is empty or leads elsewhere. */
const S3_ROOT = /^s3:\/\/[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](\/(?!\.{1,2}(\/|$))[^/]+)*$/;

/** The longest path that a system takes, and no more than a record may hold of it. */
const ROOT_CHARS_MAX = 1024;

/** @throws ConfigurationError for what is no root */
export function parseRoot(root: string): SavepointRoot {
  if (root.length > ROOT_CHARS_MAX || root.includes("\0"))
    throw new ConfigurationError(
      "savepoint",
      `"${root.slice(0, 80)}…" is no place: it has ${root.length} characters, at most ${ROOT_CHARS_MAX} are taken, and none of them is NUL`,
    );
  if (root.startsWith("nats:")) {
    const bucket = root.slice("nats:".length);
    if (/^[A-Za-z0-9_-]+$/.test(bucket)) return { bucket };
    throw new ConfigurationError("savepoint", `"${root}": "${bucket}" cannot be the name of a bucket`);
  }
  if (root.startsWith("s3:")) {
    if (S3_ROOT.test(root)) return { location: root };
    throw new ConfigurationError(
      "savepoint",
      `"${root}" is no place on an S3 server: write s3://bucket/prefix`,
    );
  }
  const directory = root.startsWith("file:") ? pathOf(root) : root;
  if (isAbsolute(directory)) return { directory };
  throw new ConfigurationError(
    "savepoint",
    `"${root}" is neither nats:<bucket>, s3://<bucket>/<prefix> nor an absolute path: coordinator and client may run in different directories`,
  );
}

function pathOf(url: string): string {
  try {
    return fileURLToPath(url);
  } catch (cause) {
    throw new ConfigurationError("savepoint", `"${url}" names no directory of this machine`, { cause });
  }
}

/** @throws ConfigurationError */
export function splitLocation(location: string): { readonly root: string; readonly name: string } {
  const trimmed = location.replace(/\/+$/, "");
  const at = trimmed.lastIndexOf("/");
  if (at < 1 || trimmed[at + 1] === ".")
    throw new ConfigurationError(
      "savepoint",
      `"${location}" is no savepoint: give the location that "tidemark savepoint" printed, such as ` +
        "/var/savepoints/word-count-savepoint-12-0a1b2c3d or nats:SAVEPOINTS/word-count-savepoint-12-0a1b2c3d",
    );
  return { root: trimmed.slice(0, at), name: trimmed.slice(at + 1) };
}

/** Copies what `manifest` names; the answer names the copies. `nameOf` gets a running number. */
export async function copyManifest(
  manifest: Manifest,
  from: CheckpointStorage,
  to: CheckpointStorage,
  nameOf: (part: number) => string,
  signal: AbortSignal,
): Promise<Manifest> {
  let part = 0;
  const copies = new Map<string, ObjectHandle>();
  const copy = async (object: ObjectHandle): Promise<ObjectHandle> => {
    const known = copies.get(object.name);
    if (known !== undefined) return known;
    const handle = await to.put(nameOf(part++), [await from.get(object)], signal);
    copies.set(object.name, handle);
    return handle;
  };
  const copyAll = async (objects: readonly ObjectHandle[]) => {
    const handles: ObjectHandle[] = [];
    for (const object of objects) handles.push(await copy(object));
    return handles;
  };
  const copyState = async (state: StateHandle): Promise<StateHandle> => {
    if (state.kind === "operator") return state;
    const pieces: StatePiece[] = [];
    for (const piece of state.pieces) {
      const { content } = piece;
      pieces.push(content instanceof Uint8Array ? piece : { ...piece, content: await copy(content) });
    }
    return { ...state, pieces };
  };
  const subtasks = [];
  for (const snapshot of manifest.subtasks) {
    const states = [];
    for (const state of snapshot.states) states.push(await copyState(state));
    const transactions = [];
    for (const transaction of snapshot.transactions)
      transactions.push({ ...transaction, staged: await copyAll(transaction.staged) });
    const channels = [];
    for (const channel of snapshot.channels)
      channels.push({ ...channel, object: channel.object === null ? null : await copy(channel.object) });
    subtasks.push({ ...snapshot, states, channels, transactions });
  }
  return { ...manifest, subtasks };
}

/**
 * Writes a savepoint, and answers how many bytes it takes.
 * @param prove when everything is copied, and before the metadata makes it complete: it is not written if this throws
 */
export async function writeSavepoint(
  metadata: SavepointMetadata,
  from: CheckpointStorage,
  to: CheckpointStorage,
  signal: AbortSignal,
  prove: () => Promise<void> = async () => {},
): Promise<number> {
  const nameOf = (part: number) => savepointObject(metadata.location, part);
  const manifest = await copyManifest(metadata.manifest, from, to, nameOf, signal);
  return completeSavepoint({ ...metadata, manifest }, to, signal, prove);
}

/** The name of an object of a savepoint. `part`: a running number. */
export const savepointObject = (location: string, part: number): string =>
  `${splitLocation(location).name}/${part}`;

/** Makes a savepoint complete whose objects are there (SP2), and answers how many bytes it takes. */
export async function completeSavepoint(
  metadata: SavepointMetadata,
  to: CheckpointStorage,
  signal: AbortSignal,
  prove: () => Promise<void> = async () => {},
): Promise<number> {
  const content = encodeSavepoint(metadata);
  await prove();
  const hex = digestText(newDigest().update(content)).slice("sha256:".length);
  await to.put(`${splitLocation(metadata.location).name}/${METADATA}${hex}`, [content], signal);
  return content.length + bytesOf(metadata.manifest);
}

/** @throws ObjectMissingError, ObjectCorruptError, ConfigurationError when a newer version wrote it */
export async function readSavepoint(
  location: string,
  storage: CheckpointStorage,
): Promise<SavepointMetadata> {
  const { name } = splitLocation(location);
  for await (const object of storage.list(`${name}/${METADATA}`)) {
    const digest = `sha256:${object.name.slice(`${name}/${METADATA}`.length)}`;
    const metadata = parseSavepoint(await storage.get({ ...object, digest }), location, object.name);
    assertOwnObjects(metadata.manifest, location, object.name);
    return metadata;
  }
  throw new ObjectMissingError(
    location,
    `there is no savepoint at ${location}: ${storage.description} holds no metadata of that name`,
  );
}

/** @throws ObjectCorruptError when it names what is another savepoint's, or a job's (SP1) */
function assertOwnObjects({ subtasks }: Manifest, location: string, object: string): void {
  const { name } = splitLocation(location);
  const foreign = subtasks.flatMap(neededObjects).find((each) => !each.name.startsWith(`${name}/`));
  if (foreign === undefined) return;
  throw new ObjectCorruptError(
    object,
    `the metadata of ${location} names the object "${foreign.name}", which is none of this savepoint's: a savepoint ` +
      "keeps its name",
  );
}

/** Whether it has metadata and every object that this names. What is damaged counts as complete: it was, once. */
export async function isCompleteSavepoint(location: string, storage: CheckpointStorage): Promise<boolean> {
  const names = new Set<string>();
  for await (const { name } of storage.list(`${splitLocation(location).name}/`)) names.add(name);
  try {
    const { manifest } = await readSavepoint(location, storage);
    return manifest.subtasks.flatMap(neededObjects).every(({ name }) => names.has(name));
  } catch (error) {
    if (error instanceof ObjectMissingError) return false;
    if (error instanceof ObjectCorruptError || error instanceof ConfigurationError) return true;
    throw error;
  }
}

/**
 * Deletes a savepoint, its metadata first: half of one is none. What is not named as ours stays, and so does everything
 * where neither metadata nor the name says that this was a savepoint. Answers how many objects there were.
 */
export async function disposeSavepoint(location: string, storage: CheckpointStorage): Promise<number> {
  const names = await savepointObjects(location, storage);
  for (const each of names) await storage.delete(each);
  return names.length;
}

/** The names of a savepoint's objects, its metadata first; none where nothing says that this was a savepoint. */
export async function savepointObjects(location: string, storage: CheckpointStorage): Promise<string[]> {
  const { name } = splitLocation(location);
  const names: string[] = [];
  for (const object of await listAll(storage, `${name}/`))
    if (OURS.test(object.name.slice(name.length + 1))) names.push(object.name);
  if (!GIVEN_NAME.test(name) && !names.some((each) => each.includes(METADATA))) return [];
  return names.sort((a, b) => Number(b.includes(METADATA)) - Number(a.includes(METADATA)));
}

function bytesOf(manifest: Manifest): number {
  return manifest.subtasks.flatMap(neededObjects).reduce((sum, object) => sum + object.bytes, 0);
}
