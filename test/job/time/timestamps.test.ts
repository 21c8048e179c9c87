/** Windows and joins by event time are refused behind records that may have no timestamp, when the job is built. */

import { describe, expect, test } from "vitest";
import { setup } from "xstate";
import {
  ascendingTimestamps,
  broadcastState,
  ConfigurationError,
  continuousProcessingTimeTrigger,
  countWindows,
  defineJob,
  eventTimeTrigger,
  generatorSource,
  globalWindows,
  type JobBuilder,
  type KeyedStream,
  type Stream,
  sessionWindows,
  tumblingWindows,
  type,
  valueState,
} from "../../../src/index.ts";
import { createTestHarness } from "../../../src/testing/index.ts";
import { testSink, testSource } from "../connectors.ts";

interface Item {
  readonly key: string;
  readonly at: number;
}
type Items = KeyedStream<Item, string>;

const timed = { timestamp: ({ at }: Item) => at, watermarks: ascendingTimestamps() };
const keyOf = ({ key }: Item): string => key;
const size = tumblingWindows({ size: 10 });
const itemsOf = (job: JobBuilder, id = "items") => job.source<Item>(id, testSource(), timed);
const keyedOf = (job: JobBuilder, id?: string) => itemsOf(job, id).keyBy(keyOf);
const pass = (item: Item): Item => item;
const machine = setup({ actions: { due: () => {} } }).createMachine({ after: { 10: { actions: "due" } } });

/** The stream in front of windows, a join, or whatever `end` puts behind it. */
const jobOf = (
  front: (job: JobBuilder) => Stream<Item, never>,
  end: (items: Items, job: JobBuilder) => void,
) => defineJob("timed", {}, (job) => end(front(job).keyBy(keyOf), job));
const windowed = (items: Items) => items.window(size).reduce("counts", pass).sink("out", testSink());

/** Streams that may have records without a timestamp, the operator that emits them, and which they are. */
const untimed: [string, (job: JobBuilder) => Stream<Item, never>, string][] = [
  [
    "onTimer",
    (job) =>
      keyedOf(job).process("wait", { state: {}, onRecord: pass, onTimer: (): Item | undefined => undefined }),
    'operator "wait" in front of it may emit records without timestamps (what is emitted by onTimer for a timer by the clock)',
  ],
  [
    "onEnd and onFinish, several operators further on",
    (job) =>
      keyedOf(job)
        .process("wait", {
          state: {},
          output: type<Item>(),
          onRecord: pass,
          onEnd: () => undefined,
          onFinish: () => undefined,
        })
        .map("same", pass)
        .rebalance()
        .filter("all", () => true),
    'operator "wait" in front of it may emit records without timestamps (what is emitted by onEnd, onFinish)',
  ],
  [
    "onExpire by the clock",
    (job) =>
      keyedOf(job).process("wait", {
        state: { last: valueState(0, { ttl: { after: "1 s" } }) },
        output: type<Item>(),
        onRecord: pass,
        onExpire: () => undefined,
      }),
    "(what is emitted by onExpire for a value by the clock)",
  ],
  [
    "onEnd without a key",
    (job) => itemsOf(job).process("buffer", { output: type<Item>(), onRecord: pass, onEnd: () => undefined }),
    'operator "buffer" in front of it may emit records without timestamps (what is emitted by onEnd)',
  ],
  [
    "a side output",
    (job) => {
      const waiting = keyedOf(job).process("wait", {
        state: {},
        sideOutputs: { other: type<Item>() },
        onRecord: () => undefined,
        onTimer: () => undefined,
      });
      return waiting.sideOutput("other");
    },
    'operator "wait" in front of it',
  ],
  [
    "one stream of a union",
    (job) =>
      itemsOf(job).union(
        keyedOf(job, "others").process("wait", {
          state: {},
          output: type<Item>(),
          onRecord: pass,
          onTimer: () => undefined,
        }),
      ),
    'operator "wait" in front of it',
  ],
  [
    "timers of two streams",
    (job) =>
      keyedOf(job)
        .connect(keyedOf(job, "others"))
        .process("both", {
          state: {},
          output: type<Item>(),
          onFirst: pass,
          onSecond: pass,
          onTimer: () => undefined,
        }),
    'operator "both" in front of it',
  ],
  [
    "timers beside broadcast records",
    (job) =>
      keyedOf(job)
        .connect(itemsOf(job, "rules").broadcast())
        .process("apply", {
          state: {},
          broadcast: { rules: broadcastState<string, number>() },
          output: type<Item>(),
          onRecord: pass,
          onBroadcast: () => undefined,
          onTimer: () => undefined,
        }),
    'operator "apply" in front of it',
  ],
  [
    "what comes back in a loop",
    (job) =>
      itemsOf(job).iterate("loop", (loop) => ({
        feedback: loop.keyBy(keyOf).machine("actors", {
          machine,
          event: () => ({ type: "GO" }),
          effect: () => ({ key: "a", at: 1 }),
          time: "processing",
          endOfInput: "drop",
        }),
        output: loop.map("same", pass),
      })),
    'operator "actors" in front of it may emit records without timestamps (what comes of a delay by the clock): let the delays go by event time',
  ],
  [
    "windows without bounds keep what their records have",
    (job) =>
      keyedOf(job)
        .process("wait", { state: {}, output: type<Item>(), onRecord: pass, onTimer: () => undefined })
        .keyBy(keyOf)
        .window(globalWindows(), { trigger: continuousProcessingTimeTrigger("1 s") })
        .reduce("all", pass),
    'operator "wait" in front of it',
  ],
  [
    "a source that gives none",
    (job) =>
      job.source<Item>("made", generatorSource({ count: 1, generate: () => ({ key: "a", at: 1 }) }), {
        watermarks: ascendingTimestamps(),
      }),
    'source "made" in front of it gives its records no timestamps: say which they have, such as { timestamp: (record) => record.at }',
  ],
  [
    "watermarks alone do not help",
    (job) =>
      keyedOf(job)
        .process("wait", { state: {}, output: type<Item>(), onRecord: pass, onTimer: () => undefined })
        .assignTimestamps("again", { watermarks: ascendingTimestamps() }),
    'operator "wait" in front of it',
  ],
];

