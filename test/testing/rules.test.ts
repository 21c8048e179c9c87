/** Rules of time and state that a user of Flink relies on, each seen at a whole job. */
import { describe, expect, test } from "vitest";
import {
  ascendingTimestamps,
  broadcastState,
  defineJob,
  type JobBuilder,
  sessionWindows,
  tumblingWindows,
  type WindowAssigner,
} from "../../src/index.ts";
import { createTestHarness, type TestHarness } from "../../src/testing/index.ts";
import { testSink, testSource } from "../job/connectors.ts";

interface Item {
  readonly key: string;
  readonly at?: number;
}

const itemsOf = (job: JobBuilder, name = "items") =>
  job.source<Item>(name, testSource(), {
    timestamp: ({ at }, given) => at ?? given,
    watermarks: ascendingTimestamps(),
  });

const keyed = (job: JobBuilder, name?: string) => itemsOf(job, name).keyBy(({ key }) => key);

const windowed = (windows: WindowAssigner) =>
  defineJob("windowed", {}, (job) => {
    const counts = keyed(job)
      .window(windows, { lateOutput: "late" })
      .process("counts", (items, { window }) => `${window.start} to ${window.end}: ${items.length}`);
    counts.sink("out", testSink());
  });

describe("event time", () => {
  test("a record without timestamp fails windows of event time, sessions too, by the name of the operator", async () => {
    for (const windows of [tumblingWindows({ size: 10 }), sessionWindows({ gap: 5 })]) {
      const harness = await createTestHarness(windowed(windows));
      await expect(harness.push("items", { key: "a" })).rejects.toThrow(
        /operator "counts".*a record has no timestamp, and windows of event time need one/,
      );
      await harness.close();
    }
  });

  /** Emits the times of records of both inputs, as event time comes to them. */
  const inputs = defineJob("inputs", {}, (builder) => {
    keyed(builder, "left")
      .connect(keyed(builder, "right"))
      .process("both", {
        state: {},
        onFirst({ at }, { timers }) {
          timers.registerEventTimer(at!);
        },
        onSecond({ at }, { timers }) {
          timers.registerEventTimer(at!);
        },
        onTimer: ({ time }) => time,
      })
      .sink("out", testSink());
  });

  test("of two inputs the slower one counts, until it is idle or has ended", async () => {
    const harness = await createTestHarness(inputs);
    for (const at of [10, 20, 30]) await harness.push("left", { key: "a", at });
    await harness.watermark("left", 25);
    expect(harness.output("out")).toEqual([]);
    await harness.watermark("right", 15);
    expect(harness.output("out")).toEqual([10]);
    await harness.idle("right");
    expect(harness.output("out")).toEqual([20]);
    await harness.end("right");
    await harness.watermark("left", 30);
    expect(harness.output("out")).toEqual([30]);
    await harness.close();
  });

  test("an input that has ended holds nothing back, also behind a restore", async () => {
    const first = await createTestHarness(inputs);
    await first.end("right");
    await first.push("left", { key: "a", at: 10 });
    const snapshot = first.snapshot();
    await first.close();
    const second = await createTestHarness(inputs, { restore: snapshot });
    await second.watermark("left", 10);
    expect(second.output("out")).toEqual([10]);
    await second.close();
  });

  test("a record that was late before a restore is late after it, and its window does not fire again", async () => {
    const job = windowed(tumblingWindows({ size: 10 }));
    const first = await createTestHarness(job);
    await first.push("items", { key: "a", at: 3 });
    await first.watermark("items", 12);
    expect(first.output("out")).toEqual(["0 to 10: 1"]);
    const snapshot = first.snapshot();
    await first.close();
    const second = await createTestHarness(job, { restore: snapshot });
    await second.push("items", { key: "a", at: 4 });
    await second.end();
    expect(second.output("out")).toEqual([]);
    expect(second.sideOutput("counts", "late")).toMatchObject([
      { timestamp: 4, cause: "late", watermark: 12 },
    ]);
    await second.close();
  });
});

