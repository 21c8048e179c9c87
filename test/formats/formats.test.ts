/**
 * Each durable format: what is written comes back, what is wrong is named by field, what is newer is said to be (P61).
 */
import { describe, expect, test } from "vitest";
import type {
  CheckpointOptions,
  JobRecord,
  LeaseRecord,
  Manifest,
  SavepointMetadata,
} from "../../machines/protocol.ts";
import { CommitRefusedError, ObjectCorruptError, RecordUnreadableError } from "../../src/errors.ts";
import { encodeOptions, parseOptions } from "../../src/formats/checkpoint-options.ts";
import { encodeValue } from "../../src/formats/codec.ts";
import { encodeRecord, jobKey, parseRecord } from "../../src/formats/job-record.ts";
import { encodeLease, parseLease } from "../../src/formats/lease.ts";
import { encodeManifest, parseManifest } from "../../src/formats/manifest.ts";
import { parseFilePosition } from "../../src/formats/positions/file-position.ts";
import { parseIndexed } from "../../src/formats/positions/indexed-split.ts";
import { encodeSplitPosition, parseSplitPosition } from "../../src/formats/positions/split-position.ts";
import { parseReadPosition, parseStreamSplit } from "../../src/formats/positions/stream-position.ts";
import { encodeSavepoint, parseSavepoint } from "../../src/formats/savepoint-metadata.ts";
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
import { lease, manifest, marker, metadata, options, readPosition, record, streamSplit } from "./examples.ts";
import { at, changed, leavesOf } from "./wrong-values.ts";

interface Format {
  readonly name: string;
  readonly good: unknown;
  /** Writes, reads, and gives back what was read. */
  readonly roundTrip: (value: never) => unknown;
  readonly error: new (...args: never[]) => Error;
  /** The fields that only their writer understands. */
  readonly opaque?: RegExp;
  readonly newer?: { readonly format: number };
}

function parsedLease(value: LeaseRecord): LeaseRecord {
  const found = parseLease(encodeLease(value));
  if ("problem" in found) throw new Error(found.problem);
  return found.value;
}

const FORMATS: readonly Format[] = [
  {
    ...{ name: "job record", good: record, error: RecordUnreadableError, newer: { format: 2 } },
    roundTrip: (value: JobRecord) => parseRecord(encodeRecord(value), jobKey(record.job), "B"),
  },
  {
    ...{ name: "manifest", good: manifest, error: ObjectCorruptError, newer: { format: 2 } },
    opaque: /\.detail\b/,
    roundTrip: (value: Manifest) => parseManifest(encodeManifest(value), "m"),
  },
  {
    ...{ name: "savepoint", good: metadata, error: ObjectCorruptError, newer: { format: 2 } },
    opaque: /\.detail\b/,
    roundTrip: (value: SavepointMetadata) => parseSavepoint(encodeSavepoint(value), "/kept/a", "m"),
  },
  { name: "lease", good: lease, error: Error, newer: { format: 1 }, roundTrip: parsedLease },
  {
    ...{ name: "options of a barrier", good: options, error: Error },
    roundTrip: (value: CheckpointOptions) => parseOptions(encodeOptions(value)),
  },
  {
    ...{
      name: "split position",
      good: { split: { id: "a", input: "x", gaps: "skip", own: 1 }, position: 3 },
    },
    ...{ error: ObjectCorruptError, opaque: /own|position/ },
    roundTrip: (value: { split: { id: string }; position: unknown }) =>
      parseSplitPosition(encodeSplitPosition(value), "lines"),
  },
  {
    ...{ name: "position in a stream", good: readPosition, error: ObjectCorruptError },
    roundTrip: (value: unknown) => parseReadPosition(value, "ORDERS", "orders"),
  },
  {
    ...{ name: "split of a stream", good: streamSplit, error: ObjectCorruptError },
    roundTrip: (value: { id: string }) => parseStreamSplit(value, "orders"),
  },
  {
    ...{ name: "split by index", good: { split: { id: "0", index: 1, splits: 2, end: 9 }, position: 3 } },
    error: ObjectCorruptError,
    roundTrip: (value: { split: { id: string }; position: unknown }) => parseIndexed(value, "numbers"),
  },
  {
    ...{
      name: "split of a file",
      good: { split: { id: "/in/a", end: 90 }, position: { offset: 40, lines: 3, head: 7 } },
    },
    error: ObjectCorruptError,
    roundTrip: (value: { split: { id: string }; position: unknown }) => parseFilePosition(value, "lines"),
  },
  {
    ...{ name: "marker", good: marker, error: CommitRefusedError, newer: { format: 1 } },
    roundTrip: (value: typeof marker) => parseMarker(encodeMarker(value, "m"), "m", "the marker"),
  },
  {
    ...{
      name: "memory of a marker",
      good: { markerExists: true, checkpointId: 7 },
      error: CommitRefusedError,
    },
    roundTrip: (value: unknown) => parseMarkerMemory(value, "out"),
  },
  {
    ...{
      name: "transaction of a stream",
      good: { version: 1, segments: [[2, 10, 1, 20]], inline: "A".repeat(28) },
    },
    ...{ error: CommitRefusedError },
    roundTrip: (value: unknown) => parseStreamTransaction(value, 0),
  },
  {
    ...{ name: "transaction of records", good: { version: 1, records: [2], inline: "A".repeat(28) } },
    ...{ error: CommitRefusedError },
    roundTrip: (value: unknown) => parseRecordTransaction(value, 0, "the sink"),
  },
  {
    name: "transaction of a file",
    ...{
      good: { version: 1, file: "f", bytes: 1, checksum: 7, directory: "/d", name: "n" },
      error: CommitRefusedError,
    },
    roundTrip: parseFileTransaction,
  },
  {
    ...{ name: "transaction in memory", good: { parts: [[1, "a"]] }, error: CommitRefusedError },
    ...{ opaque: /parts\.0\.\d/ },
    roundTrip: (value: unknown) => ({ parts: parseMemoryTransaction(value) }),
  },
];

