/**
 * The bytes of a row's address in the store.
 *
 * Layout, big endian, so that rows are in order as their numbers are: u32 shelf | u32 order | name of the key | name of
 * the namespace, if it is none of its shelf's. A name is u8 kind | u32 bytes | bytes; one of a number has no length.
 * A store does not take keys of any length: of a long one there is a digest instead of both names, and the names lie
 * in front of the value (row-value.ts).
 */
import { createHash } from "node:crypto";
import type { Namespace } from "../../contract.ts";
import type { Key } from "../../descriptor.ts";

export const PREFIX_BYTES = 8;
/** The most that a store has to take, whatever its own limit is. */
const BYTES_MAX = 1900;
const DIGEST_BYTES = 20;

const KIND = { number: 1, latin1: 2, utf16: 3, bigint: 4, false: 5, true: 6, digest: 255 } as const;
const WIDE = /[\u0100-\uffff]/;
/** Shorter texts are written here, without a call into native code. */
const SHORT_TEXT = 48;

export interface RowName {
  readonly key: Key;
  readonly namespace: Namespace;
}

/** Writes addresses into its own memory: one is valid until the next. */
export class RowKeyWriter {
  /** The names of the address, if they are too long for it. */
  longNames: Uint8Array | undefined = undefined;
  private bytes = Buffer.allocUnsafe(2048);
  private readonly bounds = [Buffer.alloc(PREFIX_BYTES), Buffer.alloc(PREFIX_BYTES)] as const;

  /** `order`: signed or not. */
  write(shelf: number, order: number, key: Key, namespace: Namespace): Uint8Array {
    this.longNames = undefined;
    putUint32(this.bytes, 0, shelf);
    putUint32(this.bytes, 4, order);
    let end = this.name(key, PREFIX_BYTES);
    if (namespace !== undefined) end = this.name(namespace, end);
    return end > BYTES_MAX ? this.digest(end) : this.bytes.subarray(0, end);
  }

  /** The first address of a shelf from a place on; ORDER_END: the one behind its last. */
  bound(which: 0 | 1, shelf: number, order: number): Uint8Array {
    const bytes = this.bounds[which];
    const isEnd = order >= 2 ** 32;
    putUint32(bytes, 0, isEnd ? shelf + 1 : shelf);
    putUint32(bytes, 4, isEnd ? 0 : order);
    return bytes;
  }

  private digest(end: number): Uint8Array {
    const names = Buffer.from(this.bytes.subarray(PREFIX_BYTES, end));
    this.longNames = names;
    this.bytes[PREFIX_BYTES] = KIND.digest;
    this.bytes.set(createHash("sha256").update(names).digest().subarray(0, DIGEST_BYTES), PREFIX_BYTES + 1);
    return this.bytes.subarray(0, PREFIX_BYTES + 1 + DIGEST_BYTES);
  }

  /** Answers where it ends. */
  private name(name: Key, at: number): number {
    switch (typeof name) {
      case "number":
        this.bytes[at] = KIND.number;
        // 0 and -0 are one key, and each NaN is.
        this.bytes.writeDoubleBE(Number.isNaN(name) ? Number.NaN : name + 0, at + 1);
        return at + 9;
      case "string":
        return this.text(name, at);
      case "bigint": {
        const end = this.text(name.toString(), at);
        this.bytes[at] = KIND.bigint;
        return end;
      }
      case "boolean":
        this.bytes[at] = name ? KIND.true : KIND.false;
        return at + 1;
    }
  }

  private text(text: string, at: number): number {
    const from = at + 5;
    this.reserve(from + text.length * 2);
    const { bytes } = this;
    let length = text.length;
    const isShort = length <= SHORT_TEXT;
    let isWide = false;
    if (isShort) {
      for (let i = 0; i < length; i++) {
        const unit = text.charCodeAt(i);
        if (unit > 255) isWide = true;
        bytes[from + i] = unit;
      }
    } else {
      isWide = WIDE.test(text);
      if (!isWide) bytes.write(text, from, "latin1");
    }
    if (isWide) length = bytes.write(text, from, "utf16le");
    bytes[at] = isWide ? KIND.utf16 : KIND.latin1;
    putUint32(bytes, at + 1, length);
    return from + length;
  }

  private reserve(bytes: number): void {
    if (bytes <= this.bytes.length) return;
    const grown = Buffer.allocUnsafe(bytes * 2);
    grown.set(this.bytes);
    this.bytes = grown;
  }
}

/** The order of a stored row, signed. */
export function orderInKey(key: Uint8Array): number {
  return (key[4]! << 24) | (key[5]! << 16) | (key[6]! << 8) | key[7]!;
}

/** Whether the names lie in front of the value. */
export function isDigest(key: Uint8Array): boolean {
  return key[PREFIX_BYTES] === KIND.digest;
}

/** Reads what `write` has written; `at`: where the names begin. */
export function namesIn(bytes: Uint8Array, at: number): RowName {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = endOfName(buffer, at);
  const key = nameAt(buffer, at, end) as Key;
  return {
    key,
    namespace: end < buffer.length ? (nameAt(buffer, end, buffer.length) as Namespace) : undefined,
  };
}

function endOfName(buffer: Buffer, at: number): number {
  switch (buffer[at]) {
    case KIND.number:
      return at + 9;
    case KIND.false:
    case KIND.true:
      return at + 1;
    default:
      return at + 5 + buffer.readUInt32BE(at + 1);
  }
}

function nameAt(buffer: Buffer, at: number, end: number): Key {
  switch (buffer[at]) {
    case KIND.number:
      return buffer.readDoubleBE(at + 1);
    case KIND.latin1:
      return buffer.toString("latin1", at + 5, end);
    case KIND.utf16:
      return buffer.toString("utf16le", at + 5, end);
    case KIND.bigint:
      return BigInt(buffer.toString("latin1", at + 5, end));
    default:
      return buffer[at] === KIND.true;
  }
}

function putUint32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
