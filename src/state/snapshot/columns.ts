/**
 * A batch of values of one shape as columns: what makes wide records cheap to send and to keep.
 *
 * Owns: the bytes of such a batch. Does not own: what is around it (a channel's frame, a chunk of a snapshot).
 *
 * Layout, little endian: u8 number of fields (0: the values themselves are the only column); for each field u8 kind,
 * u16 bytes of its name, name; then the columns. A column of n values:
 *
 *     BYTES    n x u8                     whole numbers from 0 to 255
 *     INTS     n x i32
 *     FLOATS   n x f64
 *     STRINGS  n x u16 length in UTF-16 units, u32 bytes, the texts side by side in UTF-8
 *     VALUES   u32 bytes, the array of n values by codec.ts: what is not of one kind, booleans, objects
 *
 * CO1 Only plain objects with the same fields in the same order go this way, or strings and numbers. What comes back is
 *     equal.
 * CO2 Code is generated per shape, for at most SHAPES_MAX shapes of a writer; a reader forgets shapes beyond its own
 *     bound.
 *
 * Measured (7 fields, 240 bytes of JSON, frames of 220): encoding 0.35 µs a record where msgpack takes 0.75.
 */

import { decodeSealed } from "../../formats/codec.ts";
import { isCarried } from "../plain-value.ts";
import { type Joiner, joinerOf, type Shape, type Splitter, splitterOf } from "../shape-code.ts";
import { aRecord, encodePlain } from "./codec.ts";
import { ownString } from "./own-key.ts";

/** Below this the work per frame outweighs the gain. */
const RECORDS_MIN = 8;
const FIELDS_MAX = 64;
const NAME_BYTES_MAX = 0xffff;
const STRING_LENGTH_MAX = 0xffff;
const SHAPES_MAX = 64;
const READER_SHAPES_MAX = 256;

const KIND = { bytes: 0, ints: 1, floats: 2, strings: 3, values: 4, wide: 5 } as const;
type Kind = (typeof KIND)[keyof typeof KIND];

type Column = readonly unknown[];
type Known = { readonly shape: Shape; readonly split: Splitter };

/** The encoder of one writing end. */
export class ColumnEncoder {
  readonly #splitters = new Map<string, Splitter>();
  /** The shape and the splitter of the batch before. */
  #known: Known | undefined;

  /**
   * undefined: these records do not go as columns.
   * @param objects whether a column may hold them; not where their names are ever new ones
   */
  encode(records: readonly unknown[], objects = false): Buffer | undefined {
    if (records.length < RECORDS_MIN) return undefined;
    const first = records[0];
    if (typeof first === "string" || typeof first === "number") {
      const kind = kindOf(records);
      return kind === undefined ? undefined : write([], [records], [kind], records.length);
    }
    if (!isPlain(first)) return undefined;
    if (this.#known === undefined || !hasShape(first, this.#known.shape)) this.#known = this.#learn(first);
    if (this.#known === undefined) return undefined;
    const { shape, split } = this.#known;
    if (!objects && holdsObject(first, shape)) return undefined;
    for (let i = 1; i < records.length; i++) {
      const record = records[i];
      if (!isPlain(record) || !hasShape(record, shape)) return undefined;
    }
    const columns: unknown[][] = shape.map(() => new Array(records.length));
    split(records, columns);
    const kinds: Kind[] = [];
    for (const column of columns) {
      const kind = kindOf(column) ?? (objects ? KIND.values : undefined);
      if (kind === undefined) return undefined;
      kinds.push(kind);
    }
    return write(shape, columns, kinds, records.length);
  }

  #learn(record: object): Known | undefined {
    const shape = Object.keys(record);
    if (shape.length === 0 || shape.length > FIELDS_MAX || shape.includes("__proto__")) return undefined;
    if (shape.some((name) => name.length * 3 > NAME_BYTES_MAX || !name.isWellFormed())) return undefined;
    // Closely, for the first of its shape: it may have getters, or fields named by symbols (PV2).
    if (!isCarried(record)) return undefined;
    const key = JSON.stringify(shape);
    let split = this.#splitters.get(key);
    if (split === undefined) {
      if (this.#splitters.size >= SHAPES_MAX) return undefined;
      split = splitterOf(shape);
      this.#splitters.set(key, split);
    }
    return { shape, split };
  }
}

/**
 * Encodes columns as a ColumnEncoder encodes records of the given fields; all columns have `count` elements. undefined:
 * a column holds objects, or the records are too few.
 */
export function encodeShape(names: Shape, columns: readonly Column[], count: number): Buffer | undefined {
  if (count < RECORDS_MIN) return undefined;
  const kinds: Kind[] = [];
  for (const column of columns) {
    const kind = kindOf(column);
    if (kind === undefined) return undefined;
    kinds.push(kind);
  }
  return write(names, columns, kinds, count);
}

/** The decoder of one reading end: it remembers the shapes of what it reads. */
export class ColumnDecoder {
  readonly #joiners = new Map<string, Joiner>();

  /**
   * `strings`: "sliced" ones are quick to make, and each keeps the text of its whole column alive; "own" ones do not.
   * @throws RangeError or Error when `bytes` is not what `ColumnEncoder` wrote for `count` records
   */
  decode(bytes: Uint8Array, count: number, strings: "sliced" | "own"): unknown[] {
    const reader = new ColumnReader(bytes, count, strings === "own");
    const records = this.#fields(reader, count);
    reader.end();
    return records;
  }

  #fields(reader: ColumnReader, count: number): unknown[] {
    const fields = reader.byte();
    if (fields === 0) return reader.column(reader.byte() as Kind);
    if (fields > FIELDS_MAX) throw new RangeError(`${fields} columns`);
    const names: string[] = [];
    const kinds: Kind[] = [];
    for (let i = 0; i < fields; i++) {
      kinds.push(reader.byte() as Kind);
      names.push(reader.name());
    }
    return this.#joinerFor(names)(
      kinds.map((kind) => reader.column(kind)),
      count,
    );
  }

