/**
 * The rows of one key group in one table, or, where namespaces lie apart, those of one namespace in it: some in memory,
 * all others in the store.
 *
 * Owns: where a row lies, moving it from the store into memory and back. Does not own: which rows leave memory, and
 * when (row-cache.ts), what a cursor sees (cursor.ts).
 *
 * - UV1 A row in memory is newer than the one of the same name in the store, or equal to it.
 * - UV2 Rows in memory lie in buckets by their order, those in the store in one order with them. So a part of a shelf,
 *   from one place to another, is read as a few buckets and one range, and what leaves memory is written side by side:
 *   64 rows of a part change some four pages of the store, where as many rows of anywhere change 64.
 */
import { ABSENT, type Namespace } from "../contract.ts";
import type { Key } from "../descriptor.ts";
import { Row } from "./row.ts";
import { compareRows, ORDER_END } from "./row-order.ts";
import type { RowKeyWriter } from "./store/row-key.ts";
import { orderInKey } from "./store/row-key.ts";
import type { RowStore } from "./store/row-store.ts";
import { changedIn, namesOf, valueIn } from "./store/row-value.ts";

const ROWS_AT_A_TIME = 128;
const PARTS_BITS = 6;
const BUCKETS_MIN_BITS = 2;
const BUCKETS_MAX_BITS = 22;
/** A bucket holds so many rows on average, or less: each further one is memory to wait for. */
const ROWS_PER_BUCKET = 1;

/** A row of a part, wherever it lies. */
export interface FoundRow {
  readonly order: number;
  readonly key: Key;
  readonly namespace: Namespace;
  readonly value: unknown;
  /** Where it lies in memory. */
  readonly row: Row | undefined;
}

export class Shelf {
  /** Where it lies in the store; no other shelf of the store ever has it. */
  readonly number: number;
  /** Among the groups of the subtask. */
  readonly group: number;
  /** That of all its rows, where namespaces lie apart. */
  readonly namespace: Namespace;
  /** The number of the cut since which it is there. */
  readonly bornAt: number;
  /** How many rows there are. */
  live = 0;
  /** How many rows are in memory, those that were removed included. */
  cached = 0;
  /** How many rows the store has, those that were removed since included. */
  stored = 0;
  /** How many open cursors read it that was removed as a whole; undefined: it was not. */
  readers: number | undefined = undefined;
  /** The number of the cut since which it has been changed. */
  changedAt: number;
  /** The same of what was written into the store, by parts of the shelf. */
  private readonly writtenAt = new Int32Array(1 << PARTS_BITS).fill(-1);
  private readonly store: RowStore;
  private readonly keys: RowKeyWriter;
  private buckets: (Row | undefined)[] = new Array(1 << BUCKETS_MIN_BITS).fill(undefined);
  private bits = BUCKETS_MIN_BITS;

  constructor(
    place: {
      readonly number: number;
      readonly group: number;
      readonly namespace: Namespace;
      readonly bornAt: number;
    },
    store: RowStore,
    keys: RowKeyWriter,
  ) {
    this.number = place.number;
    this.group = place.group;
    this.namespace = place.namespace;
    this.bornAt = place.bornAt;
    this.changedAt = place.bornAt;
    this.store = store;
    this.keys = keys;
  }

  /** The row in memory. */
  find(order: number, key: Key, namespace: Namespace): Row | undefined {
    let row = this.buckets[order >>> (32 - this.bits)];
    while (row !== undefined) {
      if (row.order === order && isSame(row.key, key) && isSame(row.namespace, namespace)) return row;
      row = row.next;
    }
    return undefined;
  }

  /** The row in the store, now in memory too. It is not there yet. undefined: the store has none. */
  load(order: number, key: Key, namespace: Namespace): Row | undefined {
    if (this.stored === 0) return undefined;
    const address = this.keys.write(this.number, order, key, namespace);
    const bytes = this.store.get(address);
    if (bytes === undefined) return undefined;
    const row = new Row(order, key, namespace, valueIn(address, bytes), changedIn(bytes), true);
    this.add(row);
    return row;
  }

  /** What the row holds, wherever it lies, where it is not to come into memory. ABSENT: there is none. */
  peek(order: number, key: Key, namespace: Namespace): unknown {
    const row = this.find(order, key, namespace);
    if (row !== undefined) return row.value;
    if (this.stored === 0) return ABSENT;
    const address = this.keys.write(this.number, order, key, namespace);
    const bytes = this.store.get(address);
    return bytes === undefined ? ABSENT : valueIn(address, bytes);
  }

  add(row: Row): void {
    if (this.cached >= ROWS_PER_BUCKET << this.bits && this.bits < BUCKETS_MAX_BITS) this.grow();
    const at = row.order >>> (32 - this.bits);
    row.next = this.buckets[at];
    this.buckets[at] = row;
    this.cached++;
  }