describe("windows", () => {
  const sized = tumblingWindows({ size: 10 });

  test("a window of the same size takes the results of another one, but for those of late firings", async () => {
    const job = defineJob("twice", {}, (builder) => {
      const counts = keyed(builder)
        .window(sized, { allowedLateness: 10 })
        .process("first", (items, { key, firing }) => ({ key, firing, items: items.length }));
      counts
        .keyBy(({ key }) => key)
        .window(sized, { lateOutput: "late" })
        .process("second", (results, { window }) => ({ start: window.start, results: [...results] }))
        .sink("out", testSink());
    });
    const harness = await createTestHarness(job);
    await harness.push("items", { key: "a", at: 3 });
    await harness.watermark("items", 9);
    expect(harness.output("out")).toEqual([
      { start: 0, results: [{ key: "a", firing: "onTime", items: 1 }] },
    ]);
    await harness.push("items", { key: "a", at: 4 });
    expect(harness.sideOutput("second", "late")).toMatchObject([
      { value: { key: "a", firing: "late", items: 2 }, timestamp: 9, watermark: 9 },
    ]);
    await harness.end();
    expect(harness.output("out")).toEqual([]);
    await harness.close();
  });

  test("sessions become one also with an infinite lateness", async () => {
    const job = defineJob("sessions", {}, (builder) => {
      keyed(builder)
        .window(sessionWindows({ gap: 5 }), { allowedLateness: Infinity })
        .process("sessions", (items, { window }) => `${window.start} to ${window.end}: ${items.length}`)
        .sink("out", testSink());
    });
    const harness = await createTestHarness(job);
    await harness.push("items", { key: "a", at: 10 });
    await harness.watermark("items", 100);
    await harness.push("items", { key: "a", at: 0 });
    expect(harness.output("out")).toEqual(["10 to 15: 1", "0 to 5: 1"]);
    await harness.push("items", { key: "a", at: 5 });
    expect(harness.output("out")).toEqual(["0 to 15: 3"]);
    await harness.end();
    await harness.close();
  });

  test("an aggregate without merge aggregates sessions that become one anew", async () => {
    const job = defineJob("sessions", {}, (builder) => {
      keyed(builder)
        .window(sessionWindows({ gap: 5 }))
        .aggregate(
          "sessions",
          {
            createAccumulator: () => "",
            add: (times, { at }) => `${times} ${at}`,
            getResult: (times) => times,
          },
          (times, { window }) => `${window.start} to ${window.end}:${times}`,
        )
        .sink("out", testSink());
    });
    const first = await createTestHarness(job);
    for (const at of [10, 0, 30]) await first.push("items", { key: "a", at });
    const second = await createTestHarness(job, { restore: first.snapshot() });
    await first.close();
    await second.push("items", { key: "a", at: 5 });
    await second.end();
    const out = second.output<string>("out");
    expect(out.map((line) => line.split(":")[0])).toEqual(["0 to 15", "30 to 35"]);
    expect(out[0]!.split(" ").slice(3).toSorted()).toEqual(["0", "10", "5"].toSorted());
    await second.close();
  });
});

interface WithTimers {
  readonly timers: { registerEventTimer(time: number): void };
}

