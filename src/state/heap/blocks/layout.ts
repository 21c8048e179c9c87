/**
 * How the values of a block of rows lie in memory.
 *
 * Owns: which values fit in columns, taking an object apart and making it again. Does not own: the memory (block.ts),
 * the code for one shape (shape-code.ts).
 *
 * - LY1 "numbers": each value is a number. "rows": plain objects with the same fields in the same order, of which some
 *   are numbers: those lie in a typed array, the other fields beside them. "objects": everything else, as it came. A
 *   block begins with numbers of 32 bits if its first value has no others, and becomes one of 64 bits with the first
 *   number that needs them.
 * - LY2 What does not fit exactly is kept as it came. What an object hides (PV2 of plain-value.ts: getters, fields
 *   named by symbols) is looked for in values that are not `trusted`; those that hide something are kept as they came,
 *   and the cut refuses them. Which ones are trusted is for table.ts to say: all new rows, the first updates and a
 *   sample of the later ones are looked at.
 * - LY3 What is made again is equal to what was taken apart: same fields in the same order, -0, NaN, undefined, no
 *   prototype of its own.
 */
import { isCarried } from "../../plain-value.ts";
import {
  FITS,
  FITS_WITH_OBJECTS,
  type Make,
  MISFIT,
  makeOf,
  type Numbers,
  numbersInFront,
  type Slots,
  showsAll,
  type Take,
  takeOf,
} from "../../shape-code.ts";
import type { Block } from "./block.ts";

const FIELDS_MAX = 64;
/** Layouts that one table has at most: an object used as a dictionary has ever new ones. */
const LAYOUTS_MAX = 16;
const OBJECT = Object.prototype;
const NO_NAMES: readonly string[] = [];

export class Layout {
  readonly kind: "numbers" | "rows" | "objects";
  /** The fields; empty where values are no rows. */
  readonly names: readonly string[];
  /** How many numbers a row has. */
  readonly numbersWidth: number;
  /** The numbers of a row, and those that what stands in front of them takes the place of. */
  readonly width: number;
  /** Where its own numbers begin. */
  readonly front: number;
  /** How many words of 32 bits a row has: its hash, when it was changed (block.ts), and its numbers. */
  readonly stride: number;
  /** How many other things a row has. */
  readonly othersWidth: number;
  /** Takes a value apart without a search for what it hides (LY2). */
  readonly take: Take;
  readonly make: Make;
  /** The layout of the same values without a bound for numbers; undefined: this one has none. */
  readonly wider: Layout | undefined;
  private readonly slots: Slots;
  /** The numbers of a row that belongs to no block. */
  private readonly trial: Numbers;

  constructor(kind: Layout["kind"], names: readonly string[], isNumber: readonly boolean[], wider?: Layout) {
    this.kind = kind;
    this.names = names;
    this.wider = wider;
    let numbers = 0;
    let others = 0;
    this.slots = isNumber.map((number) => (number ? numbers++ : ~others++));
    this.numbersWidth = kind === "numbers" ? 1 : numbers;
    this.othersWidth = kind === "objects" ? 1 : others;
    const isWhole = wider !== undefined;
    this.front = numbersInFront(isWhole);
    this.width = this.front + this.numbersWidth;
    this.stride = isWhole || this.numbersWidth === 0 ? 2 + this.numbersWidth : 2 * this.width;
    this.trial = this.numbersIn(new Int32Array(this.stride));
    switch (kind) {
      case "numbers":
        this.take = isWhole ? takeWholeNumber : takeNumber;
        this.make = isWhole ? makeWholeNumber : makeNumber;
        break;
      case "rows":
        this.take = takeOf(names, this.slots, isWhole);
        this.make = makeOf(names, this.slots, isWhole);
        break;
      case "objects":
        this.take = takeObject;
        this.make = makeObject;
    }
  }

  /** The rows' memory as what `take` and `make` use; it is a buffer of its own. */
  numbersIn(words: Int32Array): Numbers {
    return this.stride > 2 + this.numbersWidth ? new Float64Array(words.buffer) : words;
  }

  /** Can rows of both be read as those of one, by `addColumn`? */
  isLike({ kind, names }: Layout): boolean {
    return kind === this.kind && names === this.names;
  }

  /** Whether a value that is not trusted hides nothing (LY2). */
  isOpen(value: unknown): boolean {
    return this.kind !== "rows" || showsAll(value);
  }

