/**
 * The snapshot of one keyed state: who produces and consumes it, and what its bytes are.
 *
 * A snapshot is a sequence of chunks, one after the other. Owns: the format of a chunk and the index over them. Does
 * not own: where the bytes go, nor their digest; a changed byte inside a column is for the storage to find (P20).
 *
 * - F1 A chunk can be read without any other chunk, and says its own length.
 * - F2 A chunk holds whole key groups, or part of one; the chunks of a snapshot come in the order of key groups.
 * - F3 Keys and values come back equal; what could not (plain-value.ts) is refused before it is written.
 *
 * Layout, little endian:
 *
 *     u8 format | u8 key encoding | u8 value encoding | u8 bytes of a key's length (1 or 4)
 *     u32 bytes of the chunk, header included | u32 groups | u32 entries | u32 bytes of the key column
 *     groups times { u32 key group, u32 entries }
 *     key column | value column
 *
 * Columns: `numbers` is one f64 per entry. Strings are their lengths, then the characters: Latin-1 when they all fit, else
 * UTF-16 (UTF-8 would make lone surrogates equal). Keys of mixed types, bigints and booleans are strings with a
 * letter in front. Values that are not all numbers are columns (columns.ts) or one array of codec.ts.
 */
import type { KeyGroupRange, SnapshotSegment } from "../../machines/protocol.ts";
import { ObjectCorruptError } from "../errors.ts";
import { decodeValue, encodePlain } from "./codec.ts";
import { type ColumnEncoder, decodeColumns } from "./columns.ts";
import type { Key } from "./descriptor.ts";

export interface EncodedChunk {
  readonly keyGroups: KeyGroupRange;
  readonly entries: number;
  readonly bytes: Uint8Array;
}

/** Reads the values of a cut while the live state goes on changing. One at a time for each state. */
export interface SnapshotCursor {
  /**
   * Encodes the next few hundred entries, well under a millisecond of work, so that the caller can stop at its budget.
   * undefined: all of the cut was given.
   * @throws OperatorError when a value cannot be encoded; the caller then cancels
   */
  next(): EncodedChunk | undefined;
  /** The cut is given up. Allowed at any time, also after the end. */
  cancel(): void;
}

/** Puts a snapshot's entries into a state that processes nothing yet. */
export interface StateRestorer {
  /**
   * Takes one chunk. true: there is more.
   * @throws ObjectCorruptError
   */
  next(): boolean;
}

/** Bytes of a snapshot to restore from, whole chunks; `object` is their name in error messages. */
export interface SnapshotBytes {
  readonly object: string;
  readonly bytes: Uint8Array;
}

const SEGMENT_BYTES_MIN = 65_536;

/**
 * The index that goes into the manifest: which bytes hold which key groups. At most one segment for each key group,
 * and none is small, so that it stays small itself (P10).
 */
export class SegmentIndex {
  private readonly closed: SnapshotSegment[] = [];
  private open: SnapshotSegment | undefined;

  /** Called for every chunk, in order. `offset`: where its bytes begin, right behind the chunk before. */
  add(chunk: EncodedChunk, offset: number): void {
    const open = this.open;
    const bytes = chunk.bytes.byteLength;
    if (open === undefined) {
      this.open = { keyGroups: chunk.keyGroups, offset, bytes };
    } else if (open.bytes >= SEGMENT_BYTES_MIN && open.keyGroups.last < chunk.keyGroups.first) {
      this.closed.push(open);
      this.open = { keyGroups: chunk.keyGroups, offset, bytes };
    } else {
      const keyGroups = { first: open.keyGroups.first, last: chunk.keyGroups.last };
      this.open = { keyGroups, offset: open.offset, bytes: open.bytes + bytes };
    }
  }

  segments(): SnapshotSegment[] {
    return this.open === undefined ? [...this.closed] : [...this.closed, this.open];
  }
}

export interface ChunkGroup {
  readonly keyGroup: number;
  readonly entries: number;
}

/** What is written in front of a chunk, and where its columns are. */
export interface ChunkHeader {
  readonly groups: readonly ChunkGroup[];
  readonly entries: number;
  readonly keyEncoding: number;
  readonly keyLengthBytes: number;
  readonly valueEncoding: number;
  readonly keysAt: number;
  readonly valuesAt: number;
  /** Where the next chunk begins. */
  readonly end: number;
}

const FORMAT = 1;
const HEADER_BYTES = 20;
const GROUP_BYTES = 8;

const NUMBERS = 1;
const LATIN1 = 2;
const UTF16 = 3;
/** Added to LATIN1 or UTF16: the first letter of each string is the key's type. */
const TAGGED = 16;
const PACKED = 4;
const COLUMNS = 5;

const WIDE = /[\u0100-\uffff]/;

/**
 * `groups` says how many of the entries belong to which key group, in order; it is not empty. `columns` knows the shapes
 * of the state's values.
 */
