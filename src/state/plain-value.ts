/**
 * Plain values: what may cross from one subtask to another, and what may be stored.
 *
 * Owns: the rule, the look at a value, the words of a refusal. Does not own: the bytes (codec.ts), what JSON can say
 * (connectors/json-text.ts).
 *
 * Carried, nested in any way, and equal when they come back (deepStrictEqual): undefined, null, booleans, numbers (NaN,
 * the infinities and -0 too), bigints, texts (half a surrogate pair too), plain objects, arrays (with holes too), Map,
 * Set, Date, RegExp, ArrayBuffer, DataView, typed arrays, Buffer. Everything else is refused: instances of other
 * classes, functions, symbols, promises, errors, proxies, objects without prototype, getters, fields whose name is a
 * symbol, arrays with named fields, cycles, and what is nested deeper than DEPTH_MAX.
 *
 * - PV1 `isCarried`, `seemsCarried` and `isOrdinary` are what is paid for every record; only when one of them answers
 *   false, `refusalIn` looks for the field and the words.
 * - PV2 `isCarried` sees all of an object: also getters, proxies, hidden fields, fields named by symbols, and named
 *   fields of arrays. JavaScript tells two shapes apart by their names only, so nothing can be learned from an earlier
 *   object.
 * - PV3 `seemsCarried` sees everything but what PV2 names. It is for the records in between (chain.ts, OC4).
 * - PV4 `isOrdinary` tells plain values apart; what is none may pass it.
 *
 * Measured, an object of seven fields: `isCarried` 0.2 µs, `seemsCarried` 0.04 µs.
 */
import { inspect, types } from "node:util";
import { ValueRefusedError } from "../errors.ts";
import { describeValue, isThenable, silence } from "./described.ts";

/** Objects in objects: more of them make the stack overflow somewhere on the way. */
export const DEPTH_MAX = 512;

const OBJECT = Object.prototype;
const ARRAY = Array.prototype;

/** Typed arrays of the language and Buffer: their prototypes. */
const VIEWS: ReadonlySet<unknown> = new Set(
  [
    Uint8Array,
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
    Buffer,
  ].map(({ prototype }) => prototype),
);

const LEAVES: ReadonlySet<unknown> = new Set([Date, RegExp, ArrayBuffer].map(({ prototype }) => prototype));

/**
 * A shape: the names of an object's fields, in their order. Shapes form a tree by their names, so that walking the
 * fields of an object finds its shape by one comparison a field.
 */
class Shape {
  /** "special": msgpack would change a name. undefined: not asked yet. */
  kind: "ordinary" | "special" | undefined;
  /** The child that was found last. */
  #name: string | undefined;
  #child: Shape | undefined;
  #children: Map<string, Shape> | undefined;

  with(name: string): Shape {
    return this.#name === name ? this.#child! : this.#find(name);
  }

  #find(name: string): Shape {
    this.#children ??= new Map();
    let child = this.#children.get(name);
    if (child === undefined) {
      child = new Shape();
      if (++shapesKnown > SHAPES_MAX) forgetShapes();
      else this.#children.set(name, child);
    }
    this.#name = name;
    this.#child = child;
    return child;
  }
}

const SHAPES_MAX = 20_000;
let shapesKnown = 0;
let anyShape = new Shape();

/** Objects used as dictionaries have ever new ones. */
function forgetShapes(): void {
  anyShape = new Shape();
  shapesKnown = 0;
}

/** Names that msgpack loses, or takes for something else. */
function isSpecialName(name: string): boolean {
  return name === "__proto__" || name === "constructor" || name === "toJSON" || !name.isWellFormed();
}

/** false: the value cannot cross, and `refusalIn` says why. */
export function isCarried(value: unknown, depth = 0): boolean {
  if (typeof value !== "object") return typeof value !== "function" && typeof value !== "symbol";
  if (value === null) return true;
  if (depth >= DEPTH_MAX || types.isProxy(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === OBJECT) {
    const names = Object.getOwnPropertyNames(value);
    for (let i = 0; i < names.length; i++) {
      const property = Object.getOwnPropertyDescriptor(value, names[i]!)!;
      if (property.enumerable !== true || property.get !== undefined || property.set !== undefined)
        return false;
      const field: unknown = property.value;
      if (typeof field === "object" ? field !== null && !isCarried(field, depth + 1) : !isScalar(field))
        return false;
    }
    return Object.getOwnPropertySymbols(value).length === 0;
  }
  if (prototype === ARRAY && Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) if (!isCarried(value[i], depth + 1)) return false;
    return hasOnlyElements(value);
  }
  return isCarriedBuiltIn(value, prototype, (held) => isCarried(held, depth + 1));
}

