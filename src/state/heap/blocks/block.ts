/**
 * A block: some of the rows of one key group, side by side, each at a place that follows from its hash.
 *
 * Owns: the memory of rows, and the place of each: open addressing with linear probing. Does not own: which rows it
 * gets (row-group.ts, directory.ts), which values fit (layout.ts), when a block is copied (row-group.ts).
 *
 * A row says since which cut it has been changed, and whether it was born since then: a cursor that gives only what has
 * changed finds it by that.
 *
 * At most four of five places are taken. A place that becomes empty is filled from behind, so there are no tombstones.
 * The numbers of a row lie behind its hash, most often in the same cache line: a look-up reads memory once.
 */
import type { Namespace } from "../../contract.ts";
import type { Key } from "../../descriptor.ts";
import { FITS, FITS_WITH_OBJECTS, type Fit, MISFIT, type Numbers } from "../../shape-code.ts";
import { isOwnHash } from "../row-hash.ts";
import { isSuspect, Layout } from "./layout.ts";
import type { SpareMemory } from "./spare-memory.ts";

/** A block is what is copied when a row changes while a cut is open: about 30 KB, some 5 µs. */
export const PLACES_MAX = 1 << 10;
export const PLACES_MIN = 4;
/** The bits of a hash that pick the place are those above. */
const BITS_BELOW = 10;
/** The hash at a place without a row. */
const NOTHING = 0;
/** 16 places have one mark. */
const MARK_SHIFT = 4;
/** Smaller blocks have no marks, and larger ones an even number of them, as their words may be read as 64 bits. */
const MARKED_PLACES_MIN = 1 << 8;

/** V8 takes a constant of the same module for known, and looks an imported one up at each use. */
const FITTED = FITS;

/** Says in `misfits` that the row lies in the columns. */
const FITTING: unique symbol = Symbol("fitting");

/** Where a block belongs: it has the rows whose hash has the `pattern` in the lowest `depth` bits of its entry. */
export interface BlockHome {
  /** That of all its rows, where namespaces lie apart; undefined: it is fixed, or each row has its own. */
  readonly namespace: Namespace;
  /** Among the blocks of its key group. */
  readonly index: number;
  readonly depth: number;
  readonly pattern: number;
}

interface Sharing {
  /** How many there are that were not released. */
  blocks: number;
}

/** What a block gets of the one that it is a copy of, or of spare memory. */
interface Copied {
  readonly words: Int32Array;
  readonly others: unknown[];
  readonly keys: (Key | undefined)[];
  readonly sharing: Sharing;
}

export class Block implements BlockHome {
  readonly namespace: Namespace;
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
  /** How many words each row has (layout.ts). */
  private stride: number;
  /**
   * The first of a row is its hash; NOTHING: there is none. The second is its stamp: twice the number of the cut since
   * which it has been changed, and one more if there was no row before. Behind all rows a larger block has marks: for
   * each 16 places the number of the latest cut since which one of them may have been changed.
   */
  private words: Int32Array;
  /** The hash of each row tells its key, in the fixed namespace: where the hashes are equal, the rows are the same. */
  hasOwnHashes = true;
  keys: (Key | undefined)[];
  /** undefined: all rows are of `namespace`. */
  namespaces: Namespace[] | undefined = undefined;
  /** The words, as what the layout uses. */
  numbers: Numbers;
  others: unknown[];
  /** Values that do not fit the layout, at their place; undefined: there is none. */
  misfits: unknown[] | undefined = undefined;
  /** Bytes other than 0: rows of which something has not been looked at closely since it was set. */
  suspects: Uint8Array | undefined = undefined;
  /**
   * The blocks that have the same `keys` and `namespaces`: a copy shares those of the block that it is a copy of,
   * because all keys are much memory, and most changes are to values. What `add` writes there the other block does not
   * see, since it has no row at that place.
   */
  private sharing: Sharing;