export function encodeChunk(
  keys: readonly Key[],
  values: readonly unknown[],
  groups: readonly ChunkGroup[],
  columns: ColumnEncoder,
): EncodedChunk {
  const entries = keys.length;
  const keyColumn = encodeKeys(keys);
  const numbers = allOf("number", values);
  const inColumns = numbers ? undefined : columns.encode(values);
  const packed = numbers
    ? undefined
    : (inColumns ?? encodePlain(values, (index) => nameOfValue(keys[index]!)));
  const keysAt = HEADER_BYTES + groups.length * GROUP_BYTES;
  const valuesAt = keysAt + keyColumn.bytes;
  const bytes = Buffer.allocUnsafeSlow(valuesAt + (packed === undefined ? entries * 8 : packed.byteLength));
  const view = new DataView(bytes.buffer);
  view.setUint8(0, FORMAT);
  view.setUint8(1, keyColumn.encoding);
  view.setUint8(2, numbers ? NUMBERS : inColumns === undefined ? PACKED : COLUMNS);
  view.setUint8(3, keyColumn.lengthBytes);
  view.setUint32(4, bytes.byteLength, true);
  view.setUint32(8, groups.length, true);
  view.setUint32(12, entries, true);
  view.setUint32(16, keyColumn.bytes, true);
  let at = HEADER_BYTES;
  for (const group of groups) {
    view.setUint32(at, group.keyGroup, true);
    view.setUint32(at + 4, group.entries, true);
    at += GROUP_BYTES;
  }
  if (keyColumn.encoding === NUMBERS) writeNumbers(view, keysAt, keys as readonly number[]);
  else writeStrings(bytes, view, keysAt, keyColumn);
  if (packed === undefined) writeNumbers(view, valuesAt, values as readonly number[]);
  else bytes.set(packed, valuesAt);
  const keyGroups = { first: groups[0]!.keyGroup, last: groups[groups.length - 1]!.keyGroup };
  return { keyGroups, entries, bytes };
}

/** In a refusal. */
export function nameOfValue(key: Key): string {
  return `the value of key ${String(key)}`;
}

interface StringColumn {
  readonly encoding: number;
  readonly lengthBytes: number;
  readonly bytes: number;
  readonly strings: readonly string[];
  readonly joined: string;
}

function encodeKeys(keys: readonly Key[]): StringColumn {
  if (allOf("number", keys)) {
    return { encoding: NUMBERS, lengthBytes: 1, bytes: keys.length * 8, strings: [], joined: "" };
  }
  const tagged = !allOf("string", keys);
  const strings = tagged ? keys.map(tag) : (keys as readonly string[]);
  const joined = strings.join("");
  const wide = WIDE.test(joined);
  const lengthBytes = strings.every((text) => text.length < 256) ? 1 : 4;
  return {
    lengthBytes,
    encoding: (wide ? UTF16 : LATIN1) + (tagged ? TAGGED : 0),
    bytes: strings.length * lengthBytes + joined.length * (wide ? 2 : 1),
    strings,
    joined,
  };
}

function writeNumbers(view: DataView, at: number, numbers: readonly number[]): void {
  for (let i = 0; i < numbers.length; i++) view.setFloat64(at + i * 8, numbers[i]!, true);
}

function writeStrings(bytes: Buffer, view: DataView, at: number, column: StringColumn): void {
  const { strings, joined } = column;
  for (let i = 0; i < strings.length; i++) {
    if (column.lengthBytes === 1) bytes[at + i] = strings[i]!.length;
    else view.setUint32(at + i * 4, strings[i]!.length, true);
  }
  const wide = (column.encoding & ~TAGGED) === UTF16;
  bytes.write(joined, at + strings.length * column.lengthBytes, wide ? "utf16le" : "latin1");
}

function allOf(type: "number" | "string", values: readonly unknown[]): boolean {
  for (let i = 0; i < values.length; i++) {
    if (typeof values[i] !== type) return false;
  }
  return true;
}

function tag(key: Key): string {
  switch (typeof key) {
    case "string":
      return `s${key}`;
    case "number":
      return `n${key}`;
    case "bigint":
      return `i${key}`;
    case "boolean":
      return key ? "t" : "f";
  }
}

function untag(text: string): Key | undefined {
  switch (text.charAt(0)) {
    case "s":
      return text.slice(1);
    case "n":
      return Number(text.slice(1));
    case "i":
      return /^i-?\d+$/.test(text) ? BigInt(text.slice(1)) : undefined;
    case "t":
      return true;
    case "f":
      return false;
    default:
      return undefined;
  }
}

