/** KG1 to KG3: golden values must never change, they are part of the format of stored state. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ConfigurationError } from "../../src/errors.ts";
import type { Key } from "../../src/state/descriptor.ts";
import {
  defaultMaxParallelism,
  hashOf,
  keyGroupOf,
  keyGroupRangeOf,
  murmur3,
  ownerOf,
  rangesIntersect,
} from "../../src/state/key-groups.ts";

const GOLDEN: [Key, number, number][] = [
  ["", 0, 0],
  ["a", 1867108634, 26],
  ["ab", 374890698, 74],
  ["bidder-1", 1212173575, 7],
  ["grün", 4283943491, 67],
  ["😀 key", 3853714946, 2],
  ["\ud800", 23418209, 97],
  ["1", 4168731699, 51],
  [0, 2028806445, 45],
  [1, 1578231156, 116],
  [-1, 919009801, 9],
  [42, 104498563, 3],
  [2147483647, 2064575268, 36],
  [2147483648, 2950378202, 90],
  [1.5, 68009912, 56],
  [Number.NaN, 1265848112, 48],
  [Number.POSITIVE_INFINITY, 429660644, 100],
  [9007199254740992, 3886237819, 123],
  [1n, 2724904126, 62],
  [-1n, 453837782, 86],
  [2n ** 70n, 3424643349, 21],
  [true, 834474203, 91],
  [false, 519245393, 81],
];

describe("murmur3", () => {
  test("gives the published values of MurmurHash3 x86 32", () => {
    const seed = 0x9747b28c;
    expect(murmur3("", 0)).toBe(0);
    expect(murmur3("", 1)).toBe(0x514e28b7);
    expect(murmur3("\0\0", 0)).toBe(0x2362f9de);
    expect(murmur3(codeUnitsOf("aaaa"), seed)).toBe(0x5a97808a);
    expect(murmur3(codeUnitsOf("aa"), seed)).toBe(0x5d211726);
    expect(murmur3(codeUnitsOf("abcd"), seed)).toBe(0xf0478627);
  });
});

describe("key groups", () => {
  test.each(GOLDEN)("of %o stay what they are", (key, hash, group) => {
    expect(hashOf(key)).toBe(hash);
    expect(keyGroupOf(key, 128)).toBe(group);
  });

  test("keys that a Map takes for equal have one hash (KG2)", () => {
    expect(hashOf(-0)).toBe(hashOf(0));
    const payload = new DataView(new ArrayBuffer(8));
    payload.setBigUint64(0, 0xfff8_0000_0000_1234n);
    expect(hashOf(payload.getFloat64(0))).toBe(hashOf(Number.NaN));
  });

  test("spread over all groups", () => {
    const counts = new Array<number>(128).fill(0);
    for (let i = 0; i < 128_000; i++) counts[keyGroupOf(`user-${i}`, 128)]!++;
    expect(Math.min(...counts)).toBeGreaterThan(850);
    expect(Math.max(...counts)).toBeLessThan(1150);
  });

  test.each([[undefined], [null], [{ a: 1 }], [[1]], [Symbol("s")], [() => 1]])(
    "%o is refused as a key",
    (key) => {
      expect(() => keyGroupOf(key as never, 128)).toThrow(ConfigurationError);
      expect(() => keyGroupOf(key as never, 128)).toThrow(/keys are strings, numbers, booleans or bigints/);
    },
  );
});

describe("ranges", () => {
  const layout = fc
    .integer({ min: 1, max: 1000 })
    .chain((max) => fc.tuple(fc.integer({ min: 1, max }), fc.constant(max)));

  test("each group is in the range of its owner and in no other (KG3)", () => {
    fc.assert(
      fc.property(layout, ([parallelism, maxParallelism]) => {
        let next = 0;
        for (let subtask = 0; subtask < parallelism; subtask++) {
          const { first, last } = keyGroupRangeOf(subtask, parallelism, maxParallelism);
          expect(first).toBe(next);
          expect(last).toBeGreaterThanOrEqual(first);
          for (let group = first; group <= last; group++) {
            expect(ownerOf(group, parallelism, maxParallelism)).toBe(subtask);
          }
          next = last + 1;
        }
        expect(next).toBe(maxParallelism);
      }),
      { numRuns: 60 },
    );
  });

  test("intersect when they share a group", () => {
    expect(rangesIntersect({ first: 0, last: 3 }, { first: 3, last: 5 })).toBe(true);
    expect(rangesIntersect({ first: 0, last: 3 }, { first: 4, last: 5 })).toBe(false);
    expect(rangesIntersect({ first: 0, last: 9 }, { first: 4, last: 5 })).toBe(true);
  });

  test("more subtasks than groups is a broken invariant", () => {
    expect(() => keyGroupRangeOf(0, 129, 128)).toThrow(/parallelism 129/);
  });

  test.each([
    [1, 128],
    [85, 128],
    [86, 256],
    [1000, 2048],
    [20_000, 32_768],
    [32_768, 32_768],
  ])("default of parallelism %i is %i groups", (parallelism, groups) => {
    expect(defaultMaxParallelism(parallelism)).toBe(groups);
  });
});

/** Two bytes in one code unit, as murmur3 sees them. */
function codeUnitsOf(bytes: string): string {
  return Buffer.from(bytes, "latin1").toString("utf16le");
}
