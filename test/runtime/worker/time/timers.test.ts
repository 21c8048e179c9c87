/** Timers of whole jobs, with a worker lost on the way (P78). */
import { afterEach, expect, test } from "vitest";
import { MemorySinkTarget, memorySink } from "../../../../src/connectors/memory-sink.ts";
import { memorySource } from "../../../../src/connectors/memory-source.ts";
import { ascendingTimestamps } from "../../../../src/job/time/watermarks.ts";
import { valueState } from "../../../../src/state/descriptor.ts";
import type { Count } from "../../../support/graphs/word-count.ts";
import { MemoryWorld } from "../../../support/memory-world.ts";
import { until } from "../../../support/until.ts";

let world: MemoryWorld;

afterEach(() => world.close());

const WORDS = 60;
const RECORDS = 12_000;
const LATER = 55;

const timeOf = (line: string) => Number(line.split(" ")[1]);
const wordOf = (line: string) => line.split(" ")[0]!;

test("each event timer fires once, with its own time and in order, although a worker is lost", async () => {
  const target = new MemorySinkTarget<Count>();
  world = new MemoryWorld({
    recordsPerCheckpoint: 800,
    build: (builder, built) =>
      builder
        .source("log", built.paced(memorySource(built.logs, { until: "end" })), {
          timestamp: timeOf,
          watermarks: ascendingTimestamps(),
          watermarkInterval: 1,
        })
        .keyBy(wordOf)
        .process("later", {
          state: {},
          onRecord(line, { timers, timestamp }) {
            timers.registerEventTimer(timestamp + LATER);
            if (timeOf(line) % 3 === 0) timers.deleteEventTimer(timestamp + LATER);
          },
          onTimer: ({ time }, { key }): Count => ({ word: key, count: time }),
        })
        .sink("out", memorySink(target)),
  });
  const expected: string[] = [];
  for (let i = 0; i < RECORDS; i++) {
    const word = `w${(i * 7919) % WORDS}`;
    world.logs[i % 2]!.append(`${word} ${i}`);
    if (i % 3 !== 0) expected.push(`${word} ${i + LATER}`);
  }
  world.startCoordinator();
  const [first] = await Promise.all([world.startWorker(), world.startWorker()]);
  await world.submit();
  await world.checkpoints(2);
  await world.replace(first);
  const report = await world.finished();
  expect(report.restarts).toBeGreaterThan(0);
  expect(target.committed.map(({ word, count }) => `${word} ${count}`).sort()).toEqual(expected.sort());
  const last = new Map<string, number>();
  for (const { word, count } of target.committed) {
    expect(count).toBeGreaterThan(last.get(word) ?? -1);
    last.set(word, count);
  }
  expect(world.crashes).toEqual([]);
});

test("each processing-time timer fires once, although a worker is lost while they are pending", async () => {
  const target = new MemorySinkTarget<Count>();
  world = new MemoryWorld({
    bounded: false,
    build: (builder, { logs }) =>
      builder
        .source("log", memorySource(logs, {}))
        .keyBy((word) => word)
        .process("later", {
          state: { fired: valueState(0), registered: valueState(false) },
          onRecord(_, { state, timers, currentProcessingTime }) {
            if (state.registered.get()) return;
            state.registered.set(true);
            timers.registerProcessingTimer(currentProcessingTime + 600);
            timers.registerProcessingTimer(currentProcessingTime + 700, "again");
          },
          onTimer(_, { key, state }): Count {
            state.fired.set(state.fired.get() + 1);
            return { word: key, count: state.fired.get() };
          },
        })
        .sink("out", memorySink(target)),
  });
  const first = await world.begins(4000);
  await world.checkpoints(2);
  await world.replace(first);
  await until("all timers have fired", () => target.committed.length >= 1000 || undefined, {
    everyMs: 5,
    describe: () => `${target.committed.length}`,
  });
  await world.checkpoints(world.events.filter(({ role }) => role === "coordinator").length + 2);
  const counts = new Map<string, number[]>();
  for (const { word, count } of target.committed) counts.set(word, [...(counts.get(word) ?? []), count]);
  expect(counts.size).toBe(500);
  for (const each of counts.values()) expect(each).toEqual([1, 2]);
  expect(world.crashes).toEqual([]);
});