  /** `copied`: its rows are in the block as well. */
  constructor(layout: Layout, cut: number, home: BlockHome, places: number, copied?: Copied) {
    this.namespace = home.namespace;
    this.index = home.index;
    this.depth = home.depth;
    this.pattern = home.pattern;
    this.cut = cut;
    this.layout = layout;
    this.places = places;
    this.last = places - 1;
    this.stride = layout.stride;
    this.words = copied?.words ?? new Int32Array(wordsOf(places, layout.stride));
    this.numbers = layout.numbersIn(this.words);
    this.keys = copied?.keys ?? filled(places, undefined);
    this.sharing = copied?.sharing ?? { blocks: 1 };
    this.others = copied?.others ?? filled(places * layout.othersWidth, undefined);
  }

  /** A block without rows. */
  static first(layout: Layout, cut: number, home: BlockHome, places: number, spares: SpareMemory): Block {
    const words = spares.emptyWords(wordsOf(places, layout.stride));
    const others = spares.emptySlots<unknown>(places * layout.othersWidth);
    const keys = spares.emptySlots<Key>(places);
    return new Block(layout, cut, home, places, { words, others, keys, sharing: { blocks: 1 } });
  }

  copy(cut: number, spares: SpareMemory): Block {
    const words = spares.copyOfWords(this.words);
    const others = spares.copyOfSlots(this.others);
    const { keys, sharing } = this;
    sharing.blocks++;
    const copy = new Block(this.layout, cut, this, this.places, { words, others, keys, sharing });
    copy.count = this.count;
    copy.hasOwnHashes = this.hasOwnHashes;
    copy.namespaces = this.namespaces;
    copy.misfits = this.misfits?.slice();
    copy.suspects = this.suspects?.slice();
    return copy;
  }

  /** Is there room for one more row? */
  get hasRoom(): boolean {
    return hasRoomFor(this.count + 1, this.places);
  }

  isTaken(at: number): boolean {
    return this.words[at * this.stride] !== NOTHING;
  }

  /** NOTHING: there is no row. */
  hashAt(at: number): number {
    return this.words[at * this.stride]!;
  }

  /** The first place from `at` on that has a row changed since the cut; `places`: there is none. */
  nextChanged(at: number, since: number): number {
    const { words, stride, places } = this;
    const marksAt = places < MARKED_PLACES_MIN ? undefined : places * stride;
    for (let place = at; place < places; ) {
      const from = place;
      // The places up to there have one mark.
      place = ((place >>> MARK_SHIFT) + 1) << MARK_SHIFT;
      if (marksAt !== undefined && words[marksAt + (from >>> MARK_SHIFT)]! < since) continue;
      const end = Math.min(place, places) * stride;
      for (let word = from * stride; word < end; word += stride) {
        if (words[word] === NOTHING) continue;
        if (words[word + 1]! >> 1 >= since) return word / stride;
      }
    }
    return places;
  }

  /** No cut has seen the row: it was born since the block's. */
  isUnseen(at: number): boolean {
    return this.words[at * this.stride + 1] === stampOfNew(this.cut);
  }

  namespaceAt(at: number): Namespace {
    return this.namespaces === undefined ? this.namespace : this.namespaces[at];
  }

  /** The place of a row; -1: there is none. `namespace`: undefined where namespaces lie apart. */
  find(hash: number, key: Key, namespace: Namespace): number {
    const { words, stride, last } = this;
    for (let at = (hash >>> BITS_BELOW) & last; ; at = (at + 1) & last) {
      const found = words[at * stride];
      if (found === hash && this.isOf(at, key, namespace)) return at;
      if (found === NOTHING) return -1;
    }
  }

  /** The same, where the hash tells the key, and all rows have such hashes. */
  findOwn(hash: number): number {
    const { words, stride, last } = this;
    for (let at = (hash >>> BITS_BELOW) & last; ; at = (at + 1) & last) {
      const found = words[at * stride];
      if (found === hash) return at;
      if (found === NOTHING) return -1;
    }
  }

