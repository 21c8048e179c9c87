/**
 * Plain values as JSON, and back: what `tidemark state` prints and reads.
 *
 * - YJ1 Whatever is a plain value (state/plain-value.ts) comes back equal. What JSON has itself stays as it is;
 *   anything else is an object with one field, whose name begins with `$`. An object of the user's that looks like that
 *   is written as its entries, so no two values have the same JSON.
 */
import { types } from "node:util";

type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

const VIEWS = {
  Uint8ClampedArray,
  Int8Array,
  Uint16Array,
  Int16Array,
  Uint32Array,
  Int32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
  DataView,
} as const;

/** @param value a plain one */
export function toJson(value: unknown): Json {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value;
    case "number":
      return Number.isFinite(value) && !Object.is(value, -0) ? value : { $number: nameOfNumber(value) };
    case "bigint":
      return { $bigint: String(value) };
    case "undefined":
      return { $undefined: true };
    default:
      return value === null ? null : objectToJson(value as object);
  }
}

const nameOfNumber = (value: number): string => (Object.is(value, -0) ? "-0" : String(value));

function objectToJson(value: object): Json {
  if (Array.isArray(value)) return arrayToJson(value);
  if (value instanceof Map) return { $map: [...value].map(([key, held]) => [toJson(key), toJson(held)]) };
  if (value instanceof Set) return { $set: [...value].map(toJson) };
  if (value instanceof Date) return { $date: Number.isNaN(value.getTime()) ? null : value.toISOString() };
  if (value instanceof RegExp) return { $regexp: [value.source, value.flags] };
  if (ArrayBuffer.isView(value)) {
    const text = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("base64");
    if (Buffer.isBuffer(value)) return { $buffer: text };
    if (types.isUint8Array(value)) return { $bytes: text };
    return { $typedArray: [Object.prototype.toString.call(value).slice("[object ".length, -1), text] };
  }
  if (types.isAnyArrayBuffer(value)) return { $arrayBuffer: Buffer.from(value).toString("base64") };
  const entries = Object.entries(value).map(([name, held]): [string, Json] => [name, toJson(held)]);
  if (entries.length === 1 && entries[0]![0].startsWith("$")) return { $object: entries };
  return Object.fromEntries(entries);
}

/** A run of holes is one element. */
function arrayToJson(array: readonly unknown[]): Json {
  const all: Json[] = [];
  let next = 0;
  // It passes over holes, however many they are.
  array.forEach((value, index) => {
    if (index > next) all.push({ $holes: index - next });
    all.push(toJson(value));
    next = index + 1;
  });
  if (array.length > next) all.push({ $holes: array.length - next });
  return all;
}

/** @param json what `JSON.parse` has made. @throws Error saying where it means nothing, and why */
export function fromJson(json: unknown, place = "the value"): unknown {
  if (typeof json !== "object" || json === null) return json;
  if (Array.isArray(json)) return arrayFromJson(json, place);
  const entries = Object.entries(json);
  const [only] = entries;
  if (entries.length === 1 && only![0].startsWith("$")) return specialFromJson(only![0], only![1], place);
  return Object.fromEntries(entries.map(([name, held]) => [name, fromJson(held, `${place}.${name}`)]));
}

const HOLES_MAX = 2 ** 32 - 1;

function arrayFromJson(json: readonly unknown[], place: string): unknown[] {
  const all: unknown[] = [];
  for (const [index, held] of json.entries()) {
    const holes = typeof held === "object" && held !== null && "$holes" in held ? held.$holes : undefined;
    if (holes === undefined) all.push(fromJson(held, `${place}[${index}]`));
    else if (
      Number.isSafeInteger(holes) &&
      (holes as number) > 0 &&
      all.length + (holes as number) <= HOLES_MAX
    )
      all.length += holes as number;
    else throw new Error(`${place}[${index}]: $holes takes a number of holes`);
  }
  return all;
}

function specialFromJson(name: string, held: unknown, place: string): unknown {
  const read = readers[name];
  if (read === undefined)
    throw new Error(
      `${place}: no value is written as ${name}; there are ${Object.keys(readers).join(", ")}, and an object with such a field is {"$object":[["${name}",…]]}`,
    );
  const value = read(held, place);
  if (value === undefined && name !== "$undefined") throw new Error(`${place}: ${name} cannot be read`);
  return value;
}

/** undefined: it cannot be read. */
const readers: Readonly<Record<string, (held: unknown, place: string) => unknown>> = {
  $undefined: () => undefined,
  $number: (held) =>
    ["NaN", "Infinity", "-Infinity", "-0"].includes(held as string) ? Number(held) : undefined,
  $bigint: (held) => (typeof held === "string" && /^-?\d+$/.test(held) ? BigInt(held) : undefined),
  $date: (held) => {
    if (held === null) return new Date(Number.NaN);
    const date = new Date(typeof held === "string" || typeof held === "number" ? held : Number.NaN);
    return Number.isNaN(date.getTime()) ? undefined : date;
  },
  $map: (held, place) => {
    if (!arePairs(held)) return undefined;
    return new Map(
      held.map(([key, value], i) => [fromJson(key, `${place}[${i}]`), fromJson(value, `${place}[${i}]`)]),
    );
  },
  $set: (held, place) =>
    Array.isArray(held) ? new Set(held.map((value, i) => fromJson(value, `${place}[${i}]`))) : undefined,
  $bytes: (held) => {
    const bytes = bytesIn(held);
    return bytes === undefined ? undefined : new Uint8Array(bytes);
  },
  $buffer: bytesIn,
  $arrayBuffer: (held) => {
    const bytes = bytesIn(held);
    return bytes === undefined ? undefined : new Uint8Array(bytes).buffer;
  },
  $typedArray: (held) => {
    const [name, text] = Array.isArray(held) ? held : [];
    const bytes = bytesIn(text);
    const View = Object.hasOwn(VIEWS, name) ? VIEWS[name as keyof typeof VIEWS] : undefined;
    if (bytes === undefined || View === undefined) return undefined;
    const size = "BYTES_PER_ELEMENT" in View ? View.BYTES_PER_ELEMENT : 1;
    const { buffer } = new Uint8Array(bytes);
    const Made: new (buffer: ArrayBuffer) => ArrayBufferView = View;
    return bytes.length % size === 0 ? new Made(buffer) : undefined;
  },
  $regexp: (held) => {
    const [source, flags] = Array.isArray(held) ? held : [];
    try {
      return typeof source === "string" && typeof flags === "string" ? new RegExp(source, flags) : undefined;
    } catch {
      return undefined;
    }
  },
  $object: (held, place) =>
    arePairs(held) && held.every(([name]) => typeof name === "string")
      ? Object.fromEntries(held.map(([name, value]) => [name, fromJson(value, `${place}.${name}`)]))
      : undefined,
};

function arePairs(held: unknown): held is readonly (readonly [unknown, unknown])[] {
  return Array.isArray(held) && held.every((one) => Array.isArray(one) && one.length === 2);
}

function bytesIn(held: unknown): Buffer | undefined {
  if (typeof held !== "string") return undefined;
  const bytes = Buffer.from(held, "base64");
  return bytes.toString("base64") === held ? bytes : undefined;
}