  /** The row is in memory no more. */
  unlink(row: Row): void {
    const at = row.order >>> (32 - this.bits);
    let before = this.buckets[at];
    if (before === row) this.buckets[at] = row.next;
    else {
      while (before!.next !== row) before = before!.next;
      before!.next = row.next;
    }
    row.next = undefined;
    this.cached--;
  }

  /** Forgets all rows in memory. */
  clear(): void {
    this.bits = BUCKETS_MIN_BITS;
    this.buckets = new Array(1 << BUCKETS_MIN_BITS).fill(undefined);
    this.cached = 0;
  }

  /** How many there may be to look at: rows, and what is left of others. */
  get most(): number {
    return this.cached + this.stored;
  }

  /** The end of a part that begins at `from` and has about so many rows. */
  endOfPart(from: number, rows: number): number {
    const span = Math.ceil((ORDER_END * rows) / Math.max(this.most, 1));
    return Math.min(ORDER_END, from + Math.max(span, 1));
  }

  /** The rows in memory from one place to another, in no order within a bucket. */
  cachedIn(from: number, to: number): Row[] {
    const rows: Row[] = [];
    if (this.cached === 0) return rows;
    const shift = 32 - this.bits;
    const last = (to - 1) >>> shift;
    for (let at = from >>> shift; at <= last; at++) {
      for (let row = this.buckets[at]; row !== undefined; row = row.next) {
        const place = row.order >>> 0;
        if (place >= from && place < to) rows.push(row);
      }
    }
    return rows;
  }

  /** The row is written into the store. */
  written({ order, changed }: Row): void {
    const part = order >>> (32 - PARTS_BITS);
    if (this.writtenAt[part]! < changed) this.writtenAt[part] = changed;
  }

  /** Whether the store may have a row from one place to another that has changed since the cut. */
  hasWritten(from: number, to: number, since: number): boolean {
    const last = (to - 1) >>> (32 - PARTS_BITS);
    for (let part = from >>> (32 - PARTS_BITS); part <= last; part++) {
      if (this.writtenAt[part]! >= since) return true;
    }
    return false;
  }

  /**
   * Gives the rows in the store from one place to another that are not in memory.
   * @param wanted says by the number of the cut since which it has been changed whether a row is wanted
   */
  storedIn(
    from: number,
    to: number,
    wanted: (changed: number) => boolean,
    take: (found: FoundRow) => void,
  ): void {
    if (this.stored === 0) return;
    const { keys, number } = this;
    this.store.range(
      keys.bound(0, number, from),
      keys.bound(1, number, to),
      Number.POSITIVE_INFINITY,
      (address, bytes) => {
        if (!wanted(changedIn(bytes))) return;
        const order = orderInKey(address);
        const { key, namespace } = namesOf(address, bytes);
        if (this.find(order, key, namespace) !== undefined) return;
        take({ order, key, namespace, value: valueIn(address, bytes), row: undefined });
      },
    );
  }

  /** The rows from one place to another, without those that were removed. */
  rowsIn(from: number, to: number): FoundRow[] {
    const found: FoundRow[] = [];
    for (const row of this.cachedIn(from, to)) {
      const { order, key, namespace, value } = row;
      if (value !== ABSENT) found.push({ order, key, namespace, value, row });
    }
    this.storedIn(from, to, isAny, (row) => found.push(row));
    return found;
  }

  /**
   * All rows in order. Some are looked up at a time, and again if a row has changed since.
   * @param changes another number after each change
   */
  *inOrder(changes: () => number): Generator<FoundRow, void, undefined> {
    for (let from = 0; from < ORDER_END && this.readers === undefined; ) {
      const to = this.endOfPart(from, ROWS_AT_A_TIME);
      const found = this.rowsIn(from, to).sort(compareRows);
      const before = changes();
      for (const row of found) {
        const value = changes() === before ? row.value : this.peek(row.order, row.key, row.namespace);
        if (value !== ABSENT && this.readers === undefined) yield { ...row, value };
      }
      from = to;
    }
  }

  private grow(): void {
    const before = this.buckets;
    this.bits++;
    this.buckets = new Array(1 << this.bits).fill(undefined);
    const shift = 32 - this.bits;
    for (let row of before) {
      while (row !== undefined) {
        const next: Row | undefined = row.next;
        const at = row.order >>> shift;
        row.next = this.buckets[at];
        this.buckets[at] = row;
        row = next;
      }
    }
  }
}

const isAny = (): boolean => true;

/** Whether two names are the same to a Map. */
function isSame(a: Key | Namespace, b: Key | Namespace): boolean {
  // biome-ignore lint/suspicious/noSelfCompare: NaN, faster than Number.isNaN of any type.
  return a === b || (a !== a && b !== b);
}