/** Fractions and numbers below 0 may be times and factors; what a format may be is another test. */
const isMeasure = (path: string) => /Ms$|[mM]ultiplier$|Factor$|^(format|version)$/.test(path);

describe.each(FORMATS)("$name", ({ good, roundTrip, error, opaque, newer }) => {
  const through = (value: unknown) => roundTrip(value as never);
  const refusal = (value: unknown): Error => {
    try {
      through(value);
    } catch (thrown) {
      return thrown as Error;
    }
    throw new Error("it was taken");
  };
  const fields = leavesOf(good).filter((path) => opaque?.test(path.join(".")) !== true);

  test("comes back as it was, with fields that this version does not know", () => {
    expect(through(good)).toEqual(good);
    const later = { ...(good as object), later: { a: 1 } };
    if (!("parts" in (good as object)) || "nonce" in (good as object)) expect(through(later)).toEqual(later);
  });

  test.each(fields.map((path) => [path.join("."), path] as const))("%s of a wrong type", (name, path) => {
    const thrown = refusal(changed(good, path, { wrong: true }));
    expect(thrown).toBeInstanceOf(error);
    const said = name.replaceAll(".", "\\.");
    expect(thrown.message).toMatch(
      new RegExp(`(^|[ (])${said}(: .*found an object with wrong|\\.name: .*found nothing)`),
    );
  });

  test.each(
    fields.flatMap((path) =>
      typeof at(good, path) === "number" && !isMeasure(path.join("."))
        ? [[path.join("."), path] as const]
        : [],
    ),
  )("%s is a whole number from 0 on", (name, path) => {
    for (const wrong of [-1, 0.5, 2 ** 53])
      expect(refusal(changed(good, path, wrong)).message, `${wrong}`).toContain(`${name}: `);
  });

  if (newer !== undefined)
    test("of a newer version is said to be", () => {
      expect(refusal({ ...(good as object), ...newer }).message).toContain(
        "written by a newer version of Tidemark",
      );
    });
});

