/**
 * Keyed state in the heap: one Map per key group and state, and snapshots of it that stop nothing.
 *
 * Owns: the entries of one operator's keyed states in one subtask, their copy-on-write while a cursor reads a cut,
 * and putting them back. Does not own: which key a record has (chain.ts), the bytes of a chunk (snapshot.ts).
 *
 * - H1 Taking a cut does not depend on the number of keys: it raises a number and makes a cursor.
 * - H2 A cursor gives exactly the keys and values at its cut, whatever is set or cleared meanwhile.
 * - H3 Entries of the cut come before all later ones in their Map: they keep their place until they are settled, and
 *   a Map appends what is new. So the first entry born after the cut ends the walk of its key group, and a cursor ends
 *   however fast new keys arrive.
 * - H4 An entry that is cleared before it was written leaves the Map and waits in the cursor. A Map never holds
 *   anything but live entries, so a cancelled cursor leaves nothing behind but a few `old` values, which the next one
 *   drops.
 * - H5 At most one cursor per state is open.
 *
 * Values are replaced, not mutated: a value changed in place would be changed in the cut too.
 */
import { InvariantError, invariant, OperatorError } from "../errors.ts";
import { ColumnEncoder } from "./columns.ts";
import type { Key, StateDescriptors, StateHandles, ValueState } from "./descriptor.ts";
import { type KeyGroupRange, keyGroupOf, rangesIntersect } from "./key-groups.ts";
import { ownKey } from "./own-key.ts";
import {
  type ChunkGroup,
  corrupt,
  type EncodedChunk,
  encodeChunk,
  readChunkHeader,
  readChunkKeys,
  readChunkValues,
  type SnapshotBytes,
  type SnapshotCursor,
  type StateRestorer,
} from "./snapshot.ts";

/** A chunk is cut so that it has about this size and takes well under a millisecond. */
const CHUNK_BYTES = 32_768;
const CHUNK_ENTRIES_MIN = 16;
const CHUNK_ENTRIES_FIRST = 256;
const CHUNK_ENTRIES_MAX = 1024;

class Entry {
  readonly key: Key;
  value: unknown;
  /** Number of the cut after which `value` was last set. */
  changedAfter: number;
  /** The last cut that needs nothing from this entry any more: it is written there, or was born later. */
  settledAt: number;
  /** The value at the running cut, if `changedAfter` says that it has changed and `settledAt` that it is needed. */
  old: unknown;

  constructor(key: Key, value: unknown, cut: number) {
    this.key = key;
    this.value = value;
    this.changedAfter = cut;
    this.settledAt = cut;
    this.old = undefined;
  }
}

type Group = Map<Key, Entry>;

export interface HeapKeyedStateOptions {
  /** For error messages. */
  readonly operator: string;
  readonly descriptors: StateDescriptors;
  readonly keyGroups: KeyGroupRange;
  readonly maxParallelism: number;
}

export interface NamedCursor {
  readonly state: string;
  readonly cursor: SnapshotCursor;
}

/** All keyed states of one operator in one subtask. */
export class HeapKeyedState {
  /** What the user's function works with: always the values of the current key. */
  readonly handles: StateHandles<StateDescriptors>;
  private readonly operator: string;
  private readonly maxParallelism: number;
  private readonly keyGroups: KeyGroupRange;
  private readonly groupCount: number;
  private readonly states: readonly HeapValueState<unknown>[];

  constructor(options: HeapKeyedStateOptions) {
    const { operator, descriptors, keyGroups, maxParallelism } = options;
    this.operator = operator;
    this.maxParallelism = maxParallelism;
    this.keyGroups = keyGroups;
    this.groupCount = keyGroups.last - keyGroups.first + 1;
    const handles: Record<string, HeapValueState<unknown>> = {};
    for (const [name, descriptor] of Object.entries(descriptors)) {
      handles[name] = new HeapValueState({
        operator,
        name,
        initial: descriptor.initial,
        keyGroups,
        maxParallelism,
      });
    }
    this.handles = handles;
    this.states = Object.values(handles);
  }