  isNumber(index: number): boolean {
    return this.slots[index]! >= 0;
  }

  /** Whether a block of this layout could take the value. */
  fits(value: unknown, trusted: boolean): boolean {
    return (trusted || this.isOpen(value)) && this.take(this.trial, [], 0, value) !== MISFIT;
  }

  /** Adds what the rows at the given places hold in a field, by its index, to `column`. */
  addColumn(block: Block, index: number, places: readonly number[], column: unknown[]): void {
    const slot = this.slots[index]!;
    if (slot >= 0) {
      const { numbers, layout } = block;
      const { width, front } = layout;
      for (let i = 0; i < places.length; i++) column.push(numbers[places[i]! * width + front + slot]);
    } else {
      const { others } = block;
      const width = this.othersWidth;
      for (let i = 0; i < places.length; i++) column.push(others[places[i]! * width + ~slot]);
    }
  }
}

const takeNumber: Take = (numbers, _, at, value) => {
  if (typeof value !== "number") return MISFIT;
  numbers[at * 2 + 1] = value;
  return FITS;
};

const makeNumber: Make = (numbers, _, at) => numbers[at * 2 + 1];

const takeWholeNumber: Take = (numbers, _, at, value) => {
  if (!isWholeNumber(value)) return MISFIT;
  numbers[at * 3 + 2] = value;
  return FITS;
};

const makeWholeNumber: Make = (numbers, _, at) => numbers[at * 3 + 2];

const takeObject: Take = (_, others, at, value) => {
  others[at] = value;
  return isSuspect(value) ? FITS_WITH_OBJECTS : FITS;
};

const makeObject: Make = (_, others, at) => others[at];

/** The layouts that the blocks of one table have. */
export class Layouts {
  private readonly objects = new Layout("objects", [], []);
  private readonly wholeNumbers = new Layout("numbers", NO_NAMES, [], new Layout("numbers", NO_NAMES, []));
  /** Those whose numbers have 32 bits; the others are their `wider`. */
  private readonly rows: Layout[] = [];
  private readonly keepsObjects: boolean;

  constructor(keepsObjects: boolean) {
    this.keepsObjects = keepsObjects;
  }

  /** The layout for a block whose first value is `value`. */
  layoutFor(value: unknown): Layout {
    if (this.keepsObjects) return this.objects;
    if (typeof value === "number") return fitting(this.wholeNumbers, isWholeNumber(value));
    // Closely: it may have getters, which are not to be called.
    if (typeof value !== "object" || value === null || !isCarried(value)) return this.objects;
    if (Object.getPrototypeOf(value) !== OBJECT) return this.objects;
    const fields = Object.entries(value);
    const isNumber = fields.map(([, field]) => typeof field === "number");
    const names = fields.map(([name]) => name);
    if (names.length > FIELDS_MAX || !isNumber.includes(true) || names.some(isSpecial)) return this.objects;
    const isWhole = fields.every(([, field]) => typeof field !== "number" || isWholeNumber(field));
    const known = this.rows.find((layout) => isSame(layout, names, isNumber));
    if (known !== undefined) return fitting(known, isWhole);
    if (this.rows.length >= LAYOUTS_MAX) return this.objects;
    const layout = new Layout("rows", names, isNumber, new Layout("rows", names, isNumber));
    this.rows.push(layout);
    return fitting(layout, isWhole);
  }
}

function fitting(layout: Layout, isWhole: boolean): Layout {
  return isWhole ? layout : layout.wider!;
}

/** Whether it is a whole number of 32 bits, and not -0. */
function isWholeNumber(value: unknown): value is number {
  return typeof value === "number" && (value | 0) === value && (value !== 0 || 1 / value > 0);
}

function isSame(layout: Layout, names: readonly string[], isNumber: readonly boolean[]): boolean {
  return (
    layout.names.length === names.length &&
    layout.numbersWidth === isNumber.filter((number) => number).length &&
    names.every((name, i) => layout.names[i] === name && layout.isNumber(i) === isNumber[i])
  );
}

/** In a literal, it would not become a field of its own, or not the last one. */
function isSpecial(name: string): boolean {
  return name === "__proto__" || /^\d/.test(name);
}

/** It has to be looked at closely before it is stored. */
export function isSuspect(value: unknown): boolean {
  return typeof value === "object"
    ? value !== null
    : typeof value === "function" || typeof value === "symbol";
}
