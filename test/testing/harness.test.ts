/** Tests of jobs as a user writes them: records and time in, results out, no server. */
import { describe, expect, test } from "vitest";
import {
  ascendingTimestamps,
  defineJob,
  type JobBuilder,
  listState,
  tumblingWindows,
  type,
  valueState,
} from "../../src/index.ts";
import { createTestHarness } from "../../src/testing/index.ts";
import { testSink, testSource } from "../job/connectors.ts";

interface Click {
  readonly user: string;
  readonly at: number;
}

const clicksOf = (job: JobBuilder, name = "clicks") =>
  job.source<Click>(name, testSource(), {
    parallelism: 3,
    timestamp: ({ at }) => at,
    watermarks: ascendingTimestamps(),
  });

const counting = defineJob("counting", { parallelism: 2 }, (job) => {
  clicksOf(job)
    .keyBy(({ user }) => user)
    .window(tumblingWindows({ size: "1m" }))
    .aggregate("perMinute", {
      createAccumulator: () => 0,
      add: (count: number) => count + 1,
      getResult: (count: number) => count,
    })
    .sink("counts", testSink());
});

const reminding = defineJob("reminding", { parallelism: 2 }, (job) => {
  clicksOf(job)
    .keyBy(({ user }) => user)
    .process("remind", {
      state: { clicks: valueState(0) },
      output: type<string>(),
      sideOutputs: { again: type<string>() },
      onRecord({ user, at }, { state, timers, sideOutput }) {
        if (state.clicks.get() > 0) sideOutput("again", user);
        state.clicks.set(state.clicks.get() + 1);
        timers.registerEventTimer(at + 10);
        timers.registerProcessingTimer(1_000);
      },
      onTimer({ kind }, { key, state, emit }) {
        emit(`${kind} ${key} ${state.clicks.get()}`);
      },
    })
    .sink("reminders", testSink());
});

test("an aggregate that combines takes what it is pushed, as without", async () => {
  const combining = defineJob("combining", {}, (job) => {
    clicksOf(job)
      .keyBy(({ user }) => user)
      .window(tumblingWindows({ size: "1m" }))
      .aggregate(
        "perMinute",
        {
          createAccumulator: () => 0,
          add: (count: number) => count + 1,
          merge: (one: number, other: number) => one + other,
          getResult: (count: number) => count,
        },
        (count, { key }) => `${key} ${count}`,
        { combine: true },
      )
      .sink("counts", testSink());
  });
  const harness = await createTestHarness(combining);
  for (const [at, user] of ["ann", "bob", "ann"].entries()) await harness.push("clicks", { user, at });
  const restored = await createTestHarness(combining, { restore: await harness.snapshot() });
  await restored.push("clicks", { user: "bob", at: 3 });
  await restored.push("clicks", { user: "ann", at: 4 });
  await restored.end();
  expect(restored.output("counts").sort()).toEqual(["ann 3", "bob 2"]);
  await harness.close();
  await restored.close();
});

test("an aggregate that combines finishes the windows that it had before", async () => {
  const counts = (isNew: boolean) =>
    defineJob("counts", {}, (job) => {
      clicksOf(job)
        .keyBy(({ user }) => user)
        .window(tumblingWindows({ size: isNew ? "1m" : "2m" }), {
          ...(isNew && { migrateWindows: "finish-old" as const }),
        })
        .aggregate(
          "counts",
          {
            createAccumulator: () => 0,
            add: (count: number) => count + 1,
            merge: (one: number, other: number) => one + other,
            getResult: (count: number) => count,
          },
          (count, { key, window: { start, end } }) => `${key} ${start / 1000}-${end / 1000} ${count}`,
          { combine: true },
        )
        .sink("out", testSink());
    });
  const before = await createTestHarness(counts(false));
  for (const at of [1_000, 2_000]) await before.push("clicks", { user: "ann", at });
  const after = await createTestHarness(counts(true), { restore: await before.snapshot() });
  for (const at of [3_000, 130_000, 140_000]) await after.push("clicks", { user: "ann", at });
  await after.end();
  expect(after.output<string>("out").sort()).toEqual(["ann 0-120 2", "ann 0-60 1", "ann 120-180 2"]);
  await before.close();
  await after.close();
});

