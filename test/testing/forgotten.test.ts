/** What is left out, or used in another place than its own: it works, or is named; it is never lost in silence. */
import { describe, expect, expectTypeOf, test } from "vitest";
import {
  ascendingTimestamps,
  broadcastState,
  ConfigurationError,
  defineJob,
  fileSink,
  type JobBuilder,
  operatorListState,
  punctuatedWatermarks,
  type Stream,
  tumblingWindows,
  valueState,
  type WindowTrigger,
} from "../../src/index.ts";
import { createTestHarness } from "../../src/testing/index.ts";
import { testSink, testSource } from "../job/connectors.ts";

interface Item {
  readonly key: string;
  readonly at: number;
}

type Build = (items: Stream<Item>, job: JobBuilder) => Stream<unknown, never>;

const itemsOf = (job: JobBuilder, id: string) =>
  job.source<Item>(id, testSource(), { timestamp: ({ at }) => at, watermarks: ascendingTimestamps() });
const keyOf = ({ key }: Item) => key;

async function outputOf(build: Build): Promise<unknown[]> {
  const job = defineJob("forgetful", {}, (job) => build(itemsOf(job, "items"), job).sink("out", testSink()));
  const harness = await createTestHarness(job);
  try {
    if (job.operators.some(({ definition }) => definition.id === "others"))
      await harness.push("others", { key: "b", at: 1 });
    await harness.push("items", { key: "a", at: 1 });
    await harness.end();
    return harness.output("out");
  } finally {
    await harness.close();
  }
}

describe("a process that declares no state", () => {
  test.each<[string, Build]>([
    [
      "of one stream",
      (items) => items.keyBy(keyOf).process("p", { onRecord: (item, { key }) => [key, item.at] }),
    ],
    [
      "of two",
      (items, job) =>
        items
          .keyBy(keyOf)
          .connect(itemsOf(job, "others").keyBy(keyOf))
          .process("p", { onFirst: (item, { key }) => [key, item.at], onSecond: () => {} }),
    ],
    [
      "beside broadcast state",
      (items, job) =>
        items
          .keyBy(keyOf)
          .connect(itemsOf(job, "others").broadcast())
          .process("p", {
            broadcast: { rules: broadcastState<string, number>() },
            onBroadcast(rule, { broadcast }) {
              broadcast.rules.set("a", rule.at);
            },
            onRecord: (_, { key, broadcast }) => [key, broadcast.rules.get("a")],
          }),
    ],
  ])("%s", async (_, build) => {
    expect(await outputOf(build)).toEqual([["a", 1]]);
  });

  test("has timers, and no handle of a state", async () => {
    const fired = await outputOf((items) =>
      items.keyBy(keyOf).process("p", {
        onRecord(item, { timers, state }) {
          expectTypeOf<keyof typeof state>().toEqualTypeOf<never>();
          timers.registerEventTimer(item.at + 5);
        },
        onTimer: ({ time }) => time,
      }),
    );
    expect(fired).toEqual([6]);
  });
});

describe("what is assigned to the name of a state", () => {
  const assign = (state: object) => Object.assign(state, { total: 5 });
  test.each<[string, Build]>([
    [
      "keyed state",
      (items) =>
        items.keyBy(keyOf).process("p", {
          state: { total: valueState(0) },
          onRecord: (_, { state }) => void assign(state),
        }),
    ],
    [
      "state of the subtask",
      (items) =>
        items.process("p", {
          state: { total: operatorListState<number>() },
          onRecord: (_, { state }) => void assign(state),
        }),
    ],
    [
      "state of a window function",
      (items) =>
        items
          .keyBy(keyOf)
          .window(tumblingWindows({ size: 10 }), { keyState: { total: valueState(0) } })
          .process("p", (_, { keyState }) => void assign(keyState)),
    ],
  ])("is refused: %s", async (_, build) => {
    await expect(outputOf(build)).rejects.toThrow(
      /operator "p" failed: Cannot assign to read only property 'total'.*and set or emit that/,
    );
  });
});

test("timers without a key are named, also where nothing checks types", async () => {
  await expect(
    outputOf((items) =>
      items.process("p", {
        onRecord: (_, context) => (context as never as Record<"timers", () => void>).timers(),
      }),
    ),
  ).rejects.toThrow('operator "p" failed: timers belong to keys: put keyBy in front of process');
});

test("a trigger that asks for a timer and has no onTimer is refused, also where the window ends before", async () => {
  const deaf: WindowTrigger<Item> = {
    name: "deaf",
    onRecord(_, { registerTimer, window }) {
      registerTimer(window.end + 1);
      return "continue";
    },
  };
  await expect(
    outputOf((items) =>
      items
        .keyBy(keyOf)
        .window(tumblingWindows({ size: 10 }), { trigger: deaf })
        .reduce("w", (first) => first),
    ),
  ).rejects.toThrow(
    'trigger "deaf" has registered a timer, and there is no onTimer that the timer could call: define one',
  );
});

test("punctuated watermarks without their function are refused when the job is built", () => {
  const call = () => punctuatedWatermarks(undefined as never);
  expect(call).toThrow(ConfigurationError);
  expect(call).toThrow("punctuatedWatermarks: a function is needed that answers the watermark of a record");
});

describe("a harness", () => {
  const plain = defineJob("plain", {}, (job) => void itemsOf(job, "items").sink("out", testSink()));

  test.each<[string, unknown, object | undefined, string]>([
    ["no job", undefined, {}, "createTestHarness: a job is needed, what defineJob answers; got undefined"],
    ["an import that is not awaited", Promise.resolve(plain), {}, "what defineJob answers; got"],
    ["a wrong option", plain, { restored: {} }, 'no option "restored"; did you mean "restore"?'],
    ["a wrong time", plain, { nowMs: Number.NaN }, "createTestHarness: nowMs is the number NaN"],
  ])("refuses %s", async (_, job, options, message) => {
    await expect(createTestHarness(job as never, options)).rejects.toThrow(message);
  });

  test("does nothing more when it is closed, and says so", async () => {
    const harness = await createTestHarness(plain);
    await harness.close();
    await expect(harness.push("items", { key: "a", at: 1 })).rejects.toThrow("was closed in this harness");
    expect(harness.output("out")).toEqual([]);
  });

  test("says that there are no side outputs", async () => {
    const harness = await createTestHarness(plain);
    expect(() => harness.sideOutput("items", "late")).toThrow(
      'there is no operator "items" with side outputs; there are none',
    );
    await harness.close();
  });
});

test("a file sink without its directory is refused by name", () => {
  expect(() => fileSink({} as never)).toThrow("fileSink: directory must be a path, got undefined");
});
