/** Windows that cannot be what their author means: each is refused when the job is built, with the operator's name. */
import { describe, expect, test } from "vitest";
import {
  continuousEventTimeTrigger,
  continuousProcessingTimeTrigger,
  countTrigger,
  countWindows,
  eventTimeTrigger,
  globalWindows,
  listState,
  processingTimeTrigger,
  purgingTrigger,
  sessionWindows,
  slidingWindows,
  tumblingWindows,
  valueState,
  type WindowAssigner,
  type WindowTrigger,
} from "../../../src/index.ts";
import { WindowChain, windowOperator } from "./window-chain.ts";

const minute = tumblingWindows({ size: "1 min" });
const byClock = tumblingWindows({ size: "1 min", time: "processing" });
const lone: WindowTrigger = { name: "each", onRecord: () => "fire" };

const cases: [string, WindowAssigner, object, RegExp][] = [
  ["no trigger", minute, { trigger: "count" }, /operator "windows": a trigger is needed, got "count"/],
  ["a trigger without a name", minute, { trigger: { onRecord: () => "fire" } }, /needs a name/],
  [
    "a trigger without onRecord",
    minute,
    { trigger: { name: "x" } },
    /onRecord of trigger "x" must be a function/,
  ],
  ["a member that means nothing", minute, { trigger: { ...lone, onElement() {} } }, /no member "onElement"/],
  [
    "sessions and a trigger that does not merge",
    sessionWindows({ gap: 5 }),
    { trigger: lone },
    /has no onMerge/,
  ],
  [
    "a window without end whose end is awaited",
    globalWindows(),
    { trigger: processingTimeTrigger() },
    /waits for the end of a window, and globalWindows have none/,
  ],
  [
    "windows by count with a trigger",
    countWindows({ size: 3 }),
    { trigger: countTrigger(5) },
    /use globalWindows\(\) with purgingTrigger\(countTrigger\(3\)\)/,
  ],
  [
    "event time for windows by the clock",
    byClock,
    { trigger: continuousEventTimeTrigger("1 s") },
    /is for windows of event time, and these are of processing time/,
  ],
  [
    "retract of what is gone",
    minute,
    { retract: true, trigger: purgingTrigger(countTrigger(2)) },
    /retract is of no use/,
  ],
  ["retract that is no boolean", minute, { retract: "yes" }, /retract must be true or false, got "yes"/],
  [
    "state of a session",
    sessionWindows({ gap: 5 }),
    { windowState: { n: valueState(0) } },
    /windowState is not for sessions/,
  ],
  [
    "a list for each window",
    minute,
    { windowState: { n: listState() } },
    /windowState "n" must be one value/,
  ],
  [
    "a time to live",
    minute,
    { keyState: { n: valueState(0, { ttl: { after: "1 h" } }) } },
    /state "n" of windows cannot have a time to live/,
  ],
  ["what is no state", minute, { keyState: { n: 5 } }, /keyState "n" must be made by/],
  [
    "endOfInput of event time",
    minute,
    { endOfInput: "drop" },
    /endOfInput is for windows by processing time or count/,
  ],
  ["another endOfInput", byClock, { endOfInput: "keep" }, /endOfInput must be "fire" or "drop", got "keep"/],
  [
    "too many windows",
    slidingWindows({ size: "1 d", slide: 1 }),
    { trigger: countTrigger(2) },
    /at most 10000 are allowed/,
  ],
];

test.each(cases)("%s", (_, windows, options, message) => {
  expect(() =>
    windowOperator((items) => items.window(windows, options as never).reduce("windows", (first) => first)),
  ).toThrow(message);
});

test("a trigger and what it does is part of what a job that goes on must have as it was", () => {
  const wordsOf = (options: object) =>
    windowOperator((items) => items.window(minute, options).reduce("windows", (first) => first)).details
      .windows;
  expect(wordsOf({ trigger: eventTimeTrigger() })).toBe(wordsOf({}));
  expect(wordsOf({ trigger: countTrigger(2) })).toBe("tumbling 1 m, fires each 2 records");
  expect(wordsOf({ trigger: purgingTrigger(continuousEventTimeTrigger("5 s")), allowedLateness: 7 })).toBe(
    "tumbling 1 m, allowed lateness 7 ms, fires each 5 s of event time, purging",
  );
  expect(wordsOf({ retract: true, trigger: lone })).toBe("tumbling 1 m, fires each, takes results back");
});

test("records that are joined on the way are none that a trigger could look at", () => {
  const build = () =>
    windowOperator((items) =>
      items
        .window(minute, { trigger: countTrigger(2) })
        .reduce("windows", (first) => first, undefined, { combine: true }),
    );
  expect(build).toThrow(/trigger, retract and states are about single ones/);
});

describe("triggers are refused where they are made", () => {
  test.each([
    [() => countTrigger(0), /countTrigger: count must be a whole number of at least 1, got 0/],
    [() => countTrigger(1, { rest: "keep" as never }), /rest must be "fire" or "drop"/],
    [() => continuousEventTimeTrigger(0), /continuousEventTimeTrigger: every must be at least 1 ms/],
    [() => continuousProcessingTimeTrigger("soon" as never), /continuousProcessingTimeTrigger: every/],
    [() => purgingTrigger(5 as never), /purgingTrigger: a trigger is needed/],
  ])("%s", (make, message) => {
    expect(make).toThrow(message);
  });
});

/** Registers a timer, and waits for it. */
const waitFor =
  (of: (timestamp: number) => number): WindowTrigger["onRecord"] =>
  (_, { registerTimer, timestamp }) => {
    registerTimer(of(timestamp));
    return "continue";
  };

describe("a trigger that does what it must not", () => {
  const run = (trigger: Partial<WindowTrigger>) => {
    const chain = new WindowChain(
      windowOperator((items) =>
        items.window(minute, { trigger: { ...lone, ...trigger } }).reduce("windows", (first) => first),
      ),
    );
    chain.record("a", 1, 0);
    chain.watermark(Number.POSITIVE_INFINITY);
  };

  test.each<[string, Partial<WindowTrigger>, RegExp]>([
    [
      "answers something else",
      { onRecord: () => "FIRE" as never },
      /onRecord of trigger "each" answered a text of 4 characters, and "continue" or "fire"/,
    ],
    ["answers a promise", { onRecord: (async () => "fire") as never }, /cannot wait/],
    [
      "has no onTimer for its timer",
      { onRecord: waitFor((timestamp) => timestamp + 5) },
      /has registered a timer, and there is no onTimer/,
    ],
    [
      "registers half a millisecond",
      { onRecord: waitFor(() => 0.5) },
      /registerTimer of a trigger was given as time a number that is not whole/,
    ],
    [
      "registers for ever what is due",
      {
        onRecord: waitFor((timestamp) => timestamp + 5),
        onTimer: ({ time }, context) => waitFor(() => time)(0, context),
      },
      /has registered 1000 timers in a row that were due at once/,
    ],
  ])("%s", (_, trigger, message) => {
    expect(() => run(trigger)).toThrow(message);
  });
});
