/**
 * The walk over one table on disk at a cut: gives its rows, or those that have changed since a base, in chunks while
 * rows change and move.
 *
 * Owns: which rows belong to the cut, and what they held then (DQ2, DQ3 of table.ts). Does not own: the live rows, the
 * bytes of a chunk (snapshot/chunk.ts).
 */
import { ABSENT, type EncodedChunk, type Namespace, type SnapshotCursor } from "../contract.ts";
import type { Key } from "../descriptor.ts";
import type { Removals } from "../heap/removals.ts";
import { type ChunkGroup, encodeChunk } from "../snapshot/chunk.ts";
import type { ColumnEncoder } from "../snapshot/columns.ts";
import type { DepotPlace } from "./depot-place.ts";
import { KeptRows } from "./kept-rows.ts";
import type { Row } from "./row.ts";
import { ORDER_END } from "./row-order.ts";
import type { Shelf } from "./shelf.ts";
import { lookClosely, storing } from "./store/row-value.ts";

/** A chunk is cut so that it has about this size and takes well under a millisecond. */
const CHUNK_BYTES = 32_768;
const CHUNK_ENTRIES_MIN = 16;
const CHUNK_ENTRIES_FIRST = 256;
const CHUNK_ENTRIES_MAX = 512;
const LOOKED_AT_MIN = 128;

export interface DiskCursorOptions {
  readonly operator: string;
  readonly state: string;
  readonly firstKeyGroup: number;
  readonly groups: number;
  readonly cut: number;
  /** The cut since which what is given has changed; undefined: all rows are given. */
  readonly base: number | undefined;
  /** The removals of each group, of which the cut has the first so many. */
  readonly removals: readonly { readonly removals: Removals; readonly count: number }[];
  readonly columns: ColumnEncoder;
  readonly place: DepotPlace;
  /** The shelves that a group has now. */
  readonly shelvesOf: (group: number) => readonly Shelf[];
  /** The cursor does not need a shelf any more that it was told of by `keepShelf`. */
  readonly passed: (shelf: Shelf) => void;
  readonly closed: (cursor: DiskCursor) => void;
}

/** The rows of the next chunk. */
class Collected {
  readonly groups: ChunkGroup[] = [];
  readonly keys: (Key | undefined)[] = [];
  readonly namespaces: Namespace[] = [];
  readonly values: unknown[] = [];
  readonly deleted = new Set<number>();

  add(key: Key, namespace: Namespace, value: unknown): void {
    this.keys.push(key);
    this.namespaces.push(namespace);
    this.values.push(value);
  }

  /** What was added behind the first `before` rows is of this key group. */
  close(keyGroup: number, before: number): void {
    const entries = this.keys.length - before;
    const last = this.groups[this.groups.length - 1];
    if (entries === 0) return;
    if (last?.keyGroup !== keyGroup) this.groups.push({ keyGroup, entries });
    else this.groups[this.groups.length - 1] = { keyGroup, entries: last.entries + entries };
  }
}

export class DiskCursor implements SnapshotCursor {
  readonly base: number | undefined;
  /** The rows that it has given, and their size. */
  entries = 0;
  bytes = 0;
  private readonly options: DiskCursorOptions;
  private readonly kept: KeptRows;
  /** Shelves that were dropped since the cut. */
  private readonly dropped = new Set<Shelf>();
  private collected = new Collected();
  private open = true;
  private group = 0;
  /** The next of the group's removals. */
  private removal = 0;
  /** Those of the current group at the cut; undefined until its walk has begun. */
  private shelves: readonly Shelf[] | undefined = undefined;
  /** The next one of them, and the next place there. */
  private index = 0;
  private order = 0;
  private entriesMax = CHUNK_ENTRIES_FIRST;

  constructor(options: DiskCursorOptions) {
    this.options = options;
    this.base = options.base;
    this.kept = new KeptRows(options.place);
  }

  /** The row is about to change. */
  keep(shelf: Shelf, row: Row): void {
    if (!this.isOfCut(row.changed) || row.value === ABSENT || !this.needs(shelf, row.order >>> 0)) return;
    this.storing(() => this.kept.add(shelf, row));
  }

  /** The shelf is dropped. true: the cursor needs it. */
  keepShelf(shelf: Shelf): boolean {
    if (!this.needs(shelf, ORDER_END - 1) && this.kept.countOf(shelf) === 0) return false;
    this.dropped.add(shelf);
    return true;
  }

  seek(): boolean {
    if (!this.open || this.base === undefined || this.isFull) return false;
    this.step();
    return !this.isFull;
  }

  next(): EncodedChunk | undefined {
    if (!this.open) return undefined;
    const { collected } = this;
    while (!this.isFull) {
      if (!this.step() && collected.keys.length > 0) break;
    }
    if (collected.keys.length === 0) {
      this.close();
      return undefined;
    }
    const chunk = this.storing(() => encodeChunk(collected, this.options.columns));
    this.collected = new Collected();
    this.entries += chunk.entries;
    this.bytes += chunk.bytes.byteLength;
    const entriesWanted = Math.floor((CHUNK_BYTES * chunk.entries) / chunk.bytes.byteLength);
    this.entriesMax = Math.min(CHUNK_ENTRIES_MAX, Math.max(CHUNK_ENTRIES_MIN, entriesWanted));
    return chunk;
  }

