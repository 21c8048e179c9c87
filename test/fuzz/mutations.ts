/** What becomes of a message that was heard, before it is sent once more. Pure: bytes in, bytes out. */
import { decodeValue, encodeValue } from "../../src/formats/codec.ts";
import type { Random } from "../chaos/random.ts";
import { at, changed, leavesOf } from "../formats/wrong-values.ts";
import { type Fields, spoiled } from "./forgeries.ts";

export const MUTATIONS = ["replay", "cut", "flip", "delay", "renumber", "spoil"] as const;
export type Mutation = (typeof MUTATIONS)[number];

const SEQUENCE_AT = 8;
const FRAME_HEADER_BYTES = 20;
const FLIPS_MAX = 3;

/** @param isFrame a message of a channel, else one of processes to each other */
export function mutated(random: Random, mutation: Mutation, body: Uint8Array, isFrame: boolean): Uint8Array {
  switch (mutation) {
    case "replay":
    case "delay":
      return body;
    case "cut":
      return cut(random, body);
    case "flip":
      return flipped(random, body);
    case "renumber":
      return isFrame
        ? renumberedFrame(random, body)
        : inMessage(body, (fields) => renumbered(random, fields));
    case "spoil":
      return isFrame ? spoiledFrame(random, body) : inMessage(body, (fields) => spoiled(random, fields));
  }
}

/** At either end, or in the middle. */
function cut(random: Random, body: Uint8Array): Uint8Array {
  const [a, b] = [random.between(0, body.length), random.between(0, body.length)].sort((x, y) => x - y) as [
    number,
    number,
  ];
  const kind = random.between(0, 2);
  if (kind === 0) return body.subarray(0, a);
  if (kind === 1) return body.subarray(a);
  return Buffer.concat([body.subarray(0, a), body.subarray(b)]);
}

function flipped(random: Random, body: Uint8Array): Uint8Array {
  const copy = Buffer.from(body);
  if (copy.length === 0) return copy;
  const flips = random.between(1, FLIPS_MAX);
  for (let i = 0; i < flips; i++) {
    const place = random.between(0, copy.length - 1);
    copy[place] = copy[place]! ^ (1 << random.between(0, 7));
  }
  return copy;
}

const other = (random: Random, number: number): number =>
  random.pick([number + 1, number - 1, number + 2, number * 2, number + 1000, 2 ** 53 - 1, 0, -1]);

function renumberedFrame(random: Random, body: Uint8Array): Uint8Array {
  const copy = Buffer.from(body);
  if (copy.length < FRAME_HEADER_BYTES) return copy;
  copy.writeDoubleBE(other(random, copy.readDoubleBE(SEQUENCE_AT)), SEQUENCE_AT);
  return copy;
}

/** A header that announces something else. */
function spoiledFrame(random: Random, body: Uint8Array): Uint8Array {
  const copy = Buffer.from(body);
  if (copy.length < FRAME_HEADER_BYTES) return copy;
  const place = random.between(0, 3);
  if (place === 0) copy[1] = random.between(0, 255);
  else if (place === 1) copy[2] = random.between(0, 255);
  else if (place === 2) copy.writeUInt32BE(random.pick([0, 1, 2 ** 31, 2 ** 32 - 1]), 4);
  else
    copy.writeDoubleBE(
      random.pick([Number.NaN, -0, 2 ** 53, -1, 0.5, Number.POSITIVE_INFINITY]),
      SEQUENCE_AT,
    );
  return copy;
}

/** The fields of a control message; undefined: these bytes are none. */
export function fieldsIn(body: Uint8Array): Fields | undefined {
  const envelope = decoded(body);
  if (envelope === undefined) return undefined;
  // A sealed one holds the bytes of another envelope.
  const inner = envelope.content instanceof Uint8Array ? decoded(envelope.content) : envelope;
  const message = inner?.message;
  return typeof message === "object" && message !== null ? (message as Fields) : undefined;
}

/** The same envelope around other fields; a seal stays as it is. */
function inMessage(body: Uint8Array, change: (fields: Fields) => Fields): Uint8Array {
  const fields = fieldsIn(body);
  const envelope = decoded(body);
  if (fields === undefined || envelope === undefined) return body;
  const message = change(fields);
  if (!(envelope.content instanceof Uint8Array)) return bytesOf({ ...envelope, message });
  return bytesOf({ ...envelope, content: bytesOf({ ...decoded(envelope.content), message }) });
}

function renumbered(random: Random, fields: Fields): Fields {
  const numbers = leavesOf(fields).filter((path) => typeof at(fields, path) === "number");
  if (numbers.length === 0) return fields;
  const place = random.pick(numbers);
  return changed(fields, place, other(random, at(fields, place) as number));
}

function decoded(body: Uint8Array): Fields | undefined {
  try {
    const value = decodeValue(body);
    return typeof value === "object" && value !== null ? (value as Fields) : undefined;
  } catch {
    return undefined;
  }
}

export const bytesOf = (value: unknown): Uint8Array => Buffer.from(encodeValue(value));
