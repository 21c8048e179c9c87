/**
 * Every parser of bytes that come from outside a process, or of values in them, with bytes that it takes.
 *
 * parsers.test.ts holds that no parser of the folders in PARSER_FILES is missing.
 */
import { bare, decodeEnvelope, encodeDetour, encodeMessage } from "../../src/control/wire.ts";
import {
  decodeControl,
  decodeGrant,
  decodePiece,
  decodeRecords,
  decodeTotal,
  encodeControl,
  encodeGrant,
  encodePieces,
  encodeTotal,
  FrameEncoder,
  kindOf,
  MESSAGE,
} from "../../src/dataflow/channel/remote/frame-codec.ts";
import { decodeStored, encodeStored } from "../../src/dataflow/channel/stored-records.ts";
import {
  CommitRefusedError,
  ConfigurationError,
  ObjectCorruptError,
  RecordUnreadableError,
} from "../../src/errors.ts";
import { encodeOptions, parseOptions } from "../../src/formats/checkpoint-options.ts";
import { decodeSealed, decodeValue, encodeValue } from "../../src/formats/codec.ts";
import { encodeRecord, jobKey, parseRecord } from "../../src/formats/job-record.ts";
import { encodeLease, parseLease } from "../../src/formats/lease.ts";
import { encodeManifest, parseManifest } from "../../src/formats/manifest.ts";
import {
  encodeFramed,
  parseMemoryAnswer,
  parseMemoryRequest,
} from "../../src/formats/messages/leader-memory.ts";
import { parseObjectInfo } from "../../src/formats/object-info.ts";
import {
  encodeInputTime,
  encodeOperatorTime,
  encodeSplitTime,
  parseAssignedTime,
  parseInputTime,
  parseOperatorTime,
} from "../../src/formats/positions/event-time.ts";
import { parseFilePosition } from "../../src/formats/positions/file-position.ts";
import { encodeFormerWindows, parseFormerWindows } from "../../src/formats/positions/former-windows.ts";
import { parseIndexed } from "../../src/formats/positions/indexed-split.ts";
import { encodeSplitPosition, parseSplitPosition } from "../../src/formats/positions/split-position.ts";
import {
  parseReadPosition,
  parseStreamSplit,
  streamPositionIn,
} from "../../src/formats/positions/stream-position.ts";
import { encodeSavepoint, parseSavepoint } from "../../src/formats/savepoint-metadata.ts";
import { parsedJson, text, unpacked } from "../../src/formats/shape.ts";
import {
  parseFileTransaction,
  parseMemoryTransaction,
  parseRecordTransaction,
  parseStreamTransaction,
} from "../../src/formats/transactions/transaction-detail.ts";
import {
  encodeMarker,
  parseMarker,
  parseMarkerMemory,
} from "../../src/formats/transactions/transaction-marker.ts";
import { nameOfToken, tokenOf } from "../../src/nats/storage/object-names.ts";
import { readFeedEvent } from "../../src/observe/feed.ts";
import {
  encodeChunk,
  readChunkDeletions,
  readChunkHeader,
  readChunkKeys,
  readChunkNamespaces,
  readChunkValues,
} from "../../src/state/snapshot/chunk.ts";
import { ColumnDecoder, ColumnEncoder } from "../../src/state/snapshot/columns.ts";
import { lease, manifest, marker, metadata, options, readPosition, record, streamSplit } from "./examples.ts";

/** Where parsers are: folders of src, or single files. */
export const PARSER_FILES = [
  "formats",
  "control/wire.ts",
  "dataflow/channel/remote/frame-codec.ts",
  "dataflow/channel/stored-records.ts",
  "observe/feed.ts",
  "state/snapshot/chunk.ts",
];
/** What a function is called that reads what came from outside. */
export const PARSER_NAME = /^(parse|decode|read|unpacked)|PositionIn$/;

export interface Parser {
  /** The exported functions that are called. */
  readonly functions: readonly string[];
  /** What it takes. */
  readonly good: readonly Uint8Array[];
  /** @throws one of `errors` */
  readonly parse: (bytes: Uint8Array) => unknown;
  /** Empty: it never throws. */
  readonly errors: readonly (new (
    ...args: never[]
  ) => Error)[];
  /**
   * It reads user's values, whose memory is what they are: the bytes have a seal or a digest. Else ten times the bytes
   * are the most, however dense they are.
   */
  readonly sealed?: true;
}

