/**
 * A block: some of the rows of one key group, side by side, each at a place that follows from its hash.
 *
 * Owns: the memory of rows, and the place of each: open addressing with linear probing. Does not own: which rows it
 * gets (row-group.ts, directory.ts), which values fit (layout.ts), when a block is copied (row-group.ts).
 *
 * At most four of five places are taken. A place that becomes empty is filled from behind, so there are no tombstones.
 * The hash of a row and its numbers lie at the same index: a look-up need not read one to know where the other is.
 */
import type { Namespace } from "../contract.ts";
import type { Key } from "../descriptor.ts";
import { FITS, FITS_WITH_OBJECTS, type Fit, MISFIT, type Numbers } from "../shape-code.ts";
import { isSuspect, Layout } from "./layout.ts";
import { spread } from "./row-hash.ts";

/** A block is what is copied when a row changes while a cut is open: about 30 KB, some 5 µs. */
export const PLACES_MAX = 1 << 10;
export const PLACES_MIN = 4;
/** The bits of a hash that pick the place are those above. */
const BITS_BELOW = 10;
/** The hash at a place without a row. */
const NOTHING = 0;

/** Says in `misfits` that the row lies in the columns. */
const FITTING: unique symbol = Symbol("fitting");

/** Where a block belongs: it has the rows whose hash has the `pattern` in the lowest `depth` bits of its entry. */
export interface BlockHome {
  /** Among the blocks of its key group. */
  readonly index: number;
  readonly depth: number;
  readonly pattern: number;
}

export class Block implements BlockHome {
  readonly index: number;
  readonly depth: number;
  readonly pattern: number;
  /** The number of the cut since which it has been changed, or found to be needed by no cursor. */
  cut: number;
  layout: Layout;
  /** How many places there are: a power of two. */
  readonly places: number;
  private readonly last: number;
  count = 0;
  /** Of the rows, by place; NOTHING: there is none. */
  hashes: Int32Array;
  /** The hash of each row is its key, in the fixed namespace: where the hashes are equal, the rows are the same. */
  hasOwnHashes = true;
  keys: (Key | undefined)[];
  /** undefined: all rows are of the fixed namespace. */
  namespaces: Namespace[] | undefined = undefined;
  /** Row by row, so that a row is in one cache line. */
  numbers: Numbers;
  others: unknown[];
  /** Values that do not fit the layout, at their place; undefined: there is none. */
  misfits: unknown[] | undefined = undefined;
  /** Bytes other than 0: rows of which something has not been looked at closely since it was set. */
  suspects: Uint8Array | undefined = undefined;

  /** `like`: its rows are in the block as well. */
  constructor(layout: Layout, cut: number, home: BlockHome, places: number, like?: Block) {
    this.index = home.index;
    this.depth = home.depth;
    this.pattern = home.pattern;
    this.cut = cut;
    this.layout = layout;
    this.places = places;
    this.last = places - 1;
    this.hashes = like === undefined ? new Int32Array(places) : like.hashes.slice();
    this.keys = like === undefined ? filled(places, undefined) : like.keys.slice();
    this.numbers = like === undefined ? layout.numbersFor(places) : like.numbers.slice();
    this.others = like === undefined ? filled(places * layout.othersWidth, undefined) : like.others.slice();
  }

  copy(cut: number): Block {
    const copy = new Block(this.layout, cut, this, this.places, this);
    copy.count = this.count;
    copy.hasOwnHashes = this.hasOwnHashes;
    copy.namespaces = this.namespaces?.slice();
    copy.misfits = this.misfits?.slice();
    copy.suspects = this.suspects?.slice();
    return copy;
  }

  /** Is there room for one more row? */
  get hasRoom(): boolean {
    return (this.count + 1) * 5 <= this.places * 4;
  }

  isTaken(at: number): boolean {
    return this.hashes[at] !== NOTHING;
  }

  /** The place of a row; -1: there is none. `bits`: of the hash (`spread`). */
  find(hash: number, bits: number, key: Key, namespace: Namespace): number {
    const { hashes, last } = this;
    for (let at = (bits >>> BITS_BELOW) & last; ; at = (at + 1) & last) {
      const found = hashes[at];
      if (found === hash && this.isOf(at, key, namespace)) return at;
      if (found === NOTHING) return -1;
    }
  }

  /** The same, where the hash is the key, and all rows have such hashes. */
  findOwn(hash: number, bits: number): number {
    const { hashes, last } = this;
    let at = (bits >>> BITS_BELOW) & last;
    while (hashes[at] !== hash) {
      if (hashes[at] === NOTHING) return -1;
      at = (at + 1) & last;
    }
    return at;
  }

  /** Answers the place of a row that is new here, and whose value is to be written. There is room. */
  add(hash: number, key: Key, namespace: Namespace): number {
    const { hashes, last } = this;
    let at = (spread(hash) >>> BITS_BELOW) & last;
    while (hashes[at] !== NOTHING) at = (at + 1) & last;
    hashes[at] = hash;
    this.keys[at] = key;
    if (hash !== key || namespace !== undefined) this.hasOwnHashes = false;
    if (namespace !== undefined) this.namespaces ??= filled(this.places, undefined);
    if (this.namespaces !== undefined) this.namespaces[at] = namespace;
    this.count++;
    return at;
  }

