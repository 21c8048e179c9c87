/** Joins in whole jobs: pairs are exact, with a worker lost on the way. */
import { afterEach, describe, expect, test } from "vitest";
import { figureLines } from "../../../src/cli/output/figures.ts";
import { MemorySinkTarget, memorySink } from "../../../src/connectors/memory-sink.ts";
import { MemoryLog, memorySource } from "../../../src/connectors/memory-source.ts";
import type { JobReport } from "../../../src/control/messages.ts";
import {
  boundedOutOfOrderness,
  type JobBuilder,
  type LateRecord,
  type Stream,
  tumblingWindows,
  type,
  valueState,
} from "../../../src/index.ts";
import { MemoryWorld } from "../../support/memory-world.ts";

interface Item {
  readonly key: number;
  readonly number: number;
  readonly time: number;
}

const KEYS = 40;
const DISORDER_MS = 50;
const RECORDS = 4000;

/** Records of one stream, out of order by less than `DISORDER_MS`. */
function itemsOf(stride: number): Item[] {
  return Array.from({ length: RECORDS }, (_, number) => ({
    key: (number * stride) % KEYS,
    number,
    time: number * 10 + ((number * 7919) % DISORDER_MS),
  }));
}

const lefts = itemsOf(7);
const rights = itemsOf(11);

let world: MemoryWorld;

afterEach(() => world.close());

function logOf<T>(items: readonly T[]): MemoryLog<T> {
  const log = new MemoryLog<T>();
  log.append(...items);
  return log;
}

function read(builder: JobBuilder, id: string, items: readonly Item[]): Stream<Item> {
  return builder.source(id, world.paced(memorySource([logOf(items)], { until: "end" })), {
    timestamp: ({ time }) => time,
    watermarks: boundedOutOfOrderness(DISORDER_MS),
    watermarkInterval: 0,
  });
}

async function runWithLoss(build: (builder: JobBuilder) => void): Promise<void> {
  world = new MemoryWorld({
    recordsPerCheckpoint: 800,
    build(builder, created) {
      world = created;
      build(builder);
    },
  });
  const first = await world.begins(0);
  await world.checkpoints(2);
  await world.replace(first);
  await world.finished();
}

describe("interval join", () => {
  test("each pair comes once, and none of an interval is missing", async () => {
    const pairs = new MemorySinkTarget<string>();
    const late = new MemorySinkTarget<LateRecord<Item>>();
    await runWithLoss((builder) => {
      const joined = read(builder, "left", lefts)
        .keyBy(({ key }) => key)
        .intervalJoin(read(builder, "right", rights).keyBy(({ key }) => key))
        .between("-1 s", "500 ms", { upperExclusive: true, lateLeftOutput: "late" })
        .process("joined", (left, right) => `${left.number} ${right.number}`);
      joined.sink("pairs", memorySink(pairs));
      joined.sideOutput("late").sink("late", memorySink(late));
    });
    const expected = lefts.flatMap((left) =>
      rights
        .filter(({ key, time }) => key === left.key && time >= left.time - 1000 && time < left.time + 500)
        .map((right) => `${left.number} ${right.number}`),
    );
    expect(expected.length).toBeGreaterThan(1000);
    expect([...pairs.committed].sort()).toEqual(expected.sort());
    expect(late.committed).toEqual([]);
  });
});

test("the job's report tells how many records were late at each operator, and how many timers wait", async () => {
  const at = (time: number): Item => ({ key: time, number: 0, time });
  const log = logOf([at(100_000), at(5), at(6), at(100_001)]);
  world = new MemoryWorld({
    bounded: false,
    build(builder) {
      const items = builder
        .source("items", memorySource([log]), {
          timestamp: ({ time }) => time,
          watermarks: boundedOutOfOrderness(1),
          watermarkInterval: 0,
          parallelism: 1,
        })
        .keyBy(({ key }) => key);
      items
        .window(tumblingWindows({ size: "1 s" }))
        .reduce("windowed", (one) => one)
        .sink("windows", memorySink(new MemorySinkTarget<Item>()));
      items
        .process("timed", {
          state: {},
          onRecord: (_, { timers }) => timers.registerEventTimer(1_000_000),
          onTimer() {},
        })
        .sink("timers", memorySink(new MemorySinkTarget<never>()));
    },
  });
  await world.begins(0);
  const sumOf = (report: JobReport, operator: string, figure: string) =>
    report.subtasks
      .flatMap(({ operators }) => operators)
      .filter((one) => one.operator === operator)
      .reduce((sum, { figures }) => sum + figures[figure]!, 0);
  const report = await world.comesTo("figures", (one) => sumOf(one, "timed", "eventTimers") === 4);
  await world.comesTo("late records", (one) => sumOf(one, "windowed", "late") === 2);
  expect(figureLines(report.subtasks)).toContain("figures      timed: event timers 4, processing timers 0");
});

describe("window join", () => {
  test("each pair of a window comes once", async () => {
    const pairs = new MemorySinkTarget<string>();
    await runWithLoss((builder) =>
      read(builder, "left", lefts)
        .keyBy(({ key }) => key)
        .join(read(builder, "right", rights).keyBy(({ key }) => key))
        .window(tumblingWindows({ size: "1 s" }))
        .process("joined", (left, right) => `${left.number} ${right.number}`)
        .sink("pairs", memorySink(pairs)),
    );
    const second = ({ time }: Item) => Math.floor(time / 1000);
    const expected = lefts.flatMap((left) =>
      rights
        .filter((right) => right.key === left.key && second(right) === second(left))
        .map((right) => `${left.number} ${right.number}`),
    );
    expect(expected.length).toBeGreaterThan(1000);
    expect([...pairs.committed].sort()).toEqual(expected.sort());
  });
});

describe("connect", () => {
  test("state and timers of a key are exact, whichever stream its records come from", async () => {
    const counts = new MemorySinkTarget<{
      readonly key: number;
      readonly first: number;
      readonly second: number;
    }>();
    const alarms = new MemorySinkTarget<number>();
    await runWithLoss((builder) => {
      const counted = read(builder, "left", lefts)
        .keyBy(({ key }) => key)
        .connect(read(builder, "right", rights).keyBy(({ key }) => key))
        .process("counted", {
          state: { first: valueState(0), second: valueState(0) },
          sideOutputs: { alarms: type<number>() },
          onFirst(_, { state, timers, timestamp }) {
            state.first.set(state.first.get() + 1);
            timers.registerEventTimer(timestamp);
          },
          onSecond(_, { state }) {
            state.second.set(state.second.get() + 1);
          },
          onTimer({ time }, { sideOutput }) {
            sideOutput("alarms", time);
          },
          onEnd: ({ key, state }) => ({ key, first: state.first.get(), second: state.second.get() }),
        });
      counted.sink("counts", memorySink(counts));
      counted.sideOutput("alarms").sink("alarms", memorySink(alarms));
    });
    const countOf = (items: readonly Item[], key: number) => items.filter((item) => item.key === key).length;
    const expected = Array.from({ length: KEYS }, (_, key) => ({
      key,
      first: countOf(lefts, key),
      second: countOf(rights, key),
    }));
    expect([...counts.committed].sort((a, b) => a.key - b.key)).toEqual(expected);
    const byTime = (a: number, b: number) => a - b;
    const timers = new Set(lefts.map(({ key, time }) => `${key} ${time}`));
    expect([...alarms.committed].sort(byTime)).toEqual(
      [...timers].map((timer) => Number(timer.split(" ")[1])).sort(byTime),
    );
  });
});
