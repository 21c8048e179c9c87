/**
 * Code that is generated for a shape: the names of an object's fields, in their order.
 *
 * Owns: every function that is made of text. Does not own: when one is made, and how many are kept (columns.ts,
 * heap/blocks/layout.ts).
 *
 * The engine, V8, remembers for each place in the code which hidden classes came by there, and each generated function
 * has places of its own. One function for all shapes would see all hidden classes, and an access by name costs several
 * times as much there. A generated function also names its fields, so where V8 inlines it next to the user's literal,
 * the object between them need not be made.
 *
 * Names get into the text as JSON only. `__proto__` is no field of a literal: it must not be among them.
 */
import { types } from "node:util";

export type Shape = readonly string[];

/** What a record's fields are put into, one array for each field. */
export type Splitter = (records: readonly unknown[], columns: unknown[][]) => void;
export type Joiner = (columns: readonly (readonly unknown[])[], count: number) => unknown[];

/** Puts each record's fields into `columns`. */
export function splitterOf(shape: Shape): Splitter {
  const declared = shape.map((_, i) => `const c${i} = columns[${i}];`).join("");
  const moved = shape.map((name, i) => `c${i}[i] = r[${JSON.stringify(name)}];`).join("");
  const body = `${declared} for (let i = 0; i < records.length; i++) { const r = records[i]; ${moved} }`;
  return new Function("records", "columns", body) as Splitter;
}

/** Makes records of columns. */
export function joinerOf(shape: Shape): Joiner {
  const declared = shape.map((_, i) => `const c${i} = columns[${i}];`).join("");
  const fields = shape.map((name, i) => `${JSON.stringify(name)}: c${i}[i]`).join(", ");
  const body = `${declared} const records = new Array(count); for (let i = 0; i < count; i++) records[i] = { ${fields} }; return records;`;
  return new Function("columns", "count", body) as Joiner;
}

/** The row does not fit, and nothing was written. */
export const MISFIT = 0;
/** The row lies in the columns. */
export const FITS = 1;
/** The row lies in the columns, and holds an object that has to be looked at closely before it is stored. */
export const FITS_WITH_OBJECTS = 3;
export type Fit = typeof MISFIT | typeof FITS | typeof FITS_WITH_OBJECTS;

/**
 * The numbers of rows, row by row, behind 64 bits that are not theirs. 32 bits: all are whole, and none is -0.
 */
export type Numbers = Int32Array | Float64Array;
/** Takes a value apart, into the row `at`. */
export type Take = (numbers: Numbers, others: unknown[], at: number, value: unknown) => Fit;
/** Makes a new object of the row `at`. */
export type Make = (numbers: Numbers, others: readonly unknown[], at: number) => unknown;

/**
 * For each field its place among the numbers of its row, or the complement of its place among the row's other fields.
 */
export type Slots = readonly number[];

/**
 * The names are compared by `for in`, whose cost does not depend on them; what follows reads the fields of an object
 * whose names are known. The prototype is asked for after them: by then V8 knows the hidden class, and so the answer.
 * @param isWhole only numbers of 32 bits fit
 */
export function takeOf(shape: Shape, slots: Slots, isWhole: boolean): Take {
  const fields = shape.map((name, i) => `const f${i} = value[${JSON.stringify(name)}];`).join("");
  const looks = slots
    .map((slot, i) =>
      slot >= 0
        ? `if (typeof f${i} !== "number" ${isWhole ? `|| ${isNotWhole(`f${i}`)}` : ""}) return ${MISFIT};`
        : `const k${i} = fitOf(f${i}); if (k${i} === ${MISFIT}) return ${MISFIT};`,
    )
    .join("");
  const stores = slots.map((slot, i) => `${placeOf(slot, slots, isWhole)} = f${i};`).join("");
  const fits = [`${FITS}`, ...slots.flatMap((slot, i) => (slot >= 0 ? [] : [`k${i}`]))].join(" | ");
  const body = `
    return (numbers, others, at, value) => {
      if (typeof value !== "object" || value === null) return ${MISFIT};
      let index = 0;
      for (const name in value) if (name !== names[index++]) return ${MISFIT};
      if (index !== ${shape.length}) return ${MISFIT};
      ${fields}
      if (prototypeOf(value) !== plain) return ${MISFIT};
      ${looks}
      ${stores}
      return ${fits};
    };`;
  const make = new Function("names", "prototypeOf", "plain", "fitOf", body);
  return make(shape, Object.getPrototypeOf, Object.prototype, fitOfOther) as Take;
}

/** @param isWhole the numbers are those of 32 bits */
export function makeOf(shape: Shape, slots: Slots, isWhole: boolean): Make {
  const fields = shape
    .map((name, i) => `${JSON.stringify(name)}: ${placeOf(slots[i]!, slots, isWhole)}`)
    .join(", ");
  return new Function("numbers", "others", "at", `return { ${fields} };`) as Make;
}

/** The condition for a number that has no place among 32 bits. */
function isNotWhole(field: string): string {
  return `(${field} | 0) !== ${field} || (${field} === 0 && 1 / ${field} < 0)`;
}

/** How many numbers fit in the 64 bits in front of those of a row. */
export function numbersInFront(isWhole: boolean): 1 | 2 {
  return isWhole ? 2 : 1;
}

function placeOf(slot: number, slots: Slots, isWhole: boolean): string {
  const numbers = slots.filter((one) => one >= 0).length;
  const front = numbersInFront(isWhole);
  return slot >= 0
    ? `numbers[at * ${numbers + front} + ${slot + front}]`
    : `others[at * ${slots.length - numbers} + ${~slot}]`;
}

/** Whether a field fits that is not among the numbers. */
function fitOfOther(field: unknown): Fit {
  if (typeof field === "object") return field === null ? FITS : FITS_WITH_OBJECTS;
  return typeof field === "function" || typeof field === "symbol" ? MISFIT : FITS;
}

type GetterLookup = (this: object, name: string) => unknown;

/** Answers undefined for an own field that is no getter, without making a descriptor. */
const getterOf = (Object.prototype as unknown as { readonly __lookupGetter__: GetterLookup })
  .__lookupGetter__;

/**
 * Whether an object shows all that it is: it is no proxy, and has no getters, no hidden fields and none named by
 * symbols. Calls nothing of the user's.
 */
export function showsAll(value: unknown): boolean {
  if (typeof value !== "object" || value === null || types.isProxy(value)) return false;
  let fields = 0;
  for (const name in value) {
    if (getterOf.call(value, name) !== undefined) return false;
    const field: unknown = (value as Readonly<Record<string, unknown>>)[name];
    if (field === undefined && Object.getOwnPropertyDescriptor(value, name)?.set !== undefined) return false;
    fields++;
  }
  return (
    Object.getOwnPropertyNames(value).length === fields && Object.getOwnPropertySymbols(value).length === 0
  );
}
