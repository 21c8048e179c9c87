/**
 * Whose key (OP3, DV1) a function had in its hands when it threw, for each kind of keyed operator. The error tells
 * it, and the message of the test harness. The error's own message does not, nor what a logger prints or stores.
 */
import { inspect } from "node:util";
import { expect, test } from "vitest";
import { assign, setup } from "xstate";
import {
  ascendingTimestamps,
  broadcastState,
  countWindows,
  defineJob,
  eventTimeTrigger,
  type KeyedStream,
  OperatorError,
  type Stream,
  sessionWindows,
  slidingWindows,
  tumblingWindows,
  valueState,
  type WindowAssigner,
} from "../../src/index.ts";
import { keyGroupOf } from "../../src/state/key-groups.ts";
import { createTestHarness } from "../../src/testing/index.ts";
import { testSink, testSource } from "../job/connectors.ts";

const KEY = "s3cret-quagga";
const OTHER = "okapi";

interface Item {
  readonly key: string;
  readonly at: number;
}

type Keyed = KeyedStream<Item, string>;

function boom(key: unknown): void {
  if (key === KEY) throw new Error("boom");
}

const state = { last: valueState<unknown>(null) };
const keep = (item: Item, context: { readonly state: { readonly last: { set(value: unknown): void } } }) =>
  context.state.last.set(item);

const countOf = (functions: object) => ({
  createAccumulator: () => ({ key: "", count: 0 }),
  add: (sum: { count: number }, { key }: Item) => ({ key, count: sum.count + 1 }),
  getResult: (sum: { key: string }) => sum.key,
  merge: (one: { count: number }, other: { key: string; count: number }) => ({
    key: other.key,
    count: one.count + other.count,
  }),
  ...functions,
});

const processed = (windows: WindowAssigner, options: object = {}) => {
  return (items: Keyed) => items.window(windows, options).process("fails", (_, { key }) => boom(key));
};
const aggregated = (windows: WindowAssigner, functions: object, options: object = {}) => {
  return (items: Keyed) => items.window(windows, options).aggregate("fails", countOf(functions) as never);
};
const failsInAdd = {
  add: (sum: object, { key }: Item) => {
    boom(key);
    return { ...sum, key };
  },
};
const failsInMerge = {
  merge: (one: object, { key }: { key: string }) => {
    boom(key);
    return { ...one, key };
  },
};
const failsInResult = { getResult: ({ key }: { key: string }) => boom(key) ?? key };

const tumbling = tumblingWindows({ size: 10 });
const sliding = slidingWindows({ size: 10, slide: 5 });
const sessions = sessionWindows({ gap: 5 });

const machine = setup({
  types: {} as { context: { key: string }; input: { key: string }; events: { type: string } },
  actions: {
    fail: assign(({ context }) => {
      boom(context.key);
      return {};
    }),
  },
}).createMachine({
  context: ({ input }) => input,
  initial: "on",
  states: { on: { on: { GO: { actions: "fail" } }, after: { 3: { actions: "fail" } } } },
});

const actors = (items: Keyed, type: string) =>
  items.machine("fails", {
    machine,
    event: () => ({ type }),
    input: (_: unknown, key: string) => ({ key }),
    emit: (event: object) => event,
  } as never) as Stream<unknown>;

