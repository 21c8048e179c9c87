/**
 * JavaScript values as literals of MySQL and MariaDB, by the type of their column.
 *
 * Owns: which value fits which type, and how it is spelled. The client's own conversion is not used: it moves dates by
 * the zone of the process, spreads arrays and objects over columns, and loses microseconds.
 *
 * - XQ1 A value that its column would refuse, or would change, is refused here, before it is part of a transaction
 *   (P24): integers out of range, half a surrogate pair, text that is too long or has a character that the column's set
 *   lacks, `undefined`.
 * - XQ2 A Date is a point in time, written in UTC, with as many digits behind the second as the column keeps; the rest
 *   is cut off. A number in a column of time is ms since 1970.
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
import { literalBytes, literalText } from "./literals.ts";

/** A column as the catalogue describes it. */
export interface MysqlColumn {
  readonly name: string;
  /** "bigint", "varchar", … */
  readonly type: string;
  /** "bigint(20) unsigned", "varchar(10)", for messages. */
  readonly fullType: string;
  readonly isUnsigned: boolean;
  readonly isNullable: boolean;
  /** The most characters of text; the most bytes of binary columns and of TEXT. */
  readonly charactersMax: number | undefined;
  readonly bytesMax: number | undefined;
  /** "utf8mb4", …; undefined: it is no text. */
  readonly charset: string | undefined;
  /** Digits behind the second, 0 to 6. */
  readonly precision: number;
  /** Two values are the same exactly if they are spelled alike. */
  readonly isExact: boolean;
}

const BITS: Readonly<Record<string, bigint>> = {
  tinyint: 8n,
  smallint: 16n,
  mediumint: 24n,
  int: 32n,
  bigint: 64n,
};
const TEXTS: ReadonlySet<string> = new Set([
  "char",
  "varchar",
  "tinytext",
  "text",
  "mediumtext",
  "longtext",
  "enum",
  "set",
]);
const BINARIES: ReadonlySet<string> = new Set([
  "binary",
  "varbinary",
  "tinyblob",
  "blob",
  "mediumblob",
  "longblob",
]);
/** The highest code point of a character that each set is known to have here. */
const HIGHEST: Readonly<Record<string, number>> = {
  utf8mb4: 0x10ffff,
  utf8mb3: 0xffff,
  utf8: 0xffff,
  latin1: 0xff,
  ascii: 0x7f,
};
const DATE_TEXT = /^\d{4}-\d\d-\d\d$/;
const TIME_TEXT = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?$/;

/** By type and collation: most collations take letters of either case, or spaces at the end, for the same. */
export function isExact(type: string, collation: string | undefined): boolean {
  return (
    type in BITS || type === "date" || BINARIES.has(type) || /_nopad_bin$|_0900_bin$/.test(collation ?? "")
  );
}

/** Character sets of which it is known which characters they have. */
export function isKnownCharset(charset: string): boolean {
  return charset in HIGHEST;
}

/** @param place of the table, in words */
export function columnWriter(place: string, column: MysqlColumn): (value: unknown) => string {
  const refuse: Refuse = (problem) => refuseColumn(place, column.name, `(${column.fullType}) ${problem}`);
  const spell = spellOf(column, refuse);
  return (value) => {
    if (value === null) return column.isNullable ? "NULL" : refuse("takes no null");
    if (value === undefined) return refuse("gets undefined; give null for no value");
    return spell(value);
  };
}

