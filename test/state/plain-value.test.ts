/** What is carried comes back equal, by every way that a value goes; what is not is refused by its field. */
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeRecords, FrameEncoder } from "../../src/dataflow/channel/remote/frame-codec.ts";
import { decodeStored, encodeStored } from "../../src/dataflow/channel/stored-records.ts";
import { ValueRefusedError } from "../../src/errors.ts";
import { decodeSealed } from "../../src/formats/codec.ts";
import { DEPTH_MAX, isCarried, refusalIn, seemsCarried } from "../../src/state/plain-value.ts";
import { encodeChunk, readChunkHeader, readChunkValues } from "../../src/state/snapshot/chunk.ts";
import { encodePlain } from "../../src/state/snapshot/codec.ts";
import { ColumnDecoder, ColumnEncoder } from "../../src/state/snapshot/columns.ts";
import { anything as anyValue } from "../support/anything.ts";

class Money {
  readonly cents: number;
  constructor(cents: number) {
    this.cents = cents;
  }
}
class Tags extends Array<string> {}
class Index extends Map<string, number> {}

const cyclic: { self?: unknown; list: unknown[] } = { list: [] };
cyclic.list.push({ back: cyclic });
const nested = (levels: number): unknown => JSON.parse(`${"[".repeat(levels)}${"]".repeat(levels)}`);
const searching = /a/g;
searching.lastIndex = 1;
const detached = Object.assign(new Map([["a", 1]]), { extra: 1 });

const carried: readonly (readonly [string, unknown])[] = [
  ["undefined", undefined],
  ["null", null],
  ["-0", -0],
  ["not a number", Number.NaN],
  ["infinity", -Infinity],
  ["half a surrogate pair", "post \ud83d"],
  ["a name with half a surrogate pair", { "\udc00": 1 }],
  ["a field __proto__", JSON.parse('{"__proto__":{"a":1},"b":2}')],
  ["fields that objects inherit", { constructor: 1, toString: 2, hasOwnProperty: 3, toJSON: 4, valueOf: 5 }],
  ["an undefined field", { a: undefined }],
  ["an empty object", {}],
  ["an array with a hole", Object.assign(new Array(3), { 0: 1, 2: 3 })],
  ["undefined in an array", [undefined, 1]],
  ["a bigint beyond 64 bits", [2n ** 70n, -(2n ** 300n)]],
  ["a date", new Date(-62_135_596_800_001)],
  [
    "a Map of anything",
    new Map<unknown, unknown>([
      [{ a: 1 }, -0],
      [Number.NaN, new Set(["\ud800"])],
    ]),
  ],
  ["a Set", new Set([1, "1", undefined])],
  ["bytes", new Uint8Array([1, 2])],
  ["a Buffer", Buffer.from("ab")],
  ["a Buffer in an object", { a: { b: Buffer.from("ab") } }],
  ["a view of a part", new Uint16Array([1, 2, 3]).subarray(1)],
  ["other views", [new Float64Array([-0, 1.5]), new BigInt64Array([5n]), new DataView(new ArrayBuffer(2))]],
  ["an ArrayBuffer", new Uint8Array([7]).buffer],
  ["a regular expression", /a.b/giu],
  ["names that are numbers", { 2: "b", 1: "a", b: 1, a: 2 }],
  ["as deep as it may be", nested(DEPTH_MAX - 2)],
  [
    "the same object twice",
    (() => {
      const one = { a: 1 };
      return [one, { one }];
    })(),
  ],
  ["a long text", "ä".repeat(70_000)],
];

const refused: readonly (readonly [string, unknown, string])[] = [
  ["an instance of a class", { total: new Money(1) }, 'field "total" is an object of class Money'],
  ["an instance by itself", new Money(1), "it is an object of class Money"],
  ["an array of a class", { tags: new Tags() }, 'field "tags" is an object of class Tags'],
  ["a Map of a class", new Index(), "it is an object of class Index"],
  ["a function", { a: [{ run: () => 1 }] }, 'field "a[0].run" is a function'],
  ["a method", { run() {} }, 'field "run" is a function'],
  ["a symbol", [Symbol("x")], 'field "[0]" is a symbol'],
  ["a cycle", cyclic, 'field "list[0].back" leads back to an object that holds it'],
  [
    "a cycle through a Map",
    (() => {
      const map = new Map();
      map.set("me", { map });
      return map;
    })(),
    "cycle",
  ],
  ["too deep", { tree: nested(4000) }, `is nested too deeply (more than ${DEPTH_MAX} levels)`],
  ["a promise", { when: Promise.resolve() }, 'field "when" is a promise'],
  ["an error", { error: new TypeError("oops") }, 'field "error" is an error; carry its message'],
  ["no prototype", { groups: Object.create(null) }, 'field "groups" is an object without prototype'],
  ["a WeakMap", new WeakMap(), "it is a WeakMap"],
  ["a boxed number", Object(1), "it is a Number"],
  ["a generator", (function* () {})(), "it is a generator"],
  ["shared memory", new Uint8Array(new SharedArrayBuffer(1)), "Uint8Array"],
  ["a URL", { at: new URL("http://a") }, 'field "at" is an URL'],
  ["a regular expression in the middle of a search", searching, "lastIndex"],
  ["a Map with a field", detached, 'a field "extra"'],
  ["the key of a Map", new Map([[{ m: new Money(1) }, 1]]), 'field "<key>.m"'],
  ["the value of a Map", new Map([["k", new Money(1)]]), 'field ".get(a text of 1 character)"'],
];