const cases: Readonly<Record<string, (items: Keyed, others: Stream<Item>) => unknown>> = {
  "process: onRecord": (items) => items.process("fails", { state, onRecord: (_, { key }) => boom(key) }),
  "process: emit of what is no record": (items) =>
    items.process("fails", {
      state,
      onRecord: (_, { key, emit }) => (key === KEY ? emit((() => "boom") as never) : undefined),
    }),
  "process: onTimer of event time": (items) =>
    items.process("fails", {
      state,
      onRecord: ({ at }, { timers }) => timers.registerEventTimer(at + 1),
      onTimer: (_, { key }) => boom(key),
    }),
  "process: onTimer of processing time": (items) =>
    items.process("fails", {
      state,
      onRecord: (_, { timers }) => timers.registerProcessingTimer(5),
      onTimer: (_, { key }) => boom(key),
    }),
  "process: onExpire": (items) =>
    items.process("fails", {
      state: { last: valueState<unknown>(null, { ttl: { after: 5, time: "event" } } as never) },
      onRecord: keep as never,
      onExpire: (_: unknown, { key }: { key: string }) => boom(key),
    } as never),
  "process: onEnd": (items) =>
    items.process("fails", {
      state,
      onRecord: keep as never,
      onEnd: (({ key }: Item) => boom(key)) as never,
    }),
  reduce: (items) =>
    items.reduce("fails", (_, item) => {
      boom(item.key);
      return item;
    }),
  "tumbling windows": processed(tumbling),
  "tumbling windows: add": aggregated(tumbling, failsInAdd),
  "tumbling windows: getResult": aggregated(tumbling, failsInResult),
  "tumbling windows that combine: add": (items) =>
    items
      .window(tumbling)
      .aggregate("fails", countOf(failsInAdd) as never, (key: string) => key, { combine: true }),
  "sliding windows": processed(sliding),
  "sliding windows: add": aggregated(sliding, failsInAdd),
  "sliding windows: merge": aggregated(sliding, failsInMerge),
  "sliding windows: getResult": aggregated(sliding, failsInResult),
  "windows that wait for late records": processed(tumbling, { allowedLateness: 5 }),
  "windows that fire again": processed(sliding, { allowedLateness: 5 }),
  sessions: processed(sessions),
  "sessions: add": aggregated(sessions, failsInAdd),
  "windows of so many records": processed(countWindows({ size: 2 })),
  "windows of so many records: add": aggregated(countWindows({ size: 2 }), failsInAdd),
  "windows with a trigger": processed(tumbling, { trigger: eventTimeTrigger() }),
  "windows with a trigger: add": aggregated(tumbling, failsInAdd, { trigger: eventTimeTrigger() }),
  "windows of processing time": processed(tumblingWindows({ size: 10, time: "processing" })),
  join: (items, others) =>
    items
      .join(others.keyBy(({ key }) => key))
      .window(tumbling)
      .process("fails", ({ key }) => boom(key)),
  intervalJoin: (items, others) =>
    items
      .intervalJoin(others.keyBy(({ key }) => key))
      .between(-5, 5)
      .process("fails", ({ key }) => boom(key)),
  versionedJoin: (items, others) =>
    items.versionedJoin(others.keyBy(({ key }) => key)).process("fails", ({ key }) => boom(key)),
  "connect: onSecond": (items, others) =>
    items
      .connect(others.keyBy(({ key }) => key))
      .process("fails", { state, onFirst() {}, onSecond: (_, { key }) => boom(key) }),
  "connect with broadcast: onRecord": (items, others) =>
    items.connect(others.broadcast()).process("fails", {
      state,
      broadcast: { rules: broadcastState<string, Item>() },
      onBroadcast() {},
      onRecord: (_, { key }) => boom(key),
    }),
  "connect with broadcast: forEachKey": (items, others) =>
    items.connect(others.broadcast()).process("fails", {
      state,
      broadcast: { rules: broadcastState<string, Item>() },
      onBroadcast: (_, { forEachKey }) => forEachKey("last", (key) => boom(key)),
      onRecord: keep as never,
    }),
  "async: a rejected answer": (items) =>
    items.async("fails", {
      timeout: "1 s",
      capacity: 4,
      request: async ({ key }) => {
        boom(key);
        return key;
      },
    }),
  "async: a request that throws": (items) =>
    items.async("fails", {
      timeout: "1 s",
      capacity: 4,
      request: ({ key }) => {
        boom(key);
        return Promise.resolve(key);
      },
    }),
  "machine: an event": (items) => actors(items, "GO"),
  "machine: a delay": (items) => actors(items, "STAY"),
};

