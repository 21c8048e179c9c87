/**
 * JSON of a record: what is read again is what was written, as JSON knows it, or the record is refused by its field.
 */
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { jsonText } from "../../src/connectors/json-text.ts";
import { RecordRefusedError } from "../../src/errors.ts";
import { anything } from "../support/anything.ts";

class Money {
  readonly cents = 1;
}
class Decimal {
  toJSON() {
    return "1.50";
  }
}
class Broken {
  toJSON() {
    return new Map();
  }
}
const cyclic: Record<string, unknown> = {};
cyclic.self = { back: [cyclic] };

describe("is written as JSON.stringify is known to write it", () => {
  test.each([
    ["an undefined field is left out", { a: undefined, b: 1 }, '{"b":1}'],
    ["a date", { at: new Date(0) }, '{"at":"1970-01-01T00:00:00.000Z"}'],
    ["-0", -0, "0"],
    ["half a surrogate pair", "\ud83d", '"\\ud83d"'],
    ["a class that says how", { price: new Decimal() }, '{"price":"1.50"}'],
    ["no prototype", Object.assign(Object.create(null), { a: 1 }), '{"a":1}'],
    ["a field __proto__", JSON.parse('{"__proto__":1}'), '{"__proto__":1}'],
  ])("%s", (_, value, text) => {
    expect(jsonText(value)).toBe(text);
  });
});

describe("is refused, where JSON would lose it", () => {
  test.each([
    [
      "a Map",
      { a: { b: new Map() } },
      'field "a.b" is a Map, which JSON does not know; make an object of it',
    ],
    ["a Set", [new Set()], 'field "[0]" is a Set, which JSON does not know; make an array of it: [...set]'],
    ["NaN", { n: Number.NaN }, 'field "n" is the number NaN, which JSON does not know'],
    ["Infinity", { n: [1, -Infinity] }, 'field "n[1]" is the number -Infinity'],
    [
      "a bigint",
      { id: 2n ** 60n },
      'field "id" is a bigint, which JSON does not know; write it as text: String(value)',
    ],
    ["nothing", undefined, "it is undefined"],
    ["undefined in an array", [undefined], 'field "[0]" is undefined'],
    ["a hole in an array", new Array(1), 'field "[0]" is undefined'],
    ["a function", { run: () => 1 }, 'field "run" is a function'],
    ["a symbol", { kind: Symbol("a") }, 'field "kind" is a symbol'],
    [
      "bytes",
      { bytes: new Uint8Array(2) },
      'field "bytes" is a Uint8Array, which JSON does not know; make text of it',
    ],
    ["a Buffer", { bytes: Buffer.from("a") }, 'field "bytes" is a Buffer'],
    [
      "an error",
      { error: new Error("oops") },
      'field "error" is an Error, which JSON does not know; write its message',
    ],
    ["a regular expression", /a/, "it is a RegExp"],
    ["an instance of a class", { of: new Money() }, 'field "of" is an object of class Money'],
    [
      "an invalid date",
      { at: new Date(Number.NaN) },
      'field "at" is a Date, and what its toJSON answers is no JSON',
    ],
    [
      "a toJSON that answers no JSON",
      new Broken(),
      "it is an object of class Broken, and what its toJSON answers",
    ],
    ["a cycle", cyclic, 'field "self.back[0]" leads back to an object that holds it'],
    [
      "too deep",
      { tree: JSON.parse(`${"[".repeat(4000)}${"]".repeat(4000)}`) },
      "is nested too deeply (more than 512 levels)",
    ],
    ["a name with a dot", { "a.b": { "c d": Number.NaN } }, 'field "["a.b"]["c d"]" is the number NaN'],
  ])("%s", (_, value, words) => {
    expect(() => jsonText(value)).toThrow(RecordRefusedError);
    expect(() => jsonText(value)).toThrow(words);
  });
});

test("anything is refused, or read again as it was written", () => {
  const value = anything({ withSparseArray: true, withUnicodeString: true, withBoxedValues: true });
  fc.assert(
    fc.property(value, (value) => {
      let text: string;
      try {
        text = jsonText(value);
      } catch (error) {
        expect(error).toBeInstanceOf(RecordRefusedError);
        return;
      }
      expect(isDeepStrictEqual(JSON.parse(text), asJsonKnowsIt(value))).toBe(true);
    }),
    { numRuns: 500 },
  );
});

function asJsonKnowsIt(value: unknown): unknown {
  if (value instanceof Date) return value.toISOString();
  if (Object.is(value, -0)) return 0;
  if (Array.isArray(value)) return value.map(asJsonKnowsIt);
  if (typeof value !== "object" || value === null) return value;
  const copy = {};
  for (const [name, field] of Object.entries(value)) {
    if (field === undefined) continue;
    const known = { value: asJsonKnowsIt(field), enumerable: true, writable: true, configurable: true };
    Object.defineProperty(copy, name, known);
  }
  return copy;
}
