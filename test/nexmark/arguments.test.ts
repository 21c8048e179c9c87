import { expect, test } from "vitest";
import { MEASURABLE, parseNexmarkArguments } from "./arguments.ts";

test("without flags everything is measured once", () => {
  const { queries, events, warmup, runs } = parseNexmarkArguments([]);
  expect({ queries, events, warmup, runs }).toEqual({
    queries: MEASURABLE,
    events: 2_000_000,
    warmup: 1_000_000,
    runs: 1,
  });
});

test("queries are selected by a list", () => {
  expect(parseNexmarkArguments(["--query", "q4, gen", "--query", "q0"]).queries).toEqual(["q4", "gen", "q0"]);
});

test.each([
  ["--query q99", /no query "q99"; there are gen, q0/],
  ["--events 0", /--events 0: give a whole number from 1 on/],
  ["--runs many", /--runs many/],
  ["--source kafka", /give generator or jetstream/],
  ["--out-of-order 1906", /no multiple of 953/],
  ["--wat", /wat/],
])("%s is refused", (args, problem) => {
  expect(() => parseNexmarkArguments(args.split(" "))).toThrow(problem);
});