/** Gives the job two records of another key and two of this one, on both sides, and lets all time pass. */
async function failureOf(build: (items: Keyed, others: Stream<Item>) => unknown): Promise<OperatorError> {
  const job = defineJob("fails", {}, (builder) => {
    const read = (id: string) =>
      builder.source<Item>(id, testSource(), {
        timestamp: ({ at }) => at,
        watermarks: ascendingTimestamps(),
      });
    const [items, others] = [read("items"), read("others")];
    const keyed = items.keyBy(({ key }) => key);
    keyed.reduce("aside", (one) => one).sink("rest-of-items", testSink());
    (build(keyed, others) as Stream<unknown>).sink("out", testSink());
    others.sink("rest", testSink());
  });
  const harness = await createTestHarness(job);
  try {
    for (const at of [3, 6])
      for (const key of [OTHER, KEY])
        for (const source of ["items", "others"]) await harness.push(source, { key, at });
    for (const source of ["items", "others"]) await harness.watermark(source, 50);
    await harness.advanceClock(50);
    await harness.end();
  } catch (error) {
    if (error instanceof OperatorError) return error;
    throw error;
  } finally {
    await harness.close();
  }
  throw new Error("nothing has failed");
}

test.each(Object.keys(cases))("%s", async (name) => {
  const error = await failureOf(cases[name]!);
  expect(error.operator).toBe("fails");
  expect(error.message).toMatch(/boom|function/);
  expect(error.key).toBe(KEY);
  expect(error.keyGroup).toBe(keyGroupOf(KEY, 128));
  expect(error.message).toContain(`(key group ${error.keyGroup})`);
  expect(error.message.endsWith(` (key "${KEY}")`)).toBe(true);
});

const withoutKey: Readonly<Record<string, (items: Keyed, others: Stream<Item>) => unknown>> = {
  "a map in front of keyBy": (_, others) => others.map("fails", ({ key }) => boom(key) ?? key),
  "a key selector, behind another key's record": (_, others) =>
    others
      .keyBy(({ key }) => {
        boom(key);
        return key;
      })
      .reduce("fails", (one) => one),
  onBroadcast: (items, others) =>
    items.connect(others.broadcast()).process("fails", {
      state,
      broadcast: { rules: broadcastState<string, Item>() },
      onBroadcast: ({ key }) => boom(key),
      onRecord() {},
    }),
  onFinish: (items) =>
    items.process("fails", {
      state,
      onRecord: keep as never,
      onFinish: () => boom(KEY),
    } as never),
};

test.each(Object.keys(withoutKey))("no key is told of %s", async (name) => {
  const error = await failureOf(withoutKey[name]!);
  expect(error.operator).toBe("fails");
  expect(error.message).toContain("boom");
  expect([error.key, error.keyGroup]).toEqual([undefined, undefined]);
  expect(error.message).not.toContain("(key");
});

test("what prints or stores an error does not show the key", () => {
  const error = new OperatorError("fails", new Error("boom"), "a timer").ofKey(KEY, 17);
  expect(error.key).toBe(KEY);
  expect(error.message).toBe('operator "fails" failed: boom (at a timer) (key group 17)');
  const shown = [
    error.message,
    error.stack,
    inspect(error, { depth: null, showHidden: true }),
    JSON.stringify(error),
    JSON.stringify(Object.entries(error)),
    inspect({ ...error }),
  ];
  expect(shown.join("\n")).not.toContain(KEY);
});

test.each([
  ["a text", "a\nb", '(key "a\\nb")'],
  ["a number", 12, "(key 12)"],
  ["a bigint", 12n, "(key 12n)"],
  ["a boolean", false, "(key false)"],
])("the harness shows %s as it would be written", async (_, key, shown) => {
  const job = defineJob("fails", {}, (builder) => {
    builder
      .source<unknown>("others", testSource())
      .keyBy(() => key)
      .process("broken", { state: {}, onRecord: () => boom(KEY) })
      .sink("out", testSink());
  });
  const harness = await createTestHarness(job);
  await expect(harness.push("others", {})).rejects.toThrow(shown);
  await harness.close();
});