const waiting = (job: JobBuilder) =>
  keyedOf(job).process("wait", { state: {}, output: type<Item>(), onRecord: pass, onTimer: () => undefined });

describe("refused when the job is built", () => {
  test.each(untimed)("windows by event time behind %s", (_, front, words) => {
    const building = () => jobOf(front, windowed);
    expect(building).toThrow(ConfigurationError);
    expect(building).toThrow(`operator "counts": works by event time, and `);
    expect(building).toThrow(words);
    expect(building).toThrow(/or put assignTimestamps with a timestamp in between$/);
  });

  const others: [string, string, (items: Items, job: JobBuilder) => void][] = [
    [
      "sessions",
      "counts",
      (items) =>
        items
          .window(sessionWindows({ gap: 5 }))
          .reduce("counts", pass)
          .sink("out", testSink()),
    ],
    [
      "windows with a trigger",
      "counts",
      (items) =>
        items.window(size, { trigger: eventTimeTrigger() }).reduce("counts", pass).sink("out", testSink()),
    ],
    [
      "interval joins, on either side",
      "pairs",
      (items, job) =>
        keyedOf(job, "others")
          .intervalJoin(items)
          .between(0, 10)
          .process("pairs", (left) => left)
          .sink("out", testSink()),
    ],
    [
      "window joins",
      "pairs",
      (items, job) =>
        items
          .join(keyedOf(job, "others"))
          .window(size)
          .process("pairs", (left) => left)
          .sink("out", testSink()),
    ],
    [
      "coGroup",
      "groups",
      (items, job) =>
        keyedOf(job, "others")
          .coGroup(items)
          .window(size)
          .process("groups", () => 1)
          .sink("out", testSink()),
    ],
    [
      "joins by version",
      "versions",
      (items, job) =>
        keyedOf(job, "others")
          .versionedJoin(items)
          .process("versions", (left) => left)
          .sink("out", testSink()),
    ],
    [
      "machines whose delays go by event time",
      "actors",
      (items) =>
        items
          .machine("actors", { machine, event: () => ({ type: "GO" }), effect: () => 1, time: "event" })
          .sink("out", testSink()),
    ],
  ];

  test.each(others)("%s behind what may have no timestamp", (_, id, end) => {
    expect(() => jobOf(waiting, end)).toThrow(
      `operator "${id}": works by event time, and operator "wait" in front of it may emit records without timestamps`,
    );
  });
});

