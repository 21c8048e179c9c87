/** YJ1: every plain value comes back equal from its JSON, and what means nothing is refused by its place. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromJson, toJson } from "../../../src/cli/state/value-json.ts";
import { isCarried } from "../../../src/state/plain-value.ts";
import { anything } from "../../support/anything.ts";

const throughText = (value: unknown): unknown => fromJson(JSON.parse(JSON.stringify(toJson(value))));

// biome-ignore lint/suspicious/noSparseArray: holes are values, too
const holes = [, 1, , , "x", ,];

const values: Readonly<Record<string, readonly [value: unknown, json: string]>> = {
  "what JSON has": [
    { a: [1, "x", true, null], b: { c: 1.5e300 } },
    '{"a":[1,"x",true,null],"b":{"c":1.5e+300}}',
  ],
  undefined: [{ a: undefined }, '{"a":{"$undefined":true}}'],
  NaN: [Number.NaN, '{"$number":"NaN"}'],
  "the infinities and -0": [
    [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0],
    '[{"$number":"Infinity"},{"$number":"-Infinity"},{"$number":"-0"}]',
  ],
  "a bigint": [-(2n ** 70n), '{"$bigint":"-1180591620717411303424"}'],
  "a date": [new Date(1_700_000_000_123), '{"$date":"2023-11-14T22:13:20.123Z"}'],
  "no date": [new Date(Number.NaN), '{"$date":null}'],
  "a map": [new Map<unknown, unknown>([[1n, new Set(["a"])]]), '{"$map":[[{"$bigint":"1"},{"$set":["a"]}]]}'],
  bytes: [new Uint8Array([1, 2, 255]), '{"$bytes":"AQL/"}'],
  "a buffer": [Buffer.from([1, 2, 255]), '{"$buffer":"AQL/"}'],
  "an array of numbers": [new Float64Array([1]), '{"$typedArray":["Float64Array","AAAAAAAA8D8="]}'],
  "an expression": [/a+\/"/giu, '{"$regexp":["a+\\\\/\\"","giu"]}'],
  "an array with holes": [holes, '[{"$holes":1},1,{"$holes":2},"x",{"$holes":1}]'],
  "an object that looks like one of these": [{ $date: 1 }, '{"$object":[["$date",1]]}'],
  "half a surrogate pair": ["\ud800", '"\\ud800"'],
};

test.each(Object.entries(values))("%s is written so that people can read it", (_, [value, json]) => {
  expect(JSON.stringify(toJson(value))).toBe(json);
  expect(throughText(value)).toStrictEqual(value);
});

test("whatever is plain comes back", () => {
  fc.assert(
    fc.property(
      anything({ withSparseArray: true, withNullPrototype: false }).filter((value) => isCarried(value)),
      (value) => {
        expect(throughText(value)).toStrictEqual(value);
      },
    ),
  );
});

test("a field named __proto__ stays a field", () => {
  const value = JSON.parse('{"__proto__":1,"a":2}') as object;
  expect(Object.keys(throughText(value) as object)).toEqual(["__proto__", "a"]);
});

describe("what means nothing is refused by its place", () => {
  test.each([
    ['{"a":[{"$dat":1}]}', "the value.a[0]: no value is written as $dat"],
    ['{"$bigint":"x"}', "the value: $bigint cannot be read"],
    ['{"$date":"yesterday"}', "the value: $date cannot be read"],
    ['{"$map":[[1]]}', "the value: $map cannot be read"],
    ['{"$bytes":"?"}', "the value: $bytes cannot be read"],
    ['{"$typedArray":["Int32Array","AQ=="]}', "the value: $typedArray cannot be read"],
    ['{"$typedArray":["constructor","AQ=="]}', "the value: $typedArray cannot be read"],
    ['{"$regexp":["(","g"]}', "the value: $regexp cannot be read"],
    ['[{"$holes":0}]', "the value[0]: $holes takes a number of holes"],
    ['{"constructor":1,"$x":{"$number":"1"}}', "the value.$x: $number cannot be read"],
  ])("%s", (json, words) => {
    expect(() => fromJson(JSON.parse(json))).toThrow(words);
  });
});
