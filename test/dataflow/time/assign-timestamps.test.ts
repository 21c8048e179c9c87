/** Timestamps and watermarks that a job gives its records on the way. */
import { afterEach, describe, expect, test } from "vitest";
import { MemorySinkTarget, memorySink } from "../../../src/connectors/memory-sink.ts";
import { MemoryLog, memorySource } from "../../../src/connectors/memory-source.ts";
import {
  type AssignedTimestamps,
  ascendingTimestamps,
  boundedOutOfOrderness,
  ConfigurationError,
  defineJob,
  type LateRecord,
  type Stream,
  tumblingWindows,
  type WatermarkStrategy,
} from "../../../src/index.ts";
import { createTestHarness } from "../../../src/testing/index.ts";
import { testSink, testSource } from "../../job/connectors.ts";
import { MemoryWorld } from "../../support/memory-world.ts";

interface Seen {
  readonly key: string;
  readonly at: number;
}

const countOf = {
  createAccumulator: () => 0,
  add: (count: number) => count + 1,
  getResult: (count: number) => count,
};

/** Records of a source without event time, counted in windows of 10 ms by the time that they are assigned. */
const countsBy = (given: AssignedTimestamps<Seen>, name = "assigned") =>
  defineJob(name, {}, (job) => {
    job
      .source<Seen>("in", testSource())
      .assignTimestamps("times", given)
      .keyBy(({ key }) => key)
      .window(tumblingWindows({ size: 10 }), { lateOutput: "late" })
      .aggregate("count", countOf, (count, { window }) => `${window.start}: ${count}`)
      .sink("out", testSink());
  });

const byField = { timestamp: ({ at }: Seen) => at, watermarks: boundedOutOfOrderness(5) };

describe("event time that is assigned on the way", () => {
  test("follows each record where the interval is 0; what lies behind it is late", async () => {
    const harness = await createTestHarness(countsBy({ ...byField, watermarkInterval: 0 }));
    for (const at of [3, 12, 8, 16]) await harness.push("in", { key: "a", at });
    expect(harness.timedOutput("out")).toEqual([{ value: "0: 2", timestamp: 9 }]);
    await harness.push("in", { key: "a", at: 2 });
    expect(harness.sideOutput("count", "late")).toHaveLength(1);
    await harness.end();
    expect(harness.output("out")).toEqual(["10: 2"]);
    expect(harness.pending()).toEqual([]);
    await harness.close();
  });

  test("goes on by the clock, and by nothing that comes from upstream but the end", async () => {
    const harness = await createTestHarness(countsBy({ ...byField, watermarkInterval: 100 }));
    await harness.push("in", { key: "a", at: 3 });
    await harness.push("in", { key: "a", at: 40 });
    await harness.watermark("in", 1_000);
    await harness.idle("in");
    expect(harness.output("out")).toEqual([]);
    await harness.advanceClock(100);
    expect(harness.output("out")).toEqual(["0: 1"]);
    expect(harness.pending()).toEqual(['operator "count": 1 in state "panes" of open windows']);
    await harness.end();
    expect(harness.output("out")).toEqual(["40: 1"]);
    await harness.close();
  });

  test("is part of a snapshot: what was late is late afterwards, and the next watermark is no earlier", async () => {
    const job = countsBy({ ...byField, watermarkInterval: 0 });
    const first = await createTestHarness(job);
    for (const at of [3, 30]) await first.push("in", { key: "a", at });
    expect(first.output("out")).toEqual(["0: 1"]);
    const second = await createTestHarness(job, { restore: first.snapshot() });
    await first.close();
    await second.push("in", { key: "a", at: 4 });
    await second.push("in", { key: "a", at: 26 });
    expect(second.sideOutput("count", "late")).toHaveLength(1);
    await second.push("in", { key: "a", at: 35 });
    expect(second.output("out")).toEqual(["20: 1"]);
    await second.close();
  });

  test("replaces a timestamp that the record has: it is given to the function", async () => {
    const job = defineJob("shifted", {}, (builder) => {
      builder
        .source<Seen>("in", testSource(), { timestamp: ({ at }) => at, watermarks: ascendingTimestamps() })
        .assignTimestamps("later", {
          timestamp: (_, given) => given + 500,
          watermarks: ascendingTimestamps(),
        })
        .sink("out", testSink());
    });
    const harness = await createTestHarness(job);
    await harness.push("in", { key: "a", at: 7 });
    expect(harness.timedOutput("out")).toEqual([{ value: { key: "a", at: 7 }, timestamp: 507 }]);
    await harness.close();
  });

  test("holds nothing back where a subtask gets nothing for long enough", async () => {
    const job = defineJob("idling", {}, (builder) => {
      const assigned = (name: string, more = {}): Stream<Seen> =>
        builder
          .source<Seen>(name, testSource())
          .assignTimestamps(`${name}-times`, { ...byField, watermarkInterval: 10, ...more });
      assigned("busy")
        .union(assigned("silent", { idleAfter: 50 }))
        .keyBy(({ key }) => key)
        .window(tumblingWindows({ size: 10 }))
        .aggregate("count", countOf)
        .sink("out", testSink());
    });
    const harness = await createTestHarness(job);
    await harness.push("silent", { key: "a", at: 1 });
    await harness.push("busy", { key: "a", at: 40 });
    await harness.advanceClock(30);
    expect(harness.output("out")).toEqual([]);
    await harness.advanceClock(60);
    expect(harness.output("out")).toEqual([1]);
    await harness.close();
  });

  test("a function that fails, or answers no time, is named", async () => {
    const failing = countsBy({
      ...byField,
      timestamp: () => {
        throw new Error("no clock here");
      },
    });
    const odd = countsBy({ ...byField, timestamp: () => 1.5 });
    for (const [job, message] of [
      [failing, 'operator "times" failed: no clock here'],
      [odd, 'operator "times" failed: timestamp answered the number 1.5'],
    ] as const) {
      const harness = await createTestHarness(job);
      await expect(harness.push("in", { key: "a", at: 1 })).rejects.toThrow(message);
      await harness.close().catch(() => {});
    }
  });

  test.each([
    [undefined, "an object with timestamp, watermarks, watermarkInterval, idleAfter is needed"],
    [{ timestamp: ({ at }: Seen) => at }, "watermarks are needed"],
    [{ ...byField, maxTimestampAhead: 1 }, 'no member "maxTimestampAhead"'],
    [{ ...byField, idleAfter: 0 }, "idleAfter must be longer than 0 ms"],
    [{ ...byField, watermarks: 5 as unknown as WatermarkStrategy<Seen> }, "watermarks must be a strategy"],
  ])("%o is refused at build", (given, message) => {
    expect(() => countsBy(given as AssignedTimestamps<Seen>)).toThrow(ConfigurationError);
    expect(() => countsBy(given as AssignedTimestamps<Seen>)).toThrow(`operator "times": ${message}`);
  });

  test("cannot begin inside a loop", () => {
    const build = () =>
      defineJob("looping", { checkpointing: { iterations: "exact" } }, (job) => {
        job
          .source<Seen>("in", testSource())
          .iterate("loop", (loop) => {
            const timed = loop.assignTimestamps("times", byField);
            return { feedback: timed.filter("again", () => false), output: timed };
          })
          .sink("out", testSink());
      });
    expect(build).toThrow('operator "times": is assignTimestamps and lies inside loop "loop"');
  });
});

