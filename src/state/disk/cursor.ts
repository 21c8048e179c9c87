/**
 * The walk over one table on disk at a cut: gives its rows in chunks while rows change and move.
 *
 * Owns: which rows belong to the cut, and what they held then (DQ2, DQ3 of table.ts). Does not own: the live rows, the
 * bytes of a chunk (snapshot/chunk.ts).
 */
import { OperatorError } from "../../errors.ts";
import { ABSENT, type EncodedChunk, type Namespace, type SnapshotCursor } from "../contract.ts";
import type { Key } from "../descriptor.ts";
import { type ChunkGroup, encodeChunk } from "../snapshot/chunk.ts";
import type { ColumnEncoder } from "../snapshot/columns.ts";
import type { Row } from "./row.ts";
import { ORDER_END } from "./row-order.ts";
import { lookClosely } from "./row-value.ts";
import type { Shelf } from "./shelf.ts";

/** A chunk is cut so that it has about this size and takes well under a millisecond. */
const CHUNK_BYTES = 32_768;
const CHUNK_ENTRIES_MIN = 16;
const CHUNK_ENTRIES_FIRST = 256;
const CHUNK_ENTRIES_MAX = 512;

interface DiskCursorOptions {
  readonly operator: string;
  readonly state: string;
  readonly firstKeyGroup: number;
  readonly groups: number;
  readonly cut: number;
  readonly columns: ColumnEncoder;
  /** The shelves that a group has now. */
  readonly shelvesOf: (group: number) => readonly Shelf[];
  /** The cursor does not need a shelf any more that it was told of by `keepShelf`. */
  readonly passed: (shelf: Shelf) => void;
  readonly closed: (cursor: DiskCursor) => void;
}

/** What a row held at the cut that has changed since. */
interface KeptRow {
  readonly key: Key;
  readonly namespace: Namespace;
  readonly value: unknown;
  readonly isPlain: boolean;
}

interface Collected {
  readonly groups: ChunkGroup[];
  readonly keys: Key[];
  readonly namespaces: Namespace[];
  readonly values: unknown[];
}

export class DiskCursor implements SnapshotCursor {
  readonly base = undefined;
  /** The rows that it has given, and their size. */
  entries = 0;
  bytes = 0;
  private readonly options: DiskCursorOptions;
  private readonly kept = new Map<Shelf, KeptRow[]>();
  /** Shelves that were dropped since the cut. */
  private readonly dropped = new Set<Shelf>();
  private open = true;
  private group = 0;
  /** Those of the current group at the cut; undefined until its walk has begun. */
  private shelves: readonly Shelf[] | undefined = undefined;
  /** The next one of them, and the next place there. */
  private index = 0;
  private order = 0;
  private entriesMax = CHUNK_ENTRIES_FIRST;

  constructor(options: DiskCursorOptions) {
    this.options = options;
  }

  /** The row is about to change. */
  keep(shelf: Shelf, { key, namespace, value, order, changed, isPlain }: Row): void {
    if (changed >= this.options.cut || value === ABSENT || !this.needs(shelf, order >>> 0)) return;
    const rows = this.kept.get(shelf);
    const row = { key, namespace: namespace ?? shelf.namespace, value, isPlain };
    if (rows === undefined) this.kept.set(shelf, [row]);
    else rows.push(row);
  }

  /** The shelf is dropped. true: the cursor needs it. */
  keepShelf(shelf: Shelf): boolean {
    if (!this.needs(shelf, ORDER_END - 1) && !this.kept.has(shelf)) return false;
    this.dropped.add(shelf);
    return true;
  }

  seek(): boolean {
    return false;
  }

  next(): EncodedChunk | undefined {
    if (!this.open) return undefined;
    const collected = this.collect();
    if (collected.keys.length === 0) {
      this.close();
      return undefined;
    }
    const chunk = this.storing(() => encodeChunk(collected, this.options.columns));
    this.entries += chunk.entries;
    this.bytes += chunk.bytes.byteLength;
    const entriesWanted = Math.floor((CHUNK_BYTES * chunk.entries) / chunk.bytes.byteLength);
    this.entriesMax = Math.min(CHUNK_ENTRIES_MAX, Math.max(CHUNK_ENTRIES_MIN, entriesWanted));
    return chunk;
  }

