/**
 * Every parser, whatever the bytes are: a value or a typed error, at once, and never more memory than ten times the
 * bytes and a constant (P74).
 */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeValue, encodeValue } from "../../src/formats/codec.ts";
import { isOrdinary } from "../../src/state/plain-value.ts";
import { anything } from "../support/anything.ts";
import { PARSER_FILES, PARSER_NAME, PARSERS, type Parser } from "./parsers.ts";

const SRC = join(import.meta.dirname, "../../src");
/** Beside ten times the bytes: what one byte of 16 MiB of them may become at most, and what the test itself makes. */
const MEMORY_CONSTANT = 32 * 1024 * 1024;
const RUNS = 100;
/** As maps they would be 50 MiB. */
const DENSE_BYTES = 1 << 18;

test("the table names every parser there is", async () => {
  const files = PARSER_FILES.flatMap((place) => filesIn(join(SRC, place)));
  const found: string[] = [];
  for (const file of files) {
    const module = (await import(file)) as Record<string, unknown>;
    for (const [name, value] of Object.entries(module))
      if (typeof value === "function" && PARSER_NAME.test(name)) found.push(name);
  }
  const known = new Set(PARSERS.flatMap(({ functions }) => functions));
  expect(found.length).toBeGreaterThan(20);
  expect(found.filter((name) => !known.has(name))).toEqual([]);
});

describe.each(PARSERS.map((parser) => [parser.functions[0]!, parser] as const))("%s", (_, parser) => {
  test("takes what was written", () => {
    for (const bytes of parser.good) expect(() => parser.parse(bytes)).not.toThrow();
  });

  test("any bytes are a value or a typed error", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => hold(parser, bytes)),
      { numRuns: RUNS },
    );
  });

  test("bytes that were cut, flipped, extended, nested or mixed are a value or a typed error", () => {
    fc.assert(
      fc.property(damaged(parser.good), (bytes) => hold(parser, bytes)),
      { numRuns: 2 * RUNS },
    );
  });

  test("a header that announces more than there is costs nothing", () => {
    for (const good of parser.good)
      for (const lie of LIES)
        for (let at = 0; at < Math.min(good.length, 90); at++) hold(parser, withBytes(good, at, lie));
  });

  if (parser.sealed !== true)
    test("much of what is small in bytes and large in memory", () => {
      for (const unit of DENSE.slice(0, parser.parse === decodeValue ? undefined : 2))
        hold(parser, dense(unit, DENSE_BYTES));
      for (const unit of ["{}", "[]"]) hold(parser, jsonList(unit, DENSE_BYTES));
    });
});

test("the look at bytes passes every value that is written, in as many shapes as there are", () => {
  fc.assert(
    fc.property(fc.array(anything({ key: fc.string() }), { maxLength: 30 }), (values) => {
      fc.pre(isOrdinary(values));
      const bytes = Uint8Array.from(encodeValue(values));
      expect(decodeValue(bytes)).toEqual(values);
    }),
    { numRuns: 500 },
  );
});

test("bytes that would be large in memory are refused with the number", () => {
  expect(() => decodeValue(dense([0x80], 4 << 20))).toThrow(
    /4194304 bytes of msgpack would take more than \d+/,
  );
});

/** Calls the parser, and holds what it promises. */
function hold(parser: Parser, bytes: Uint8Array): void {
  const before = memory();
  let value: unknown;
  try {
    value = parser.parse(bytes);
  } catch (error) {
    const typed = parser.errors.some((type) => error instanceof type);
    if (!typed) throw error;
  }
  const taken = memory() - before;
  if (taken > 10 * bytes.length + MEMORY_CONSTANT)
    throw new Error(`${bytes.length} bytes took ${taken} of memory (${typeof value})`);
}

