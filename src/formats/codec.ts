/**
 * How values of our own become bytes: of messages, manifests, entries of operator state. User's values go through
 * state/snapshot/codec.ts, which writes the same format where it can.
 *
 * Owns: the one configuration of msgpackr. Every encoded value is self-contained: record shapes are written inline, so
 * nothing but the bytes is needed to read them again, in any process.
 */
import { deserialize } from "node:v8";
import { Packr } from "msgpackr";
import { refuseUnsound } from "./structure.ts";

// `copyBuffers`: a decoded Uint8Array must not keep the chunk it came from alive.
const packr = new Packr({ useRecords: true, moreTypes: true, copyBuffers: true });

/**
 * The first byte of the structured clone format (`node:v8`), in which no value of our own is; in msgpack it is a whole
 * value, -1.
 */
export const CLONE_TAG = 0xff;

/**
 * Encodes a value without a check. The result is a view of a larger buffer: hand it on or copy it, never write to it.
 */
export function encodeValue(value: unknown): Uint8Array {
  return packr.pack(value);
}

/**
 * Reads what `encodeValue` has written, from anywhere: bytes that are not exactly that, or that would take far more
 * memory than there are of them, are refused before anything is made of them (structure.ts).
 *
 * @throws Error
 */
export function decodeValue(bytes: Uint8Array): unknown {
  refuseUnsound(bytes);
  return wordless(() => packr.unpack(bytes));
}

/**
 * Reads user's values, in both formats, from bytes that a seal or a digest vouches for: without a look beforehand. An
 * array is not longer than the bytes behind it here, too.
 *
 * @throws Error when `bytes` is not exactly one encoded value
 */
export function decodeSealed(bytes: Uint8Array): unknown {
  if (bytes[0] !== CLONE_TAG || bytes.length === 1) return wordless(() => packr.unpack(bytes));
  // What it reads may be views of what it was given.
  return wordless(() => deserialize(Buffer.from(bytes)));
}

/** The errors of the libraries show what they have read, which is the user's: they are left out. */
export function wordless(decode: () => unknown): unknown {
  try {
    return decode();
  } catch {
    throw new Error("the bytes are not exactly one encoded value");
  }
}