/** The same as `isCarried`, except that it does not look at what an object hides (PV3). */
export function seemsCarried(value: unknown, depth = 0): boolean {
  if (typeof value !== "object") return isScalar(value);
  if (value === null) return true;
  if (depth >= DEPTH_MAX) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === OBJECT) {
    for (const name in value) {
      const field: unknown = (value as Readonly<Record<string, unknown>>)[name];
      if (typeof field === "object" ? field !== null && !seemsCarried(field, depth + 1) : !isScalar(field))
        return false;
    }
    return true;
  }
  if (prototype === ARRAY && Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) if (!seemsCarried(value[i], depth + 1)) return false;
    return true;
  }
  return isCarriedBuiltIn(value, prototype, (held) => seemsCarried(held, depth + 1));
}

function isScalar(value: unknown): boolean {
  return typeof value !== "function" && typeof value !== "symbol";
}

/** Above this many elements it is cheaper to let `inspect` look for other names than to list those of all elements. */
const ELEMENTS_LISTED_MAX = 100;
const ELEMENTS_LEFT_OUT = {
  maxArrayLength: 0,
  depth: 0,
  customInspect: false,
  breakLength: Number.POSITIVE_INFINITY,
};

/** Has an array, or bytes, nothing but elements? */
export function hasOnlyElements(value: { readonly length: number }): boolean {
  const { length } = value;
  if (length > ELEMENTS_LISTED_MAX)
    return inspect(value, ELEMENTS_LEFT_OUT).endsWith(`[ ... ${length} more items ]`);
  // An array with holes has fewer names than elements. Names that are indices come first.
  const names = Object.keys(value);
  if (names.length > 0 && !isIndex(names[names.length - 1]!)) return false;
  return Object.getOwnPropertySymbols(value).length === 0;
}

function isIndex(name: string): boolean {
  const first = name.charCodeAt(0);
  return (
    first >= 48 &&
    first <= 57 &&
    /^\d+$/.test(name) &&
    String(Number(name) >>> 0) === name &&
    name !== "4294967295"
  );
}

/** Would msgpack bring this plain value back equal? Else codec.ts has another way for it. */
export function isOrdinary(value: unknown, depth = 0): boolean {
  switch (typeof value) {
    case "string":
      return value.isWellFormed();
    case "number":
      return value !== 0 || 1 / value > 0;
    case "object":
      break;
    default:
      return isScalar(value);
  }
  if (value === null) return true;
  if (depth >= DEPTH_MAX) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === OBJECT) {
    let shape = anyShape;
    for (const name in value) {
      shape = shape.with(name);
      if (!isOrdinary((value as Readonly<Record<string, unknown>>)[name], depth + 1)) return false;
    }
    shape.kind ??= Object.keys(value).some(isSpecialName) ? "special" : "ordinary";
    return shape.kind === "ordinary";
  }
  if (prototype === ARRAY && Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const element: unknown = value[i];
      if (!isOrdinary(element, depth + 1) || (element === undefined && !Object.hasOwn(value, i)))
        return false;
    }
    return true;
  }
  if (prototype === Buffer.prototype) return false;
  return isCarriedBuiltIn(value, prototype, (held) => isOrdinary(held, depth + 1));
}

function isCarriedBuiltIn(value: object, prototype: unknown, holds: (held: unknown) => boolean): boolean {
  if (prototype === Map.prototype && types.isMap(value)) {
    for (const [key, held] of value) if (!holds(key) || !holds(held)) return false;
    return hasNoFields(value);
  }
  if (prototype === Set.prototype && types.isSet(value)) {
    for (const held of value) if (!holds(held)) return false;
    return hasNoFields(value);
  }
  return isCarriedLeaf(value, prototype);
}

function isCarriedLeaf(value: object, prototype: unknown): boolean {
  if (VIEWS.has(prototype) && ArrayBuffer.isView(value))
    return (
      types.isArrayBuffer(value.buffer) &&
      (value instanceof DataView ? hasNoFields(value) : hasOnlyElements(value as Uint8Array))
    );
  if (prototype === Date.prototype) return types.isDate(value) && hasNoFields(value);
  if (prototype === ArrayBuffer.prototype) return types.isArrayBuffer(value) && hasNoFields(value);
  if (prototype === RegExp.prototype)
    return types.isRegExp(value) && value.lastIndex === 0 && hasNoFields(value);
  return false;
}

function hasNoFields(value: object): boolean {
  for (const _ in value) return false;
  return Object.getOwnPropertySymbols(value).length === 0;
}

/** What of an object itself, whatever its fields hold, cannot be carried. */
function problemOfObject(value: object): string | undefined {
  if (types.isProxy(value)) return "is a proxy; copy what it stands for ({ ...value })";
  if (Object.prototype.toString.call(value) !== "[object Object]") {
    return `is ${Object.prototype.toString.call(value)}; copy its fields to a plain object ({ ...value })`;
  }
  const symbolic = problemOfSymbols(value);
  if (symbolic !== undefined) return symbolic;
  for (const name of Object.getOwnPropertyNames(value)) {
    const property = Object.getOwnPropertyDescriptor(value, name);
    const shown = JSON.stringify(name);
    if (property?.get !== undefined || property?.set !== undefined)
      return `has a ${property.get === undefined ? "setter" : "getter"}, ${shown}, which may answer something else elsewhere; copy the object ({ ...value })`;
    if (property?.enumerable !== true)
      return `has a hidden field (not enumerable), ${shown}, which would be lost; copy the object ({ ...value })`;
  }
  return undefined;
}

