/**
 * The walk over one keyed state at a cut: gives its entries in chunks while the live state goes on changing.
 *
 * Owns: which entries belong to the cut, and what they held then (H2 to H4 of heap.ts). Does not own: the live state, the bytes of
 * a chunk (snapshot.ts).
 */
import { OperatorError } from "../errors.ts";
import type { ColumnEncoder } from "./columns.ts";
import type { Key } from "./descriptor.ts";
import { isCarried, refuseValue } from "./plain-value.ts";
import {
  type ChunkGroup,
  type EncodedChunk,
  encodeChunk,
  nameOfValue,
  type SnapshotCursor,
} from "./snapshot.ts";

/** A chunk is cut so that it has about this size and takes well under a millisecond. */
const CHUNK_BYTES = 32_768;
const CHUNK_ENTRIES_MIN = 16;
const CHUNK_ENTRIES_FIRST = 256;
const CHUNK_ENTRIES_MAX = 1024;

export class Entry {
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

export type Group = Map<Key, Entry>;

interface HeapCursorOptions {
  readonly operator: string;
  readonly state: string;
  readonly firstKeyGroup: number;
  readonly groups: readonly Group[];
  readonly cut: number;
  /** What was set before this cut has been found to be plain when an older one was read. */
  readonly provenCut: number;
  readonly columns: ColumnEncoder;
  /** `whole`: all of the cut was read. */
  readonly closed: (whole: boolean) => void;
}

export class HeapCursor implements SnapshotCursor {
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
      this.close(true);
      return undefined;
    }
    const chunk = this.encode(keys, values, groups);
    const entriesWanted = Math.floor((CHUNK_BYTES * chunk.entries) / chunk.bytes.byteLength);
    this.entriesMax = Math.min(CHUNK_ENTRIES_MAX, Math.max(CHUNK_ENTRIES_MIN, entriesWanted));
    return chunk;
  }

  cancel(): void {
    this.close(false);
  }

  private close(whole: boolean): void {
    if (!this.open) return;
    this.open = false;
    this.walk = undefined;
    this.cleared.clear();
    this.options.closed(whole);
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
      values.push(this.valueOf(entry));
      entry.settledAt = cut;
      entry.old = undefined;
    }
    const cleared = this.cleared.get(this.group);
    while (cleared !== undefined && cleared.length > 0) {
      if (keys.length >= this.entriesMax) return false;
      const entry = cleared.pop()!;
      keys.push(entry.key);
      values.push(this.valueOf(entry));
    }
    return true;
  }

  /** At the cut. What has been set since the last one that was read is looked at closely (V2 of plain-value.ts). */
  private valueOf(entry: Entry): unknown {
    const { cut, provenCut } = this.options;
    const value = entry.changedAfter === cut ? entry.old : entry.value;
    if (typeof value === "object" && value !== null && entry.changedAfter >= provenCut && !isCarried(value))
      this.storing(() => refuseValue(value, nameOfValue(entry.key)));
    return value;
  }

  private encode(
    keys: readonly Key[],
    values: readonly unknown[],
    groups: readonly ChunkGroup[],
  ): EncodedChunk {
    return this.storing(() => encodeChunk(keys, values, groups, this.options.columns));
  }

  /** What `act` refuses is a value of the operator's. */
  private storing<T>(act: () => T): T {
    try {
      return act();
    } catch (error) {
      const { operator, state } = this.options;
      const why = error instanceof Error ? `: ${error.message}` : "";
      throw new OperatorError(
        operator,
        new Error(`state "${state}" holds a value that cannot be stored${why}`, { cause: error }),
      );
    }
  }
}