const utf8 = (value: string) => new TextEncoder().encode(value);
const utf8Of = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
/** The value in the bytes, or the bytes: for parsers of values. */
const valueIn = (bytes: Uint8Array): unknown => {
  try {
    return decodeValue(bytes);
  } catch {
    return bytes;
  }
};

const NESTED = { a: [{ b: new Map([[1, { c: new Set(["x"]) }]]) }, 2n ** 70n, new Date(5), /x/g, undefined] };
const ROWS = Array.from({ length: 12 }, (_, i) => ({
  id: i,
  name: `n${i}`,
  at: i / 3,
  more: i % 2 ? null : i,
}));
const VIEWS = [
  new Uint8Array([1, 2]),
  new Float64Array(2),
  new ArrayBuffer(3),
  1e300,
  -5,
  70_000,
  "ü".repeat(40),
];
const VALUES = [
  ROWS,
  [NESTED, ...VIEWS],
  ["a", -0, "\ud800"],
  Array.from({ length: 99 }, (_, i) => `word ${i}`),
];

const frames = VALUES.flatMap((values) => [
  new FrameEncoder().records(1, values, undefined),
  new FrameEncoder().records(
    2,
    values,
    values.map((_, i) => i),
  ),
]);

function wholeFrame(bytes: Uint8Array): unknown {
  switch (kindOf(bytes)) {
    case MESSAGE.records:
      return decodeRecords(bytes, new ColumnDecoder());
    case MESSAGE.barrier:
    case MESSAGE.cancelMarker:
    case MESSAGE.round:
    case MESSAGE.endOfData:
      return decodeControl(bytes);
    case MESSAGE.total:
      return decodeTotal(bytes);
    case MESSAGE.grant:
      return decodeGrant(bytes);
    case MESSAGE.piece:
      return decodePiece(bytes);
    default:
      return undefined;
  }
}

const chunks = VALUES.map((values) =>
  Buffer.from(
    encodeChunk(
      {
        keys: values.map((_, i) => (i % 2 === 0 ? i : `key ${i}`)),
        namespaces: values.map((_, i) => i),
        groups: [{ keyGroup: 3, entries: values.length }],
        deleted: new Set(),
        values,
      },
      new ColumnEncoder(),
    ).bytes,
  ),
);

function wholeChunks(bytes: Uint8Array): unknown {
  const source = { bytes, name: "table" } as never;
  const read: unknown[] = [];
  for (let at = 0; at < bytes.length; ) {
    const header = readChunkHeader(source, at);
    read.push(readChunkKeys(source, header), readChunkNamespaces(source, header));
    const deleted = readChunkDeletions(source, header)?.size ?? 0;
    read.push(readChunkValues(source, header, header.entries - deleted, new ColumnDecoder()));
    at = header.end;
  }
  return read;
}

const split = { split: { id: "0", index: 1, splits: 2, end: 9 }, position: 3 };
const fileSplit = { split: { id: "/in/a", end: 90 }, position: { offset: 40, lines: 3, head: 7 } };
const event = {
  t: 1,
  job: "a",
  generation: 1,
  role: "job",
  id: "job",
  event: "x",
  from: "a",
  to: "b",
  effects: [],
};
const transaction = { version: 1, segments: [[2, 10, 1, 20]], inline: "A".repeat(28) };
const file = { version: 1, file: "f", bytes: 1, checksum: 7, directory: "/d", name: "n" };

