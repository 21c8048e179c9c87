/**
 * What a record, a key or a value of state holds stands in no message of ours (P74). Messages are what logs, failures,
 * the job's record and the terminal have: each is taken with its whole chain of causes.
 */
import { expect, test } from "vitest";
import { jsonText } from "../../src/connectors/json-text.ts";
import { bare, decodeEnvelope, encodeMessage } from "../../src/control/wire.ts";
import { decodeRecords, FrameEncoder } from "../../src/dataflow/channel/remote/frame-codec.ts";
import { refuseAnswer } from "../../src/dataflow/guards/answers.ts";
import { stableKey } from "../../src/dataflow/operators/keyed/key-selector.ts";
import { describeError } from "../../src/errors.ts";
import { decodeSealed, decodeValue, encodeValue } from "../../src/formats/codec.ts";
import { encodeManifest, parseManifest } from "../../src/formats/manifest.ts";
import { encodeSplitPosition, parseSplitPosition } from "../../src/formats/positions/split-position.ts";
import { parseStreamTransaction } from "../../src/formats/transactions/transaction-detail.ts";
import { parseMarker } from "../../src/formats/transactions/transaction-marker.ts";
import { decodeRange } from "../../src/nats/reader/decoding.ts";
import { parseExact } from "../../src/nats/reader/json-integers.ts";
import { hashOf } from "../../src/state/key-groups.ts";
import { refuseValue } from "../../src/state/plain-value.ts";
import { nameOfValue } from "../../src/state/snapshot/chunk.ts";
import { ColumnDecoder } from "../../src/state/snapshot/columns.ts";
import { manifest } from "../formats/examples.ts";
import { changed } from "../formats/wrong-values.ts";

const SECRET = "s3cret-4711";
const NUMBER_SECRET = 47_114_711;
const json = decodeRange<unknown>("json");
const parsed = (payload: string) => {
  const bytes = Buffer.from(payload);
  return json(bytes, 0, bytes.length, 0, 0);
};
/** The error of a parser that answers its problem. */
const told = (found: unknown) => {
  throw new Error(JSON.stringify(found));
};
/** One value, and bytes behind it: the library shows the value in its error. */
const withMore = (bytes: Uint8Array) => Buffer.concat([bytes, Buffer.from([0])]);

const FAILURES: readonly (readonly [what: string, fail: () => unknown])[] = [
  ["JSON that ends in the middle", () => parsed(`{"card":"${SECRET}`)],
  ["JSON with a word in it", () => parsed(`{"card":${SECRET}}`)],
  ["text where JSON should be", () => parsed(SECRET)],
  ["JSON with more behind it", () => parsed(`"${SECRET}" ${SECRET}`)],
  ["a line break in a text of JSON", () => parsed(`{"a":"${SECRET}\n${SECRET}"}`)],
  ["a byte order mark before JSON", () => parsed(`\ufeff"${SECRET}"`)],
  [
    "a large number in JSON",
    () => parseExact(`{"n":${NUMBER_SECRET}${NUMBER_SECRET}${NUMBER_SECRET}}`, "refuse"),
  ],
  ["a text that filter answers", () => refuseAnswer("op", "filter answered", SECRET, "true or false")],
  ["a number that filter answers", () => refuseAnswer("op", "filter answered", NUMBER_SECRET)],
  [
    "a value of a class",
    () => refuseValue({ [SECRET.slice(0, 2)]: new Map([[SECRET, new (class A {})()]]) }, "a record"),
  ],
  ["a function beside a secret", () => refuseValue({ card: SECRET, f: () => SECRET }, "a record")],
  ["the value of a key", () => refuseValue(new (class A {})(), nameOfValue(SECRET))],
  ["the value of a numeric key", () => refuseValue(new (class A {})(), nameOfValue(NUMBER_SECRET))],
  ["a key of no type of keys", () => hashOf([SECRET] as never)],
  [
    "a key selector that changes its mind",
    () => {
      let asked = 0;
      stableKey("op", () => `${SECRET}${asked++}`, true)({});
    },
  ],
  ["a value that JSON does not know", () => jsonText({ card: SECRET, at: new Map([[SECRET, SECRET]]) })],
  ["a bigint in JSON", () => jsonText({ card: BigInt(NUMBER_SECRET) })],
  ["msgpack with more behind it", () => decodeValue(withMore(encodeValue({ card: SECRET })))],
  ["a sealed value with more behind it", () => decodeSealed(withMore(encodeValue({ card: SECRET })))],
  [
    "a frame with more behind it",
    () =>
      decodeRecords(
        withMore(new FrameEncoder().records(1, [{ card: SECRET }], undefined)),
        new ColumnDecoder(),
      ),
  ],
  [
    "a text in the place of a count",
    () => parseManifest(encodeManifest(changed(manifest, ["generation"], SECRET)), "m"),
  ],
  [
    "bytes in the place of a count",
    () => parseManifest(encodeManifest(changed(manifest, ["generation"], Buffer.from(SECRET))), "m"),
  ],
  [
    "an object in the place of a count",
    () => parseManifest(encodeManifest(changed(manifest, ["generation"], { card: SECRET })), "m"),
  ],
  [
    "a record in the place of a position",
    () => parseSplitPosition(encodeSplitPosition({ split: SECRET } as never), "op"),
  ],
  [
    "a record in the place of a marker",
    () => parseMarker(`{"incarnation":["${SECRET}"]}`, "m", "the marker"),
  ],
  ["text in the place of a marker", () => parseMarker(SECRET, "m", "the marker")],
  ["a committable of another kind", () => parseStreamTransaction({ version: SECRET }, 0)],
  ["a record on a control subject", () => told(decodeEnvelope(bare(Buffer.from(`{"card":"${SECRET}"}`))))],
  ["text on a control subject", () => told(decodeEnvelope(bare(Buffer.from(SECRET))))],
  ["msgpack on a control subject", () => told(decodeEnvelope(bare(encodeMessage(SECRET).subarray(0, -1))))],
];

test.each(FAILURES)("%s is not shown", (_, fail) => {
  let said: string | undefined;
  try {
    fail();
  } catch (error) {
    said = `${describeError(error)} ${(error as Error).stack}`;
  }
  expect(said).toBeDefined();
  const bytes = [...Buffer.from(SECRET).subarray(0, 4)].join(", ");
  for (const secret of [SECRET, SECRET.slice(2, 8), String(NUMBER_SECRET), bytes])
    expect(said).not.toContain(secret);
});

test("what the user's own function throws is shown as it is, as Flink does", () => {
  expect(describeError(new Error(`no account of ${SECRET}`))).toContain(SECRET);
});
