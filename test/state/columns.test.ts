import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeValue } from "../../src/formats/codec.ts";
import { ColumnDecoder, ColumnEncoder } from "../../src/state/snapshot/columns.ts";

function roundTrip(values: readonly unknown[], strings: "sliced" | "own" = "sliced"): unknown {
  const bytes = new ColumnEncoder().encode(values);
  return bytes === undefined ? "not in columns" : new ColumnDecoder().decode(bytes, values.length, strings);
}

const text = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 20 }),
  fc.string({ unit: fc.constantFrom("a", "\ud83d", "\ude00"), maxLength: 5 }),
);
const column = fc.oneof(
  fc.constant(fc.nat(255)),
  fc.constant(fc.integer()),
  fc.constant(fc.double()),
  fc.constant(fc.oneof(fc.integer(), fc.double())),
  fc.constant(text),
  fc.constant(fc.string({ unit: "binary-ascii", minLength: 250, maxLength: 300 })),
  fc.constant(fc.oneof(text, fc.boolean(), fc.constantFrom(null, undefined), fc.bigInt(), fc.double())),
);
const fieldName = fc
  .string({ unit: "grapheme", maxLength: 20 })
  .filter((name) => name !== "__proto__" && name !== "toJSON");
const sameShape = fc
  .tuple(
    fc.uniqueArray(fieldName, { minLength: 1, maxLength: 8 }),
    fc.array(column, { minLength: 8, maxLength: 8 }),
  )
  .chain(([names, columns]) =>
    fc.array(
      fc.tuple(...columns).map((row) => Object.fromEntries(names.map((name, i) => [name, row[i]]))),
      { minLength: 8, maxLength: 40 },
    ),
  );

describe("values of one shape go as columns", () => {
  test("and come back equal (CO1)", () => {
    fc.assert(
      fc.property(sameShape, fc.constantFrom("sliced" as const, "own" as const), (values, strings) => {
        expect(roundTrip(values, strings)).toEqual(values);
      }),
      { numRuns: 300 },
    );
  });

  test("of bare strings or numbers too", () => {
    for (const values of [Array.from("abcdefghij"), [1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 5, 6, 7, 0.5]]) {
      expect(roundTrip(values)).toEqual(values);
    }
  });

  test("in fewer bytes than msgpack takes", () => {
    const values = Array.from({ length: 500 }, (_, i) => ({ count: i % 200, sum: i * 1e6, name: `n${i}` }));
    expect(new ColumnEncoder().encode(values)!.length).toBeLessThan(encodeValue(values).length);
  });

  test("keep the order of their fields", () => {
    const values = Array.from({ length: 8 }, (_, i) => ({ b: i, a: i, 1: i }));
    expect(JSON.stringify(roundTrip(values))).toBe(JSON.stringify(values));
  });
});

describe("values of other kinds do not", () => {
  const eight = (value: unknown, of: (i: number) => unknown = (i) => ({ a: i })) => [
    ...Array.from({ length: 8 }, (_, i) => of(i)),
    value,
  ];
  class Point {
    a = 1;
  }
  test.each([
    ["few", [{ a: 1 }]],
    ["another field", eight({ b: 1 })],
    ["one field more", eight({ a: 1, b: 1 })],
    ["one field less", eight({})],
    ["another order", eight({ b: 1, a: 1 }, (i) => ({ a: i, b: i }))],
    ["a class", eight(new Point())],
    ["no prototype", eight(Object.create(null))],
    ["null", eight(null)],
    ["an object in a field", eight({ a: {} })],
    ["a list in a field", eight({ a: [1] })],
    ["a date in a field", eight({ a: new Date(0) })],
    ["a function in a field", eight({ a: () => 1 })],
    ["no fields at all", eight({}, () => ({}))],
    ["the field __proto__", eight(JSON.parse('{"__proto__":1}'), () => JSON.parse('{"__proto__":1}'))],
    ["lists", eight([1], () => [1])],
    ["strings and objects", eight({ a: 1 }, () => "x")],
  ])("%s", (_, values) => {
    expect(roundTrip(values)).toBe("not in columns");
  });

  test("nor ever more shapes from one writer", () => {
    const encoder = new ColumnEncoder();
    const encoded = Array.from({ length: 100 }, (_, shape) =>
      encoder.encode(Array.from({ length: 8 }, (_, i) => ({ [`field${shape}`]: i }))),
    );
    expect(encoded.filter((bytes) => bytes !== undefined)).toHaveLength(64);
  });
});

test("bytes that were cut off are noticed", () => {
  const values = Array.from({ length: 20 }, (_, i) => ({
    name: `name ${i}`,
    size: i * 1000,
    part: i / 3,
    on: i > 3,
  }));
  const bytes = new ColumnEncoder().encode(values)!;
  for (let length = 0; length < bytes.length; length++) {
    expect(() => new ColumnDecoder().decode(bytes.subarray(0, length), values.length, "sliced")).toThrow();
  }
});

describe("bytes that no writer makes are refused", () => {
  const values = Array.from({ length: 8 }, (_, i) => ({ ab: i, cd: i, on: i > 3 }));
  const encoded = () => Buffer.from(new ColumnEncoder().encode(values)!);
  const replaced = (from: string, to: string) => {
    const bytes = encoded();
    bytes.write(to, bytes.indexOf(from), "utf8");
    return bytes;
  };

  test("a field twice, and the field __proto__", () => {
    expect(() => new ColumnDecoder().decode(replaced("cd", "ab"), 8, "sliced")).toThrow("no record can have");
    const named = Array.from({ length: 8 }, (_, i) => ({ __prot0__: i }));
    const bytes = Buffer.from(new ColumnEncoder().encode(named)!);
    bytes.write("__proto__", bytes.indexOf("__prot0__"), "utf8");
    expect(() => new ColumnDecoder().decode(bytes, 8, "sliced")).toThrow("no record can have");
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  test("a count that the bytes cannot hold costs nothing", () => {
    const before = process.memoryUsage().heapUsed;
    for (const count of [9, 1000, 2 ** 28, 2 ** 32 - 1])
      expect(() => new ColumnDecoder().decode(encoded(), count, "sliced"), `${count}`).toThrow();
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(100 * 2 ** 20);
  });

  test("fewer values than records, and more bytes than columns", () => {
    expect(() => new ColumnDecoder().decode(encoded(), 7, "sliced")).toThrow();
    expect(() =>
      new ColumnDecoder().decode(Buffer.concat([encoded(), Buffer.alloc(1)]), 8, "sliced"),
    ).toThrow("end at byte");
  });
});
