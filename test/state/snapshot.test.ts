/** CH1 to CH3: the bytes of a chunk, and what a damaged one answers. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ObjectCorruptError } from "../../src/errors.ts";
import type { Namespace } from "../../src/state/contract.ts";
import type { Key } from "../../src/state/descriptor.ts";
import {
  encodeChunk,
  readChunkDeletions,
  readChunkHeader,
  readChunkKeys,
  readChunkNamespaces,
  readChunkValues,
} from "../../src/state/snapshot/chunk.ts";
import { ColumnDecoder, ColumnEncoder } from "../../src/state/snapshot/columns.ts";
import { SegmentIndex } from "../../src/state/snapshot/segments.ts";

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
        const chunk = encodeChunk(
          { keys, values, groups: [{ keyGroup: 7, entries: keys.length }] },
          new ColumnEncoder(),
        );
        const bytes = Buffer.concat([Buffer.alloc(offset, 0xee), chunk.bytes, Buffer.alloc(3)]);
        const source = { object: "o", bytes };
        const header = readChunkHeader(source, offset);
        expect(header.end).toBe(offset + chunk.bytes.byteLength);
        expect(header.groups).toEqual([{ keyGroup: 7, entries: keys.length }]);
        // Number keys of mixed columns go through text, where -0 is 0: the same key (KG2).
        expect((readChunkKeys(source, header) as Key[]).map(zeroOfMinusZero)).toEqual(
          keys.map(zeroOfMinusZero),
        );
        expect(readChunkValues(source, header, values.length, new ColumnDecoder())).toEqual(values);
      }),
    );
  });

  test("of number values keeps them exactly", () => {
    const values = [-0, Number.NaN, Number.MAX_VALUE, 1 / 3, Number.NEGATIVE_INFINITY];
    const chunk = encodeChunk(
      { keys: ["a", "b", "c", "d", "e"], values, groups: [{ keyGroup: 0, entries: 5 }] },
      new ColumnEncoder(),
    );
    const source = { object: "o", bytes: chunk.bytes };
    expect(readChunkValues(source, readChunkHeader(source, 0), values.length, new ColumnDecoder())).toEqual(
      values,
    );
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
    const chunk = encodeChunk(
      { keys, values, groups: [{ keyGroup: 0, entries: keys.length }] },
      new ColumnEncoder(),
    );
    const source = { object: "o", bytes: chunk.bytes };
    const read = readChunkValues(source, readChunkHeader(source, 0), values.length, new ColumnDecoder());
    expect(read).toEqual(values);
    const copied = read[6] as Uint8Array;
    expect(copied.buffer.byteLength).toBe(3);
  });
});

const anyNamespace: fc.Arbitrary<Namespace> = fc.oneof(
  fc.constant(undefined),
  fc.string({ unit: "binary" }),
  fc.double().map((number) => (number === 0 ? 0 : number)),
);

describe("rows of a chunk", () => {
  test("keep their namespaces, and which of them are deleted", () => {
    const rows = fc.array(fc.tuple(anyNamespace, fc.boolean()), { minLength: 1 });
    fc.assert(
      fc.property(rows, (all) => {
        const keys = all.map((_, i) => `k${i}`);
        const deleted = new Set(all.flatMap(([, isDeleted], i) => (isDeleted ? [i] : [])));
        const values = keys.filter((_, i) => !deleted.has(i)).map((key) => ({ key }));
        const namespaces = all.map(([namespace]) => namespace);
        const chunk = encodeChunk(
          { keys, namespaces, deleted, values, groups: [{ keyGroup: 3, entries: keys.length }] },
          new ColumnEncoder(),
        );
        const source = { object: "o", bytes: chunk.bytes };
        const header = readChunkHeader(source, 0);
        expect(readChunkKeys(source, header, deleted)).toEqual(keys);
        const read = readChunkNamespaces(source, header) ?? keys.map(() => undefined);
        expect(read).toEqual(namespaces);
        expect(readChunkDeletions(source, header) ?? new Set()).toEqual(deleted);
        expect(readChunkValues(source, header, values.length, new ColumnDecoder())).toEqual(values);
      }),
    );
  });

  test("of the fixed namespace take no space for it", () => {
    const size = (namespaces: Namespace[] | undefined) =>
      encodeChunk(
        { keys: ["a", "b"], namespaces, values: [1, 2], groups: [{ keyGroup: 3, entries: 2 }] },
        new ColumnEncoder(),
      ).bytes.byteLength;
    expect(size([undefined, undefined])).toBe(size(undefined));
    expect(size([undefined, "w"])).toBeGreaterThan(size(undefined));
  });
});

describe("a damaged chunk", () => {
  const chunk = encodeChunk(
    {
      keys: ["a", "bc", "def", "g"],
      namespaces: [undefined, "w", 7, "x"],
      groups: [
        { keyGroup: 2, entries: 1 },
        { keyGroup: 3, entries: 3 },
      ],
      deleted: new Set([1]),
      values: [{ v: 1 }, "x", null],
    },
    new ColumnEncoder(),
  );

  function read(bytes: Uint8Array): void {
    const source = { object: "job/x/state.0", bytes };
    const header = readChunkHeader(source, 0);
    readChunkKeys(source, header);
    readChunkNamespaces(source, header);
    const deleted = readChunkDeletions(source, header);
    readChunkValues(source, header, header.entries - (deleted?.size ?? 0), new ColumnDecoder());
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
    bytes[0] = 1;
    expect(() => read(bytes)).toThrow(
      /"job\/x\/state.0" is corrupt at byte 0: format 1 where this version of Tidemark reads 2/,
    );
  });

  test("of another serializer says so", () => {
    const version = Uint8Array.from(chunk.bytes);
    version[30] = 2;
    expect(() => read(version)).toThrow(
      /written by "tidemark.plain", version 2, where this version of Tidemark reads "tidemark.plain", version 1/,
    );
    const name = Uint8Array.from(chunk.bytes);
    name[33] = "m".charCodeAt(0);
    expect(() => read(name)).toThrow(/written by "midemark.plain", version 1/);
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
