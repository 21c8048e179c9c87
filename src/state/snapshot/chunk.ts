/**
 * The bytes of a snapshot of one table: chunks, one after the other.
 *
 * Owns: the format of a chunk. Does not own: where the bytes go, nor their digest; a changed byte inside a column is
 * for the storage to find (P20); which bytes hold which key groups (segments.ts).
 *
 * - CH1 A chunk can be read without any other chunk, and says its own length and which serializer wrote its values.
 * - CH2 The chunks of a snapshot come in the order of key groups. A chunk of all rows holds whole key groups, or part
 *   of one; among chunks of changes, a key group may begin in one and end in another.
 * - CH3 Keys, namespaces and values come back equal; what could not (plain-value.ts) is refused before it is written.
 * - CH4 A deleted row has a key and a namespace, and no value. It says that rows of older chunks are there no more.
 *   Without a key, it says so of all rows of its namespace, in its key group. Deleted rows of a key group come in front
 *   of the others.
 *
 * Layout, little endian:
 *
 *     u8 format | u8 key encoding | u8 value encoding | u8 bytes of a key's length (1 or 4)
 *     u32 bytes of the chunk, header included | u32 groups | u32 entries | u32 bytes of the key column
 *     u32 bytes of the namespace column | u32 bytes of the deletions
 *     u8 namespace encoding | u8 bytes of a namespace's length | u16 version of the serializer
 *     u8 bytes of the serializer's name | name
 *     groups times { u32 key group, u32 entries }
 *     key column | namespace column | deletions | value column
 *
 * The namespace column is empty where all rows are of the fixed namespace; deletions are empty, or one bit for each
 * row, the lowest first. Keys and namespaces: key-column.ts. Values that are all numbers are one f64 each, others are
 * columns (columns.ts) or one array of codec.ts.
 */

import { decodeSealed } from "../../formats/codec.ts";
import type { EncodedChunk, Namespace, SnapshotBytes } from "../contract.ts";
import { describeValue } from "../described.ts";
import type { Key } from "../descriptor.ts";
import { encodePlain } from "./codec.ts";
import type { ColumnDecoder, ColumnEncoder } from "./columns.ts";
import { corrupt } from "./corrupt.ts";
import {
  allOf,
  encodeKeyColumn,
  type KeyColumn,
  type KeyColumnAt,
  readKeyColumn,
  readNumbers,
  writeKeyColumn,
} from "./key-column.ts";

export interface ChunkGroup {
  readonly keyGroup: number;
  readonly entries: number;
}

export interface ChunkRows {
  /** undefined: all of the namespace, where the row is deleted. */
  readonly keys: readonly (Key | undefined)[];
  /** undefined: all are of the fixed one. */
  readonly namespaces?: readonly Namespace[] | undefined;
  /** How many of the rows belong to which key group, in order; not empty. */
  readonly groups: readonly ChunkGroup[];
  /** Which rows are deleted, by their index. */
  readonly deleted?: ReadonlySet<number>;
  /** The values of the rows that are not deleted. Bytes: what `encodeShape` or a ColumnEncoder has made of them. */
  readonly values: readonly unknown[] | Float64Array | Uint8Array;
}

/** What is written in front of a chunk, and where its columns are. */
export interface ChunkHeader {
  readonly groups: readonly ChunkGroup[];
  readonly entries: number;
  readonly keys: KeyColumnAt;
  /** undefined: all are of the fixed namespace. */
  readonly namespaces: KeyColumnAt | undefined;
  /** Undefined where no row is. */
  readonly deletionsAt: number | undefined;
  readonly valueEncoding: number;
  readonly valuesAt: number;
  /** The offset of the next chunk. */
  readonly end: number;
}

const FORMAT = 2;
const HEADER_BYTES = 33;
const GROUP_BYTES = 8;
/**
 * The serializer of values: this file with codec.ts and columns.ts. A change of what their bytes mean is a new version.
 */
const SERIALIZER = { name: "tidemark.plain", version: 1 } as const;
/** As manifests name it. */
export const SERIALIZER_IN_WORDS = `${SERIALIZER.name} ${SERIALIZER.version}`;
const SERIALIZER_NAME = Buffer.from(SERIALIZER.name, "latin1");
const GROUPS_AT = HEADER_BYTES + SERIALIZER_NAME.length;

const NUMBERS = 1;
const PACKED = 4;
const COLUMNS = 5;