  /** Rows behind it that could lie at its place move. */
  remove(at: number): void {
    const { hashes, last } = this;
    let hole = at;
    for (let next = (hole + 1) & last; hashes[next] !== NOTHING; next = (next + 1) & last) {
      const wanted = (spread(hashes[next]!) >>> BITS_BELOW) & last;
      // It may not move in front of the place that its hash asks for.
      if (((next - wanted) & last) < ((next - hole) & last)) continue;
      hashes[hole] = hashes[next]!;
      this.keys[hole] = this.keys[next];
      if (this.namespaces !== undefined) this.namespaces[hole] = this.namespaces[next];
      this.takeValue(hole, this, next);
      hole = next;
    }
    this.empty(hole);
    this.count--;
  }

  /** Adds the row at a place of another block. */
  addFrom(from: Block, at: number): void {
    this.takeValue(this.add(from.hashes[at]!, from.keys[at]!, from.namespaces?.[at]), from, at);
  }

  read(at: number): unknown {
    return this.misfits === undefined
      ? this.layout.make(this.numbers, this.others, at)
      : this.readAmongMisfits(this.misfits, at);
  }

  /** `trusted`: it is not searched for what it hides (LY2 of layout.ts). */
  write(at: number, value: unknown, trusted: boolean): void {
    if (trusted || this.layout.isOpen(value)) this.writeTrusted(at, value);
    else this.settle(at, value, MISFIT, false);
  }

  writeTrusted(at: number, value: unknown): void {
    const fit = this.layout.take(this.numbers, this.others, at, value);
    if (fit !== FITS || this.misfits !== undefined) this.settle(at, value, fit, true);
  }

  /** Do all of the rows at these places lie in the columns? */
  fits(places: readonly number[]): boolean {
    const { misfits } = this;
    return misfits === undefined || places.every((at) => misfits[at] === FITTING);
  }

  /** More than half of the rows do not fit. */
  get isMisfit(): boolean {
    if (this.misfits === undefined) return false;
    return this.misfits.filter((value) => value !== FITTING).length * 2 > this.count;
  }

  private readAmongMisfits(misfits: readonly unknown[], at: number): unknown {
    return misfits[at] === FITTING ? this.layout.make(this.numbers, this.others, at) : misfits[at];
  }

  private isOf(at: number, key: Key, namespace: Namespace): boolean {
    const { namespaces } = this;
    if (!isSame(this.keys[at], key)) return false;
    return namespaces === undefined ? namespace === undefined : isSame(namespaces[at], namespace);
  }

  private takeValue(at: number, from: Block, fromAt: number): void {
    const { layout, misfits } = this;
    if (from.layout !== layout || misfits !== undefined || from.misfits !== undefined) {
      this.write(at, from.read(fromAt), false);
    } else {
      const { numbersWidth, othersWidth } = layout;
      for (let i = 0; i < numbersWidth; i++) {
        this.numbers[at * numbersWidth + i] = from.numbers[fromAt * numbersWidth + i]!;
      }
      for (let i = 0; i < othersWidth; i++) {
        this.others[at * othersWidth + i] = from.others[fromAt * othersWidth + i];
      }
    }
    if (from.suspects !== undefined && from.suspects[fromAt] !== 0) this.suspect(at);
    else if (this.suspects !== undefined) this.suspects[at] = 0;
  }

  private empty(at: number): void {
    this.hashes[at] = NOTHING;
    this.keys[at] = undefined;
    if (this.namespaces !== undefined) this.namespaces[at] = undefined;
    if (this.misfits !== undefined) this.misfits[at] = FITTING;
    this.forgetOthers(at);
    if (this.suspects !== undefined) this.suspects[at] = 0;
  }

  private settle(at: number, value: unknown, fit: Fit, trusted: boolean): void {
    if (fit === MISFIT) {
      const { wider } = this.layout;
      if (wider?.fits(value, trusted) === true) {
        this.layout = wider;
        const numbers = wider.numbersFor(this.places);
        numbers.set(this.numbers);
        this.numbers = numbers;
        this.write(at, value, true);
      } else this.putMisfit(at, value);
      return;
    }
    if (this.misfits !== undefined) this.misfits[at] = FITTING;
    if (fit === FITS_WITH_OBJECTS) this.suspect(at);
  }

  private putMisfit(at: number, value: unknown): void {
    this.misfits ??= filled(this.places, FITTING);
    this.misfits[at] = value;
    // What the columns hold there now has no meaning, and must not be kept alive.
    this.forgetOthers(at);
    if (isSuspect(value)) this.suspect(at);
  }

  private forgetOthers(at: number): void {
    const { othersWidth } = this.layout;
    this.others.fill(undefined, at * othersWidth, (at + 1) * othersWidth);
  }

  /** The row is to be looked at closely before it is stored. */
  private suspect(at: number): void {
    this.suspects ??= new Uint8Array(this.places);
    this.suspects[at] = 1;
  }
}

/** The block of a key group without rows: it is never written. */
export const NO_ROWS = new Block(new Layout("objects", [], []), 0, { index: 0, depth: 0, pattern: 0 }, 1);

function filled<T>(length: number, value: T): T[] {
  return new Array<T>(length).fill(value);
}

/** Whether two keys are the same to a Map. */
function isSame(a: Key | undefined, b: Key | undefined): boolean {
  // biome-ignore lint/suspicious/noSelfCompare: NaN, faster than Number.isNaN of any type.
  return a === b || (a !== a && b !== b);
}
