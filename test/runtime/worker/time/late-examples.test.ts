/** Late records of a whole job: each operator that does not take one tells an example, and how many there were. */
import { afterEach, expect, test } from "vitest";
import { latenessOf } from "../../../../src/cli/output/lateness.ts";
import { MemorySinkTarget, memorySink } from "../../../../src/connectors/memory-sink.ts";
import { MemoryLog, memorySource } from "../../../../src/connectors/memory-source.ts";
import { boundedOutOfOrderness, type JobBuilder, tumblingWindows } from "../../../../src/index.ts";
import { MemoryWorld } from "../../../support/memory-world.ts";
import { until } from "../../../support/until.ts";

interface Item {
  readonly user: string;
  readonly at: number;
}

let world: MemoryWorld;

afterEach(() => world.close());

const LATE = 5;
const times = [100_000, 50_000, 40, 30, 20, 10, 120_000];

/** Two streams of one user, each with five late records behind the first one. */
function readTwo(builder: JobBuilder, until?: "end") {
  const read = (id: string) => {
    const log = new MemoryLog<Item>();
    log.append(...times.map((at) => ({ user: "alice", at })));
    return builder
      .source(id, memorySource([log], until && { until }), {
        timestamp: ({ at }) => at,
        watermarks: boundedOutOfOrderness("1 s"),
        watermarkInterval: 0,
        parallelism: 1,
      })
      .keyBy(({ user }) => user);
  };
  return { left: read("left"), right: read("right") };
}

const into = () => memorySink(new MemorySinkTarget<unknown>());

test("windows and joins of all kinds tell an example without what it holds, and at the end the last one", async () => {
  world = new MemoryWorld({
    parallelism: 1,
    build(builder) {
      const { left, right } = readTwo(builder, "end");
      left
        .window(tumblingWindows({ size: "1 s" }))
        .reduce("windowed", (one) => one)
        .sink("windows", into());
      left
        .join(right)
        .window(tumblingWindows({ size: "1 s" }))
        .process("joined", (one) => one)
        .sink("joins", into());
      left
        .intervalJoin(right)
        .between("-1 s", "1 s")
        .process("near", (one) => one)
        .sink("pairs", into());
      left
        .versionedJoin(right)
        .process("rated", (one) => one)
        .sink("rates", into());
    },
  });
  await world.begins(0);
  await world.finished();
  const told = (operator: string) =>
    world.events.filter((event) => event.event === "record.late" && event.operator === operator);
  for (const operator of ["windowed", "joined", "near", "rated"]) {
    const [first, ...later] = told(operator);
    expect(first).toMatchObject({ role: "operator", records: 1, lateByMs: expect.any(Number) });
    expect(first!.keyGroup).toEqual(expect.any(Number));
    expect(first!.record).toContain("user: a text of 5 characters, at: a number");
    // Both streams of a join may be ahead of each other.
    expect(later.length).toBe(1);
    expect(later[0]!.records).toBeGreaterThan(1);
    expect(later[0]!.records).toBeLessThanOrEqual(2 * LATE);
  }
  const [first] = told("windowed");
  expect(first).toMatchObject({
    id: "left/0",
    timestamp: 50_000,
    watermark: 98_999,
    lateByMs: 48_999,
    neededMs: 48_001,
  });
  expect(told("windowed").at(-1)).toMatchObject({ records: LATE, timestamp: 10 });
  expect(JSON.stringify(world.events)).not.toContain("alice");
});

test("the job's report tells how late they were, by operator", async () => {
  world = new MemoryWorld({
    parallelism: 2,
    bounded: false,
    build(builder) {
      const { left, right } = readTwo(builder);
      left
        .window(tumblingWindows({ size: "1 s" }), { allowedLateness: "60 s" })
        .reduce("windowed", (one) => one)
        .sink("windows", into());
      left
        .intervalJoin(right)
        .between("-1 s", "1 s")
        .process("near", (one) => one)
        .sink("pairs", into());
    },
  });
  await world.begins(0);
  const report = await world.comesTo("late records", ({ subtasks }) => {
    const [windowed] = latenessOf(subtasks).filter(({ operator }) => operator === "windowed");
    return windowed?.records === LATE;
  });
  const [windowed] = latenessOf(report.subtasks).filter(({ operator }) => operator === "windowed");
  expect(windowed).toMatchObject({ notTaken: 4, maxMs: 98_001, p99Ms: 98_001, allowedMs: 60_000 });
  await until("late records of the join", async () => {
    const { subtasks } = await world.comesTo("a report", () => true);
    return latenessOf(subtasks).some(
      ({ operator, records, allowedMs }) => operator === "near" && records >= LATE && allowedMs === undefined,
    );
  });
});
