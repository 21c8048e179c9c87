/**
 * JavaScript values as PostgreSQL's text format of COPY, by the type of their column.
 *
 * Owns: which value fits which type, and how it is spelled. The client's own conversion is not used: it moves dates by
 * the zone of the process, sends arrays as rows, and rounds or loses without a word.
 *
 * - XV1 A value that its column would refuse, or would change, is refused here, before it is part of a transaction
 *   (P24): integers out of range, half a surrogate pair, NUL, text that is too long, `undefined`.
 * - XV2 A Date is a point in time: in columns without zone it is written in UTC. A number in a column of time is ms
 *   since 1970.
 */
import { refuseColumn } from "../sql/row-mapping.ts";
import {
  checkCharacters,
  got,
  integerText,
  isoOf,
  jsonOf,
  NUMERIC,
  type Refuse,
  wellFormed,
} from "../sql/values.ts";

/** A column as the catalogue describes it. */
export interface PostgresColumn {
  readonly name: string;
  /** "int8", "text", "_int4" for an array of int4, … */
  readonly type: string;
  /** Characters of varchar and char; undefined: any number. */
  readonly length: number | undefined;
  readonly isNullable: boolean;
}

/** Spells a value. @throws RecordRefusedError */
type Spell = (value: unknown) => string;

const NULL = "\\N";

/** @param place of the table, in words */
export function columnWriter(place: string, column: PostgresColumn): (value: unknown) => string {
  const { name, type, isNullable } = column;
  const refuse = (problem: string): never => refuseColumn(place, name, `(${shownType(column)}) ${problem}`);
  const spell = type.startsWith("_") ? arrayOf(type.slice(1), column, refuse) : spellOf(type, column, refuse);
  const isPlain = PLAIN.has(type);
  return (value) => {
    if (value === null) return isNullable ? NULL : refuse("takes no null");
    if (value === undefined) return refuse("gets undefined; give null for no value");
    const text = spell(value);
    return isPlain ? text : escapeCopy(text);
  };
}

/** "varchar(10)", "int4[]" */
export function shownType({ type, length }: PostgresColumn): string {
  const base = type.startsWith("_") ? `${type.slice(1)}[]` : type;
  return length === undefined ? base : `${base}(${length})`;
}

const INTEGERS: Readonly<Record<string, readonly [bigint, bigint]>> = {
  int2: [-(2n ** 15n), 2n ** 15n - 1n],
  int4: [-(2n ** 31n), 2n ** 31n - 1n],
  int8: [-(2n ** 63n), 2n ** 63n - 1n],
  oid: [0n, 2n ** 32n - 1n],
};
/** What is spelled of these has nothing to escape. */
const PLAIN: ReadonlySet<string> = new Set([
  ...Object.keys(INTEGERS),
  "bool",
  "float4",
  "float8",
  "numeric",
  "uuid",
  "timestamptz",
  "timestamp",
  "date",
]);
/** Types of which two values are the same exactly if they are spelled alike. */
export const EXACT: ReadonlySet<string> = new Set([
  ...Object.keys(INTEGERS),
  "bool",
  "uuid",
  "text",
  "varchar",
]);
const TEXTS: ReadonlySet<string> = new Set(["text", "varchar", "bpchar", "name", "citext", "char"]);
const UUID = /^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$/i;
const DATE_TEXT = /^\d{4,6}-\d\d-\d\d$/;
const ZONED_TEXT = /^\d{4,6}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d(:?\d\d)?)$/;
const UNZONED_TEXT = /^\d{4,6}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?$/;

function spellOf(type: string, column: PostgresColumn, refuse: Refuse): Spell {
  const range = INTEGERS[type];
  if (range !== undefined) return (value) => integerText(value, range[0], range[1], refuse);
  if (TEXTS.has(type)) return textOf(column.length, refuse);
  switch (type) {
    case "bool":
      return (value) =>
        typeof value === "boolean" ? (value ? "t" : "f") : refuse(got(value, "true or false"));
    case "float4":
    case "float8":
      return (value) => (typeof value === "number" ? float(value) : refuse(got(value, "a number")));
    case "numeric":
      return (value) => numeric(value, refuse);
    case "uuid":
      return (value) =>
        typeof value === "string" && UUID.test(value)
          ? value.replaceAll("-", "").toLowerCase()
          : refuse(got(value, "a UUID as text"));
    case "json":
    case "jsonb":
      return (value) => json(value, type, refuse);
    case "bytea":
      return (value) => (value instanceof Uint8Array ? hexOf(value) : refuse(got(value, "a Uint8Array")));
    case "timestamptz":
      return (value) =>
        time(value, ZONED_TEXT, "ISO text with its zone", refuse) ??
        isoOf(value, "a Date, ms since 1970, or ISO text", refuse);
    case "timestamp":
      return (value) =>
        time(value, UNZONED_TEXT, "ISO text without zone", refuse) ??
        isoOf(value, "a Date, ms since 1970, or ISO text", refuse).slice(0, -1);
    case "date":
      return (value) =>
        time(value, DATE_TEXT, '"YYYY-MM-DD"', refuse) ??
        isoOf(value, "a Date, ms since 1970, or ISO text", refuse).split("T")[0]!;
    default:
      return textOf(undefined, refuse);
  }
}

