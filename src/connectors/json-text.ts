/**
 * A record as JSON: what JSON would lose in silence is refused.
 *
 * JSON.stringify writes `{}` for a Map, null for NaN, nothing for a function. Here these are errors that name the
 * field. Taken as JSON.stringify is known to write it: a field that is undefined is left out, a Date is its ISO text,
 * -0 is 0, an object with a method `toJSON` is what that answers.
 */
import { RecordRefusedError } from "../errors.ts";
import { describeValue } from "../state/described.ts";
import { DEPTH_MAX, fieldPath, hasOnlyElements, named } from "../state/plain-value.ts";

interface WithToJson {
  readonly toJSON?: unknown;
}

/** @throws RecordRefusedError naming the field */
export function jsonText(value: unknown): string {
  if (!isJson(value, 0)) {
    throw new RecordRefusedError(`a record cannot be written as JSON: ${problemIn(value, "", [])}`);
  }
  return JSON.stringify(value);
}

function isJson(value: unknown, depth: number): boolean {
  switch (typeof value) {
    case "string":
    case "boolean":
      return true;
    case "number":
      return Number.isFinite(value);
    case "object":
      break;
    case "bigint":
      return typeof (value as WithToJson).toJSON === "function";
    default:
      return false;
  }
  if (value === null) return true;
  if (depth >= DEPTH_MAX) return false;
  if (typeof (value as WithToJson).toJSON === "function") return isJsonOfOwn(value, depth);
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) if (!isJson(value[i], depth + 1)) return false;
    return hasOnlyElements(value);
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return false;
  for (const name in value) {
    const field: unknown = (value as Readonly<Record<string, unknown>>)[name];
    if (field !== undefined && !isJson(field, depth + 1)) return false;
  }
  return Object.getOwnPropertySymbols(value).length === 0;
}

/** Buffer has a `toJSON`, too, which writes each byte as a number. An invalid Date answers null. */
function isJsonOfOwn(value: object, depth: number): boolean {
  if (ArrayBuffer.isView(value)) return false;
  const own = (value as { toJSON(): unknown }).toJSON();
  return own !== value && own !== null && isJson(own, depth + 1);
}

function problemIn(value: unknown, path: string, above: readonly object[]): string {
  if (typeof value !== "object" || value === null) {
    const hint = typeof value === "bigint" ? "; write it as text: String(value)" : "";
    return `${named(path)} is ${describeValue(value)}, which JSON does not know${hint}`;
  }
  if (above.includes(value)) return `${named(path)} leads back to an object that holds it, a cycle`;
  if (above.length >= DEPTH_MAX)
    return `${named(path)} is nested too deeply (more than ${DEPTH_MAX} levels); flatten it`;
  const inside = [...above, value];
  if (typeof (value as WithToJson).toJSON === "function" && !ArrayBuffer.isView(value)) {
    return `${named(path)} is ${describeValue(value)}, and what its toJSON answers is no JSON`;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (!Array.isArray(value) && prototype !== Object.prototype && prototype !== null) {
    return `${named(path)} is ${describeValue(value)}, which JSON does not know; ${otherwise(value)}`;
  }
  for (const [name, field] of Array.isArray(value) ? value.entries() : Object.entries(value)) {
    const isLeftOut = field === undefined && !Array.isArray(value);
    const depth = inside.length;
    if (isLeftOut || isJson(field, depth)) continue;
    const at = typeof name === "number" ? `${path}[${name}]` : fieldPath(path, name);
    return problemIn(field, at, inside);
  }
  const extra = Reflect.ownKeys(value).find(
    (name) => typeof name === "symbol" || (Array.isArray(value) && !isElement(name)),
  );
  if (extra === undefined) return `${named(path)} changes while it is looked at`;
  return typeof extra === "symbol"
    ? `${named(path)} has a field whose name is ${String(extra)}, which JSON does not know; give it a name that is text`
    : `${named(path)} is an array with a field ${JSON.stringify(extra)}, which JSON does not know; copy it ([...value])`;
}

function isElement(name: string): boolean {
  return name === "length" || /^\d+$/.test(name);
}

function otherwise(value: object): string {
  if (value instanceof Map) return "make an object of it: Object.fromEntries(map)";
  if (value instanceof Set) return "make an array of it: [...set]";
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer)
    return 'make text of it: Buffer.from(bytes).toString("base64")';
  if (value instanceof Error) return "write its message";
  return "make a plain object of it ({ ...value }), or give its class a method toJSON";
}