  #joinerFor(shape: Shape): Joiner {
    const key = JSON.stringify(shape);
    const known = this.#joiners.get(key);
    if (known !== undefined) return known;
    if (shape.includes("__proto__") || new Set(shape).size !== shape.length)
      throw new Error("columns that no record can have");
    if (this.#joiners.size >= READER_SHAPES_MAX) this.#joiners.clear();
    const joiner = joinerOf(shape);
    this.#joiners.set(key, joiner);
    return joiner;
  }
}

function isPlain(value: unknown): value is object {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

function hasShape(record: object, shape: Shape): boolean {
  let fields = 0;
  for (const name in record) if (name !== shape[fields++]) return false;
  return fields === shape.length;
}

function holdsObject(record: object, shape: Shape): boolean {
  for (let i = 0; i < shape.length; i++) {
    const value: unknown = (record as Readonly<Record<string, unknown>>)[shape[i]!];
    if (typeof value === "object" && value !== null) return true;
  }
  return false;
}

/** undefined: it holds objects, or what is no value. */
function kindOf(column: Column): Kind | undefined {
  const type = typeof column[0];
  if (type === "string" && areStrings(column)) return KIND.strings;
  return (type === "number" ? kindOfNumbers(column) : undefined) ?? kindOfScalars(column);
}

function areStrings(column: Column): boolean {
  for (let i = 0; i < column.length; i++) {
    const value = column[i];
    if (typeof value !== "string" || value.length > STRING_LENGTH_MAX) return false;
  }
  return true;
}

function kindOfNumbers(column: Column): Kind | undefined {
  let bits = 0;
  let whole = true;
  for (let i = 0; i < column.length; i++) {
    const value = column[i];
    if (typeof value !== "number") return undefined;
    if ((value | 0) === value && (value !== 0 || 1 / value > 0)) bits |= value;
    else whole = false;
  }
  if (!whole) return KIND.floats;
  return bits >>> 8 === 0 ? KIND.bytes : KIND.ints;
}

function kindOfScalars(column: Column): Kind | undefined {
  for (let i = 0; i < column.length; i++) {
    const value = column[i];
    if (value !== null && typeof value === "object") return undefined;
    if (typeof value === "function" || typeof value === "symbol") return undefined;
  }
  return KIND.values;
}

function write(names: Shape, columns: readonly Column[], kinds: readonly Kind[], count: number): Buffer {
  const writer = new ColumnWriter(count * columns.length * 8 + 1024);
  writer.byte(names.length);
  const kindsAt: number[] = [];
  for (let i = 0; i < kinds.length; i++) {
    kindsAt.push(writer.byte(kinds[i]!));
    if (names.length > 0) writer.name(names[i]!);
  }
  for (let i = 0; i < columns.length; i++) writer.column(columns[i]!, kinds[i]!, kindsAt[i]!);
  return writer.content();
}

class ColumnWriter {
  #buffer: Buffer;
  #length = 0;

  constructor(capacity: number) {
    this.#buffer = Buffer.allocUnsafe(capacity);
  }

  content(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  /** Answers where it lies. */
  byte(value: number): number {
    this.#reserve(1);
    this.#buffer[this.#length] = value;
    return this.#length++;
  }

  name(name: string): void {
    this.#reserve(2 + name.length * 3);
    const bytes = this.#buffer.write(name, this.#length + 2, "utf8");
    this.#buffer.writeUInt16LE(bytes, this.#length);
    this.#length += 2 + bytes;
  }

  /** `kindAt`: where its kind was written, which for texts shows only here. */
  column(column: Column, kind: Kind, kindAt: number): void {
    if (kind === KIND.strings) this.#strings(column as readonly string[], kindAt);
    else if (kind === KIND.values) this.#values(column);
    else this.#numbers(column as readonly number[], kind);
  }

  #numbers(column: readonly number[], kind: Kind): void {
    const width = kind === KIND.bytes ? 1 : kind === KIND.ints ? 4 : 8;
    this.#reserve(column.length * width);
    const buffer = this.#buffer;
    let at = this.#length;
    if (kind === KIND.bytes) {
      for (let i = 0; i < column.length; i++) buffer[at++] = column[i]!;
    } else {
      const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength);
      if (kind === KIND.ints) {
        for (let i = 0; i < column.length; i++, at += 4) view.setInt32(at, column[i]!, true);
      } else {
        for (let i = 0; i < column.length; i++, at += 8) view.setFloat64(at, column[i]!, true);
      }
    }
    this.#length = at;
  }

  #strings(column: readonly string[], kindAt: number): void {
    this.#reserve(column.length * 2 + 4);
    const lengths = this.#buffer;
    let at = this.#length;
    let text = "";
    for (let i = 0; i < column.length; i++) {
      const value = column[i]!;
      lengths[at++] = value.length;
      lengths[at++] = value.length >>> 8;
      text += value;
    }
    this.#length = at + 4;
    this.#reserve(text.length * 3);
    // Halves of two neighbours may make a pair: it is the whole that is written, and cut by its lengths.
    const wide = !text.isWellFormed();
    if (wide) this.#buffer[kindAt] = KIND.wide;
    // One crossing into native code for the whole column.
    const bytes = this.#buffer.write(text, at + 4, wide ? "utf16le" : "utf8");
    this.#buffer.writeUInt32LE(bytes, at);
    this.#length = at + 4 + bytes;
  }

  #values(column: Column): void {
    const bytes = encodePlain(column, aRecord);
    this.#reserve(4 + bytes.length);
    this.#buffer.writeUInt32LE(bytes.length, this.#length);
    this.#buffer.set(bytes, this.#length + 4);
    this.#length += 4 + bytes.length;
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }
}