function problemOfSymbols(value: object): string | undefined {
  const symbol = Object.getOwnPropertySymbols(value)[0];
  return symbol && `has a field whose name is ${String(symbol)}; give it a name that is text`;
}

/**
 * Looks at everything, closely. undefined: the value is carried. Else a sentence without a subject, such as
 * `field "items[2].price" is an object of class Money: …`.
 */
export function refusalIn(value: unknown): string | undefined {
  return lookFor(value, "", []);
}

/**
 * @param what names it: "a record", "a value of state count"
 * @throws ValueRefusedError, always
 */
export function refuseValue(value: unknown, what: string): never {
  const refusal = refusalIn(value);
  throw new ValueRefusedError(`${what} cannot be carried: ${refusal ?? "it changes while it is looked at"}`);
}

function lookFor(value: unknown, path: string, above: readonly object[]): string | undefined {
  if (typeof value !== "object") {
    return isScalar(value) ? undefined : `${named(path)} is ${describeValue(value)}; ${PLAIN}`;
  }
  if (value === null) return undefined;
  const cycle = above.indexOf(value);
  if (cycle >= 0)
    return `${named(path)} leads back to an object that holds it, a cycle; refer to it by a name or a number`;
  if (above.length >= DEPTH_MAX)
    return `${named(path)} is nested too deeply (more than ${DEPTH_MAX} levels); flatten it`;
  const problem = problemOf(value);
  if (problem !== undefined) return `${named(path)} ${problem}`;
  const inside = [...above, value];
  for (const [held, at] of heldBy(value, path)) {
    const found = lookFor(held, at, inside);
    if (found !== undefined) return found;
  }
  return undefined;
}

const PLAIN =
  "records and state hold plain values: objects, arrays, Map, Set, Date, bytes, text, numbers; make one of it first";

/** What of an object itself, looked at closely and whatever it holds, cannot be carried: the end of a sentence. */
export function problemOf(value: object): string | undefined {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === OBJECT) return problemOfObject(value);
  if (prototype === null) return "is an object without prototype; copy it ({ ...value })";
  if (isThenable(value)) {
    silence(value);
    return "is a promise, and the functions of a job cannot wait";
  }
  if (types.isNativeError(value)) return "is an error; carry its message";
  if (types.isProxy(value)) return "is a proxy; copy what it stands for";
  const isArray = prototype === ARRAY && Array.isArray(value);
  if (isArray || isHolder(value, prototype) || VIEWS.has(prototype) || LEAVES.has(prototype)) {
    const hasElements = isArray || ArrayBuffer.isView(value);
    const extra = Object.keys(value).find((name) => !(hasElements && isIndex(name)));
    const beside = isArray ? " beside its elements; copy it ([...value])" : "; copy it";
    if (extra !== undefined)
      return `is ${describeValue(value)} with a field ${JSON.stringify(extra)}${beside}`;
    const symbolic = problemOfSymbols(value);
    if (symbolic !== undefined) return symbolic;
    if (isArray || isHolder(value, prototype) || isCarriedLeaf(value, prototype)) return undefined;
  }
  if (types.isRegExp(value)) return "is a regular expression in the middle of a search (lastIndex); copy it";
  return `is ${describeValue(value)}, which would come back without its class; ${PLAIN}`;
}

function isHolder(value: object, prototype: unknown): boolean {
  return (
    (prototype === Map.prototype && types.isMap(value)) || (prototype === Set.prototype && types.isSet(value))
  );
}

function* heldBy(value: object, path: string): Generator<readonly [unknown, string]> {
  if (Array.isArray(value)) {
    for (const [i, element] of value.entries()) yield [element, `${path}[${i}]`];
  } else if (types.isMap(value)) {
    for (const [key, held] of value) {
      yield [key, `${path}<key>`];
      yield [held, `${path}.get(${describeValue(key)})`];
    }
  } else if (types.isSet(value)) {
    for (const held of value) yield [held, `${path}<element>`];
  } else if (Object.getPrototypeOf(value) === OBJECT) {
    for (const [name, field] of Object.entries(value)) yield [field, fieldPath(path, name)];
  }
}

const PATH_LENGTH_MAX = 200;

export function fieldPath(path: string, name: string): string {
  if (/^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(name)) return path === "" ? name : `${path}.${name}`;
  return `${path}[${JSON.stringify(name)}]`;
}

/** The subject of a refusal. */
export function named(path: string): string {
  if (path === "") return "it";
  return `field "${path.length > PATH_LENGTH_MAX ? `${path.slice(0, PATH_LENGTH_MAX)}…` : path}"`;
}
