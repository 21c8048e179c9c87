/**
 * How the user's values become bytes, in state chunks, in state without key and in the frames of channels.
 *
 * Owns: the choice between two formats. Does not own: the first of them, msgpack, and reading either
 * (formats/codec.ts).
 *
 * - SC1 `encodePlain` and `encodeEntry` bring every plain value (plain-value.ts) back equal; what an object hides is
 *   for the caller to refuse. What msgpack would change (-0, half a surrogate pair, holes, a field named `__proto__`,
 *   Buffer) goes in the format of the structured clone algorithm (`node:v8`), which begins with the bytes FF 0F and
 *   costs about three times as much.
 *
 * The structured clone format is read by the Node version that wrote it and by newer ones. Objects used as dictionaries
 * with ever new field names are slow: use a Map.
 */
import { serialize } from "node:v8";
import { CLONE_TAG, decodeSealed, decodeValue, encodeValue } from "../../formats/codec.ts";
import { isCarried, isOrdinary, refuseValue } from "../plain-value.ts";

/**
 * Encodes an array of values that users made.
 *
 * @param nameOf names the value at an index in a refusal: "a record"
 * @throws ValueRefusedError naming the field
 */
export function encodePlain(values: readonly unknown[], nameOf: (index: number) => string): Uint8Array {
  return isOrdinary(values) ? encodeValue(values) : encodeClone(values, nameOf);
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

/** Encodes one value that a user made and the caller has looked at (`isCarried`): an entry of state without key. */
export function encodeEntry(value: unknown): Uint8Array {
  return isOrdinary(value) ? encodeValue(value) : serialize(value);
}

/** @param bytes that a digest vouches for. @throws Error when they are not what `encodeEntry` has written */
export function decodeEntry(bytes: Uint8Array): unknown {
  return bytes[0] === CLONE_TAG && bytes.length > 1 ? decodeSealed(bytes) : decodeValue(bytes);
}

export const aRecord = (): string => "a record";