class ColumnReader {
  readonly #buffer: Buffer;
  readonly #view: DataView;
  readonly #count: number;
  readonly #ownStrings: boolean;
  #at = 0;

  constructor(bytes: Uint8Array, count: number, ownStrings: boolean) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#count = count;
    this.#ownStrings = ownStrings;
  }

  byte(): number {
    return this.#view.getUint8(this.#at++);
  }

  name(): string {
    const from = this.#at + 2;
    this.#at = from + this.#view.getUint16(this.#at, true);
    return this.#text(from, this.#at);
  }

  /** Nothing may follow. */
  end(): void {
    if (this.#at !== this.#buffer.length) throw new RangeError(`columns end at byte ${this.#at}`);
  }

  column(kind: Kind): unknown[] {
    if (kind === KIND.values) return this.#values();
    const width = kind === KIND.bytes ? 1 : kind === KIND.ints ? 4 : kind === KIND.floats ? 8 : 2;
    if (this.#count * width > this.#buffer.length - this.#at)
      throw new RangeError(`${this.#count} records do not fit into their columns`);
    const column: unknown[] = new Array(this.#count);
    const view = this.#view;
    let at = this.#at;
    switch (kind) {
      case KIND.bytes:
        for (let i = 0; i < column.length; i++) column[i] = view.getUint8(at++);
        break;
      case KIND.ints:
        for (let i = 0; i < column.length; i++, at += 4) column[i] = view.getInt32(at, true);
        break;
      case KIND.floats:
        for (let i = 0; i < column.length; i++, at += 8) column[i] = view.getFloat64(at, true);
        break;
      case KIND.strings:
        return this.#strings(column, "utf8");
      case KIND.wide:
        return this.#strings(column, "utf16le");
      default:
        throw new Error(`a column of kind ${kind satisfies never}`);
    }
    this.#at = at;
    return column;
  }

  #strings(column: unknown[], encoding: "utf8" | "utf16le"): unknown[] {
    const view = this.#view;
    let at = this.#at;
    const textAt = at + column.length * 2 + 4;
    this.#at = textAt + view.getUint32(textAt - 4, true);
    const text = this.#text(textAt, this.#at, encoding);
    let from = 0;
    for (let i = 0; i < column.length; i++, at += 2) {
      const to = from + view.getUint16(at, true);
      const string = text.substring(from, to);
      column[i] = this.#ownStrings ? ownString(string) : string;
      from = to;
    }
    if (from !== text.length) throw new RangeError(`a column of ${from} characters holds ${text.length}`);
    return column;
  }

  #values(): unknown[] {
    const from = this.#at + 4;
    this.#at = from + this.#view.getUint32(this.#at, true);
    const column = decodeSealed(this.#buffer.subarray(from, this.#at));
    if (!Array.isArray(column) || column.length !== this.#count)
      throw new RangeError(`a column of ${this.#count} values holds others`);
    return column;
  }

  #text(from: number, to: number, encoding: "utf8" | "utf16le" = "utf8"): string {
    if (to > this.#buffer.length) throw new RangeError("a text ends beyond its message");
    return this.#buffer.toString(encoding, from, to);
  }
}