test("a window fires when the test says that its time has come, and at the end", async () => {
  const harness = await createTestHarness(counting);
  await harness.push("clicks", { user: "ada", at: 1_000 });
  await harness.push("clicks", { user: "ada", at: 59_999 });
  await harness.push("clicks", { user: "ada", at: 60_000 });
  expect(harness.output("counts")).toEqual([]);
  expect(harness.pending().join()).toContain('operator "perMinute"');
  await harness.watermark("clicks", 59_999);
  expect(harness.timedOutput("counts")).toEqual([{ value: 2, timestamp: 59_999 }]);
  await harness.end();
  expect(harness.output("counts")).toEqual([1]);
  expect(harness.pending()).toEqual([]);
  await harness.close();
});

test("timers of both kinds fire; a side output that the job does not read can be read", async () => {
  const harness = await createTestHarness(reminding);
  await harness.push("clicks", { user: "ada", at: 5 });
  await harness.push("clicks", { user: "ada", at: 6 });
  expect(harness.sideOutput("remind", "again")).toEqual(["ada"]);
  expect(harness.pending()).toEqual([
    'operator "remind": 2 timers of event time',
    'operator "remind": 1 timers of processing time',
  ]);
  await harness.watermark("clicks", 15);
  expect(harness.output("reminders")).toEqual(["event ada 2"]);
  await harness.advanceClock(1_000);
  expect(harness.output("reminders")).toEqual([]);
  await harness.advanceClock(1);
  expect(harness.output("reminders")).toEqual(["processing ada 2"]);
  await harness.close();
});

test("a harness goes on from a snapshot of another one, with state, timers and event time", async () => {
  const first = await createTestHarness(reminding);
  await first.push("clicks", { user: "ada", at: 5 });
  await first.watermark("clicks", 10);
  const snapshot = first.snapshot();
  await first.close();
  const second = await createTestHarness(reminding, { restore: snapshot });
  await second.push("clicks", { user: "ada", at: 20 });
  await second.watermark("clicks", 15);
  expect(second.output("reminders")).toEqual(["event ada 2"]);
  await expect(second.watermark("clicks", 9)).rejects.toThrow("9 lies behind 15");
  await second.close();
  await expect(createTestHarness(counting, { restore: snapshot })).rejects.toThrow('one of job "reminding"');
});

test("two sources: event time is that of the slower one, unless it is idle; both must end", async () => {
  const job = defineJob("both", {}, (builder) => {
    clicksOf(builder, "left")
      .union(clicksOf(builder, "right"))
      .keyBy(({ user }) => user)
      .window(tumblingWindows({ size: "1m" }))
      .reduce("perMinute", (a) => a)
      .sink("out", testSink());
  });
  const harness = await createTestHarness(job);
  await harness.push("left", { user: "ada", at: 0 });
  await harness.push("right", { user: "bob", at: 60_000 });
  await harness.watermark("left", 100_000);
  expect(harness.output("out")).toEqual([]);
  await harness.idle("right");
  expect(harness.output("out")).toEqual([{ user: "ada", at: 0 }]);
  await harness.end("left");
  expect(harness.output("out")).toEqual([]);
  await harness.end("right");
  expect(harness.output("out")).toEqual([{ user: "bob", at: 60_000 }]);
  await expect(harness.push("left", { user: "ada", at: 0 })).rejects.toThrow('source "left" has ended');
  await harness.close();
});