  /** Answers the place of a row that is new here, and whose value is to be written. There is room. */
  add(hash: number, key: Key, namespace: Namespace): number {
    const at = this.freePlaceFor(hash);
    this.words[at * this.stride] = hash;
    this.words[at * this.stride + 1] = stampOfNew(this.cut);
    this.mark(at);
    this.keys[at] = key;
    if (this.hasOwnHashes && (namespace !== undefined || !isOwnHash(key, hash))) this.hasOwnHashes = false;
    if (namespace !== undefined) this.namespaces ??= filled(this.places, undefined);
    if (this.namespaces !== undefined) this.namespaces[at] = namespace;
    this.count++;
    return at;
  }

  /** The block is neither read nor changed any more: what no other block uses is spare. Called at most once. */
  release(spares: SpareMemory): void {
    spares.giveWords(this.words);
    spares.giveSlots(this.others);
    if (--this.sharing.blocks > 0) return;
    spares.giveSlots(this.keys);
    if (this.namespaces !== undefined) spares.giveSlots(this.namespaces);
  }

  /** The same for a block that no cut has asked for, unless enough of its kind is spare (XM4). */
  releaseIfWanted(spares: SpareMemory): void {
    if (spares.isWanted(this.words)) this.release(spares);
  }

  /** Rows behind it that could lie at its place move. */
  remove(at: number, spares: SpareMemory): void {
    if (this.sharing.blocks > 1) this.ownNames(spares);
    const { last } = this;
    let hole = at;
    for (let next = (hole + 1) & last; this.isTaken(next); next = (next + 1) & last) {
      const wanted = (this.hashAt(next) >>> BITS_BELOW) & last;
      // It may not move in front of the place that its hash asks for.
      if (((next - wanted) & last) < ((next - hole) & last)) continue;
      this.copyRow(hole, this, next);
      if (this.namespaces !== undefined) this.namespaces[hole] = this.namespaces[next];
      if (this.misfits !== undefined) this.misfits[hole] = this.misfits[next];
      if (this.suspects !== undefined) this.suspects[hole] = this.suspects[next]!;
      hole = next;
    }
    this.empty(hole);
    this.count--;
  }

  /** Adds the row at a place of another block. */
  addFrom(from: Block, fromAt: number): void {
    if (from.layout === this.layout && from.isSimple && this.misfits === undefined) {
      this.copyRow(this.freePlaceFor(from.hashAt(fromAt)), from, fromAt);
      if (!from.hasOwnHashes) this.hasOwnHashes = false;
      this.count++;
    } else this.addAnyFrom(from, fromAt);
  }

  read(at: number): unknown {
    return this.misfits === undefined
      ? this.layout.make(this.numbers, this.others, at)
      : this.readAmongMisfits(this.misfits, at);
  }

  /** `trusted`: it is not searched for what it hides (LY2 of layout.ts). The block is its writer's (row-group.ts). */
  write(at: number, value: unknown, trusted: boolean): void {
    if (trusted || this.layout.isOpen(value)) this.writeTrusted(at, value);
    else {
      this.noteChange(at);
      this.settle(at, value, MISFIT, false);
    }
  }