export const PARSERS: readonly Parser[] = [
  {
    functions: ["parseMemoryRequest"],
    good: [
      encodeFramed({ type: "put", upload: "u", name: "job/x", at: 0, last: true }, utf8("content")),
      encodeFramed({ type: "list", prefix: "job/", after: "", unfinished: false }),
    ],
    parse: parseMemoryRequest,
    errors: [],
  },
  {
    functions: ["parseMemoryAnswer"],
    good: [
      encodeFramed({ answer: "object", bytes: 7, digest: "sha256:0" }, utf8("content")),
      encodeFramed({ answer: "listed", objects: [{ name: "job/x", bytes: 7 }], more: false }),
    ],
    parse: parseMemoryAnswer,
    errors: [],
  },
  {
    functions: ["decodeValue"],
    good: [NESTED, ROWS, VIEWS, manyShapes(200), deep(300)].map(copied),
    ...{ parse: decodeValue, errors: [Error] },
  },
  {
    functions: ["decodeSealed"],
    good: [NESTED, ROWS, VIEWS].map(copied),
    ...{ parse: decodeSealed, errors: [Error], sealed: true },
  },
  {
    functions: ["unpacked", "parsedJson"],
    good: [copied("a"), utf8('"a"')],
    parse: (bytes) => [unpacked(text, bytes), parsedJson(text, bytes)],
    errors: [],
  },
  {
    functions: ["decodeRecords", "decodeControl", "decodeTotal", "decodeGrant", "decodePiece"],
    good: [
      ...frames,
      ...encodePieces(4, frames[0]!, 64),
      encodeControl(1, { kind: "barrier", checkpointId: 7, options }, 9),
      encodeControl(1, { kind: "round", round: 7, dirty: true }, 9),
      encodeTotal(1, 2, 3),
      encodeGrant(1, 2, 3),
    ],
    ...{ parse: wholeFrame, errors: [Error], sealed: true },
  },
  {
    functions: ["decodeStored"],
    good: [Buffer.concat(frames.flatMap((frame) => encodeStored(frame, new FrameEncoder())))],
    ...{ parse: (bytes) => [...decodeStored(bytes)], errors: [Error], sealed: true },
  },
  {
    functions: [
      "readChunkHeader",
      "readChunkKeys",
      "readChunkNamespaces",
      "readChunkDeletions",
      "readChunkValues",
    ],
    good: [...chunks, Buffer.concat(chunks)],
    ...{ parse: wholeChunks, errors: [ObjectCorruptError], sealed: true },
  },
  {
    functions: ["decodeEnvelope"],
    good: [
      encodeMessage({ type: "x", ids: [1, 2], more: NESTED }),
      encodeDetour({ name: "o", bytes: 1, digest: "sha256:0" }),
      utf8('{"stream":"S","seq":1}'),
    ].map((bytes) => Uint8Array.from(bytes)),
    parse: (bytes) => decodeEnvelope(bare(bytes)),
    errors: [],
  },
  {
    functions: ["parseOptions"],
    good: [Uint8Array.from(encodeOptions(options))],
    ...{ parse: parseOptions, errors: [Error] },
  },
  {
    functions: ["parseRecord"],
    good: [encodeRecord(record)],
    parse: (bytes) => parseRecord(bytes, jobKey(record.job), "B"),
    errors: [RecordUnreadableError],
  },
  {
    functions: ["parseObjectInfo"],
    good: [
      Buffer.from(
        JSON.stringify({
          name: "j/i/1/checkpoint-1/manifest",
          nuid: "x",
          size: 5,
          chunks: 1,
          digest: "SHA-256=",
        }),
      ),
    ],
    parse: parseObjectInfo,
    errors: [],
  },
  { functions: ["parseLease"], good: [encodeLease(lease)], parse: parseLease, errors: [] },
  {
    functions: ["parseManifest"],
    good: [Uint8Array.from(encodeManifest(manifest))],
    parse: (bytes) => parseManifest(bytes, "m"),
    errors: [ObjectCorruptError],
  },
  {
    functions: ["parseSavepoint"],
    good: [Uint8Array.from(encodeSavepoint(metadata))],
    parse: (bytes) => parseSavepoint(bytes, "/kept/a", "m"),
    errors: [ObjectCorruptError, ConfigurationError],
  },
  {
    functions: ["parseInputTime"],
    good: [
      Uint8Array.from(encodeInputTime({ channel: null, watermark: 5, isIdle: false })),
      Uint8Array.from(
        encodeInputTime({
          channel: { edge: "a-b", from: 0, to: 1 },
          watermark: Number.NEGATIVE_INFINITY,
          isIdle: true,
        }),
      ),
    ],
    parse: (bytes) => parseInputTime(bytes, "count"),
    errors: [ObjectCorruptError],
  },
  {
    functions: ["parseOperatorTime"],
    good: [
      Uint8Array.from(
        encodeOperatorTime({ keyGroups: { first: 0, last: 63 }, watermark: 1e12, isWorkingOff: true }),
      ),
      Uint8Array.from(
        encodeOperatorTime({
          keyGroups: { first: 0, last: 63 },
          watermark: Number.NEGATIVE_INFINITY,
          isWorkingOff: false,
          pausingClockMs: 1e12,
          replayClockMs: 1e12,
        }),
      ),
    ],
    parse: (bytes) => parseOperatorTime(bytes, "count"),
    errors: [ObjectCorruptError],
  },
  {
    functions: ["parseFormerWindows"],
    good: [
      Uint8Array.from(
        encodeFormerWindows({
          bounds: { kind: "sliding", sizeMs: 60_000, slideMs: 1000, offsetMs: 0 },
          time: "event",
          staysForLate: false,
          aggregates: true,
          keepsRecords: false,
          combines: false,
        }),
      ),
    ],
    parse: (bytes) => parseFormerWindows(bytes, "counts"),
    errors: [ObjectCorruptError],
  },
  {
    functions: ["parseAssignedTime"],
    good: [
      Uint8Array.from(encodeSplitTime({ watermark: Number.NEGATIVE_INFINITY, isIdle: true, generator: 7 })),
    ],
    parse: (bytes) => parseAssignedTime(bytes, "times"),
    errors: [ObjectCorruptError],
  },
  {
    functions: ["parseSplitPosition"],
    good: [
      Uint8Array.from(encodeSplitPosition({ split: { id: "a", input: "x", gaps: "skip" }, position: 3 })),
    ],
    parse: (bytes) => parseSplitPosition(bytes, "lines"),
    errors: [ObjectCorruptError],
  },
  {
    functions: ["parseIndexed"],
    good: [copied(split)],
    parse: (bytes) => parseIndexed({ split: { id: "0" }, ...objectIn(bytes) } as typeof split, "numbers"),
    errors: [ObjectCorruptError],
  },
  {
    functions: ["parseFilePosition"],
    good: [copied(fileSplit)],
    parse: (bytes) =>
      parseFilePosition({ split: { id: "0" }, ...objectIn(bytes) } as typeof fileSplit, "lines"),
    errors: [ObjectCorruptError],
  },
  {
    functions: ["parseStreamSplit", "streamPositionIn"],
    good: [copied(streamSplit)],
    parse: (bytes) => {
      const found = { id: "ORDERS", ...objectIn(bytes) };
      streamPositionIn(found, readPosition);
      return parseStreamSplit(found, "orders");
    },
    errors: [ObjectCorruptError],
  },
  {
    functions: ["parseReadPosition"],
    good: [copied(readPosition)],
    parse: (bytes) => parseReadPosition(valueIn(bytes), "ORDERS", "orders"),
    errors: [ObjectCorruptError],
  },
  {
    functions: ["parseMarker"],
    good: [utf8(encodeMarker(marker, "m"))],
    parse: (bytes) => parseMarker(utf8Of(bytes), "m", "the marker"),
    errors: [CommitRefusedError],
  },
  {
    functions: ["parseMarkerMemory"],
    good: [copied({ markerExists: true, checkpointId: 7 })],
    parse: (bytes) => parseMarkerMemory(valueIn(bytes), "out"),
    errors: [CommitRefusedError],
  },
  {
    functions: ["parseStreamTransaction", "parseFileTransaction", "parseMemoryTransaction"],
    good: [transaction, file, { parts: [[1, "a"]] }].map(copied),
    parse: (bytes) => {
      const detail = valueIn(bytes);
      const has = (field: string) => typeof detail === "object" && detail !== null && field in detail;
      if (has("parts")) return parseMemoryTransaction(detail);
      return has("file") ? parseFileTransaction(detail) : parseStreamTransaction(detail, 0);
    },
    errors: [CommitRefusedError],
  },
  {
    functions: ["parseRecordTransaction"],
    good: [copied({ version: 1, records: [2], inline: "AAAA" })],
    parse: (bytes) => parseRecordTransaction(valueIn(bytes), 0, "the sink"),
    errors: [CommitRefusedError],
  },
  {
    functions: ["readFeedEvent"],
    good: [utf8(JSON.stringify(event))],
    parse: (bytes) => readFeedEvent(utf8Of(bytes)),
    errors: [],
  },
  {
    functions: ["nameOfToken"],
    good: [utf8(tokenOf("checkpoint/7"))],
    parse: (bytes) => nameOfToken(utf8Of(bytes)),
    errors: [],
  },
];

function copied(value: unknown): Uint8Array {
  return Uint8Array.from(encodeValue(value));
}

function objectIn(bytes: Uint8Array): object {
  const value = valueIn(bytes);
  return typeof value === "object" && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value)
    ? value
    : {};
}

/** More shapes than msgpack has ids of one byte for, each met again. */
function manyShapes(count: number): unknown[] {
  return Array.from({ length: 3 * count }, (_, i) => ({
    [`field${i % count}`]: i,
    more: { [`in${i % count}`]: [i] },
  }));
}

function deep(levels: number): unknown {
  return levels === 0 ? 1 : { a: [deep(levels - 1)] };
}
