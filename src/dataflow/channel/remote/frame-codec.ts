/**
 * The bytes of a remote channel's messages.
 *
 * Every message opens with 20 bytes, big endian:
 *
 *     0  version of this format (4)
 *     1  kind, see MESSAGE
 *     2  flags of a records frame: TIMESTAMPS, PLAIN_MAPS, COLUMNS, MARKS; of a round: 1 if it is dirty; of a
 *        piece: 1 if it is the last
 *     3  0
 *     4  number of records, of a total its own number, uint32
 *     8  sequence number, float64 (a uint32 would wrap after seven weeks)
 *     16 seal, uint32 (seal.ts); written by the end that sends the message
 *
 * then: records: if there are timestamps n of them, float64; if there are marks of event time how many, uint32, and for
 * each its place, uint32, 1 if the sender is idle, uint8, its watermark, float64; then the values, as columns
 * (state/snapshot/columns.ts) or as msgpack of their array; barrier: checkpoint id and the digest of the frames before
 * it, two float64, then msgpack of its options; cancel marker: checkpoint id, float64; round: its number, float64;
 * grant: records frames taken, their bytes, two float64; total: the digest of the frames sent, float64; all others
 * nothing. What the sequence number means differs: of a frame its own; of TOTAL the last one sent; of GRANT the last
 * one received.
 *
 * FC1 A frame is self-contained: nothing but its bytes is needed to decode it.
 * FC2 Plain values (state/plain-value.ts) come back equal, whichever way a frame goes. The others are refused in front
 *    of it (OC4 of chain.ts); what only its encoding shows is refused here, too.
 * FC3 Decoded values do not alias the message.
 * FC4 No count is believed that the bytes behind it cannot hold.
 */
import { Packr } from "msgpackr";
import { encodeOptions, parseOptions } from "../../../formats/checkpoint-options.ts";
import { decodeSealed, encodeValue, wordless } from "../../../formats/codec.ts";
import { isOrdinary } from "../../../state/plain-value.ts";
import { aRecord, encodeClone } from "../../../state/snapshot/codec.ts";
import { type ColumnDecoder, ColumnEncoder } from "../../../state/snapshot/columns.ts";
import type { ControlFrame, RecordsFrame, TimeMark } from "../frame.ts";

const HEADER_BYTES = 20;
const FORMAT_VERSION = 4;

/** Numbers on the wire. */
export const MESSAGE = {
  records: 1,
  barrier: 2,
  endOfData: 3,
  /** Writer to reader, until echoed. */
  hello: 4,
  /** Writer to reader: the last sequence number that was sent. */
  total: 5,
  /** Reader to writer: your hello has arrived. */
  echo: 6,
  /** Reader to writer: what was received and taken so far. */
  grant: 7,
  cancelMarker: 8,
  round: 9,
  /** A piece of a records message that the server would not take in one. */
  piece: 10,
} as const;

const TIMESTAMPS = 1;
const PLAIN_MAPS = 2;
const COLUMNS = 4;
const MARKS = 8;
const MARK_BYTES = 13;

/** Inline shapes are looked up per frame; beyond this many the lookup costs more than it saves. */
const SHAPES_MAX = 64;
/** Frames looked at for their shapes: the first ones, then one in so many. */
const SAMPLE_EVERY = 64;
const SAMPLED_VALUES_MAX = 256;

/** Objects as maps: no shapes. Maps and class instances do not survive it, see `survivesPlain`. */
const plainPackr = new Packr({
  useRecords: false,
  variableMapSize: true,
  moreTypes: true,
  copyBuffers: true,
});

/** One per writing end: it remembers the shapes of the channel's records. */
export class FrameEncoder {
  readonly #columns = new ColumnEncoder();
  #plainMaps = false;
  #framesUntilSample = 0;
  #framesSeen = 0;

  /** @throws ValueRefusedError for what is no plain value (state/plain-value.ts) */
  records(
    sequence: number,
    values: readonly unknown[],
    timestamps: readonly number[] | undefined,
    marks?: readonly TimeMark[],
  ): Buffer {
    const { encoding, body } = this.#encode(values);
    return recordsMessage(sequence, encoding, values.length, timestamps, marks, body);
  }