describe("ranges", () => {
  const state = ["subtasks", 0, "states", 0] as const;
  const segment = [...state, "pieces", 0, "segments", 1] as const;
  const channel = (i: number) => ["subtasks", 0, "channels", i] as const;
  test.each([
    [
      "a key group beyond maxParallelism",
      [...state, "keyGroups", "last"],
      128,
      "keyGroups.last: no key group of 128",
    ],
    [
      "key groups in reverse",
      [...state, "keyGroups", "first"],
      64,
      "keyGroups: the first key group lies behind",
    ],
    ["a segment behind its object", [...segment, "offset"], 5, "segments.1: ends behind the 10 bytes"],
    [
      "a segment behind inline bytes",
      [...state, "pieces", 1, "segments", 0, "bytes"],
      4,
      "ends behind the 3 bytes",
    ],
    [
      "records behind their object",
      [...channel(1), "offset"],
      5,
      "channels.1.bytes: with the offset it ends behind",
    ],
    ["fewer inline records than said", [...channel(0), "bytes"], 4, "channels.0.bytes: not the 3 bytes"],
    ["records that lie nowhere", [...channel(0), "inline"], null, "channels.0.object: either"],
    ["a subtask twice", ["subtasks", 1, "subtask"], "count/0", "subtasks.1.subtask: two snapshots"],
    ["no name of a subtask", ["subtasks", 1, "subtask"], "count", "subtasks.1.subtask: no name"],
    ["no key groups at all", ["maxParallelism"], 0, "maxParallelism: "],
  ])("of a manifest: %s", (_, path, wrong, message) => {
    const content = encodeManifest(changed(manifest, path, wrong));
    expect(() => parseManifest(content, "m/manifest")).toThrow(message);
    expect(() => parseManifest(content, "m/manifest")).toThrow("m/manifest");
  });

  test.each([
    ["parallelism of 0", ["plan", "vertices", 0, "parallelism"], 0, "plan.vertices.0.parallelism: "],
    [
      "more subtasks than key groups",
      ["plan", "vertices", 0, "parallelism"],
      129,
      "larger than maxParallelism 128",
    ],
    ["an edge from nowhere", ["plan", "edges", 0, "from"], "x", "plan.edges.0: no edge"],
    ["no name of a job", ["job"], "workers", "job: no name of a job, found a text of 7 characters"],
  ])("of a job record: %s", (_, path, wrong, message) => {
    const value = encodeRecord(changed(record, path, wrong));
    expect(() => parseRecord(value, jobKey(record.job), "B")).toThrow(message);
  });

  test("a record under the key of another job", () => {
    expect(() => parseRecord(encodeRecord(record), jobKey("other"), "B")).toThrow(
      `it is that of job ${record.job}`,
    );
  });

  test.each([
    ["parts that do not grow", { version: 1, segments: [[1, 5, 1, 4]] }, 1, "no parts, one behind the other"],
    ["half a part", { version: 1, segments: [[1, 5, 1]] }, 1, "no parts, one behind the other"],
    [
      "a segment without an object",
      { version: 1, segments: [[1, 5]] },
      0,
      "1 segments, and 0 staged objects",
    ],
    ["more than is inline", { version: 1, segments: [[1, 5]], inline: "AAAA" }, 0, "ends behind the bytes"],
    ["of a newer sink", { version: 2, segments: [] }, 0, "newer version of the JetStream sink"],
  ])("of a transaction: %s", (_, detail, staged, message) => {
    expect(() => parseStreamTransaction(detail, staged)).toThrow(message);
  });

  test("a marker with more parts than there are, a position that is read beyond what is accounted for", () => {
    expect(() => parseMarker(encodeMarker({ ...marker, part: 3 }, "m"), "m", "the marker")).toThrow(
      "part: more than there are",
    );
    expect(() => parseReadPosition({ ...readPosition, read: 6 }, "a", "b")).toThrow(
      "accounted: less than read",
    );
  });

  test("what another kind of sink remembers is no memory of a marker", () => {
    for (const state of [undefined, null, 3, { other: 1 }])
      expect(parseMarkerMemory(state, "out")).toBeUndefined();
  });
});

test.each([
  ["text", new TextEncoder().encode("something else")],
  ["nothing", new Uint8Array()],
  ["a structured clone", new Uint8Array([0xff, 0x0f, 0x6f, 0x7b, 0x00])],
  ["a number", encodeValue(7)],
  ["null", encodeValue(null)],
  ["a list", encodeValue([manifest])],
])("%s is none of them", (_, content) => {
  expect(() => parseManifest(content, "m")).toThrow(ObjectCorruptError);
  expect(() => parseSavepoint(content, "/kept/a", "m")).toThrow(ObjectCorruptError);
  expect(() => parseSplitPosition(content, "lines")).toThrow(ObjectCorruptError);
  expect(() => parseRecord(content, "job.a", "B")).toThrow(RecordUnreadableError);
  expect(() => parseOptions(content)).toThrow("no options of a checkpoint");
  expect(parseLease(content)).toHaveProperty("problem");
});