const withHidden = (name: string) => Object.defineProperty({ shown: 1 }, name, { value: 2 });
const withField = <T extends object>(value: T, name: string | symbol): T =>
  Object.assign(value, { [name]: 1 });

/** What an encoder cannot see in passing: the chain looks for it in front of it, and the cursor of a state. */
const hidden: readonly (readonly [string, unknown, string])[] = [
  [
    "a name that is a symbol",
    { a: { named: 1, [Symbol("x")]: 1 } },
    'field "a" has a field whose name is Symbol(x)',
  ],
  [
    "a getter",
    {
      a: {
        get asked() {
          return 1;
        },
      },
    },
    'field "a" has a getter, "asked"',
  ],
  ["a match of a regular expression", "ab".match(/(a)/), 'it is an array with a field "index"'],
  ["a proxy", { p: new Proxy({}, {}) }, 'field "p" is a proxy'],
  ["arguments", new Function("return arguments")(), "[object Arguments]"],
  ["a setter", { set a(_: number) {} }, 'has a setter, "a"'],
  [
    "a field that is not enumerable",
    [withHidden("secret")],
    'field "[0]" has a hidden field (not enumerable), "secret"',
  ],
  ["a long array with a name", withField(new Array(5000).fill(0), "sum"), 'an array with a field "sum"'],
  ["a name like an index, but none", withField([1, 2], "01"), 'an array with a field "01"'],
  ["a name beyond all indices", withField([1], "4294967295"), 'an array with a field "4294967295"'],
  [
    "an array with a symbol",
    { list: withField([1], Symbol("s")) },
    'field "list" has a field whose name is Symbol(s)',
  ],
  [
    "a long array with a symbol",
    withField(new Array(200).fill(1), Symbol("s")),
    "it has a field whose name is Symbol(s)",
  ],
  ["a Map with a symbol", withField(new Map(), Symbol("s")), "it has a field whose name is Symbol(s)"],
  [
    "a date with a symbol",
    { at: withField(new Date(1), Symbol("s")) },
    'field "at" has a field whose name is Symbol(s)',
  ],
  [
    "bytes with a name",
    { raw: withField(new Uint8Array(3), "unit") },
    'field "raw" is a Uint8Array with a field "unit"',
  ],
  ["a long Buffer with a name", withField(Buffer.alloc(500), "unit"), 'it is a Buffer with a field "unit"'],
  ["a proxy of an array", { list: new Proxy([1], {}) }, 'field "list" is a proxy'],
];

const padding = (value: unknown) => Array.from({ length: 9 }, () => value);

const framed = (values: readonly unknown[]) =>
  decodeRecords(new FrameEncoder().records(1, values, undefined), new ColumnDecoder()).values;

const ways: Record<string, (value: unknown) => unknown> = {
  "the codec": (value) => (decodeSealed(encodePlain([value], () => "a value")) as unknown[])[0],
  "a frame of one": (value) => framed([value])[0],
  "a frame of many": (value) =>
    framed(padding({ value, n: 1 })).map((one) => (one as { value: unknown }).value)[8],
  "a stored frame": (value) => {
    const chunks = encodeStored(
      { kind: "records", values: [value], timestamps: undefined, marks: undefined },
      new FrameEncoder(),
    );
    return [...decodeStored(Buffer.concat(chunks))][0]!.values[0];
  },
  "a chunk of a snapshot": (value) => {
    const { bytes } = encodeChunk(
      { keys: ["a", "b"], values: [value, 1], groups: [{ keyGroup: 1, entries: 2 }] },
      new ColumnEncoder(),
    );
    const source = { object: "test", bytes };
    return readChunkValues(source, readChunkHeader(source, 0), 2, new ColumnDecoder())[0];
  },
  columns: (value) => {
    const bytes = new ColumnEncoder().encode(padding(value));
    return bytes === undefined ? value : new ColumnDecoder().decode(bytes, 9, "own")[8];
  },
  "columns of a field": (value) => {
    const bytes = new ColumnEncoder().encode(padding({ a: 1, value }));
    return bytes === undefined
      ? value
      : (new ColumnDecoder().decode(bytes, 9, "sliced")[8] as { value: unknown }).value;
  },
};