  #encode(values: readonly unknown[]): { readonly encoding: number; readonly body: Uint8Array } {
    let columns = this.#columns.encode(values);
    if (columns === undefined) {
      this.#sample(values);
      if (!this.#plainMaps) columns = this.#columns.encode(values, true);
    }
    if (columns !== undefined) return { encoding: COLUMNS, body: columns };
    if (!isOrdinary(values)) return { encoding: 0, body: encodeClone(values, aRecord) };
    const plain = this.#plainMaps && survivesPlain(values, 0);
    return { encoding: plain ? PLAIN_MAPS : 0, body: plain ? plainPackr.pack(values) : encodeValue(values) };
  }

  #sample(values: readonly unknown[]): void {
    if (this.#framesUntilSample-- > 0) return;
    this.#framesSeen++;
    this.#framesUntilSample = this.#framesSeen < 4 ? 0 : SAMPLE_EVERY - 1;
    const shapes = new Set<string>();
    const count = Math.min(values.length, SAMPLED_VALUES_MAX);
    for (let i = 0; i < count && shapes.size <= SHAPES_MAX; i++) collectShapes(values[i], shapes, 0);
    this.#plainMaps = shapes.size > SHAPES_MAX;
  }
}

/** @param digest of the frames before it (seal.ts), which a barrier carries */
export function encodeControl(sequence: number, frame: ControlFrame, digest: number): Buffer {
  if (frame.kind === "endOfData") return header(MESSAGE.endOfData, HEADER_BYTES, sequence, 0, 0);
  if (frame.kind === "round") {
    const message = header(MESSAGE.round, HEADER_BYTES + 8, sequence, frame.dirty ? 1 : 0, 0);
    message.writeDoubleBE(frame.round, HEADER_BYTES);
    return message;
  }
  if (frame.kind === "cancelMarker") {
    const message = header(MESSAGE.cancelMarker, HEADER_BYTES + 8, sequence, 0, 0);
    message.writeDoubleBE(frame.checkpointId, HEADER_BYTES);
    return message;
  }
  const options = encodeOptions(frame.options);
  const message = header(MESSAGE.barrier, HEADER_BYTES + 16 + options.length, sequence, 0, 0);
  message.writeDoubleBE(frame.checkpointId, HEADER_BYTES);
  message.writeDoubleBE(digest, HEADER_BYTES + 8);
  message.set(options, HEADER_BYTES + 16);
  return message;
}

export function encodeHello(): Buffer {
  return header(MESSAGE.hello, HEADER_BYTES, 0, 0, 0);
}

export function encodeEcho(): Buffer {
  return header(MESSAGE.echo, HEADER_BYTES, 0, 0, 0);
}

/**
 * @param number of this total, from 1 on
 * @param digest of the frames up to `lastSent` (seal.ts)
 */
export function encodeTotal(lastSent: number, number: number, digest: number): Buffer {
  const message = header(MESSAGE.total, HEADER_BYTES + 8, lastSent, 0, number);
  message.writeDoubleBE(digest, HEADER_BYTES);
  return message;
}

export function encodeGrant(lastReceived: number, framesTaken: number, bytesTaken: number): Buffer {
  const message = header(MESSAGE.grant, HEADER_BYTES + 16, lastReceived, 0, 0);
  message.writeDoubleBE(framesTaken, HEADER_BYTES);
  message.writeDoubleBE(bytesTaken, HEADER_BYTES + 8);
  return message;
}

/**
 * The kind of a message; undefined: it has another format. If it has a kind, its header can be read, and the numbers
 * behind that are counts and ids.
 */
export function kindOf(message: Uint8Array): number | undefined {
  if (message.length < HEADER_BYTES || message[0] !== FORMAT_VERSION) return undefined;
  const kind = message[1]!;
  const end = HEADER_BYTES + 8 * numbersOf(kind);
  if (message.length < end) return undefined;
  for (let at = HEADER_BYTES; at < end; at += 8) {
    const number = viewOf(message).getFloat64(at);
    if (!Number.isSafeInteger(number) || number < 0) return undefined;
  }
  return kind;
}

/** No version of this format has so many kinds, nor a number as high. */
const VERSIONS_MAX = 31;

