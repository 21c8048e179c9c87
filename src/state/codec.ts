/**
 * How the user's values become bytes: in state chunks and in the frames of channels.
 *
 * Owns: the one configuration of msgpackr. Every encoded value is self-contained: record shapes are written inline,
 * so nothing but the bytes is needed to read them again, in any process.
 *
 * What survives: JSON's types, undefined, NaN and infinities, bigint, Date, Map, Set, RegExp, Error, ArrayBuffer and
 * typed arrays, nested. What does not, without an error:
 * - instances of other classes come back as plain objects of their own fields (a Buffer as Uint8Array),
 * - functions and getters: undefined and what the getter answered; holes in arrays: undefined; a promise: {},
 * - -0 comes back as 0; a lone surrogate in a string as U+FFFD; a field named `__proto__` under another name.
 * Symbols and cycles throw. Objects used as dictionaries with ever new field names are slow: use a Map.
 */
import { Packr } from "msgpackr";

// `copyBuffers`: a decoded Uint8Array must not keep the chunk it came from alive.
const packr = new Packr({ useRecords: true, moreTypes: true, copyBuffers: true });

/** The result is a view of a larger buffer and stays as it is: hand it on or copy it, never write to it. */
export function encodeValue(value: unknown): Uint8Array {
  return packr.pack(value);
}

/** @throws Error when `bytes` is not exactly one encoded value */
export function decodeValue(bytes: Uint8Array): unknown {
  return packr.unpack(bytes);
}