/** `columns` knows the shapes of the table's values. */
export function encodeChunk(rows: ChunkRows, columns: ColumnEncoder): EncodedChunk {
  const { keys, groups } = rows;
  const keyColumn = encodeKeyColumn(keys);
  const namespaces = namespaceColumn(rows.namespaces);
  const deletions = deletionBits(rows);
  const values = encodeValues(rows, columns);
  const keysAt = GROUPS_AT + groups.length * GROUP_BYTES;
  const namespacesAt = keysAt + keyColumn.bytes;
  const deletionsAt = namespacesAt + (namespaces?.bytes ?? 0);
  const valuesAt = deletionsAt + deletions.length;
  const bytes = Buffer.allocUnsafeSlow(valuesAt + values.bytes.byteLength);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, FORMAT);
  view.setUint8(1, keyColumn.encoding);
  view.setUint8(2, values.encoding);
  view.setUint8(3, keyColumn.lengthBytes);
  view.setUint32(4, bytes.byteLength, true);
  view.setUint32(8, groups.length, true);
  view.setUint32(12, keys.length, true);
  view.setUint32(16, keyColumn.bytes, true);
  view.setUint32(20, namespaces?.bytes ?? 0, true);
  view.setUint32(24, deletions.length, true);
  view.setUint8(28, namespaces?.encoding ?? 0);
  view.setUint8(29, namespaces?.lengthBytes ?? 0);
  view.setUint16(30, SERIALIZER.version, true);
  view.setUint8(32, SERIALIZER_NAME.length);
  bytes.set(SERIALIZER_NAME, HEADER_BYTES);
  let at = GROUPS_AT;
  for (const group of groups) {
    view.setUint32(at, group.keyGroup, true);
    view.setUint32(at + 4, group.entries, true);
    at += GROUP_BYTES;
  }
  writeKeyColumn(bytes, view, keysAt, keyColumn);
  if (namespaces !== undefined) writeKeyColumn(bytes, view, namespacesAt, namespaces);
  bytes.set(deletions, deletionsAt);
  bytes.set(values.bytes, valuesAt);
  const keyGroups = { first: groups[0]!.keyGroup, last: groups[groups.length - 1]!.keyGroup };
  return { keyGroups, entries: keys.length, bytes };
}

/** The name of a value in a refusal. */
export function nameOfValue(key: Key): string {
  return `the value of a key (${describeValue(key)})`;
}

function namespaceColumn(namespaces: readonly Namespace[] | undefined): KeyColumn | undefined {
  if (namespaces?.some((namespace) => namespace !== undefined)) return encodeKeyColumn(namespaces);
  return undefined;
}

const NOTHING_DELETED = new Uint8Array(0);

function deletionBits({ keys, deleted }: ChunkRows): Uint8Array {
  if (deleted === undefined || deleted.size === 0) return NOTHING_DELETED;
  const bits = new Uint8Array((keys.length + 7) >>> 3);
  for (const row of deleted) bits[row >>> 3]! |= 1 << (row & 7);
  return bits;
}

interface EncodedValues {
  readonly encoding: number;
  readonly bytes: Uint8Array;
}

function encodeValues({ keys, deleted, values }: ChunkRows, columns: ColumnEncoder): EncodedValues {
  if (values instanceof Uint8Array) return { encoding: COLUMNS, bytes: values };
  if (values instanceof Float64Array || allOf("number", values))
    return { encoding: NUMBERS, bytes: numberBytes(values as ArrayLike<number>) };
  const inColumns = columns.encode(values);
  if (inColumns !== undefined) return { encoding: COLUMNS, bytes: inColumns };
  const written = deleted === undefined ? keys : keys.filter((_, row) => !deleted.has(row));
  return { encoding: PACKED, bytes: encodePlain(values, (index) => nameOfValue(written[index] as Key)) };
}

function numberBytes(numbers: ArrayLike<number>): Uint8Array {
  const bytes = Buffer.allocUnsafe(numbers.length * 8);
  for (let i = 0; i < numbers.length; i++) bytes.writeDoubleLE(numbers[i]!, i * 8);
  return bytes;
}