/** What is wrong with a message that has no kind: in words, where it is one of another version. */
export function otherVersion(message: Uint8Array): string | undefined {
  const [version = 0, kind = 0] = message;
  const isOne =
    message.length >= HEADER_BYTES && version > 0 && version <= VERSIONS_MAX && kind <= VERSIONS_MAX;
  if (!isOne || version === FORMAT_VERSION) return undefined;
  return `a message of another version of Tidemark (format ${version}, this one reads ${FORMAT_VERSION})`;
}

function numbersOf(kind: number): number {
  switch (kind) {
    case MESSAGE.grant:
    case MESSAGE.barrier:
      return 2;
    case MESSAGE.cancelMarker:
    case MESSAGE.round:
    case MESSAGE.total:
      return 1;
    default:
      return 0;
  }
}

/** A records message in pieces of at most `bytesMax`, numbered from `sequence`. */
export function encodePieces(sequence: number, message: Uint8Array, bytesMax: number): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < message.length; ) {
    const end = Math.min(message.length, at + Math.max(bytesMax - HEADER_BYTES, HEADER_BYTES));
    const last = end === message.length ? 1 : 0;
    const piece = header(MESSAGE.piece, HEADER_BYTES + end - at, sequence + pieces.length, last, 0);
    piece.set(message.subarray(at, end), HEADER_BYTES);
    pieces.push(piece);
    at = end;
  }
  return pieces;
}

/** A piece's part of the records message, and whether that message ends with it. */
export function decodePiece(piece: Uint8Array): { readonly content: Uint8Array; readonly last: boolean } {
  return { content: piece.subarray(HEADER_BYTES), last: piece[2] === 1 };
}

/** The sequence number of a message that `kindOf` has accepted. */
export function sequenceOf(message: Uint8Array): number {
  return viewOf(message).getFloat64(8);
}

/** The number of records in a records message. */
export function countOf(message: Uint8Array): number {
  return viewOf(message).getUint32(4);
}

/**
 * Decodes a records message. `columns` knows the shapes of the channel's records.
 *
 * @throws Error when the body is not what the header says
 */
export function decodeRecords(message: Uint8Array, columns: ColumnDecoder): RecordsFrame {
  const flags = message[2]!;
  const view = viewOf(message);
  const count = countOf(message);
  let at = HEADER_BYTES;
  let timestamps: number[] | undefined;
  if ((flags & TIMESTAMPS) !== 0) {
    if (count > (message.length - at) / 8) throw new Error(`${count} timestamps were announced`);
    // A plain array, as in the frames that never left their process: one shape for all readers.
    timestamps = new Array(count);
    for (let i = 0; i < count; i++, at += 8) timestamps[i] = view.getFloat64(at);
  }
  let marks: TimeMark[] | undefined;
  if ((flags & MARKS) !== 0) {
    marks = decodeMarks(view, at, count);
    at += 4 + marks.length * MARK_BYTES;
  }
  const values = decodeValues(message.subarray(at), flags, count, columns);
  if (!Array.isArray(values) || values.length !== count) throw new Error(`${count} records were announced`);
  return { kind: "records", values, timestamps, marks };
}

function decodeMarks(view: DataView, from: number, records: number): TimeMark[] {
  const count = view.getUint32(from);
  if (count > records + 1 || count * MARK_BYTES > view.byteLength - from - 4)
    throw new Error(`${count} marks were announced`);
  return Array.from({ length: count }, (_, i) => {
    const place = from + 4 + i * MARK_BYTES;
    const at = view.getUint32(place);
    if (at > records) throw new Error(`a mark behind record ${at} of ${records}`);
    return { at, watermark: view.getFloat64(place + 5), isIdle: view.getUint8(place + 4) === 1 };
  });
}

function decodeValues(body: Uint8Array, flags: number, count: number, columns: ColumnDecoder): unknown {
  if ((flags & COLUMNS) !== 0) return columns.decode(body, count, "sliced");
  return (flags & PLAIN_MAPS) === 0 ? decodeSealed(body) : wordless(() => plainPackr.unpack(body));
}

/**
 * Decodes a barrier, a cancel marker, a round or an end.
 *
 * @throws Error when the body is not what the header says
 */
