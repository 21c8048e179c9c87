/**
 * A block: up to ROWS_MAX rows of one key group, side by side.
 *
 * Owns: the memory of rows and its growth. Does not own: which row a key has (row-group.ts), which values fit
 * (layout.ts), when a block is copied (row-group.ts).
 */
import type { Namespace } from "../contract.ts";
import type { Key } from "../descriptor.ts";
import { FITS, FITS_WITH_OBJECTS, type Fit, MISFIT, type Numbers } from "../shape-code.ts";
import { isSuspect, type Layout } from "./layout.ts";

/** A block is what is copied when a row changes while a cut is open: about 30 KB, some 5 µs. */
export const ROWS_SHIFT = 10;
export const ROWS_MAX = 1 << ROWS_SHIFT;
export const ROWS_MASK = ROWS_MAX - 1;
const ROWS_FIRST = 4;

/** Says in `misfits` that the row lies in the columns. */
const FITTING: unique symbol = Symbol("fitting");

export class Block {
  /** Among the blocks of its key group. */
  readonly index: number;
  /** Among the blocks of the table. */
  number = -1;
  /** The number of the cut since which it has been changed, or found to be needed by no cursor. */
  cut: number;
  layout: Layout;
  capacity = 0;
  keys: Key[] = [];
  /** undefined: all rows are of the fixed namespace. */
  namespaces: Namespace[] | undefined = undefined;
  /** Row by row, so that a row is in one cache line. */
  numbers: Numbers;
  others: unknown[] = [];
  /** Values that do not fit the layout, at their row; undefined: there is none. */
  misfits: unknown[] | undefined = undefined;
  /** Bytes other than 0: rows of which something has not been looked at closely since it was set. */
  suspects: Uint8Array | undefined = undefined;

  constructor(layout: Layout, cut: number, index: number) {
    this.index = index;
    this.layout = layout;
    this.cut = cut;
    this.numbers = layout.numbersFor(0);
    this.grow();
  }

  /** Twice as many rows. */
  grow(): void {
    const capacity = this.capacity === 0 ? ROWS_FIRST : this.capacity * 2;
    this.capacity = capacity;
    this.moveNumbers();
    if (this.suspects !== undefined) {
      const suspects = new Uint8Array(capacity);
      suspects.set(this.suspects);
      this.suspects = suspects;
    }
  }

  read(at: number): unknown {
    const { misfits } = this;
    if (misfits !== undefined && misfits[at] !== FITTING) return misfits[at];
    return this.layout.make(this.numbers, this.others, at);
  }

  /** `trusted`: it is not searched for what it hides (LY2 of layout.ts). */
  write(at: number, value: unknown, trusted: boolean): void {
    const { layout } = this;
    const fit = trusted || layout.isOpen(value) ? layout.take(this.numbers, this.others, at, value) : MISFIT;
    if (fit !== FITS || this.misfits !== undefined) this.settle(at, value, fit, trusted);
  }

  /** Lets go of what the last row holds. */
  drop(at: number): void {
    this.keys.length = at;
    if (this.namespaces !== undefined) this.namespaces.length = at;
    if (this.misfits !== undefined) this.misfits.length = at;
    this.others.length = Math.min(this.others.length, at * this.layout.othersWidth);
    if (this.suspects !== undefined) this.suspects[at] = 0;
  }

  /** The row is to be looked at closely before it is stored. */
  suspect(at: number): void {
    this.suspects ??= new Uint8Array(this.capacity);
    this.suspects[at] = 1;
  }

  /** Do all of the rows lie in the columns? */
  fits(from: number, to: number): boolean {
    const { misfits } = this;
    if (misfits !== undefined) for (let i = from; i < to; i++) if (misfits[i] !== FITTING) return false;
    return true;
  }

  /** More than half of the first `rows` do not fit. */
  isMisfit(rows: number): boolean {
    const { misfits } = this;
    if (misfits === undefined) return false;
    let count = 0;
    for (let i = 0; i < rows; i++) if (misfits[i] !== FITTING) count++;
    return count * 2 > rows;
  }

  copy(cut: number): Block {
    const copy = new Block(this.layout, cut, this.index);
    copy.capacity = this.capacity;
    copy.keys = this.keys.slice();
    copy.namespaces = this.namespaces?.slice();
    copy.numbers = this.numbers.slice();
    copy.others = this.others.slice();
    copy.misfits = this.misfits?.slice();
    copy.suspects = this.suspects?.slice();
    return copy;
  }

  private settle(at: number, value: unknown, fit: Fit, trusted: boolean): void {
    if (fit === MISFIT) {
      const { wider } = this.layout;
      if (wider?.fits(value, trusted) === true) {
        this.layout = wider;
        this.moveNumbers();
        this.write(at, value, true);
      } else this.putMisfit(at, value);
      return;
    }
    if (this.misfits !== undefined) this.misfits[at] = FITTING;
    if (fit === FITS_WITH_OBJECTS) this.suspect(at);
  }

  /** Into an array for as many rows as there is room for, and of the layout's type. */
  private moveNumbers(): void {
    if (this.layout.numbersWidth === 0) return;
    const numbers = this.layout.numbersFor(this.capacity);
    numbers.set(this.numbers);
    this.numbers = numbers;
  }

  private putMisfit(at: number, value: unknown): void {
    if (this.misfits === undefined) this.misfits = new Array(this.keys.length).fill(FITTING);
    this.misfits[at] = value;
    // What the columns hold there now has no meaning, and must not be kept alive.
    const { othersWidth } = this.layout;
    for (let i = at * othersWidth; i < (at + 1) * othersWidth; i++) this.others[i] = undefined;
    if (isSuspect(value)) this.suspect(at);
  }
}