describe("windows by event time may stand", () => {
  const fine: [string, (job: JobBuilder) => Stream<Item, never>][] = [
    ["functions for records only", (job) => keyedOf(job).process("some", { state: {}, onRecord: pass })],
    [
      "functions that promise timestamps",
      (job) =>
        keyedOf(job).process("wait", {
          state: {},
          output: type<Item>(),
          timestamps: "required",
          onRecord: pass,
          onTimer: () => undefined,
        }),
    ],
    [
      "values that expire by event time",
      (job) =>
        keyedOf(job).process("wait", {
          state: { last: valueState(0, { ttl: { after: "1 s", time: "event" } }) },
          output: type<Item>(),
          onRecord: pass,
          onExpire: () => undefined,
        }),
    ],
    ["timestamps that are assigned in between", (job) => waiting(job).assignTimestamps("again", timed)],
    [
      "windows by processing time, whose results have the time of their window",
      (job) =>
        waiting(job)
          .keyBy(keyOf)
          .window(tumblingWindows({ size: 10, time: "processing" }))
          .reduce("ten", pass),
    ],
    [
      "windows by count of records with timestamps",
      (job) =>
        keyedOf(job)
          .window(countWindows({ size: 2 }))
          .reduce("two", pass),
    ],
    ["requests", (job) => itemsOf(job).async("ask", { request: async (item: Item) => item })],
  ];

  test.each(fine)("behind %s", (_, front) => {
    jobOf(front, windowed);
  });

  test("windows of other times, and sinks, stand anywhere", () => {
    jobOf(waiting, (items) => {
      items
        .window(countWindows({ size: 2 }))
        .reduce("two", pass)
        .sink("a", testSink());
      items
        .window(tumblingWindows({ size: 10, time: "processing" }))
        .reduce("ten", pass)
        .sink("b", testSink());
      items.reduce("last", pass).sink("c", testSink());
    });
  });
});

describe('timestamps: "required"', () => {
  const told = (emitted: "emit" | "sideOutput", timestamp?: number) =>
    jobOf(
      (job) => {
        const waiting = keyedOf(job).process("wait", {
          state: {},
          output: type<Item>(),
          sideOutputs: { other: type<Item>() },
          timestamps: "required",
          onRecord: (_item, { timers }) => timers.registerProcessingTimer(7),
          onTimer(_timer, { key, emit, sideOutput }) {
            const item = { key, at: 0 };
            if (emitted === "emit") emit(item, timestamp);
            else sideOutput("other", item, timestamp);
          },
        });
        return emitted === "emit" ? waiting : waiting.sideOutput("other");
      },
      (items) =>
        items
          .window(size)
          .process("counts", (all, { window }) => `${window.start}: ${all.length}`)
          .sink("out", testSink()),
    );

  test.each(["emit", "sideOutput"] as const)(
    "%s without one fails its operator, and with one comes to a window",
    async (call) => {
      const bare = await createTestHarness(told(call));
      await bare.push("items", { key: "a", at: 3 });
      await expect(bare.advanceClock(8)).rejects.toThrow(
        /operator "wait" failed.*what it emits must have a timestamp \(timestamps: "required"\), and what is being processed has none: give one by (emit|sideOutput)\(.*timestamp\)/,
      );
      await bare.close();
      const given = await createTestHarness(told(call, 25));
      await given.push("items", { key: "a", at: 3 });
      await given.advanceClock(8);
      await given.end();
      expect(given.output("out")).toEqual(["20: 1"]);
      await given.close();
    },
  );

  test("also at the end of a subtask without keys", async () => {
    const atEnd = (timestamp?: number) =>
      defineJob("timed", {}, (job) =>
        itemsOf(job)
          .process("buffer", {
            output: type<Item>(),
            timestamps: "required",
            onRecord: () => undefined,
            onEnd: ({ emit }) => emit({ key: "a", at: 1 }, timestamp),
          })
          .sink("out", testSink()),
      );
    const bare = await createTestHarness(atEnd());
    await expect(bare.end()).rejects.toThrow(/operator "buffer" failed.*must have a timestamp/);
    await bare.close();
    const given = await createTestHarness(atEnd(5));
    await given.end();
    expect(given.output("out")).toEqual([{ key: "a", at: 1 }]);
    await given.close();
  });

  test("is the only word that there is", () => {
    for (const build of [
      (job: JobBuilder) =>
        keyedOf(job).process("wait", { state: {}, timestamps: "all" as "required", onRecord: pass }),
      (job: JobBuilder) => itemsOf(job).process("wait", { timestamps: "all" as "required", onRecord: pass }),
    ])
      expect(() => jobOf(build, windowed)).toThrow(
        'operator "wait": timestamps must be "required" (or left out: what is emitted may have none), is ',
      );
  });

  test("a source says whether it gives timestamps by true or false", () => {
    const source = { ...testSource<Item>(), timestamps: "none" as never };
    expect(() =>
      defineJob("timed", {}, (job) => job.source("items", source).sink("out", testSink())),
    ).toThrow('operator "items": timestamps of its source must be true or false (or left out: true), is ');
  });
});
