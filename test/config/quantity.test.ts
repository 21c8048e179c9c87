import { describe, expect, test } from "vitest";
import { formatDuration, parseDuration, readSize } from "../../src/config/quantity.ts";
import { ConfigurationError } from "../../src/errors.ts";

describe("durations", () => {
  test.each<[number | string, number]>([
    [0, 0],
    [250, 250],
    ["250", 250],
    ["500ms", 500],
    ["10 s", 10_000],
    ["10 S", 10_000],
    [" 1.5 s ", 1_500],
    [".5s", 500],
    ["1m", 60_000],
    ["1.1 m", 66_000],
    ["2 hours", 7_200_000],
    ["1d", 86_400_000],
    ["1 minute", 60_000],
  ])("%j is %d ms", (input, ms) => {
    expect(parseDuration(input, "some.key")).toBe(ms);
  });

  test.each<[unknown, string]>([
    ["ten seconds", 'must be a duration ("10 s", "500ms" or a number of milliseconds), got "ten seconds"'],
    ["", 'must be a duration ("10 s", "500ms" or a number of milliseconds), got ""'],
    ["1s 500ms", 'must be a duration ("10 s", "500ms" or a number of milliseconds), got "1s 500ms"'],
    [
      "10 fortnights",
      'must be a duration: unknown unit "fortnights" in "10 fortnights"; units are ms, s, m, h, d',
    ],
    [
      "1 constructor",
      'must be a duration: unknown unit "constructor" in "1 constructor"; units are ms, s, m, h, d',
    ],
    [-1, "must not be negative, got -1"],
    ["-1s", 'must not be negative, got "-1s"'],
    ["0.5ms", 'must come to whole milliseconds, got "0.5ms"'],
    [Number.NaN, "must be a duration that ends, got NaN"],
    [Number.POSITIVE_INFINITY, "must be a duration that ends, got Infinity"],
    [null, 'must be a duration ("10 s", "500ms" or a number of milliseconds), got null'],
  ])("%j is refused", (input, problem) => {
    expect(() => parseDuration(input as string, "some.key")).toThrow(
      expect.objectContaining({
        constructor: ConfigurationError,
        key: "some.key",
        message: `some.key: ${problem}`,
      }),
    );
  });

  test.each([
    [0, "0 ms"],
    [999, "999 ms"],
    [1_500, "1.5 s"],
    [60_000, "1 m"],
    [61_000, "61 s"],
    [600_000, "10 m"],
    [86_400_000, "1 d"],
  ])("%d ms is written %s", (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });
});

test("sizes", () => {
  expect(readSize("20 KiB")).toEqual({ value: 20_480 });
  expect(readSize("64kB")).toEqual({ value: 64_000 });
  expect(readSize("1.5 MiB")).toEqual({ value: 1_572_864 });
  expect(readSize("10 GiB")).toEqual({ value: 10_737_418_240 });
  expect(readSize("2 GB")).toEqual({ value: 2_000_000_000 });
  expect(readSize(100)).toEqual({ value: 100 });
  expect(readSize("1 TB")).toEqual({
    problem: 'must be a size: unknown unit "TB" in "1 TB"; units are B, kB, KiB, MB, MiB, GB, GiB',
  });
});
