/**
 * The memory that all disk backends of a process share for their rows.
 *
 * Owns: how many rows may be in memory, and which ones leave it; how much of it others may have. Does not own: where
 * rows lie (shelf.ts), which entries of orders leave memory (order/paged-order.ts).
 *
 * - MQ1 A row that was changed is written when it leaves memory, and not before: what fits is never written.
 * - MQ2 A hand goes round all shelves, each from its first row to its last. A row that was used since it passed stays
 *   until it comes again; the others leave, some at a time, each time that there is no room (UV2 of shelf.ts).
 * - MQ3 The row that a table has in hand stays.
 * - MQ4 What lies in memory beside rows counts as so many rows. It may have half of the memory.
 */
import { ABSENT } from "../contract.ts";
import type { Row } from "./row.ts";
import { ORDER_END } from "./row-order.ts";
import type { Shelf } from "./shelf.ts";

/** So many rows leave at a time: well under a millisecond, and the cost of a transaction is shared. */
const ROWS_AT_A_TIME = 64;
/** So many are passed in one go; then some leave although they were used. */
const PASSED_MAX = 1024;
/** The first writes, and then one in so many, measure their value; the mean is about that of so many of these. */
const MEASURED_CLOSELY = 64;
const MEASURED_EVERY = 64;
const MEAN_OF = 64;
/** What a row takes beside its key and value: the object, its place in a bucket. */
const ROW_BYTES = 112;

/** What the cache needs to know of a table. */
export interface CachedTable {
  /** The row that it has in hand. */
  readonly held: Row | undefined;
  /** Writes rows of the shelf into the store, and removes there those that were removed, in one transaction. */
  writeOut(shelf: Shelf, rows: readonly Row[]): void;
}

interface Member {
  readonly table: CachedTable;
  readonly shelf: Shelf;
}

/** One of both. */
export interface RowCacheLimit {
  readonly bytesMax?: number;
  readonly rowsMax?: number;
}

export class RowCache {
  /** Rows that are in memory now. */
  rows = 0;
  /** What is in memory beside them. */
  private beside = 0;
  private rowsMax: number;
  private readonly bytesMax: number | undefined;
  private untilMeasured = 1;
  private measured = 0;
  /** The mean size of a row in memory, of those that were measured lately. */
  private rowBytes = 2 * ROW_BYTES;
  private members: Member[] = [];
  private readonly places = new Map<Shelf, Member>();
  private hand = 0;
  /** The place on the shelf that the hand is at. */
  private order = 0;

  constructor({ bytesMax, rowsMax }: RowCacheLimit) {
    this.bytesMax = bytesMax;
    this.rowsMax = rowsMax ?? Math.floor(bytesMax! / this.rowBytes);
  }

  join(table: CachedTable, shelf: Shelf): void {
    const member = { table, shelf };
    this.members.push(member);
    this.places.set(shelf, member);
  }

  /** The rows of the shelf are not to be written any more. */
  leave(shelf: Shelf): void {
    const member = this.places.get(shelf);
    if (member === undefined) return;
    this.places.delete(shelf);
    this.rows -= shelf.cached;
    shelf.clear();
    if (this.places.size * 2 < this.members.length) this.forgetGone();
  }

  /** A row has come into memory, or a value has been replaced. */
  measure(row: Row): void {
    if (--this.untilMeasured > 0) return;
    this.untilMeasured = ++this.measured < MEASURED_CLOSELY ? 1 : MEASURED_EVERY;
    if (this.bytesMax === undefined) return;
    const bytes = ROW_BYTES + sizeOf(row.key, 0) + sizeOf(row.value, 0);
    this.rowBytes += (bytes - this.rowBytes) / Math.min(this.measured, MEAN_OF);
    this.rowsMax = Math.max(1, Math.floor(this.bytesMax / this.rowBytes));
  }

  /** A row has come into memory. */
  added(row: Row): void {
    this.rows++;
    this.measure(row);
    if (this.rows + this.beside > this.rowsMax) this.makeRoom();
  }

  /** As much as so many rows has come into memory beside them. true: there is more than may be. */
  addBeside(count = 1): boolean {
    this.beside += count;
    if (this.beside > this.besideMax) return true;
    if (this.rows > 0 && this.rows + this.beside > this.rowsMax) this.makeRoom();
    return false;
  }

  removeBeside(count: number): void {
    this.beside -= count;
  }

  /** How much may be in memory beside rows, counted as rows. At least 1. */
  get besideMax(): number {
    return Math.max(1, this.rowsMax >> 1);
  }

  /** A row is in memory no more, because it was removed. */
  removed(): void {
    this.rows--;
  }

  private makeRoom(): void {
    let left = ROWS_AT_A_TIME;
    let passes = PASSED_MAX;
    // Twice around: the second time nothing counts as used.
    for (let turns = this.members.length * 2 + 2; left > 0 && turns > 0; ) {
      const member = this.members[this.hand];
      if (member === undefined) {
        this.hand = 0;
        this.order = 0;
        turns--;
        continue;
      }
      const { shelf } = member;
      if (!this.places.has(shelf) || shelf.cached === 0 || this.order >= ORDER_END) {
        this.hand++;
        this.order = 0;
        turns--;
        continue;
      }
      const before = shelf.cached;
      passes -= this.pass(member, left, passes <= 0);
      left -= before - shelf.cached;
    }
  }

  /** Passes some rows of the shelf. Answers how many. */
  private pass({ table, shelf }: Member, most: number, isLate: boolean): number {
    const to = Math.min(ORDER_END, this.order + Math.ceil((ORDER_END * most) / shelf.cached));
    const passed = shelf.cachedIn(this.order, to);
    const leaving: Row[] = [];
    const dirty: Row[] = [];
    for (const row of passed) {
      if (row === table.held) continue;
      if (row.isUsed && !isLate) {
        row.isUsed = false;
        continue;
      }
      leaving.push(row);
      if (row.isDirty) dirty.push(row);
    }
    if (dirty.length > 0) table.writeOut(shelf, dirty);
    for (const row of leaving) shelf.unlink(row);
    this.rows -= leaving.length;
    this.order = to;
    return passed.length;
  }

  private forgetGone(): void {
    this.members = this.members.filter(({ shelf }) => this.places.has(shelf));
    this.hand = 0;
    this.order = 0;
  }
}

const DEPTH_MAX = 4;
const LOOKED_AT_MAX = 16;

/** About how much memory a value takes. Of what is large, a part stands for all of it. */
function sizeOf(value: unknown, depth: number): number {
  switch (typeof value) {
    case "number":
      return 16;
    case "string":
      return 24 + value.length;
    case "object":
      break;
    default:
      return value === ABSENT ? 0 : 16;
  }
  if (value === null) return 0;
  if (ArrayBuffer.isView(value)) return 120 + value.byteLength;
  const fields: unknown[] = value instanceof Map || value instanceof Set ? [...value] : Object.values(value);
  if (depth >= DEPTH_MAX) return 32 + 16 * fields.length;
  let bytes = 0;
  const looked = Math.min(fields.length, LOOKED_AT_MAX);
  for (let i = 0; i < looked; i++) bytes += 8 + sizeOf(fields[i], depth + 1);
  return 32 + (looked === 0 ? 0 : (bytes * fields.length) / looked);
}