  get stateNames(): string[] {
    return this.states.map((state) => state.name);
  }

  /** @throws ConfigurationError for a key of a type that cannot be one */
  setCurrentKey(key: Key): void {
    const group = keyGroupOf(key, this.maxParallelism) - this.keyGroups.first;
    if (group < 0 || group >= this.groupCount) this.refuseForeign(key);
    const states = this.states;
    for (let i = 0; i < states.length; i++) states[i]!.select(key, group);
  }

  /** One cursor for each state, all of the same moment. */
  snapshot(): NamedCursor[] {
    return this.states.map((state) => ({ state: state.name, cursor: state.snapshot() }));
  }

  restorer(state: string, source: SnapshotBytes): StateRestorer {
    const target = this.states.find((candidate) => candidate.name === state);
    invariant(target !== undefined, `operator "${this.operator}" has no state "${state}"`);
    return target.restorer(source);
  }

  /**
   * Every key that holds a value in any state, once. The keys of a group are listed when it is reached, so the caller may
   * set and clear the values of a key that it was given.
   */
  *keys(): Generator<Key, void, undefined> {
    for (let group = 0; group < this.groupCount; group++) {
      const keys = new Set<Key>();
      for (const state of this.states) state.addKeys(group, keys);
      yield* keys;
    }
  }

  private refuseForeign(key: Key): never {
    throw new InvariantError(
      `broken invariant: operator "${this.operator}" got key ${String(key)} of key group ` +
        `${keyGroupOf(key, this.maxParallelism)} but holds ${this.keyGroups.first} to ${this.keyGroups.last}`,
    );
  }
}

interface HeapValueStateOptions<T> {
  readonly operator: string;
  readonly name: string;
  readonly initial: T;
  readonly keyGroups: KeyGroupRange;
  readonly maxParallelism: number;
}

/** One named state: users see `ValueState`, the rest is for `HeapKeyedState`. */
class HeapValueState<T> implements ValueState<T> {
  readonly name: string;
  /** Remembers the shapes of values from one snapshot to the next. */
  private readonly columns = new ColumnEncoder();
  private readonly operator: string;
  private readonly initial: T;
  private readonly keyGroups: KeyGroupRange;
  private readonly maxParallelism: number;
  private readonly groups: readonly Group[];
  /** How many cuts were taken. */
  private cut = 0;
  private cursor: HeapCursor | undefined = undefined;
  private key: Key = "";
  private group = -1;
  /** Of the current key, once it was looked up. */
  private entry: Entry | undefined = undefined;
  private lookedUp = false;

  constructor(options: HeapValueStateOptions<T>) {
    this.name = options.name;
    this.operator = options.operator;
    this.initial = options.initial;
    this.keyGroups = options.keyGroups;
    this.maxParallelism = options.maxParallelism;
    const groupCount = options.keyGroups.last - options.keyGroups.first + 1;
    this.groups = Array.from({ length: groupCount }, () => new Map<Key, Entry>());
  }

  select(key: Key, group: number): void {
    this.key = key;
    this.group = group;
    this.lookedUp = false;
  }

  get(): T {
    const entry = this.lookedUp ? this.entry : this.lookUp();
    return entry === undefined ? this.initial : (entry.value as T);
  }

  set(value: T): void {
    const entry = this.lookedUp ? this.entry : this.lookUp();
    const cut = this.cut;
    if (entry === undefined) {
      const key = ownKey(this.key);
      this.entry = new Entry(key, value, cut);
      this.groups[this.group]!.set(key, this.entry);
      return;
    }
    if (entry.changedAfter !== cut) {
      if (this.cursor !== undefined && entry.settledAt !== cut) entry.old = entry.value;
      entry.changedAfter = cut;
    }
    entry.value = value;
  }

