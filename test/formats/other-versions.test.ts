/** What another version of Tidemark has stored or sent is refused by name, with both versions of its format. */
import { expect, test } from "vitest";
import { parseHeader } from "../../src/cli/state/header.ts";
import { bare, decodeEnvelope, encodeMessage } from "../../src/control/wire.ts";
import { FrameEncoder, kindOf, otherVersion } from "../../src/dataflow/channel/remote/frame-codec.ts";
import { decodeStored, encodeStored } from "../../src/dataflow/channel/stored-records.ts";
import { describeError } from "../../src/errors.ts";
import { encodeValue } from "../../src/formats/codec.ts";
import { encodeRecord, jobKey, parseRecord } from "../../src/formats/job-record.ts";
import { encodeManifest, parseManifest } from "../../src/formats/manifest.ts";
import { encodeSavepoint, parseSavepoint } from "../../src/formats/savepoint-metadata.ts";
import { encodeChunk, readChunkHeader } from "../../src/state/snapshot/chunk.ts";
import { ColumnEncoder } from "../../src/state/snapshot/columns.ts";
import { manifest, metadata, record } from "./examples.ts";

/** The bytes of a chunk, some of which are changed. */
function chunk(change: (bytes: Buffer) => void): Uint8Array {
  const rows = { keys: ["a"], groups: [{ keyGroup: 0, entries: 1 }], values: [{ n: 1 }] };
  const bytes = Buffer.from(encodeChunk(rows, new ColumnEncoder()).bytes);
  change(bytes);
  return bytes;
}

function frame(version: number): Buffer {
  const message = Buffer.from(new FrameEncoder().records(1, ["a"], undefined));
  message[0] = version;
  return message;
}

const newer = <T extends object>(value: T): T => ({ ...value, format: 99 });

const FORMATS: Readonly<Record<string, readonly [read: () => unknown, words: RegExp]>> = {
  "a job's record": [
    () => parseRecord(encodeRecord(newer(record)), jobKey(record.job), "B"),
    /newer version of Tidemark \(format 99, this one reads 1\)/,
  ],
  "a manifest": [
    () => parseManifest(encodeManifest(newer(manifest)), "m"),
    /newer version of Tidemark \(format 99, this one reads 1\)/,
  ],
  "the metadata of a savepoint": [
    () => parseSavepoint(encodeSavepoint(newer(metadata)), "/kept/a", "m"),
    /\/kept\/a cannot be read: .*newer version of Tidemark \(format 99, this one reads 1\)/,
  ],
  "the manifest in a savepoint": [
    () => parseSavepoint(encodeSavepoint({ ...metadata, manifest: newer(manifest) }), "/kept/a", "m"),
    /manifest\.format: expected 1, found 99/,
  ],
  "a chunk of state": [
    () => readChunkHeader({ object: "o", bytes: chunk((bytes) => bytes.writeUInt8(99, 0)) }, 0),
    /format 99 where this version of Tidemark reads/,
  ],
  "values of another serializer": [
    () => readChunkHeader({ object: "o", bytes: chunk((bytes) => bytes.writeUInt16LE(99, 30)) }, 0),
    /written by "tidemark.plain", version 99, where this version of Tidemark reads "tidemark.plain", version 1/,
  ],
  "stored records of a channel": [
    () => {
      const length = Buffer.alloc(4);
      const message = frame(9);
      length.writeUInt32BE(message.length, 0);
      return [...decodeStored(Buffer.concat([length, message]))];
    },
    /another version of Tidemark \(format 9, this one reads \d+\)/,
  ],
  "lines of state": [
    () => parseHeader({ tidemark: "state", format: 99 }),
    /format 99, and this version of Tidemark reads 1/,
  ],
};

test.each(Object.entries(FORMATS))("%s is refused", (_, [read, words]) => {
  let said = "";
  try {
    read();
  } catch (error) {
    said = describeError(error);
  }
  expect(said).toMatch(words);
});

test("a message between processes is dropped, and told", () => {
  const message = encodeValue({ message: { type: "worker.ping" }, format: 2 });
  expect(decodeEnvelope(bare(message))).toEqual({
    foreign: expect.stringContaining('a message of another version of Tidemark (format "2")'),
  });
  expect(decodeEnvelope(bare(encodeMessage("x")))).toEqual({ message: "x" });
});

test("so is a frame of a channel, and what is no frame is not taken for one", () => {
  expect(kindOf(frame(9))).toBe(undefined);
  expect(otherVersion(frame(9))).toMatch(/another version of Tidemark \(format 9, this one reads \d+\)/);
  expect(otherVersion(Buffer.from("some text of a stranger"))).toBe(undefined);
  const own = new FrameEncoder().records(1, ["a"], undefined);
  expect(otherVersion(own)).toBe(undefined);
  expect([...decodeStored(Buffer.concat(encodeStored(own, new FrameEncoder())))]).toHaveLength(1);
});
