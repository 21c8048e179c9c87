/**
 * How the values of a block of rows lie in memory.
 *
 * Owns: which values fit in columns, taking an object apart and making it again. Does not own: the memory (block.ts).
 *
 * - LY1 "numbers": each value is a number. "rows": plain objects with the same fields in the same order, of which some
 *   are numbers: those lie in a Float64Array, the other fields beside them. "objects": everything else, as it came.
 * - LY2 What does not fit exactly is kept as it came. What an object hides (PV2 of plain-value.ts: getters, fields named by symbols) is
 *   looked for in values that are not `trusted`; those that hide something are kept as they came, and the cut refuses them. Which ones
 *   are trusted is for table.ts to say: all new rows, the first updates and a sample of the later ones are looked at.
 * - LY3 What is made again is equal to what was taken apart: same fields in the same order, -0, NaN, undefined, no prototype of its own.
 *
 * Speed: objects are made by constructors of a fixed number of fields, whose hidden class V8 learns; no code is generated. An
 * object of two numbers: made in 10 ns, as a literal is, in 44 ns where a process has four shapes; taken apart in 22 ns, of which 7 are for
 * its prototype, and in 150 where it is searched for LY2. What is set is read by `for in` only: a property read by name costs 100 ns where the
 * object still has a hidden class that V8 has given up, as after a sum has left the small integers.
 */
import { types } from "node:util";
import { isCarried } from "../plain-value.ts";
import type { Block } from "./block.ts";

/** V8 gives a constructor that it knows nothing of room for 8 fields in the object itself. */
const FIELDS_MAX = 8;
/** Layouts that one table has at most: an object used as a dictionary has ever new ones. */
const LAYOUTS_MAX = 16;
const OBJECT = Object.prototype;

type RowConstructor = new (block: Block, at: number) => object;
/** `at`: where its numbers begin. */
type RowOfNumbersConstructor = new (numbers: Float64Array, at: number) => object;
type GetterLookup = (this: object, name: string) => unknown;

/** Answers undefined for an own field that is no getter, without making a descriptor. */
const getterOf = (Object.prototype as unknown as { readonly __lookupGetter__: GetterLookup })
  .__lookupGetter__;

export class Layout {
  readonly kind: "numbers" | "rows" | "objects";
  /** The fields; empty where values are no rows. */
  readonly names: readonly string[];
  /** How many numbers a row has. */
  readonly numbersWidth: number;
  /** How many other things a row has. */
  readonly othersWidth: number;
  /** All fields of its rows are numbers. */
  private readonly isOfNumbers: boolean;
  /** For each field its place among the numbers, or the complement of its place among the others. */
  private readonly slots: readonly number[];
  private readonly Row: RowConstructor;
  private readonly RowOfNumbers: RowOfNumbersConstructor;

  constructor(kind: Layout["kind"], names: readonly string[], isNumber: readonly boolean[]) {
    this.kind = kind;
    this.names = names;
    let numbers = 0;
    let others = 0;
    this.slots = isNumber.map((number) => (number ? numbers++ : ~others++));
    this.numbersWidth = kind === "numbers" ? 1 : numbers;
    this.othersWidth = kind === "objects" ? 1 : others;
    this.isOfNumbers = kind === "rows" && others === 0;
    this.Row = rowConstructor(this);
    this.RowOfNumbers = rowOfNumbersConstructor(names);
  }

  /** false: it does not fit, and what it has written there has no meaning. `trusted`: it is not searched (LY2). */
  write(block: Block, at: number, value: unknown, trusted: boolean): boolean {
    if (trusted && this.isOfNumbers) return this.takeNumbers(block.numbers, at, value);
    switch (this.kind) {
      case "numbers":
        if (typeof value !== "number") return false;
        block.numbers[at] = value;
        return true;
      case "objects":
        block.others[at] = value;
        if (isSuspect(value)) block.suspect(at);
        return true;
      case "rows":
        return this.takeApart(block, at, value, trusted);
    }
  }

  read(block: Block, at: number): unknown {
    if (this.isOfNumbers) return new this.RowOfNumbers(block.numbers, at * this.numbersWidth);
    switch (this.kind) {
      case "numbers":
        return block.numbers[at];
      case "objects":
        return block.others[at];
      case "rows":
        return new this.Row(block, at);
    }
  }

  isNumber(index: number): boolean {
    return this.slots[index]! >= 0;
  }

  /** What the row at `at` holds in a field, by its index. */
  field(block: Block, at: number, index: number): unknown {
    const slot = this.slots[index]!;
    return slot >= 0
      ? block.numbers[at * this.numbersWidth + slot]
      : block.others[at * this.othersWidth + ~slot];
  }

  /** Adds what the rows from `from` to before `to` hold in a field, by its index, to `column`. */
  addColumn(block: Block, index: number, from: number, to: number, column: unknown[]): void {
    const slot = this.slots[index]!;
    if (slot >= 0) {
      const { numbers } = block;
      const width = this.numbersWidth;
      for (let at = from * width + slot; at < to * width; at += width) column.push(numbers[at]);
    } else {
      const { others } = block;
      const width = this.othersWidth;
      for (let at = from * width + ~slot; at < to * width; at += width) column.push(others[at]);
    }
  }