  writeTrusted(at: number, value: unknown): void {
    this.noteChange(at);
    const fit = this.layout.take(this.numbers, this.others, at, value);
    if (fit !== FITTED || this.misfits !== undefined) this.settle(at, value, fit, true);
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

  private noteChange(at: number): void {
    const { words, cut } = this;
    const place = at * this.stride + 1;
    if (words[place]! >> 1 === cut) return;
    words[place] = cut << 1;
    this.mark(at);
  }

  /** The row at the place has been changed since the block's cut, at the latest. */
  private mark(at: number): void {
    const { places, stride, words, cut } = this;
    if (places >= MARKED_PLACES_MIN) words[places * stride + (at >>> MARK_SHIFT)] = cut;
  }

  private readAmongMisfits(misfits: readonly unknown[], at: number): unknown {
    return misfits[at] === FITTING ? this.layout.make(this.numbers, this.others, at) : misfits[at];
  }

  private isOf(at: number, key: Key, namespace: Namespace): boolean {
    const { namespaces } = this;
    if (!isSame(this.keys[at], key)) return false;
    return namespaces === undefined ? namespace === undefined : isSame(namespaces[at], namespace);
  }

  private freePlaceFor(hash: number): number {
    const { words, stride, last } = this;
    let at = (hash >>> BITS_BELOW) & last;
    while (words[at * stride] !== NOTHING) at = (at + 1) & last;
    return at;
  }

  /** Its rows are no more than their words, keys and others. */
  private get isSimple(): boolean {
    return this.misfits === undefined && this.suspects === undefined && this.namespaces === undefined;
  }

  /** `from`: a block of the same layout. */
  private copyRow(at: number, from: Block, fromAt: number): void {
    const { stride, words } = this;
    const { othersWidth } = this.layout;
    for (let i = 0; i < stride; i++) words[at * stride + i] = from.words[fromAt * stride + i]!;
    for (let i = 0; i < othersWidth; i++) {
      this.others[at * othersWidth + i] = from.others[fromAt * othersWidth + i];
    }
    this.keys[at] = from.keys[fromAt];
    this.mark(at);
  }

  /** Before rows move. */
  private ownNames(spares: SpareMemory): void {
    this.sharing.blocks--;
    this.sharing = { blocks: 1 };
    this.keys = spares.copyOfSlots(this.keys);
    if (this.namespaces !== undefined) this.namespaces = spares.copyOfSlots(this.namespaces);
  }

  private addAnyFrom(from: Block, fromAt: number): void {
    const at = this.add(from.hashAt(fromAt), from.keys[fromAt]!, from.namespaces?.[fromAt]);
    if (from.layout === this.layout && from.misfits === undefined && this.misfits === undefined) {
      this.copyRow(at, from, fromAt);
    } else this.write(at, from.read(fromAt), false);
    this.words[at * this.stride + 1] = from.words[fromAt * from.stride + 1]!;
    if (from.suspects !== undefined && from.suspects[fromAt] !== 0) this.suspect(at);
  }

  private empty(at: number): void {
    this.words[at * this.stride] = NOTHING;
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
        this.widen(wider);
        this.write(at, value, true);
      } else this.putMisfit(at, value);
      return;
    }
    if (this.misfits !== undefined) this.misfits[at] = FITTING;
    if (fit === FITS_WITH_OBJECTS) this.suspect(at);
  }

  private widen(wider: Layout): void {
    const { layout, stride, places } = this;
    const words = new Int32Array(wordsOf(places, wider.stride));
    const numbers = wider.numbersIn(words);
    words.set(this.words.subarray(places * stride), places * wider.stride);
    for (let at = 0; at < this.places; at++) {
      const from = at * layout.width + layout.front;
      const to = at * wider.width + wider.front;
      for (let i = 0; i < wider.numbersWidth; i++) numbers[to + i] = this.numbers[from + i]!;
      words[at * wider.stride] = this.words[at * stride]!;
      words[at * wider.stride + 1] = this.words[at * stride + 1]!;
    }
    this.layout = wider;
    this.stride = wider.stride;
    this.words = words;
    this.numbers = numbers;
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
export const NO_ROWS = new Block(
  new Layout("objects", [], []),
  0,
  { namespace: undefined, index: 0, depth: 0, pattern: 0 },
  PLACES_MIN,
);

/** At most four of five places are taken. */
export function hasRoomFor(rows: number, places: number): boolean {
  return rows * 5 <= places * 4;
}

/** The stamp of a row that was not there before the cut. */
function stampOfNew(cut: number): number {
  return (cut << 1) | 1;
}

/** How many words a block has: those of its places, and its marks. */
function wordsOf(places: number, stride: number): number {
  return places * stride + (places < MARKED_PLACES_MIN ? 0 : places >>> MARK_SHIFT);
}

function filled<T>(length: number, value: T): T[] {
  return new Array<T>(length).fill(value);
}

/** Whether two keys are the same to a Map. */
function isSame(a: Key | undefined, b: Key | undefined): boolean {
  // biome-ignore lint/suspicious/noSelfCompare: NaN, faster than Number.isNaN of any type.
  return a === b || (a !== a && b !== b);
}
