/** What is said of windows before anything runs: each mistake names its operator and the option. */
import { describe, expect, expectTypeOf, test } from "vitest";
import { resolveJobConfig } from "../../src/config/job-config.ts";
import {
  ascendingTimestamps,
  ConfigurationError,
  calendarWindows,
  countWindows,
  cumulateWindows,
  defineJob,
  type Job,
  type KeyedStream,
  type LateRecord,
  type Stream,
  sessionWindows,
  slidingWindows,
  tumblingWindows,
  type WindowAssigner,
  type WindowOptions,
} from "../../src/index.ts";
import { graphFingerprint, planDifferences } from "../../src/job/fingerprint.ts";
import { buildGraph } from "../../src/job/graph.ts";
import { describePlan, planOf } from "../../src/job/plan.ts";
import { testSink, testSource } from "./connectors.ts";

interface Bid {
  readonly auction: number;
  readonly price: number;
}

function building(
  build: (bids: KeyedStream<Bid, number>) => Stream<unknown, never>,
  watermarks = true,
): () => unknown {
  return () =>
    defineJob("bids", {}, (job) => {
      const options = watermarks ? { watermarks: ascendingTimestamps() } : {};
      const bids = job.source<Bid>("bids", testSource(), options).keyBy(({ auction }) => auction);
      build(bids).sink("out", testSink());
    });
}

const keep = (a: Bid, b: Bid): Bid => (a.price < b.price ? b : a);

describe("refused, with operator and option", () => {
  const cases: [string, (bids: KeyedStream<Bid, number>) => Stream<unknown, never>, string][] = [
    [
      "no size",
      (bids) => bids.window(tumblingWindows({} as never)).reduce("top", keep),
      "size must be a duration",
    ],
    [
      "a negative size",
      (bids) => bids.window(tumblingWindows({ size: "-5 min" })).reduce("top", keep),
      'tumblingWindows: size must not be negative, got "-5 min"',
    ],
    [
      "a size of nothing",
      (bids) => bids.window(tumblingWindows({ size: 0 })).reduce("top", keep),
      "size must be at least 1 ms, got 0",
    ],
    [
      "an absurd size",
      (bids) => bids.window(tumblingWindows({ size: Infinity })).reduce("top", keep),
      "size must be a duration that ends",
    ],
    [
      "a size of 10,000 years",
      (bids) => bids.window(tumblingWindows({ size: "3650000 d" })).reduce("top", keep),
      "size must be at most 100 years",
    ],
    [
      "an offset beyond the size",
      (bids) => bids.window(tumblingWindows({ size: "1 h", offset: "-8 h" })).reduce("top", keep),
      'offset must be smaller than size, got "-8 h"',
    ],
    [
      "an offset beyond the slide",
      (bids) => bids.window(slidingWindows({ size: 10, slide: 2, offset: 2 })).reduce("top", keep),
      "slidingWindows: offset must be smaller than slide, got 2",
    ],
    [
      "no slide",
      (bids) => bids.window(slidingWindows({ size: 10, slide: 0 })).reduce("top", keep),
      "slide must be at least 1 ms",
    ],
    [
      "steps that do not fit",
      (bids) => bids.window(cumulateWindows({ size: "10 s", step: "3 s" })).reduce("top", keep),
      'size ("10 s") must be a multiple of step ("3 s")',
    ],
    [
      "an option that is none",
      (bids) => bids.window(tumblingWindows({ siez: 5 } as never)).reduce("top", keep),
      'tumblingWindows: no option "siez"',
    ],
    ["no windows", (bids) => bids.window("5 min" as never).reduce("top", keep), "window() takes what one of"],
    [
      "a negative lateness",
      (bids) => bids.window(tumblingWindows({ size: 5 }), { allowedLateness: -1 }).reduce("top", keep),
      "allowedLateness must not be negative",
    ],
    [
      "a late output that is no name",
      (bids) => bids.window(tumblingWindows({ size: 5 }), { lateOutput: "a b" }).reduce("top", keep),
      "lateOutput",
    ],
    [
      "a window option that is none",
      (bids) => bids.window(tumblingWindows({ size: 5 }), { lateness: 5 } as never).reduce("top", keep),
      'window: no option "lateness"',
    ],
    [
      "86,400 windows that each keep a record",
      (bids) => bids.window(slidingWindows({ size: "1 d", slide: "1 s" })).process("top", () => 1),
      "each record lies in 86400 windows, at most 10000",
    ],
    [
      "a gap of nothing",
      (bids) => bids.window(sessionWindows({ gap: 0 })).reduce("top", keep),
      "sessionWindows: gap must be at least 1 ms",
    ],
    [
      "half a record",
      (bids) => bids.window(countWindows({ size: 0.5 })).reduce("top", keep),
      "countWindows: size must be a whole number of at least 1, got 0.5",
    ],
    [
      "a zone that is not there",
      (bids) => bids.window(calendarWindows({ every: "day", zone: "Mars/Olympus" })).reduce("top", keep),
      'calendarWindows: zone must be the name of a time zone such as "Europe/Berlin", got "Mars/Olympus"',
    ],
    [
      "late records of processing time",
      (bids) =>
        bids
          .window(tumblingWindows({ size: 5, time: "processing" }), { allowedLateness: 1 })
          .reduce("top", keep),
      "allowedLateness and lateOutput are for windows of event time",
    ],
    [
      "an aggregate without add",
      (bids) =>
        bids.window(tumblingWindows({ size: 5 })).aggregate("top", { createAccumulator: () => 0 } as never),
      "add of aggregate must be a function",
    ],
  ];

  test.each(cases)("%s", (_, build, message) => {
    const failing = building(build);
    expect(failing).toThrow(ConfigurationError);
    expect(failing).toThrow(/^operator "top": /);
    expect(failing).toThrow(message);
  });

  test("a source without watermarks in front of windows", () => {
    expect(building((bids) => bids.window(tumblingWindows({ size: 5 })).reduce("top", keep), false)).toThrow(
      'operator "top": works by event time, and source "bids" in front of it has no watermarks',
    );
  });
});