function spellOf(column: MysqlColumn, refuse: Refuse): (value: unknown) => string {
  const { type, isUnsigned, precision } = column;
  const bits = BITS[type];
  if (bits !== undefined) {
    const [min, max] = isUnsigned ? [0n, 2n ** bits - 1n] : [-(2n ** (bits - 1n)), 2n ** (bits - 1n) - 1n];
    return (value) =>
      type === "tinyint" && typeof value === "boolean"
        ? String(Number(value))
        : integerText(value, min, max, refuse);
  }
  if (TEXTS.has(type)) return textOf(column, refuse);
  if (BINARIES.has(type)) return (value) => binary(value, column.bytesMax, refuse);
  switch (type) {
    case "float":
    case "double":
      return (value) =>
        typeof value === "number" && Number.isFinite(value)
          ? String(value + 0)
          : refuse(got(value, "a finite number"));
    case "decimal":
      return (value) => decimal(value, refuse);
    case "json":
      return (value) => literalText(jsonOf(value, refuse));
    case "datetime":
    case "timestamp":
      return (value) => `'${timeOf(value, precision, refuse)}'`;
    case "date":
      return (value) => `'${dateOf(value, refuse)}'`;
    case "bit":
      return (value) =>
        typeof value === "boolean"
          ? value
            ? "b'1'"
            : "b'0'"
          : integerText(value, 0n, 2n ** 64n - 1n, refuse);
    default:
      return (value) =>
        typeof value === "string" ? literalText(wellFormed(value, refuse)) : refuse(got(value, "text"));
  }
}

function decimal(value: unknown, refuse: Refuse): string {
  if (typeof value === "bigint" || (typeof value === "number" && Number.isFinite(value)))
    return String(value);
  if (typeof value === "string" && NUMERIC.test(value)) return value;
  return refuse(got(value, "a finite number, a bigint or a number as text"));
}

function textOf(
  { charactersMax, bytesMax, charset, type }: MysqlColumn,
  refuse: Refuse,
): (value: unknown) => string {
  const highest = HIGHEST[charset ?? "utf8mb4"] ?? 0x10ffff;
  // TEXT is limited in bytes, and the catalogue tells the same number as its characters.
  const isCounted = type === "char" || type === "varchar";
  return (value) => {
    if (typeof value !== "string") return refuse(got(value, "text"));
    wellFormed(value, refuse);
    if (highest < 0x10ffff) checkCharset(value, highest, charset!, refuse);
    if (isCounted && charactersMax !== undefined) checkCharacters(value, charactersMax, refuse);
    if (!isCounted && bytesMax !== undefined && value.length * 3 > bytesMax) {
      const bytes = Buffer.byteLength(value);
      if (bytes > bytesMax) return refuse(`takes ${bytesMax} bytes, got ${bytes}`);
    }
    return literalText(value);
  };
}

function checkCharset(text: string, highest: number, charset: string, refuse: Refuse): void {
  for (const character of text)
    if (character.codePointAt(0)! > highest)
      refuse(`has the character set ${charset}, which lacks ${JSON.stringify(character)}`);
}

function binary(value: unknown, bytesMax: number | undefined, refuse: Refuse): string {
  if (!(value instanceof Uint8Array)) return refuse(got(value, "a Uint8Array"));
  if (bytesMax !== undefined && value.length > bytesMax)
    return refuse(`takes ${bytesMax} bytes, got ${value.length}`);
  return literalBytes(value);
}

function timeOf(value: unknown, precision: number, refuse: Refuse): string {
  const wanted = 'a Date, ms since 1970, or "YYYY-MM-DD hh:mm:ss.ffffff"';
  if (typeof value === "string") {
    if (!TIME_TEXT.test(value)) return refuse(got(value, wanted));
    return fractioned(value.replace("T", " "), precision);
  }
  return fractioned(isoOf(value, wanted, refuse).slice(0, -1).replace("T", " "), precision);
}

/** The servers would round, MySQL up to the next second. */
function fractioned(text: string, digits: number): string {
  const [seconds = "", fraction = ""] = text.split(".");
  return digits === 0 || fraction === "" ? seconds : `${seconds}.${fraction.slice(0, digits)}`;
}

function dateOf(value: unknown, refuse: Refuse): string {
  const wanted = 'a Date, ms since 1970, or "YYYY-MM-DD"';
  if (typeof value === "string") return DATE_TEXT.test(value) ? value : refuse(got(value, wanted));
  return isoOf(value, wanted, refuse).split("T")[0]!;
}
