/**
 * The pieces that the shapes of durable formats and of messages have in common, and the words for what does not fit.
 *
 * - SH1 A value that passes is read as it came: nothing is filled in, converted or dropped. Fields of a later version
 *   pass.
 * - SH2 Ids, counts and sizes are whole numbers from 0 to 2^53-1, and names that become a part of a subject or a key
 *   are checked as such: what passes breaks no invariant of its reader.
 * - SH3 What does not fit is named by field, with the kind of what was found there.
 */
import { z } from "zod";
import type { ObjectHandle } from "../../machines/protocol.ts";
import { CLONE_TAG, decodeValue } from "./codec.ts";
import { isJobName, isName, isSubjectToken } from "./names.ts";

/** What is wrong with a value, and where; undefined: it is a T. */
export type Shape<T> = { problem(value: unknown): string | undefined } & { readonly of?: T };

export function shapeOf<T>(schema: z.ZodType<T>): Shape<T> {
  return { problem: (value) => problemIn(schema, value) };
}

/** The first thing that is wrong: "subtasks.0.bytes: expected number, found a text of 4 characters". */
export function problemIn(schema: z.ZodType, value: unknown): string | undefined {
  const issue = schema.safeParse(value).error?.issues[0];
  return issue === undefined ? undefined : described(deepest(issue), value);
}

export type Parsed<T> =
  | { readonly value: T }
  /** `newer`: what has written it knows a format that this version does not. */
  | { readonly problem: string; readonly newer: boolean };

/**
 * A value of ours that lies somewhere as msgpack, or what is wrong with it.
 *
 * @param format the newest that is known; 0: values have no number, and one that has is of a newer version
 */
export function unpacked<T>(schema: z.ZodType<T>, bytes: Uint8Array, format = 0): Parsed<T> {
  if (bytes[0] === CLONE_TAG) return { problem: "it is no msgpack", newer: false };
  return checked(schema, () => decodeValue(bytes), "msgpack", format);
}

/** The same as `unpacked`, for JSON. */
export function parsedJson<T>(schema: z.ZodType<T>, text: Uint8Array | string, format = 0): Parsed<T> {
  const decode = () => JSON.parse(typeof text === "string" ? text : new TextDecoder().decode(text));
  return checked(schema, decode, "JSON", format);
}

function checked<T>(
  schema: z.ZodType<T>,
  decode: () => unknown,
  encoding: string,
  format: number,
): Parsed<T> {
  let value: unknown;
  try {
    value = decode();
  } catch {
    return { problem: `it is no ${encoding}`, newer: false };
  }
  const newer = newerFormat(value, format);
  if (newer !== undefined) return { problem: newer, newer: true };
  const problem = problemIn(schema, value);
  return problem === undefined ? { value: value as T } : { problem, newer: false };
}

function newerFormat(value: unknown, format: number): string | undefined {
  if (typeof value !== "object" || value === null || !("format" in value)) return undefined;
  const found = value.format;
  if (typeof found !== "number" || !(found > format)) return undefined;
  const known = format === 0 ? "this one knows none" : `this one reads ${format}`;
  return `it was written by a newer version of Tidemark (format ${found}, ${known})`;
}

interface Issue {
  readonly message: string;
  readonly path: readonly PropertyKey[];
}

/** The member of a union that fits furthest says what is wrong. */
function deepest(issue: z.core.$ZodIssue): Issue {
  if (issue.code !== "invalid_union") return issue;
  const inner = issue.errors.flatMap((some) => some.slice(0, 1).map(deepest));
  const longest = inner.reduce((a, b) => (b.path.length > a.path.length ? b : a), { message: "", path: [] });
  return longest.path.length === 0
    ? { path: issue.path, message: "none of what it may be" }
    : { path: [...issue.path, ...longest.path], message: longest.message };
}

const FOUND_FIELDS_MAX = 4;
const FOUND_NAME_MAX = 20;

function described({ message, path }: Issue, value: unknown): string {
  const words = message.replace(/^Invalid input: /, "").replace(/, received .*$/, "");
  const place = path.length === 0 ? "" : `${path.map(String).join(".")}: `;
  return `${place}${words}, found ${shown(path.reduce(valueAt, value))}`;
}

function valueAt(value: unknown, key: PropertyKey): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  return Object.hasOwn(value, key) ? (value as Record<PropertyKey, unknown>)[key] : undefined;
}

/** Numbers are counts of ours; texts, bytes and objects may hold what is the user's, and show their kind (P74). */
function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null || typeof value === "number" || typeof value === "boolean") return String(value);
  if (typeof value === "string") return `a text of ${value.length} characters`;
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value !== "object") return `a ${typeof value}`;
  const names = Object.keys(value);
  const first = names.slice(0, FOUND_FIELDS_MAX).map((name) => name.slice(0, FOUND_NAME_MAX));
  const more = names.length > first.length ? ", …" : "";
  return names.length === 0 ? "an object" : `an object with ${first.join(", ")}${more}`;
}

/* ------------------------------------------------------------------ pieces */

export const text = z.string();
export const texts = z.array(text);
/** An id, a count or a size. */
export const count = z.int().nonnegative();
/** How many there are of what there is always one of. */
export const positive = z.int().positive();
export const ms = z.number().nonnegative();
/** Wall clock. */
export const timeMs = z.number();
export const bytes = z.instanceof(Uint8Array);
export const nullable = { text: text.nullable(), count: count.nullable() };
export const jobName = text.refine((name) => isName(name) && isJobName(name), "no name of a job");
export const workerId = text.refine(isSubjectToken, "no id of a worker");
export const object: z.ZodType<ObjectHandle> = z.object({ name: text, bytes: count, digest: text });
export const handleShape = shapeOf(object);