describe("in a whole job", () => {
  let world: MemoryWorld;

  afterEach(() => world.close());

  test("windows and late records are those of a straight loop, with a worker lost on the way", async () => {
    const records = Array.from({ length: 4000 }, (_, number) => ({
      key: `k${number % 7}`,
      at: number * 3 + ((number * 7919) % 200),
    }));
    const expected = new Map<string, number>();
    let lateOnes = 0;
    let watermark = Number.NEGATIVE_INFINITY;
    for (const { key, at } of records) {
      const end = Math.floor(at / 100) * 100 + 100;
      if (end - 1 <= watermark) lateOnes++;
      else expected.set(`${key} ${end}`, (expected.get(`${key} ${end}`) ?? 0) + 1);
      watermark = Math.max(watermark, at - 100 - 1);
    }
    const log = new MemoryLog<Seen>();
    log.append(...records);
    const results = new MemorySinkTarget<string>();
    const late = new MemorySinkTarget<LateRecord<Seen>>();
    world = new MemoryWorld({
      recordsPerCheckpoint: 500,
      build(builder, created) {
        const counts = builder
          .source("in", created.paced(memorySource([log], { until: "end" })), { parallelism: 1 })
          .assignTimestamps(
            "times",
            { timestamp: ({ at }) => at, watermarks: boundedOutOfOrderness(100), watermarkInterval: 0 },
            { parallelism: 1 },
          )
          .keyBy(({ key }) => key)
          .window(tumblingWindows({ size: 100 }), { lateOutput: "late" })
          .aggregate("count", countOf, (count, { key, window }) => `${key} ${window.end} ${count}`);
        counts.sink("out", memorySink(results));
        counts.sideOutput("late").sink("late", memorySink(late));
      },
    });
    const first = await world.begins(0);
    await world.checkpoints(2);
    await world.replace(first);
    const report = await world.finished();
    expect(report.restarts).toBeGreaterThan(0);
    expect([...results.committed].sort()).toEqual(
      [...expected].map(([window, count]) => `${window} ${count}`).sort(),
    );
    expect(lateOnes).toBeGreaterThan(10);
    expect(late.committed).toHaveLength(lateOnes);
  });

  test("a subtask whose input had ended in front of the restored checkpoint is asked for no time", async () => {
    const records = Array.from({ length: 4000 }, (_, number) => ({ key: `k${number % 7}`, at: number }));
    const log = new MemoryLog<Seen>();
    log.append(...records);
    const few = new MemoryLog<Seen>();
    few.append({ key: "few", at: 1 });
    const results = new MemorySinkTarget<Seen>();
    world = new MemoryWorld({
      recordsPerCheckpoint: 500,
      build(builder, created) {
        const [ended, running] = [
          builder.source("few", memorySource([few], { until: "end" }), { parallelism: 1 }),
          builder.source("in", created.paced(memorySource([log], { until: "end" })), { parallelism: 1 }),
        ].map((stream, i) =>
          stream.assignTimestamps(`times${i}`, { ...byField, watermarkInterval: 10 }, { parallelism: 1 }),
        );
        ended!.union(running!).sink("out", memorySink(results));
      },
    });
    const first = await world.begins(0);
    await world.checkpoints(3);
    await world.replace(first);
    const report = await world.finished();
    expect(report.restarts).toBe(1);
    expect(results.committed).toHaveLength(records.length + 1);
  });
});
