/**
 * The bytes of a row in the store, behind its address.
 *
 * Layout, little endian: u32 number of the cut since which it has been changed | u8 kind | if the names are too long
 * for the address: u32 bytes, names | value. A number is an f64; another value is an array of it by snapshot/codec.ts.
 */
import { OperatorError, ValueRefusedError } from "../../../errors.ts";
import { decodeSealed } from "../../../formats/codec.ts";
import type { Key } from "../../descriptor.ts";
import { isCarried, refuseValue } from "../../plain-value.ts";
import { nameOfValue } from "../../snapshot/chunk.ts";
import { encodePlain } from "../../snapshot/codec.ts";
import { isDigest, namesIn, PREFIX_BYTES, type RowName } from "./row-key.ts";

const HEADER_BYTES = 5;
const NUMBER = 0;
const PLAIN = 1;

/** Writes values into its own memory: one is valid until the next. */
export class RowValueWriter {
  private bytes = Buffer.allocUnsafe(4096);

  /**
   * @param longNames those of the address, if they are too long for it
   * @throws ValueRefusedError
   */
  write(changed: number, key: Key, value: unknown, longNames: Uint8Array | undefined): Uint8Array {
    const valueAt = HEADER_BYTES + (longNames === undefined ? 0 : 4 + longNames.length);
    if (typeof value === "number") {
      this.reserve(valueAt + 8);
      this.bytes.writeDoubleLE(value, valueAt);
      return this.finish(changed, NUMBER, longNames, valueAt + 8);
    }
    const encoded = encodePlain([value], () => nameOfValue(key));
    this.reserve(valueAt + encoded.length);
    this.bytes.set(encoded, valueAt);
    return this.finish(changed, PLAIN, longNames, valueAt + encoded.length);
  }

  private finish(changed: number, kind: number, longNames: Uint8Array | undefined, end: number): Uint8Array {
    const { bytes } = this;
    bytes.writeUInt32LE(changed, 0);
    bytes[4] = kind;
    if (longNames !== undefined) {
      bytes.writeUInt32LE(longNames.length, HEADER_BYTES);
      bytes.set(longNames, HEADER_BYTES + 4);
    }
    return bytes.subarray(0, end);
  }

  private reserve(bytes: number): void {
    if (bytes > this.bytes.length) this.bytes = Buffer.allocUnsafe(bytes * 2);
  }
}

/** Refuses what an object hides, and what is no plain value, as a cut does. */
export function lookClosely(key: Key, value: unknown): void {
  if (typeof value !== "number" && typeof value !== "string" && !isCarried(value)) {
    refuseValue(value, nameOfValue(key));
  }
}

/**
 * What `act` refuses is a value of the operator's.
 * @throws OperatorError
 */
export function storing<T>(operator: string, state: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (!(error instanceof ValueRefusedError)) throw error;
    throw new OperatorError(
      operator,
      new Error(`state "${state}" holds a value that cannot be stored: ${error.message}`, { cause: error }),
    );
  }
}

/** The number of the cut since which the row has been changed. */
export function changedIn(bytes: Uint8Array): number {
  return (bytes[0]! | (bytes[1]! << 8) | (bytes[2]! << 16) | (bytes[3]! << 24)) >>> 0;
}

/** `key`: the row's address. */
export function namesOf(key: Uint8Array, bytes: Uint8Array): RowName {
  if (!isDigest(key)) return namesIn(key, PREFIX_BYTES);
  const from = HEADER_BYTES + 4;
  return namesIn(bytes.subarray(from, valueStart(key, bytes)), 0);
}

/** What is answered does not hold on to `bytes`. */
export function valueIn(key: Uint8Array, bytes: Uint8Array): unknown {
  const at = valueStart(key, bytes);
  if (bytes[4] !== NUMBER) return (decodeSealed(bytes.subarray(at)) as unknown[])[0];
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).readDoubleLE(at);
}

function valueStart(key: Uint8Array, bytes: Uint8Array): number {
  if (!isDigest(key)) return HEADER_BYTES;
  const names = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).readUInt32LE(HEADER_BYTES);
  return HEADER_BYTES + 4 + names;
}
