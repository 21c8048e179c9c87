/**
 * How values become bytes: the user's in state chunks and in the frames of channels, our own in messages and manifests.
 *
 * Owns: the one configuration of msgpackr, and the second way. Every encoded value is self-contained: record shapes are
 * written inline, so nothing but the bytes is needed to read them again, in any process.
 *
 * - E1 `encodePlain` brings every plain value (plain-value.ts) back equal; what an object hides is for the caller to refuse. What msgpack would
 *   change (-0, half a surrogate pair, holes, a field named `__proto__`, Buffer) goes in the format of the structured clone
 *   algorithm (`node:v8`), which begins with the bytes FF 0F and costs about three times as much.
 * - E2 `encodeValue` looks at nothing; it is for values of our own.
 *
 * The structured clone format is read by the Node version that wrote it and by newer ones. Objects used as dictionaries with
 * ever new field names are slow: use a Map.
 */
import { deserialize, serialize } from "node:v8";
import { Packr } from "msgpackr";
import { isCarried, isOrdinary, refuseValue } from "../plain-value.ts";

// `copyBuffers`: a decoded Uint8Array must not keep the chunk it came from alive.
const packr = new Packr({ useRecords: true, moreTypes: true, copyBuffers: true });

/** The first byte of the structured clone format; in msgpack it is a whole value, -1. */
const CLONE_TAG = 0xff;

/** The result is a view of a larger buffer and stays as it is: hand it on or copy it, never write to it. */
export function encodeValue(value: unknown): Uint8Array {
  return packr.pack(value);
}

/**
 * As `encodeValue`, for what users made: an array of their values.
 *
 * @param nameOf names the value at an index in a refusal: "a record"
 * @throws ValueRefusedError naming the field
 */
export function encodePlain(values: readonly unknown[], nameOf: (index: number) => string): Uint8Array {
  return isOrdinary(values) ? packr.pack(values) : encodeClone(values, nameOf);
}

/**
 * The second way, for values that `isOrdinary` has sent here.
 *
 * @throws ValueRefusedError naming the field
 */
export function encodeClone(values: readonly unknown[], nameOf: (index: number) => string): Uint8Array {
  for (let i = 0; i < values.length; i++) if (!isCarried(values[i])) refuseValue(values[i], nameOf(i));
  return serialize(values);
}

export const aRecord = (): string => "a record";

/** @throws Error when `bytes` is not exactly one encoded value */
export function decodeValue(bytes: Uint8Array): unknown {
  if (bytes[0] !== CLONE_TAG || bytes.length === 1) return packr.unpack(bytes);
  // What it reads may be views of what it was given.
  return deserialize(Buffer.from(bytes));
}