function memory(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Headers of msgpack and numbers of our own that announce what is not there. */
const LIES = [
  [0xdd, 0xff, 0xff, 0xff, 0xff],
  [0xdc, 0xff, 0xff],
  [0xdf, 0xff, 0xff, 0xff, 0xff],
  [0xdb, 0xff, 0xff, 0xff, 0xff],
  [0xc6, 0x7f, 0xff, 0xff, 0xff],
  [0xc9, 0x7f, 0xff, 0xff, 0xff, 0x74],
  [0xd6, 0x62, 0xff, 0xff, 0xff, 0xff],
  [0xff, 0x0f, 0x61, 0xff, 0xff, 0xff, 0xff, 0x0f],
  [0xff, 0xff, 0xff, 0xff],
  [0x00, 0x00, 0x00, 0x20],
];

/** Msgpack of what is small in bytes. */
const DENSE = [
  [0x80],
  [0x90],
  [0xc4, 0x00],
  [0xd4, 0x74, 0x00],
  [0xd4, 0x73, 0x00, 0x90],
  [0xd4, 0x42, 0x01],
  [0xd4, 0x65, 0x00, 0x90],
  [0xd4, 0x78, 0x00, 0x92, 0xa1, 0x61, 0xa0],
  [0xd4, 0x72, 0x40, 0x90],
  [0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61, 0x01],
  [0xd6, 0xff, 0x00, 0x00, 0x00, 0x01],
  [0x91],
  [0x01],
];

function dense(unit: readonly number[], size: number): Uint8Array {
  const count = Math.floor((size - 5) / unit.length);
  const bytes = new Uint8Array(size);
  bytes[0] = 0xdd;
  new DataView(bytes.buffer).setUint32(1, count);
  for (let i = 0; i < count; i++) bytes.set(unit, 5 + i * unit.length);
  return bytes;
}

function jsonList(unit: string, size: number): Uint8Array {
  const count = Math.floor((size - 2) / (unit.length + 1));
  return new TextEncoder().encode(`[${new Array<string>(count).fill(unit).join(",")}]`);
}

function withBytes(good: Uint8Array, at: number, bytes: readonly number[]): Uint8Array {
  const changed = Uint8Array.from(good);
  changed.set(bytes.slice(0, good.length - at), at);
  return changed;
}

function damaged(good: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> {
  const all = PARSERS.flatMap((parser) => parser.good);
  const one = fc.constantFrom(...good);
  const cut = fc
    .tuple(one, fc.double({ min: 0, max: 1, noNaN: true }))
    .map(([bytes, part]) => bytes.slice(0, Math.floor(part * bytes.length)));
  const flips = fc.array(fc.tuple(fc.nat(), fc.nat({ max: 7 })), { minLength: 1, maxLength: 8 });
  const flipped = fc.tuple(one, flips).map(([bytes, some]) => {
    const changed = Uint8Array.from(bytes);
    for (const [at, bit] of some) changed[at % changed.length]! ^= 1 << bit;
    return changed;
  });
  const extended = fc
    .tuple(one, fc.uint8Array({ minLength: 1, maxLength: 20 }))
    .map((parts) => Uint8Array.from(Buffer.concat(parts)));
  // A list in a list, of msgpack and of JSON.
  const nested = fc
    .tuple(one, fc.constantFrom(0x91, 0x5b, 0x9f, 0x81), fc.integer({ min: 1, max: 60_000 }))
    .map(([bytes, list, depth]) => Uint8Array.from(Buffer.concat([new Uint8Array(depth).fill(list), bytes])));
  const mixed = fc.tuple(one, fc.constantFrom(...all), fc.nat(), fc.nat()).map(([bytes, other, at, from]) => {
    const changed = Uint8Array.from(bytes);
    const start = at % changed.length;
    changed.set(other.subarray(from % other.length).subarray(0, changed.length - start), start);
    return changed;
  });
  return fc.oneof(cut, flipped, extended, nested, mixed, fc.constantFrom(...all));
}

function filesIn(place: string): string[] {
  if (!statSync(place).isDirectory()) return [place];
  return readdirSync(place, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => join(place, name));
}