  cancel(): void {
    this.close();
  }

  private close(): void {
    if (!this.open) return;
    this.open = false;
    this.shelves = undefined;
    this.kept.clear();
    for (const shelf of this.dropped) this.options.passed(shelf);
    this.dropped.clear();
    this.options.closed(this);
  }

  /** Whether the row at this place of the shelf is still to be given. */
  private needs(shelf: Shelf, order: number): boolean {
    if (shelf.bornAt >= this.options.cut || shelf.group < this.group) return false;
    if (shelf.group > this.group || this.shelves === undefined) return true;
    const index = this.shelves.indexOf(shelf);
    return index > this.index || (index === this.index && order >= this.order);
  }

  /** Whole groups while they fit, or as much of one as fits (CH2 of chunk.ts). */
  private collect(): Collected {
    const { groups, firstKeyGroup } = this.options;
    const collected: Collected = { groups: [], keys: [], namespaces: [], values: [] };
    const { keys } = collected;
    for (; this.group < groups; this.group++) {
      const begun = this.shelves !== undefined;
      if (!begun && !this.begin(keys.length)) break;
      const before = keys.length;
      this.collectGroup(this.shelves!, collected);
      const entries = keys.length - before;
      if (entries > 0) collected.groups.push({ keyGroup: firstKeyGroup + this.group, entries });
      if (this.index < this.shelves!.length) break;
      this.shelves = undefined;
      this.index = 0;
      if (begun && entries > 0) {
        this.group++;
        break;
      }
    }
    return collected;
  }

  /** Begins with the current group. false: it does not fit beside so many rows. */
  private begin(rows: number): boolean {
    const { shelvesOf, cut } = this.options;
    const shelves = [...shelvesOf(this.group), ...this.dropped].filter(
      ({ group, bornAt }) => group === this.group && bornAt < cut,
    );
    const most = shelves.reduce((sum, shelf) => sum + shelf.most + (this.kept.get(shelf)?.length ?? 0), 0);
    if (rows > 0 && rows + most > this.entriesMax) return false;
    this.shelves = shelves;
    return true;
  }

  private collectGroup(shelves: readonly Shelf[], collected: Collected): void {
    while (this.index < shelves.length && collected.keys.length < this.entriesMax) {
      const shelf = shelves[this.index]!;
      if (this.order < ORDER_END) this.collectPart(shelf, collected);
      if (this.order < ORDER_END || !this.collectKept(shelf, collected)) continue;
      this.index++;
      this.order = 0;
      if (this.dropped.delete(shelf)) this.options.passed(shelf);
    }
  }

  private collectPart(shelf: Shelf, collected: Collected): void {
    const { cut } = this.options;
    const { keys, namespaces, values } = collected;
    const wanted = Math.max(CHUNK_ENTRIES_MIN, this.entriesMax - keys.length);
    const to = shelf.endOfPart(this.order, wanted);
    for (const row of shelf.cachedIn(this.order, to)) {
      if (row.changed >= cut || row.value === ABSENT) continue;
      if (!row.isPlain) this.storing(() => lookClosely(row.key, row.value));
      row.isPlain = true;
      keys.push(row.key);
      namespaces.push(row.namespace ?? shelf.namespace);
      values.push(row.value);
    }
    const isOfCut = (changed: number): boolean => changed < cut;
    shelf.storedIn(this.order, to, isOfCut, ({ key, namespace, value }) => {
      keys.push(key);
      namespaces.push(namespace ?? shelf.namespace);
      values.push(value);
    });
    this.order = to;
  }

  /** true: there are no more of the shelf. */
  private collectKept(shelf: Shelf, { keys, namespaces, values }: Collected): boolean {
    const rows = this.kept.get(shelf);
    if (rows === undefined) return true;
    while (rows.length > 0 && keys.length < this.entriesMax) {
      const { key, namespace, value, isPlain } = rows.pop()!;
      if (!isPlain) this.storing(() => lookClosely(key, value));
      keys.push(key);
      namespaces.push(namespace);
      values.push(value);
    }
    if (rows.length > 0) return false;
    this.kept.delete(shelf);
    return true;
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
