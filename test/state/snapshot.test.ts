/** F1 to F3: the bytes of a chunk, and what a damaged one answers. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ObjectCorruptError } from "../../src/errors.ts";
import { ColumnEncoder } from "../../src/state/columns.ts";
import type { Key } from "../../src/state/descriptor.ts";
import {
  encodeChunk,
  readChunkHeader,
  readChunkKeys,
  readChunkValues,
  SegmentIndex,
} from "../../src/state/snapshot.ts";

const anyKey: fc.Arbitrary<Key> = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.double(),
  fc.boolean(),
  fc.bigInt(),
);
const keyColumn = fc.oneof(
  fc.array(fc.string(), { minLength: 1 }),
  fc.array(fc.string({ unit: "binary" }), { minLength: 1 }),
  fc.array(fc.string({ minLength: 200, maxLength: 300 }), { minLength: 1, maxLength: 3 }),
  fc.array(fc.constantFrom("\ud800", "\udc00", "grün", "é", "日本"), { minLength: 1 }),
  fc.array(fc.double(), { minLength: 1 }),
  fc.array(fc.bigInt(), { minLength: 1 }),
  fc.array(anyKey, { minLength: 1 }),
);

describe("a chunk", () => {
  test("gives its keys and values back, wherever in an object it lies", () => {
    fc.assert(
      fc.property(keyColumn, fc.boolean(), fc.nat(9), (keys, numeric, offset) => {
        const values = keys.map((_, i) => (numeric ? i / 3 - 1 : { i, text: `v${i}`, none: undefined }));
        const chunk = encodeChunk(keys, values, [{ keyGroup: 7, entries: keys.length }], new ColumnEncoder());
        const bytes = Buffer.concat([Buffer.alloc(offset, 0xee), chunk.bytes, Buffer.alloc(3)]);
        const source = { object: "o", bytes };
        const header = readChunkHeader(source, offset);
        expect(header.end).toBe(offset + chunk.bytes.byteLength);
        expect(header.groups).toEqual([{ keyGroup: 7, entries: keys.length }]);
        // Number keys of mixed columns go through text, where -0 is 0: the same key (K2).
        expect(readChunkKeys(source, header).map(zeroOfMinusZero)).toEqual(keys.map(zeroOfMinusZero));
        expect(readChunkValues(source, header)).toEqual(values);
      }),
    );
  });

  test("of number values keeps them exactly", () => {
    const values = [-0, Number.NaN, Number.MAX_VALUE, 1 / 3, Number.NEGATIVE_INFINITY];
    const chunk = encodeChunk(
      ["a", "b", "c", "d", "e"],
      values,
      [{ keyGroup: 0, entries: 5 }],
      new ColumnEncoder(),
    );
    const source = { object: "o", bytes: chunk.bytes };
    expect(readChunkValues(source, readChunkHeader(source, 0))).toEqual(values);
  });

  test("keeps the rich values that codec.ts promises", () => {
    const values = [
      new Map([[1, { a: 1n }]]),
      new Set(["x"]),
      new Date(5),
      undefined,
      2n ** 90n,
      /a+/g,
      new Uint8Array([1, 2, 3]),
      new Float64Array([0.5]),
      null,
    ];
    const keys = values.map((_, i) => i);
    const chunk = encodeChunk(keys, values, [{ keyGroup: 0, entries: keys.length }], new ColumnEncoder());
    const source = { object: "o", bytes: chunk.bytes };
    const read = readChunkValues(source, readChunkHeader(source, 0));
    expect(read).toEqual(values);
    const copied = read[6] as Uint8Array;
    expect(copied.buffer.byteLength).toBe(3);
  });
});

describe("a damaged chunk", () => {
  const chunk = encodeChunk(
    ["a", "bc", "def"],
    [{ v: 1 }, "x", null],
    [
      { keyGroup: 2, entries: 1 },
      { keyGroup: 3, entries: 2 },
    ],
    new ColumnEncoder(),
  );

  function read(bytes: Uint8Array): void {
    const source = { object: "job/x/state.0", bytes };
    const header = readChunkHeader(source, 0);
    readChunkKeys(source, header);
    readChunkValues(source, header);
  }

  test("that ends early is named, at every length", () => {
    read(chunk.bytes);
    for (let length = 1; length < chunk.bytes.byteLength; length++) {
      expect(() => read(chunk.bytes.subarray(0, length))).toThrow(ObjectCorruptError);
    }
    expect(() => read(chunk.bytes.subarray(0, 30))).toThrow(/"job\/x\/state.0" is corrupt at byte 0/);
  });

  test("of another format says so", () => {
    const bytes = Uint8Array.from(chunk.bytes);
    bytes[0] = 9;
    expect(() => read(bytes)).toThrow(/format 9 where this version of Tidemark reads 1/);
  });

  test("never ends in anything but its values or an ObjectCorruptError", () => {
    fc.assert(
      fc.property(fc.nat(chunk.bytes.byteLength - 1), fc.nat(255), (at, byte) => {
        const bytes = Uint8Array.from(chunk.bytes);
        bytes[at] = byte;
        try {
          read(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(ObjectCorruptError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("the index", () => {
  test("covers all bytes, splits only between key groups, and has no small segments", () => {
    const index = new SegmentIndex();
    let offset = 0;
    const chunkAt = (first: number, last: number, bytes: number): void => {
      index.add({ keyGroups: { first, last }, entries: 1, bytes: new Uint8Array(bytes) }, offset);
      offset += bytes;
    };
    chunkAt(0, 3, 10);
    chunkAt(4, 4, 70_000);
    chunkAt(4, 4, 30_000);
    chunkAt(5, 5, 10);
    chunkAt(6, 9, 65_600);
    chunkAt(10, 11, 5);
    expect(index.segments()).toEqual([
      { keyGroups: { first: 0, last: 4 }, offset: 0, bytes: 100_010 },
      { keyGroups: { first: 5, last: 9 }, offset: 100_010, bytes: 65_610 },
      { keyGroups: { first: 10, last: 11 }, offset: 165_620, bytes: 5 },
    ]);
  });

  test("of nothing is empty", () => {
    expect(new SegmentIndex().segments()).toEqual([]);
  });
});

function zeroOfMinusZero(key: Key): Key {
  return key === 0 ? 0 : key;
}