  clear(): void {
    const entry = this.lookedUp ? this.entry : this.lookUp();
    if (entry === undefined) return;
    this.groups[this.group]!.delete(entry.key);
    this.entry = undefined;
    if (this.cursor === undefined || entry.settledAt === this.cut) return;
    this.cursor.keep(this.group, entry);
  }

  snapshot(): SnapshotCursor {
    invariant(
      this.cursor === undefined,
      `state "${this.name}" of "${this.operator}" was cut while a cursor is open`,
    );
    this.cut++;
    const cursor = new HeapCursor({
      operator: this.operator,
      state: this.name,
      firstKeyGroup: this.keyGroups.first,
      groups: this.groups,
      cut: this.cut,
      columns: this.columns,
      closed: () => {
        this.cursor = undefined;
      },
    });
    this.cursor = cursor;
    return cursor;
  }

  restorer(source: SnapshotBytes): StateRestorer {
    invariant(
      this.cut === 0,
      `state "${this.name}" of "${this.operator}" is restored after a cut was taken of it`,
    );
    return new HeapRestorer({
      source,
      keyGroups: this.keyGroups,
      maxParallelism: this.maxParallelism,
      groups: this.groups,
    });
  }

  addKeys(group: number, keys: Set<Key>): void {
    for (const key of this.groups[group]!.keys()) keys.add(key);
  }

  private lookUp(): Entry | undefined {
    const group = this.groups[this.group];
    if (group === undefined) this.refuseWithoutKey();
    this.lookedUp = true;
    this.entry = group.get(this.key);
    return this.entry;
  }

  private refuseWithoutKey(): never {
    throw new InvariantError(
      `broken invariant: state "${this.name}" of "${this.operator}" was used before any record`,
    );
  }
}

interface HeapCursorOptions {
  readonly operator: string;
  readonly state: string;
  readonly firstKeyGroup: number;
  readonly groups: readonly Group[];
  readonly cut: number;
  readonly columns: ColumnEncoder;
  readonly closed: () => void;
}

class HeapCursor implements SnapshotCursor {
  private readonly options: HeapCursorOptions;
  /** Entries of the cut that were cleared before they were written, by group (H4). */
  private readonly cleared = new Map<number, Entry[]>();
  private open = true;
  private group = 0;
  /** Walk of the current group; undefined until it has begun. */
  private walk: Iterator<Entry> | undefined = undefined;
  private entriesMax = CHUNK_ENTRIES_FIRST;

  constructor(options: HeapCursorOptions) {
    this.options = options;
  }

  keep(group: number, entry: Entry): void {
    const list = this.cleared.get(group);
    if (list === undefined) this.cleared.set(group, [entry]);
    else list.push(entry);
  }

  next(): EncodedChunk | undefined {
    if (!this.open) return undefined;
    const keys: Key[] = [];
    const values: unknown[] = [];
    const groups = this.collect(keys, values);
    if (groups.length === 0) {
      this.cancel();
      return undefined;
    }
    const chunk = this.encode(keys, values, groups);
    const entriesWanted = Math.floor((CHUNK_BYTES * chunk.entries) / chunk.bytes.byteLength);
    this.entriesMax = Math.min(CHUNK_ENTRIES_MAX, Math.max(CHUNK_ENTRIES_MIN, entriesWanted));
    return chunk;
  }

  cancel(): void {
    if (!this.open) return;
    this.open = false;
    this.walk = undefined;
    this.cleared.clear();
    this.options.closed();
  }