test("86,400 windows that share an accumulator for each second are allowed", () => {
  building((bids) => bids.window(slidingWindows({ size: "1 d", slide: "1 s" })).reduce("top", keep))();
});

test("types: of results, and of the late output", () => {
  building((bids) => {
    const windows = bids.window(tumblingWindows({ size: 5 }), { lateOutput: "late" });
    const top = windows.reduce("top", keep);
    expectTypeOf(top.sideOutput("late")).toEqualTypeOf<Stream<LateRecord<Bid>>>();
    const mean = {
      createAccumulator: () => 0,
      add: (sum: number, bid: Bid) => sum + bid.price,
      getResult: String,
    };
    const shown = windows.aggregate("shown", mean, (text, { key, window }) => {
      expectTypeOf(text).toEqualTypeOf<string>();
      expectTypeOf(key).toEqualTypeOf<number>();
      return { text, end: window.end };
    });
    expectTypeOf(shown.map("same", (value) => value)).toEqualTypeOf<Stream<{ text: string; end: number }>>();
    shown.map("same2", (value) => value).sink("out2", testSink());
    top.sideOutput("late").sink("late", testSink());
    return top;
  });
});

describe("the windows are part of the plan", () => {
  const planFor = (windows: WindowAssigner<Bid>, options: WindowOptions = {}) => {
    const job = building((bids) => bids.window(windows, options).reduce("top", keep))() as Job;
    return planOf(buildGraph(job, resolveJobConfig(job.options).config));
  };

  const others: [WindowAssigner<Bid>, WindowOptions, string][] = [
    [tumblingWindows({ size: "6 min" }), {}, "tumbling 6 m"],
    [tumblingWindows({ size: "5 min", offset: "-1 min" }), {}, "tumbling 5 m, offset -60000 ms"],
    [tumblingWindows({ size: "5 min" }), { allowedLateness: "1 s" }, "tumbling 5 m, allowed lateness 1 s"],
    [
      tumblingWindows({ size: "5 min" }),
      { allowedLateness: Infinity },
      "tumbling 5 m, allowed lateness for ever",
    ],
    [tumblingWindows({ size: "5 min", time: "processing" }), {}, "tumbling 5 m, processing time"],
    [calendarWindows({ every: "day", zone: "Europe/Berlin" }), {}, "each day in Europe/Berlin"],
  ];

  test.each(others)("%j: a job does not go on with others", (windows, options, words) => {
    const before = planFor(tumblingWindows({ size: "5 min" }));
    const after = planFor(windows, options);
    expect(graphFingerprint(after)).not.toBe(graphFingerprint(before));
    expect(planDifferences(before, after)).toContain(`operator "top": windows was tumbling 5 m, is ${words}`);
  });

  test("the same windows in other words are the same", () => {
    const before = planFor(tumblingWindows({ size: "5 min" }));
    expect(graphFingerprint(planFor(tumblingWindows({ size: 300_000 })))).toBe(graphFingerprint(before));
    expect(describePlan(before)).toContain("window (tumbling 5 m)");
  });
});