/** @throws ObjectCorruptError */
export function readChunkHeader(source: SnapshotBytes, at: number): ChunkHeader {
  const { bytes } = source;
  const available = bytes.byteLength - at;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (available > 0 && view.getUint8(at) !== FORMAT) {
    throw corrupt(source, at, `format ${view.getUint8(at)} where this version of Tidemark reads ${FORMAT}`);
  }
  if (available < GROUPS_AT) throw corrupt(source, at, "it ends in the middle of a chunk");
  refuseOtherSerializer(source, view, at);
  const total = view.getUint32(at + 4, true);
  const groupCount = view.getUint32(at + 8, true);
  const entries = view.getUint32(at + 12, true);
  const keysAt = at + GROUPS_AT + groupCount * GROUP_BYTES;
  const namespacesAt = keysAt + view.getUint32(at + 16, true);
  const deletionsAt = namespacesAt + view.getUint32(at + 20, true);
  const deletionBytes = view.getUint32(at + 24, true);
  const valuesAt = deletionsAt + deletionBytes;
  const end = at + total;
  if (total > available) throw corrupt(source, at, "it ends in the middle of a chunk");
  if (groupCount === 0 || valuesAt > end) throw corrupt(source, at, "lengths do not fit");
  if (deletionBytes !== 0 && deletionBytes !== (entries + 7) >>> 3)
    throw corrupt(source, at, "it says of another number of rows whether they are deleted");
  const namespaceEncoding = view.getUint8(at + 28);
  if ((namespaceEncoding === 0) !== (namespacesAt === deletionsAt))
    throw corrupt(source, at, "the lengths of its namespaces do not fit");
  return {
    groups: readGroups(source, view, at, groupCount, entries),
    entries,
    keys: {
      encoding: view.getUint8(at + 1),
      lengthBytes: view.getUint8(at + 3),
      entries,
      from: keysAt,
      to: namespacesAt,
    },
    namespaces:
      namespaceEncoding === 0
        ? undefined
        : {
            encoding: namespaceEncoding,
            lengthBytes: view.getUint8(at + 29),
            entries,
            from: namespacesAt,
            to: deletionsAt,
          },
    deletionsAt: deletionBytes === 0 ? undefined : deletionsAt,
    valueEncoding: view.getUint8(at + 2),
    valuesAt,
    end,
  };
}

function refuseOtherSerializer(source: SnapshotBytes, view: DataView, at: number): void {
  const version = view.getUint16(at + 30, true);
  const nameAt = at + HEADER_BYTES;
  const name = Buffer.from(source.bytes.subarray(nameAt, nameAt + view.getUint8(at + 32))).toString("latin1");
  if (name === SERIALIZER.name && version === SERIALIZER.version) return;
  throw corrupt(
    source,
    at,
    `its values were written by ${JSON.stringify(name)}, version ${version}, where this version of Tidemark reads ` +
      `"${SERIALIZER.name}", version ${SERIALIZER.version}`,
  );
}

function readGroups(
  source: SnapshotBytes,
  view: DataView,
  at: number,
  groupCount: number,
  entries: number,
): ChunkGroup[] {
  const groups: ChunkGroup[] = [];
  let sum = 0;
  for (let i = 0, group = at + GROUPS_AT; i < groupCount; i++, group += GROUP_BYTES) {
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
  return groups;
}

/**
 * Each row's key; undefined: all of its namespace, where the row is deleted.
 * @throws ObjectCorruptError
 */
export function readChunkKeys(
  source: SnapshotBytes,
  header: ChunkHeader,
  deleted?: ReadonlySet<number>,
): (Key | undefined)[] {
  const keys = readKeyColumn(source, header.keys);
  if (keys.some((key, row) => key === undefined && deleted?.has(row) !== true))
    throw corrupt(source, header.keys.from, "a key that cannot be read");
  return keys;
}

/**
 * undefined: all rows are of the fixed namespace.
 * @throws ObjectCorruptError
 */
export function readChunkNamespaces(source: SnapshotBytes, header: ChunkHeader): Namespace[] | undefined {
  if (header.namespaces === undefined) return undefined;
  const namespaces = readKeyColumn(source, header.namespaces);
  if (namespaces.some((name) => typeof name === "bigint" || typeof name === "boolean"))
    throw corrupt(source, header.namespaces.from, "a namespace that cannot be read");
  return namespaces as Namespace[];
}

/** Which rows are deleted, by their index. undefined: none is. */
export function readChunkDeletions(source: SnapshotBytes, header: ChunkHeader): Set<number> | undefined {
  const { deletionsAt, entries } = header;
  if (deletionsAt === undefined) return undefined;
  const deleted = new Set<number>();
  for (let row = 0; row < entries; row++)
    if (((source.bytes[deletionsAt + (row >>> 3)]! >>> (row & 7)) & 1) === 1) deleted.add(row);
  return deleted;
}

/**
 * The values of the rows that are not deleted: `count` of them. `columns` knows the shapes of the table's values.
 * @throws ObjectCorruptError
 */
export function readChunkValues(
  source: SnapshotBytes,
  header: ChunkHeader,
  count: number,
  columns: ColumnDecoder,
): unknown[] {
  const { valuesAt, end } = header;
  if (header.valueEncoding === NUMBERS)
    return readNumbers(source, { entries: count, from: valuesAt, to: end });
  if (header.valueEncoding !== PACKED && header.valueEncoding !== COLUMNS)
    throw corrupt(source, valuesAt, "unknown encoding of values");
  const bytes = source.bytes.subarray(valuesAt, end);
  let values: unknown;
  try {
    values = header.valueEncoding === PACKED ? decodeSealed(bytes) : columns.decode(bytes, count, "own");
  } catch (error) {
    throw corrupt(source, valuesAt, "its values cannot be decoded", error);
  }
  if (!Array.isArray(values) || values.length !== count) {
    throw corrupt(source, valuesAt, "it holds another number of values than of keys");
  }
  return values;
}
