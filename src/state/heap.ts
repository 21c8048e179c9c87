/**
 * Keyed state in the heap: one Map per key group and state, and snapshots of it that stop nothing.
 *
 * Owns: the entries of one operator's keyed states in one subtask, their copy-on-write while a cursor reads a cut,
 * and putting them back. Does not own: which key a record has (chain.ts), the walk of a cursor (heap-cursor.ts), the bytes of a
 * chunk (snapshot.ts).
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
import { describeValue } from "./described.ts";
import type { Key, StateDescriptors, StateHandles, ValueState } from "./descriptor.ts";
import { holdsBytes, settle } from "./frozen.ts";
import { Entry, type Group, HeapCursor } from "./heap-cursor.ts";
import { type KeyGroupRange, keyGroupOf, rangesIntersect } from "./key-groups.ts";
import { ownKey } from "./own-key.ts";
import { refuseValue } from "./plain-value.ts";
import {
  type ChunkGroup,
  corrupt,
  readChunkHeader,
  readChunkKeys,
  readChunkValues,
  type SnapshotBytes,
  type SnapshotCursor,
  type StateRestorer,
} from "./snapshot.ts";

export interface HeapKeyedStateOptions {
  /** For error messages. */
  readonly operator: string;
  readonly descriptors: StateDescriptors;
  readonly keyGroups: KeyGroupRange;
  readonly maxParallelism: number;
  /** What is set is looked at closely, and frozen. Default false. */
  readonly checks?: boolean;
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
    const { operator, descriptors, keyGroups, maxParallelism, checks = false } = options;
    this.operator = operator;
    this.maxParallelism = maxParallelism;
    this.keyGroups = keyGroups;
    this.groupCount = keyGroups.last - keyGroups.first + 1;
    const handles: Record<string, HeapValueState<unknown>> = Object.create(null);
    for (const [name, descriptor] of Object.entries(descriptors)) {
      handles[name] = new HeapValueState({
        operator,
        name,
        initial: descriptor.initial,
        keyGroups,
        maxParallelism,
        checks,
      });
    }
    this.handles = handles;
    this.states = Object.values(handles);
  }

  get stateNames(): string[] {
    return this.states.map((state) => state.name);
  }

  /** The states that were read or set for the current key, and hold an object. For messages. */
  get statesInUse(): string[] {
    return this.states.filter((state) => state.holdsObject).map((state) => state.name);
  }

  /** @throws ConfigurationError for a key of a type that cannot be one, OperatorError for one of another subtask */
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

  /** The sender has picked this subtask by the same selector: it must have answered another key there. */
  private refuseForeign(key: Key): never {
    throw new OperatorError(
      this.operator,
      new Error(
        `its keyBy answers ${describeValue(key)} here, and answered another key where the record came from. A key must ` +
          "follow from the record alone: no random numbers, no clock, nothing that differs from one worker to the next",
      ),
    );
  }
}

interface HeapValueStateOptions<T> {
  readonly operator: string;
  readonly name: string;
  readonly initial: T;
  readonly keyGroups: KeyGroupRange;
  readonly maxParallelism: number;
  readonly checks: boolean;
}

/** One named state: users see `ValueState`, the rest is for `HeapKeyedState`. */
class HeapValueState<T> implements ValueState<T> {
  readonly name: string;
  /** Remembers the shapes of values from one snapshot to the next. */
  private readonly columns = new ColumnEncoder();
  private readonly operator: string;
  private readonly initial: T;
  private readonly initialIsCopied: boolean;
  private readonly checks: boolean;
  private readonly keyGroups: KeyGroupRange;
  private readonly maxParallelism: number;
  private readonly groups: readonly Group[];
  /** How many cuts were taken. */
  private cut = 0;
  /** The last cut that was read to its end. */
  private provenCut = 0;
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
    this.initialIsCopied = holdsBytes(options.initial);
    this.checks = options.checks;
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
    if (entry !== undefined) return entry.value as T;
    return this.initialIsCopied ? structuredClone(this.initial) : this.initial;
  }

  set(value: T): void {
    if (this.checks && !settle(value)) refuseValue(value, `what is set as state "${this.name}"`);
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

  get holdsObject(): boolean {
    if (!this.lookedUp) return false;
    const value: unknown = this.entry === undefined ? this.initial : this.entry.value;
    return typeof value === "object" && value !== null;
  }

  snapshot(): SnapshotCursor {
    invariant(
      this.cursor === undefined,
      `state "${this.name}" of "${this.operator}" was cut while a cursor is open`,
    );
    const cut = ++this.cut;
    const cursor = new HeapCursor({
      operator: this.operator,
      state: this.name,
      firstKeyGroup: this.keyGroups.first,
      groups: this.groups,
      cut,
      provenCut: this.provenCut,
      columns: this.columns,
      closed: (whole) => {
        this.cursor = undefined;
        if (whole) this.provenCut = cut;
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