  cancel(): void {
    this.close();
  }

  private get isAtEnd(): boolean {
    return this.group >= this.options.groups;
  }

  /** There is a chunk, or nothing more. */
  private get isFull(): boolean {
    return this.isAtEnd || this.collected.keys.length >= this.entriesMax;
  }

  private close(): void {
    if (!this.open) return;
    this.open = false;
    this.shelves = undefined;
    this.kept.close();
    for (const shelf of this.dropped) this.options.passed(shelf);
    this.dropped.clear();
    this.options.closed(this);
  }

  /** Whether a row that has last changed then is to be given as it is, or was. */
  private isOfCut(changed: number): boolean {
    return changed < this.options.cut && changed >= (this.base ?? 0);
  }

  /** Whether the row at this place of the shelf is still to be given. */
  private needs(shelf: Shelf, order: number): boolean {
    if (shelf.bornAt >= this.options.cut || shelf.group < this.group) return false;
    if (shelf.group > this.group || this.shelves === undefined) return true;
    const index = this.shelves.indexOf(shelf);
    return index > this.index || (index === this.index && order >= this.order);
  }

  /** Collects some rows, if there are any where it looks. false: a chunk ends here (CH2 of chunk.ts). */
  private step(): boolean {
    const { collected } = this;
    const before = collected.keys.length;
    const begun = this.shelves !== undefined;
    if (!begun && !this.begin(before)) return false;
    const shelves = this.shelves!;
    if (!this.collectRemovals()) this.collectRows(shelves);
    collected.close(this.options.firstKeyGroup + this.group, before);
    if (this.hasRemovals || this.index < shelves.length) return true;
    this.shelves = undefined;
    this.index = 0;
    this.removal = 0;
    this.group++;
    // What began in another chunk ends one.
    return this.base !== undefined || this.isWhole;
  }

  /** The current chunk began with the key group that it is at. */
  private isWhole = true;

  /** Begins with the current group. false: it does not fit beside so many rows. */
  private begin(rows: number): boolean {
    const { shelvesOf, cut, removals } = this.options;
    const shelves = [...shelvesOf(this.group), ...this.dropped].filter(
      ({ group, bornAt }) => group === this.group && bornAt < cut,
    );
    if (this.base === undefined) {
      const most = shelves.reduce((sum, shelf) => sum + shelf.most + this.kept.countOf(shelf), 0);
      if (rows > 0 && rows + most > this.entriesMax) return false;
      this.isWhole = rows + most <= this.entriesMax;
      this.removal = removals[this.group]!.count;
    } else this.removal = removals[this.group]!.removals.firstSince(this.base);
    this.shelves = shelves;
    return true;
  }

  private get hasRemovals(): boolean {
    return this.shelves !== undefined && this.removal < this.options.removals[this.group]!.count;
  }

  /** They come in front of the rows of their group. false: there are none. */
  private collectRemovals(): boolean {
    if (!this.hasRemovals) return false;
    const { removals, count } = this.options.removals[this.group]!;
    const { keys, namespaces, deleted } = this.collected;
    for (; this.removal < count && keys.length < this.entriesMax; this.removal++) {
      deleted.add(keys.length);
      keys.push(removals.keys[this.removal]);
      namespaces.push(removals.namespaces[this.removal]);
    }
    return true;
  }

  /** Those of one part of a shelf. */
  private collectRows(shelves: readonly Shelf[]): void {
    const shelf = shelves[this.index];
    if (shelf === undefined) return;
    if (this.order < ORDER_END) this.collectPart(shelf);
    if (this.order < ORDER_END || !this.collectKept(shelf)) return;
    this.index++;
    this.order = 0;
    if (this.dropped.delete(shelf)) this.options.passed(shelf);
  }

  private collectPart(shelf: Shelf): void {
    const { collected, base = 0 } = this;
    if (shelf.changedAt < base) {
      this.order = ORDER_END;
      return;
    }
    // Most of them may be older where the cut has a base.
    const least = this.base === undefined ? CHUNK_ENTRIES_MIN : LOOKED_AT_MIN;
    const wanted = Math.max(least, this.entriesMax - collected.keys.length);
    const to = shelf.endOfPart(this.order, wanted);
    for (const row of shelf.cachedIn(this.order, to)) {
      if (!this.isOfCut(row.changed) || row.value === ABSENT) continue;
      if (!row.isPlain) this.storing(() => lookClosely(row.key, row.value));
      row.isPlain = true;
      collected.add(row.key, row.namespace ?? shelf.namespace, row.value);
    }
    if (shelf.hasWritten(this.order, to, base)) {
      const isOfCut = (changed: number): boolean => this.isOfCut(changed);
      shelf.storedIn(this.order, to, isOfCut, ({ key, namespace, value }) =>
        collected.add(key, namespace ?? shelf.namespace, value),
      );
    }
    this.order = to;
  }

  /** true: there are no more of the shelf. */
  private collectKept(shelf: Shelf): boolean {
    const { collected } = this;
    return this.kept.take(
      shelf,
      this.entriesMax - collected.keys.length,
      (key, namespace, value, isPlain) => {
        if (!isPlain) this.storing(() => lookClosely(key, value));
        collected.add(key, namespace, value);
      },
    );
  }

  private storing<T>(act: () => T): T {
    return storing(this.options.operator, this.options.state, act);
  }
}
