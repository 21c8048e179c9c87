/**
 * A column of keys, or of namespaces, in a chunk.
 *
 * Numbers are one f64 each. Strings are their lengths, then the characters: Latin-1 when they all fit, else UTF-16
 * (UTF-8 would make lone surrogates equal). Mixed types, bigints, booleans and the fixed namespace are strings with a
 * letter in front.
 */
import type { Namespace, SnapshotBytes } from "../contract.ts";
import type { Key } from "../descriptor.ts";
import { corrupt } from "./corrupt.ts";
import { ownString } from "./own-key.ts";

export type Name = Key | Namespace;

const NUMBERS = 1;
const LATIN1 = 2;
const UTF16 = 3;
/** Added to LATIN1 or UTF16: the first letter of each string is its type. */
const TAGGED = 16;

const WIDE = /[\u0100-\uffff]/;

/** A column that is ready to be written. */
export interface KeyColumn {
  readonly encoding: number;
  readonly lengthBytes: 1 | 4;
  readonly bytes: number;
  readonly names: readonly Name[];
  readonly strings: readonly string[];
  readonly joined: string;
}

/** The place of a column in the bytes of a snapshot. */
export interface KeyColumnAt {
  readonly encoding: number;
  readonly lengthBytes: number;
  readonly entries: number;
  readonly from: number;
  readonly to: number;
}

export function encodeKeyColumn(names: readonly Name[]): KeyColumn {
  if (allOf("number", names)) {
    return { encoding: NUMBERS, lengthBytes: 1, bytes: names.length * 8, names, strings: [], joined: "" };
  }
  const tagged = !allOf("string", names);
  const strings = tagged ? names.map(tag) : (names as readonly string[]);
  const joined = strings.join("");
  const wide = WIDE.test(joined);
  const lengthBytes = strings.every((text) => text.length < 256) ? 1 : 4;
  return {
    lengthBytes,
    encoding: (wide ? UTF16 : LATIN1) + (tagged ? TAGGED : 0),
    bytes: strings.length * lengthBytes + joined.length * (wide ? 2 : 1),
    names,
    strings,
    joined,
  };
}

/** `view` and `bytes` are the same memory. */
export function writeKeyColumn(bytes: Buffer, view: DataView, at: number, column: KeyColumn): void {
  const { names, strings, joined, encoding } = column;
  if (encoding === NUMBERS) {
    for (let i = 0; i < names.length; i++) view.setFloat64(at + i * 8, names[i] as number, true);
    return;
  }
  for (let i = 0; i < strings.length; i++) {
    if (column.lengthBytes === 1) bytes[at + i] = strings[i]!.length;
    else view.setUint32(at + i * 4, strings[i]!.length, true);
  }
  const wide = (encoding & ~TAGGED) === UTF16;
  bytes.write(joined, at + strings.length * column.lengthBytes, wide ? "utf16le" : "latin1");
}

/** @throws ObjectCorruptError */
export function readKeyColumn(source: SnapshotBytes, column: KeyColumnAt): Name[] {
  const { encoding, from } = column;
  if (encoding === NUMBERS) return readNumbers(source, column);
  const untagged = encoding & ~TAGGED;
  if (untagged !== LATIN1 && untagged !== UTF16) throw corrupt(source, from, "unknown encoding of keys");
  const strings = readStrings(source, column, untagged === UTF16 ? 2 : 1);
  if ((encoding & TAGGED) === 0) return strings;
  return strings.map((text) => {
    const name = untag(text);
    if (name === NOT_READ) throw corrupt(source, from, "a key that cannot be read");
    return name;
  });
}

/** @throws ObjectCorruptError */
export function readNumbers(
  source: SnapshotBytes,
  { entries, from, to }: Pick<KeyColumnAt, "entries" | "from" | "to">,
): number[] {
  if (to - from !== entries * 8) throw corrupt(source, from, "a column of numbers has a wrong length");
  const view = new DataView(source.bytes.buffer, source.bytes.byteOffset, source.bytes.byteLength);
  const numbers: number[] = [];
  for (let i = 0; i < entries; i++) numbers.push(view.getFloat64(from + i * 8, true));
  return numbers;
}

export function allOf(type: "number" | "string", values: readonly unknown[]): boolean {
  for (let i = 0; i < values.length; i++) {
    if (typeof values[i] !== type) return false;
  }
  return true;
}

function readStrings(source: SnapshotBytes, column: KeyColumnAt, width: 1 | 2): string[] {
  const { from, to, entries, lengthBytes } = column;
  const { bytes } = source;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const encoding = width === 2 ? "utf16le" : "latin1";
  let at = from + entries * lengthBytes;
  if (at > to || (lengthBytes !== 1 && lengthBytes !== 4))
    throw corrupt(source, from, "the lengths of its keys do not fit");
  const strings: string[] = [];
  for (let i = 0; i < entries; i++) {
    const length = lengthBytes === 1 ? view.getUint8(from + i) : view.getUint32(from + i * 4, true);
    const end = at + length * width;
    if (end > to) break;
    // One string each, not slices of a joined one: a slice would keep the whole of it alive.
    strings.push(buffer.toString(encoding, at, end));
    at = end;
  }
  if (strings.length !== entries || at !== to) {
    throw corrupt(source, from, "the lengths of its keys do not fit");
  }
  return strings;
}

function tag(name: Name): string {
  switch (typeof name) {
    case "string":
      return `s${name}`;
    case "number":
      return `n${name}`;
    case "bigint":
      return `i${name}`;
    case "boolean":
      return name ? "t" : "f";
    case "undefined":
      return "u";
  }
}

const NOT_READ: unique symbol = Symbol("not read");

function untag(text: string): Name | typeof NOT_READ {
  switch (text.charAt(0)) {
    case "s":
      return ownString(text.slice(1));
    case "n":
      return Number(text.slice(1));
    case "i":
      return /^i-?\d+$/.test(text) ? BigInt(text.slice(1)) : NOT_READ;
    case "t":
      return true;
    case "f":
      return false;
    case "u":
      return undefined;
    default:
      return NOT_READ;
  }
}