describe("timers", () => {
  test("timers read broadcast state, and cannot change it; the broadcast side has none", async () => {
    const jobOf = (change: boolean) =>
      defineJob("rules", {}, (builder) => {
        keyed(builder)
          .connect(itemsOf(builder, "rules").broadcast())
          .process("apply", {
            state: {},
            broadcast: { rules: broadcastState<string, number>() },
            onRecord: ({ at }, { timers }) => timers.registerEventTimer(at!),
            onBroadcast({ key, at }, context) {
              if (key === "timer") (context as unknown as WithTimers).timers.registerEventTimer(at!);
              context.broadcast.rules.set(key, at!);
            },
            onTimer(_timer, { broadcast, key }) {
              const { rules } = broadcast;
              if (change) (rules as unknown as Map<string, number>).delete("x");
              return `${key}: ${[...rules.keys()].join(" ")}; ${Object.keys(broadcast).join(" ")}`;
            },
          })
          .sink("out", testSink());
      });
    for (const change of [false, true]) {
      const harness = await createTestHarness(jobOf(change));
      await harness.push("items", { key: "a", at: 5 });
      await harness.push("rules", { key: "x", at: 1 });
      await harness.push("rules", { key: "y", at: 9 });
      await harness.idle("rules");
      const due = harness.watermark("items", 8);
      if (change)
        await expect(due).rejects.toThrow(
          /operator "apply".*delete was called on broadcast state "rules" outside of onBroadcast/,
        );
      else {
        await due;
        expect(harness.output("out")).toEqual(["a: x y; rules"]);
      }
      await harness.close();
    }
    const harness = await createTestHarness(jobOf(false));
    await expect(harness.push("rules", { key: "timer", at: 1 })).rejects.toThrow(/operator "apply".*key/);
    await harness.close();
  });
});

describe("requests", () => {
  test("that wait for another attempt when the input ends keep their pauses and attempts", async () => {
    const attempts: number[] = [];
    const job = defineJob("asking", {}, (builder) => {
      itemsOf(builder)
        .async("ask", {
          retries: { attempts: 3, delay: "1 s", backoff: 2 },
          request(item, { attempt }) {
            attempts.push(attempt);
            if (attempt < 3) throw new Error("not now");
            return item.key;
          },
        })
        .sink("out", testSink());
    });
    const harness = await createTestHarness(job);
    await harness.push("items", { key: "a", at: 1 });
    const ended = harness.end();
    await harness.advanceClock(999);
    expect(attempts).toEqual([1]);
    await harness.advanceClock(1);
    expect(attempts).toEqual([1, 2]);
    await harness.advanceClock(2000);
    await ended;
    expect(attempts).toEqual([1, 2, 3]);
    expect(harness.timedOutput("out")).toEqual([{ value: "a", timestamp: 1 }]);
    await harness.close();
  });

  test("of a full queue are in a snapshot, and are made again under the same ids, in order, those that wait too", async () => {
    const asking = () => {
      const calls: string[] = [];
      const waiting: (() => void)[] = [];
      const job = defineJob("asking", {}, (builder) => {
        keyed(builder)
          .async("ask", {
            mode: "ordered",
            capacity: 2,
            request: ({ key, at }, { id }) => {
              calls.push(`${key}${at} ${id}`);
              return new Promise<string>((resolve) => waiting.push(() => resolve(`${key}${at}`)));
            },
          })
          .sink("out", testSink());
      });
      const answerAll = async (harness: TestHarness): Promise<unknown[]> => {
        const out: unknown[] = [];
        while (waiting.length > 0) {
          for (const answer of waiting.splice(0)) answer();
          await harness.settle();
          out.push(...harness.output("out"));
        }
        return out;
      };
      return { job, calls, answerAll };
    };
    const items = [1, 2, 3, 4, 5].map((at) => ({ key: at % 2 === 0 ? "even" : "odd", at }));
    const all = ["odd1", "even2", "odd3", "even4", "odd5"];

    const straight = asking();
    const reference = await createTestHarness(straight.job);
    for (const item of items) await reference.push("items", item);
    expect(straight.calls.length).toBe(2);
    expect(await straight.answerAll(reference)).toEqual(all);
    await reference.close();

    const cut = asking();
    const first = await createTestHarness(cut.job);
    for (const item of items) await first.push("items", item);
    const snapshot = first.snapshot();
    await first.close();
    expect(first.output("out")).toEqual([]);
    const repeated = asking();
    const second = await createTestHarness(repeated.job, { restore: snapshot });
    expect(repeated.calls).toEqual(cut.calls);
    expect(await repeated.answerAll(second)).toEqual(all);
    expect(repeated.calls).toEqual(straight.calls);
    expect(new Set(repeated.calls).size).toBe(5);
    await second.close();
  });
});