  private takeApart(block: Block, at: number, value: unknown, trusted: boolean): boolean {
    if (typeof value !== "object" || value === null) return false;
    if ((!trusted && types.isProxy(value)) || Object.getPrototypeOf(value) !== OBJECT) return false;
    const { names, slots } = this;
    const { numbers, others } = block;
    const numbersAt = at * this.numbersWidth;
    const othersAt = at * this.othersWidth;
    let index = 0;
    for (const name in value) {
      if (name !== names[index]) return false;
      if (!trusted && getterOf.call(value, name) !== undefined) return false;
      const field = (value as Readonly<Record<string, unknown>>)[name];
      const slot = slots[index++]!;
      if (slot >= 0) {
        if (typeof field !== "number") return false;
        numbers[numbersAt + slot] = field;
      } else {
        if (isSuspect(field)) {
          if (typeof field !== "object") return false;
          block.suspect(at);
        } else if (field === undefined && !trusted && hasSetter(value, name)) return false;
        others[othersAt + ~slot] = field;
      }
    }
    return index === names.length && (trusted || !hidesFields(value, index));
  }

  /** Does what `takeApart` does, for a trusted value: the path of most updates. */
  private takeNumbers(numbers: Float64Array, row: number, value: unknown): boolean {
    if (typeof value !== "object" || value === null) return false;
    const { names } = this;
    const at = row * names.length;
    let index = 0;
    for (const name in value) {
      if (name !== names[index]) return false;
      const field = (value as Readonly<Record<string, unknown>>)[name];
      if (typeof field !== "number") return false;
      numbers[at + index++] = field;
    }
    return index === names.length && Object.getPrototypeOf(value) === OBJECT;
  }
}

/** The layouts that the blocks of one table have. */
export class Layouts {
  private readonly objects = new Layout("objects", [], []);
  private readonly numbers = new Layout("numbers", [], []);
  private readonly rows: Layout[] = [];
  private readonly keepsObjects: boolean;

  constructor(keepsObjects: boolean) {
    this.keepsObjects = keepsObjects;
  }

  /** The layout for a block whose first value is `value`. */
  layoutFor(value: unknown): Layout {
    if (this.keepsObjects) return this.objects;
    if (typeof value === "number") return this.numbers;
    // Closely: it may have getters, which are not to be called.
    if (typeof value !== "object" || value === null || !isCarried(value)) return this.objects;
    if (Object.getPrototypeOf(value) !== OBJECT) return this.objects;
    const fields = Object.entries(value);
    const isNumber = fields.map(([, field]) => typeof field === "number");
    const names = fields.map(([name]) => name);
    if (names.length > FIELDS_MAX || !isNumber.includes(true) || names.some(isSpecial)) return this.objects;
    const known = this.rows.find((layout) => isSame(layout, names, isNumber));
    if (known !== undefined) return known;
    if (this.rows.length >= LAYOUTS_MAX) return this.objects;
    const layout = new Layout("rows", names, isNumber);
    this.rows.push(layout);
    return layout;
  }
}

function isSame(layout: Layout, names: readonly string[], isNumber: readonly boolean[]): boolean {
  return (
    layout.names.length === names.length &&
    layout.numbersWidth === isNumber.filter((number) => number).length &&
    names.every((name, i) => layout.names[i] === name && layout.isNumber(i) === isNumber[i])
  );
}

/** Assigned to a new object, it would not become a field of its own, or not the last one. */
function isSpecial(name: string): boolean {
  return name in OBJECT || /^\d/.test(name);
}

/** It has to be looked at closely before it is stored. */
function isSuspect(value: unknown): boolean {
  return typeof value === "object"
    ? value !== null
    : typeof value === "function" || typeof value === "symbol";
}

function hasSetter(value: object, name: string): boolean {
  return Object.getOwnPropertyDescriptor(value, name)?.set !== undefined;
}

/** Beyond the given number of fields that show. */
function hidesFields(value: object, fields: number): boolean {
  return (
    Object.getOwnPropertyNames(value).length !== fields || Object.getOwnPropertySymbols(value).length !== 0
  );
}

/** Makes plain objects with the given fields, all of which are numbers. A class cannot have another prototype than its own. */
function rowOfNumbersConstructor(names: readonly string[]): RowOfNumbersConstructor {
  const [n0 = "", n1 = "", n2 = "", n3 = "", n4 = "", n5 = "", n6 = "", n7 = ""] = names;
  const count = names.length;
  function Row(this: Record<string, unknown>, numbers: Float64Array, at: number): void {
    this[n0] = numbers[at];
    if (count === 1) return;
    this[n1] = numbers[at + 1];
    if (count === 2) return;
    this[n2] = numbers[at + 2];
    if (count === 3) return;
    this[n3] = numbers[at + 3];
    if (count === 4) return;
    this[n4] = numbers[at + 4];
    if (count === 5) return;
    this[n5] = numbers[at + 5];
    if (count === 6) return;
    this[n6] = numbers[at + 6];
    if (count === 7) return;
    this[n7] = numbers[at + 7];
  }
  Row.prototype = OBJECT;
  return Row as unknown as RowOfNumbersConstructor;
}

/** The same for fields of any kind. */
function rowConstructor(layout: Layout): RowConstructor {
  const [n0 = "", n1 = "", n2 = "", n3 = "", n4 = "", n5 = "", n6 = "", n7 = ""] = layout.names;
  const count = layout.names.length;
  function Row(this: Record<string, unknown>, block: Block, at: number): void {
    this[n0] = layout.field(block, at, 0);
    if (count === 1) return;
    this[n1] = layout.field(block, at, 1);
    if (count === 2) return;
    this[n2] = layout.field(block, at, 2);
    if (count === 3) return;
    this[n3] = layout.field(block, at, 3);
    if (count === 4) return;
    this[n4] = layout.field(block, at, 4);
    if (count === 5) return;
    this[n5] = layout.field(block, at, 5);
    if (count === 6) return;
    this[n6] = layout.field(block, at, 6);
    if (count === 7) return;
    this[n7] = layout.field(block, at, 7);
  }
  Row.prototype = OBJECT;
  return Row as unknown as RowConstructor;
}