/** @throws ObjectCorruptError */
export function readChunkHeader(source: SnapshotBytes, at: number): ChunkHeader {
  const { bytes } = source;
  const available = bytes.byteLength - at;
  if (available < HEADER_BYTES) throw corrupt(source, at, "it ends in the middle of a chunk");
  const view = viewOf(bytes);
  if (view.getUint8(at) !== FORMAT) {
    throw corrupt(source, at, `format ${view.getUint8(at)} where this version of Tidemark reads ${FORMAT}`);
  }
  const total = view.getUint32(at + 4, true);
  const groupCount = view.getUint32(at + 8, true);
  const entries = view.getUint32(at + 12, true);
  const keysAt = at + HEADER_BYTES + groupCount * GROUP_BYTES;
  const valuesAt = keysAt + view.getUint32(at + 16, true);
  const end = at + total;
  if (total > available) throw corrupt(source, at, "it ends in the middle of a chunk");
  if (groupCount === 0 || valuesAt > end) throw corrupt(source, at, "lengths do not fit");
  const groups: ChunkGroup[] = [];
  let sum = 0;
  for (let group = at + HEADER_BYTES; group < keysAt; group += GROUP_BYTES) {
    const keyGroup = view.getUint32(group, true);
    const inGroup = view.getUint32(group + 4, true);
    const before = groups[groups.length - 1];
    if (inGroup === 0) throw corrupt(source, at, "a key group without entries");
    if (before !== undefined && before.keyGroup >= keyGroup)
      throw corrupt(source, at, "key groups out of order");
    groups.push({ keyGroup, entries: inGroup });
    sum += inGroup;
  }
  if (sum !== entries) throw corrupt(source, at, "the entries of its groups do not add up");
  return {
    groups,
    entries,
    keyEncoding: view.getUint8(at + 1),
    keyLengthBytes: view.getUint8(at + 3),
    valueEncoding: view.getUint8(at + 2),
    keysAt,
    valuesAt,
    end,
  };
}

/** @throws ObjectCorruptError */
export function readChunkKeys(source: SnapshotBytes, header: ChunkHeader): Key[] {
  const { keysAt, valuesAt } = header;
  if (header.keyEncoding === NUMBERS) return readNumbers(source, header, keysAt, valuesAt);
  const encoding = header.keyEncoding & ~TAGGED;
  if (encoding !== LATIN1 && encoding !== UTF16) throw corrupt(source, keysAt, "unknown encoding of keys");
  const width = encoding === UTF16 ? 2 : 1;
  const strings = readStrings(source, header, width);
  if ((header.keyEncoding & TAGGED) === 0) return strings;
  return strings.map((text) => {
    const key = untag(text);
    if (key === undefined) throw corrupt(source, keysAt, "a key that cannot be read");
    return key;
  });
}

function readStrings(source: SnapshotBytes, header: ChunkHeader, width: 1 | 2): string[] {
  const { keysAt, valuesAt, entries, keyLengthBytes } = header;
  const view = viewOf(source.bytes);
  const buffer = Buffer.from(view.buffer, view.byteOffset, view.byteLength);
  const encoding = width === 2 ? "utf16le" : "latin1";
  let at = keysAt + entries * keyLengthBytes;
  if (at > valuesAt || (keyLengthBytes !== 1 && keyLengthBytes !== 4))
    throw corrupt(source, keysAt, "the lengths of its keys do not fit");
  const strings: string[] = [];
  for (let i = 0; i < entries; i++) {
    const length = keyLengthBytes === 1 ? view.getUint8(keysAt + i) : view.getUint32(keysAt + i * 4, true);
    const end = at + length * width;
    if (end > valuesAt) break;
    // One string each, not slices of a joined one: a slice would keep the whole of it alive.
    strings.push(buffer.toString(encoding, at, end));
    at = end;
  }
  if (strings.length !== entries || at !== valuesAt) {
    throw corrupt(source, keysAt, "the lengths of its keys do not fit");
  }
  return strings;
}

/** @throws ObjectCorruptError */
export function readChunkValues(source: SnapshotBytes, header: ChunkHeader): unknown[] {
  const { valuesAt, end, entries } = header;
  if (header.valueEncoding === NUMBERS) return readNumbers(source, header, valuesAt, end);
  if (header.valueEncoding !== PACKED && header.valueEncoding !== COLUMNS)
    throw corrupt(source, valuesAt, "unknown encoding of values");
  const bytes = source.bytes.subarray(valuesAt, end);
  let values: unknown;
  try {
    values = header.valueEncoding === PACKED ? decodeValue(bytes) : decodeColumns(bytes, entries, "own");
  } catch (error) {
    throw corrupt(source, valuesAt, "its values cannot be decoded", error);
  }
  if (!Array.isArray(values) || values.length !== entries) {
    throw corrupt(source, valuesAt, "it holds another number of values than of keys");
  }
  return values;
}

function readNumbers(source: SnapshotBytes, header: ChunkHeader, at: number, end: number): number[] {
  const { entries } = header;
  if (end - at !== entries * 8) throw corrupt(source, at, "a column of numbers has a wrong length");
  const view = viewOf(source.bytes);
  const numbers: number[] = [];
  for (let i = 0; i < entries; i++) numbers.push(view.getFloat64(at + i * 8, true));
  return numbers;
}

export function corrupt(
  source: SnapshotBytes,
  at: number,
  what: string,
  cause?: unknown,
): ObjectCorruptError {
  return new ObjectCorruptError(
    source.object,
    `state object "${source.object}" is corrupt at byte ${at}: ${what}`,
    cause === undefined ? {} : { cause },
  );
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