export function decodeControl(message: Uint8Array): ControlFrame {
  if (message[1] === MESSAGE.endOfData) return { kind: "endOfData" };
  const checkpointId = viewOf(message).getFloat64(HEADER_BYTES);
  if (message[1] === MESSAGE.round) return { kind: "round", round: checkpointId, dirty: message[2] === 1 };
  if (message[1] === MESSAGE.cancelMarker) return { kind: "cancelMarker", checkpointId };
  const options = parseOptions(message.subarray(HEADER_BYTES + 16));
  return { kind: "barrier", checkpointId, options };
}

/** The digest of the frames before a barrier, as the writer sent them. */
export function digestBefore(barrier: Uint8Array): number {
  return viewOf(barrier).getFloat64(HEADER_BYTES + 8);
}

/** Decodes a total; the sequence number of the last frame sent is in the header. */
export function decodeTotal(message: Uint8Array): { number: number; digest: number } {
  return { number: countOf(message), digest: viewOf(message).getFloat64(HEADER_BYTES) };
}

/** Decodes a grant. */
export function decodeGrant(message: Uint8Array): { framesTaken: number; bytesTaken: number } {
  const view = viewOf(message);
  return { framesTaken: view.getFloat64(HEADER_BYTES), bytesTaken: view.getFloat64(HEADER_BYTES + 8) };
}

function recordsMessage(
  sequence: number,
  encoding: number,
  count: number,
  timestamps: readonly number[] | undefined,
  marks: readonly TimeMark[] | undefined,
  body: Uint8Array,
): Buffer {
  const marksAt = HEADER_BYTES + (timestamps === undefined ? 0 : 8 * count);
  const valuesAt = marksAt + (marks === undefined ? 0 : 4 + marks.length * MARK_BYTES);
  const flags = encoding | (timestamps === undefined ? 0 : TIMESTAMPS) | (marks === undefined ? 0 : MARKS);
  const message = header(MESSAGE.records, valuesAt + body.length, sequence, flags, count);
  const view = viewOf(message);
  if (timestamps !== undefined) {
    for (let i = 0, at = HEADER_BYTES; i < count; i++, at += 8) view.setFloat64(at, timestamps[i]!);
  }
  if (marks !== undefined) encodeMarks(view, marksAt, marks);
  message.set(body, valuesAt);
  return message;
}

function encodeMarks(view: DataView, from: number, marks: readonly TimeMark[]): void {
  view.setUint32(from, marks.length);
  for (const [i, { at, watermark, isIdle }] of marks.entries()) {
    const place = from + 4 + i * MARK_BYTES;
    view.setUint32(place, at);
    view.setUint8(place + 4, isIdle ? 1 : 0);
    view.setFloat64(place + 5, watermark);
  }
}

function header(kind: number, bytes: number, sequence: number, flags: number, count: number): Buffer {
  const message = Buffer.allocUnsafe(bytes);
  message[0] = FORMAT_VERSION;
  message[1] = kind;
  message[2] = flags;
  message[3] = 0;
  message.writeUInt32BE(count, 4);
  message.writeDoubleBE(sequence, 8);
  message.writeUInt32BE(0, 16);
  return message;
}

function viewOf(message: Uint8Array): DataView {
  return new DataView(message.buffer, message.byteOffset, message.byteLength);
}

const DEPTH_MAX = 32;

function collectShapes(value: unknown, shapes: Set<string>, depth: number): void {
  if (typeof value !== "object" || value === null || depth > DEPTH_MAX) return;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length && shapes.size <= SHAPES_MAX; i++) {
      collectShapes(value[i], shapes, depth + 1);
    }
    return;
  }
  if (value.constructor !== Object) return;
  const keys = Object.keys(value);
  shapes.add(keys.join("\u0000"));
  for (const key of keys) {
    if (shapes.size > SHAPES_MAX) return;
    collectShapes((value as Record<string, unknown>)[key], shapes, depth + 1);
  }
}

/** Whether `value` comes back from `plainPackr` as from the ordinary encoding, which maps do not. */
function survivesPlain(value: unknown, depth: number): boolean {
  if (typeof value !== "object" || value === null) return true;
  if (depth > DEPTH_MAX) return false;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      if (!survivesPlain(value[i], depth + 1)) return false;
    }
    return true;
  }
  if (value.constructor === Object) {
    for (const key in value) {
      if (!survivesPlain((value as Record<string, unknown>)[key], depth + 1)) return false;
    }
    return true;
  }
  return value instanceof Date || (ArrayBuffer.isView(value) && !(value instanceof DataView));
}