  /** Whole groups while they fit, or as much of one as fits (F2). */
  private collect(keys: Key[], values: unknown[]): ChunkGroup[] {
    const { groups, firstKeyGroup } = this.options;
    const collected: ChunkGroup[] = [];
    for (; this.group < groups.length; this.group++) {
      const group = groups[this.group]!;
      const begun = this.walk !== undefined;
      if (this.walk === undefined) {
        const size = group.size + (this.cleared.get(this.group)?.length ?? 0);
        if (size === 0) continue;
        if (keys.length > 0 && keys.length + size > this.entriesMax) break;
        this.walk = group.values();
      }
      const before = keys.length;
      const ended = this.collectGroup(this.walk, keys, values);
      const entries = keys.length - before;
      if (entries > 0) collected.push({ keyGroup: firstKeyGroup + this.group, entries });
      if (!ended) break;
      this.walk = undefined;
      if (begun && entries > 0) {
        this.group++;
        break;
      }
    }
    return collected;
  }

  /** false: the chunk is full before the group has ended. */
  private collectGroup(walk: Iterator<Entry>, keys: Key[], values: unknown[]): boolean {
    const cut = this.options.cut;
    for (;;) {
      if (keys.length >= this.entriesMax) return false;
      const step = walk.next();
      if (step.done === true) break;
      const entry = step.value;
      if (entry.settledAt === cut) break;
      keys.push(entry.key);
      values.push(entry.changedAfter === cut ? entry.old : entry.value);
      entry.settledAt = cut;
      entry.old = undefined;
    }
    const cleared = this.cleared.get(this.group);
    while (cleared !== undefined && cleared.length > 0) {
      if (keys.length >= this.entriesMax) return false;
      const entry = cleared.pop()!;
      keys.push(entry.key);
      values.push(entry.changedAfter === cut ? entry.old : entry.value);
    }
    return true;
  }

  private encode(
    keys: readonly Key[],
    values: readonly unknown[],
    groups: readonly ChunkGroup[],
  ): EncodedChunk {
    try {
      return encodeChunk(keys, values, groups, this.options.columns);
    } catch (error) {
      const { operator, state } = this.options;
      throw new OperatorError(
        operator,
        new Error(`state "${state}" holds a value that cannot be stored`, { cause: error }),
      );
    }
  }
}

interface HeapRestorerOptions {
  readonly source: SnapshotBytes;
  readonly keyGroups: KeyGroupRange;
  readonly maxParallelism: number;
  readonly groups: readonly Group[];
}

class HeapRestorer implements StateRestorer {
  private readonly options: HeapRestorerOptions;
  private at = 0;

  constructor(options: HeapRestorerOptions) {
    this.options = options;
  }

  next(): boolean {
    const { source, keyGroups, maxParallelism } = this.options;
    if (this.at < source.bytes.byteLength) {
      const header = readChunkHeader(source, this.at);
      const { groups } = header;
      const held = { first: groups[0]!.keyGroup, last: groups[groups.length - 1]!.keyGroup };
      if (held.last >= maxParallelism) {
        throw corrupt(source, this.at, `it holds key group ${held.last} of a job that has ${maxParallelism}`);
      }
      if (rangesIntersect(held, keyGroups)) {
        this.take(groups, readChunkKeys(source, header), readChunkValues(source, header));
      }
      this.at = header.end;
    }
    return this.at < source.bytes.byteLength;
  }

  private take(groups: readonly ChunkGroup[], keys: readonly Key[], values: readonly unknown[]): void {
    const { source, keyGroups, maxParallelism } = this.options;
    let next = 0;
    for (const { keyGroup, entries } of groups) {
      const end = next + entries;
      const target = this.options.groups[keyGroup - keyGroups.first];
      if (target !== undefined) {
        // One key stands for all: other key groups mean another maxParallelism or another hash.
        const key = keys[next]!;
        if (keyGroupOf(key, maxParallelism) !== keyGroup) {
          throw corrupt(
            source,
            this.at,
            `key ${String(key)} is not of key group ${keyGroup} of ${maxParallelism}`,
          );
        }
        for (let i = next; i < end; i++) target.set(keys[i]!, new Entry(keys[i]!, values[i], 0));
      }
      next = end;
    }
  }
}
