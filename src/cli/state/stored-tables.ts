/**
 * The keyed state of an operator as it lies in a manifest, restored a few key groups at a time.
 *
 * Owns: in which portions state is read, so that it need not fit into memory. Does not own: how rows are restored
 * (state/heap/), what they mean (lines.ts).
 *
 * - YR1 Pieces are restored in their order, into tables that begin empty: so rows are what a subtask would have, also
 *   where a later piece changes or deletes rows of an earlier one.
 */
import type { KeyedStateHandle, KeyGroupRange, ObjectHandle } from "../../../machines/protocol.ts";
import type { StateTable, TableOptions } from "../../state/contract.ts";
import { HeapBackend } from "../../state/heap/backend.ts";
import { rangesIntersect } from "../../state/key-groups.ts";

/** Encoded; as rows they take some times as much. */
const PORTION_BYTES = 8 * 1024 * 1024;
const CACHED_BYTES_MAX = 64 * 1024 * 1024;

export type ReadObject = (object: ObjectHandle) => Promise<Uint8Array>;

/** A table to read: all of its handles, of whatever subtasks. */
export interface TableToRead {
  readonly state: string;
  readonly handles: readonly KeyedStateHandle[];
  readonly options?: TableOptions;
}

export interface TablesOptions {
  readonly operator: string;
  readonly maxParallelism: number;
  readonly read: ReadObject;
  /** Default: all. */
  readonly keyGroups?: KeyGroupRange;
}

/** Some key groups of the tables. The next portion lets them go. */
export interface Portion {
  readonly backend: HeapBackend;
  /** In the order in which they were asked for. */
  readonly tables: readonly StateTable[];
}

/** @throws ObjectMissingError, ObjectCorruptError, StorageStalledError */
export async function* portionsOf(
  tables: readonly TableToRead[],
  { operator, maxParallelism, read, keyGroups = { first: 0, last: maxParallelism - 1 } }: TablesOptions,
): AsyncGenerator<Portion, void, undefined> {
  const cached = withCache(read);
  for (const range of rangesOf(tables, keyGroups)) {
    const backend = new HeapBackend({ operator, keyGroups: range, maxParallelism });
    const open = tables.map(({ state, options }) => backend.openTable(state, options));
    for (const { state, handles } of tables)
      for (const { pieces } of handles)
        for (const { content, segments } of pieces) {
          const wanted = segments.filter((segment) => rangesIntersect(segment.keyGroups, range));
          if (wanted.length === 0) continue;
          const isInline = content instanceof Uint8Array;
          const bytes = isInline ? content : await cached(content);
          const object = isInline ? `state of ${operator} in the manifest` : content.name;
          for (const { offset, bytes: length } of wanted) {
            const source = { object, bytes: bytes.subarray(offset, offset + length) };
            const restorer = backend.restorer(state, source);
            while (restorer.next());
          }
        }
    yield { backend, tables: open };
    backend.close();
  }
}

/** Ranges that follow each other. A segment that lies in two of them is small, and is read twice. */
function rangesOf(tables: readonly TableToRead[], within: KeyGroupRange): KeyGroupRange[] {
  const segments = tables
    .flatMap(({ handles }) => handles.flatMap(({ pieces }) => pieces.flatMap((piece) => piece.segments)))
    .filter(({ keyGroups }) => rangesIntersect(keyGroups, within))
    .sort((a, b) => a.keyGroups.first - b.keyGroups.first);
  if (segments.length === 0) return [];
  const ranges: KeyGroupRange[] = [];
  let bytes = 0;
  let first = within.first;
  for (const segment of segments) {
    if (bytes >= PORTION_BYTES && segment.keyGroups.first > first) {
      ranges.push({ first, last: segment.keyGroups.first - 1 });
      first = segment.keyGroups.first;
      bytes = 0;
    }
    bytes += segment.bytes;
  }
  return [...ranges, { first, last: within.last }];
}

/** Objects are read whole, and one may hold the key groups of several portions. */
function withCache(read: ReadObject): ReadObject {
  const known = new Map<string, Uint8Array>();
  let held = 0;
  return async (object) => {
    const found = known.get(object.name);
    if (found !== undefined) return found;
    const bytes = await read(object);
    known.set(object.name, bytes);
    held += bytes.byteLength;
    for (const [name, old] of known) {
      if (held <= CACHED_BYTES_MAX || name === object.name) break;
      known.delete(name);
      held -= old.byteLength;
    }
    return bytes;
  };
}