function float(value: number): string {
  if (Number.isFinite(value)) return Object.is(value, -0) ? "-0" : String(value);
  return Number.isNaN(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
}

function numeric(value: unknown, refuse: Refuse): string {
  if (typeof value === "bigint") return String(value);
  if (typeof value === "number" && !Number.isNaN(value) && Number.isFinite(value)) return String(value);
  if (typeof value === "number") return Number.isNaN(value) ? "NaN" : refuse(got(value, "a finite number"));
  if (typeof value === "string" && NUMERIC.test(value)) return value;
  return refuse(got(value, "a number, a bigint or a number as text"));
}

function textOf(lengthMax: number | undefined, refuse: Refuse): Spell {
  return (value) => {
    if (typeof value !== "string") return refuse(got(value, "text"));
    checkText(value, refuse);
    if (lengthMax !== undefined) checkCharacters(value, lengthMax, refuse);
    return value;
  };
}

function checkText(text: string, refuse: Refuse): void {
  if (text.includes("\0")) refuse("takes no NUL character, and the text holds one");
  wellFormed(text, refuse);
}

function json(value: unknown, type: string, refuse: Refuse): string {
  const text = jsonOf(value, refuse);
  // Escaped in JSON, and yet no character of the server's: jsonb decodes them.
  if (type === "jsonb" && /\\u(0000|d[89a-f])/i.test(text)) {
    const unescaped = text.replaceAll("\\\\", "");
    if (/\\u0000/.test(unescaped)) refuse("takes no NUL character, and a text in it holds one");
    if (/\\ud[89a-f]/i.test(unescaped))
      refuse("takes no half of a surrogate pair, and a text in it holds one");
  }
  return text;
}

function hexOf(bytes: Uint8Array): string {
  return `\\x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex")}`;
}

/** The text that was given; undefined: it is no text. */
function time(value: unknown, pattern: RegExp, wanted: string, refuse: Refuse): string | undefined {
  if (typeof value !== "string") return undefined;
  return pattern.test(value) ? value : refuse(got(value, `a Date, ms since 1970, or ${wanted}`));
}

function arrayOf(type: string, column: PostgresColumn, refuse: Refuse): Spell {
  const spell = spellOf(type, column, refuse);
  const spellArray = (values: readonly unknown[]): string => {
    const parts: string[] = [];
    for (const value of values) {
      if (value === undefined) refuse("holds undefined; give null for no value");
      else if (value === null) parts.push("NULL");
      else if (Array.isArray(value)) parts.push(spellArray(value));
      else parts.push(`"${spell(value).replace(/[\\"]/g, "\\$&")}"`);
    }
    return `{${parts.join(",")}}`;
  };
  return (value) => (Array.isArray(value) ? spellArray(value) : refuse(got(value, "an array")));
}

const ESCAPED = /[\\\t\n\r]/;
const ESCAPES: Readonly<Record<string, string>> = { "\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r" };

function escapeCopy(text: string): string {
  return ESCAPED.test(text) ? text.replace(/[\\\t\n\r]/g, (one) => ESCAPES[one]!) : text;
}

const UNESCAPES: Readonly<Record<string, string>> = { "\\": "\\", t: "\t", n: "\n", r: "\r" };

/** The fields of a line, without escapes; null: NULL. */
export function fieldsOf(line: string): (string | null)[] {
  const fields: (string | null)[] = line.split("\t");
  if (!line.includes("\\")) return fields;
  return fields.map((field) =>
    field === NULL ? null : field!.replace(/\\([\\tnr])/g, (_, one: string) => UNESCAPES[one]!),
  );
}