/** deepStrictEqual takes two invalid dates for different. */
function isEqual(one: unknown, other: unknown): boolean {
  return isDeepStrictEqual(validDates(one), validDates(other));
}

function validDates(value: unknown): unknown {
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "invalid date" : value;
  if (Array.isArray(value)) {
    const copy = value.slice();
    for (const name of Object.keys(copy)) copy[Number(name)] = validDates(copy[Number(name)]);
    return copy;
  }
  if (value instanceof Map) return new Map([...value].map(([k, v]) => [validDates(k), validDates(v)]));
  if (value instanceof Set) return new Set([...value].map(validDates));
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype)
    return value;
  const copy = {};
  for (const [name, field] of Object.entries(value))
    Object.defineProperty(copy, name, { value: validDates(field), enumerable: true });
  return copy;
}

describe.each(Object.entries(ways))("by %s", (_, there) => {
  test.each(carried)("%s comes back equal", (_, value) => {
    expect(isEqual(there(value), value)).toBe(true);
  });

  test("anything is refused by its field, or comes back equal", () => {
    fc.assert(
      fc.property(anything, (value) => {
        const refusal = refusalIn(value);
        let back: unknown;
        try {
          back = there(value);
        } catch (error) {
          expect(error).toBeInstanceOf(ValueRefusedError);
          expect(refusal).toBeDefined();
          return;
        }
        expect(isEqual(back, value)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });
});

test.each(refused)("%s is refused", (_, value, words) => {
  expect(isCarried(value)).toBe(false);
  expect(refusalIn(value)).toContain(words);
  for (const [way, there] of Object.entries(ways)) {
    if (!way.startsWith("columns")) expect(() => there(value), way).toThrow(ValueRefusedError);
  }
});

test("a value that is carried is not looked at twice to say so", () => {
  for (const [, value] of carried) {
    expect(isCarried(value)).toBe(true);
    expect(refusalIn(value)).toBeUndefined();
  }
});

test.each(carried)("%s passes the quick look", (_, value) => {
  expect(seemsCarried(value)).toBe(true);
});

test.each(refused)("%s does not pass the quick look either", (_, value) => {
  expect(seemsCarried(value)).toBe(false);
  expect(seemsCarried({ held: [value] })).toBe(false);
});

test.each(hidden)("%s is refused, wherever it shows first", (_, value, words) => {
  expect(isCarried(value)).toBe(false);
  expect(refusalIn(value)).toContain(words);
  expect(isCarried({ held: [1, value] })).toBe(false);
  expect(refusalIn({ held: [1, value] })).toContain("held[1]");
});

test("what is seldom odd is seen although many of its names and order went before", () => {
  const shape = () => ({ seldom: 1, seen: 2 });
  for (let i = 0; i < 10_000; i++) expect(isCarried(shape())).toBe(true);
  expect(isCarried(Object.defineProperty(shape(), "seen", { get: () => 2, enumerable: true }))).toBe(false);
  expect(isCarried(Object.defineProperty(shape(), "seen", { enumerable: false }))).toBe(false);
  expect(isCarried(new Proxy(shape(), {}))).toBe(false);
  expect(isCarried({ ...shape(), [Symbol("x")]: 1 })).toBe(false);
});

test("ever new names are forgotten, and looked at again", () => {
  for (let i = 0; i < 50_000; i++) {
    expect(isCarried({ [`user-${i}`]: i })).toBe(true);
  }
  expect(isCarried({ "user-7": () => 1 })).toBe(false);
});

const anything = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    anyValue({
      withSparseArray: true,
      withObjectString: true,
      withNullPrototype: true,
      withBoxedValues: true,
      withUnicodeString: true,
      key: fc.oneof(
        fc.string(),
        fc.constantFrom("__proto__", "toJSON", "constructor", "\ud83d", "length", "0"),
      ),
    }),
    fc.string({ unit: fc.integer({ min: 0xd700, max: 0xe000 }).map((unit) => String.fromCharCode(unit)) }),
    fc.constantFrom<unknown>(-0, Symbol("s"), () => 1, new Money(3), Buffer.from("x"), new Error("e"), /x/y),
    fc.dictionary(fc.string(), tie("value"), { maxKeys: 4 }),
    fc.array(tie("value"), { maxLength: 4 }),
  ),
})).value;