test("requests: answers come out, a pending one is told, and a function opens and closes", async () => {
  const life: string[] = [];
  let answer = (_: string) => {};
  const job = defineJob("asking", {}, (builder) => {
    builder
      .source<string>("names", testSource())
      .map("open", {
        open: () => life.push("open"),
        map: (name) => name,
        close: () => {
          life.push("close");
        },
      })
      .async("ask", {
        request: (name) =>
          name === "slow"
            ? new Promise<string>((resolve) => {
                answer = resolve;
              })
            : Promise.resolve(`${name}!`),
      })
      .sink("out", testSink());
  });
  const harness = await createTestHarness(job);
  await harness.push("names", "ada");
  expect(harness.output("out")).toEqual(["ada!"]);
  await harness.push("names", "slow");
  await harness.end();
  expect(harness.output("out")).toEqual([]);
  expect(harness.pending()).toEqual(['operator "ask": 1 requests without their answers']);
  answer("at last");
  await harness.settle();
  expect(harness.output("out")).toEqual(["at last"]);
  await harness.close();
  expect(life).toEqual(["open", "close"]);
});

describe("what is refused", () => {
  test("names that the job does not have, with the nearest one that it has", async () => {
    const harness = await createTestHarness(reminding);
    await expect(harness.push("click", {})).rejects.toThrow('no source "click"; did you mean "clicks"?');
    expect(() => harness.output("reminder")).toThrow('no sink "reminder"; did you mean "reminders"?');
    expect(() => harness.sideOutput("remind", "agin")).toThrow(
      'no side output "agin"; did you mean "again"?',
    );
    await harness.close();
  });

  test("to go on after a failure, which names the operator", async () => {
    const job = defineJob("failing", {}, (builder) => {
      builder
        .source<string>("in", testSource())
        .map("shout", (text) => text.toUpperCase())
        .sink("out", testSink());
    });
    const harness = await createTestHarness(job);
    await expect(harness.push("in", 5)).rejects.toThrow('operator "shout"');
    await expect(harness.push("in", "a")).rejects.toThrow("the job has failed in this harness");
    await harness.close();
  });
});

const forgetting = defineJob("forgetting", { parallelism: 2 }, (job) => {
  clicksOf(job)
    .keyBy(({ user }) => user)
    .process("forget", {
      state: {
        first: valueState(0, { ttl: { after: "1 min", time: "event" } }),
        pages: listState<number>({ ttl: { after: "10 s", downtime: "pause" } }),
      },
      output: type<string>(),
      onRecord({ user, at }, { state, emit }) {
        emit(`${user} ${state.first.get()} ${state.pages.get()}`);
        if (state.first.get() === 0) state.first.set(at);
        state.pages.add(at);
      },
      onExpire({ state, value, time }, { key, emit, timestamp }) {
        emit(`${key} ${state} ${value + 0} ${time === timestamp}`);
      },
    })
    .sink("seen", testSink());
});

test("values expire by event time and by the clock, also behind a restore, and are told while they are there", async () => {
  const first = await createTestHarness(forgetting);
  await first.push("clicks", { user: "ada", at: 1_000 });
  await first.push("clicks", { user: "ben", at: 30_000 });
  await first.advanceClock(4_000);
  await first.push("clicks", { user: "ada", at: 31_000 });
  expect(first.output("seen")).toEqual(["ada 0 ", "ben 0 ", "ada 1000 1000"]);
  const pending = first.pending().join("\n");
  expect(pending).toMatch(/operator "forget": \d in state "first" that will expire/);
  expect(pending).toMatch(/operator "forget": \d in state "pages" that will expire/);
  const snapshot = await first.snapshot();
  await first.close();
  const second = await createTestHarness(forgetting, { restore: snapshot });
  await second.watermark("clicks", 60_999);
  expect(second.output("seen")).toEqual([]);
  await second.watermark("clicks", 61_000);
  expect(second.output("seen")).toEqual(["ada first 1000 true"]);
  await second.advanceClock(6_000);
  await second.push("clicks", { user: "ada", at: 70_000 });
  expect(second.output("seen").sort()).toEqual(
    ["ada 0 31000", "ada pages 1000 false", "ben pages 30000 false"].sort(),
  );
  await second.end();
  expect(second.output("seen").sort()).toEqual(["ada first 70000 true", "ben first 30000 true"]);
  expect(second.pending().join()).toMatch(/^operator "forget": \d in state "pages" that will expire/);
  await second.close();
});
