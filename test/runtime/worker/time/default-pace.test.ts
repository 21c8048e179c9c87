/** Windows that are open while a job reads a backlog, with sources that keep pace by default and without (P80). */
import { afterEach, expect, test } from "vitest";
import { MemorySinkTarget, memorySink } from "../../../../src/connectors/memory-sink.ts";
import { MemoryLog, memorySource } from "../../../../src/connectors/memory-source.ts";
import { ascendingTimestamps, type SourceOptions, tumblingWindows } from "../../../../src/index.ts";
import { throttled } from "../../../support/graphs/throttled-source.ts";
import { MemoryWorld } from "../../../support/memory-world.ts";

interface Timed {
  readonly of: string;
  readonly at: number;
  readonly isLast: boolean;
}

const WINDOW_MS = 10_000;
const HOUR_MS = 3_600_000;
/** What each split has. */
const WINDOWS = HOUR_MS / WINDOW_MS;
const RECORDS_PER_SECOND = 20_000;

let world: MemoryWorld;
afterEach(() => world.close());

/** The log of one split: so many records, evenly over an hour. */
function logOf(of: string, records: number, fromHour = 0): MemoryLog<Timed> {
  const log = new MemoryLog<Timed>();
  for (let i = 0; i < records; i++) {
    const at = fromHour * HOUR_MS + Math.floor((i * HOUR_MS) / records);
    log.append({ of, at, isLast: i === records - 1 });
  }
  return log;
}

const total = (counts: ReadonlyMap<string, number>) =>
  [...counts.values()].reduce((sum, count) => sum + count, 0);

interface Run {
  /** How many windows were open at once. */
  readonly openMost: number;
  /** The splits that have waited. */
  readonly waited: ReadonlySet<string>;
  /** How many records of each other log were read when a log had been. */
  readonly readBeside: ReadonlyMap<string, number>;
}

/** Runs a job to its end; each subtask reads so many records a second. */
async function run(
  logs: readonly MemoryLog<Timed>[],
  { parallelism, ...options }: { readonly parallelism: number } & SourceOptions<Timed>,
): Promise<Run> {
  const open = new Set<string>();
  const [waited, read, readBeside] = [
    new Set<string>(),
    new Map<string, number>(),
    new Map<string, number>(),
  ];
  const source = throttled(memorySource(logs, { until: "end" }), { recordsPerSecond: RECORDS_PER_SECOND });
  let openMost = 0;
  let counted = 0;
  world = new MemoryWorld({
    parallelism,
    build: (builder) =>
      builder
        .source("in", source, {
          timestamp: ({ at }) => at,
          watermarks: ascendingTimestamps(),
          watermarkInterval: 10,
          ...options,
        })
        .map("see", (record) => {
          open.add(`${record.of} ${Math.floor(record.at / WINDOW_MS)}`);
          openMost = Math.max(openMost, open.size);
          const { of } = record;
          read.set(of, (read.get(of) ?? 0) + 1);
          if (record.isLast) readBeside.set(of, total(read) - read.get(of)!);
          return record;
        })
        .keyBy(({ of }) => of)
        .window(tumblingWindows({ size: WINDOW_MS }))
        .process("count", (records, { key, window }) => {
          open.delete(`${key} ${window.start / WINDOW_MS}`);
          counted += records.length;
          return records.length;
        })
        .sink("out", memorySink(new MemorySinkTarget<number>())),
  });
  await world.begins(0);
  await world.comesTo("all is read", ({ status, subtasks }) => {
    for (const { paused } of subtasks)
      for (const split of paused?.byDefault ? paused.splits : []) waited.add(split);
    return status === "finished";
  });
  await world.close();
  expect(counted).toBe(logs.reduce((sum, log) => sum + log.length, 0));
  return { openMost, waited, readBeside };
}

test("splits of one subtask: few windows are open at once, and all would be", async () => {
  const logs = () => [logOf("first", 30_000), logOf("second", 30_000)];
  const off = await run(logs(), { parallelism: 1, alignment: "off" });
  const kept = await run(logs(), { parallelism: 1 });
  expect(off.openMost).toBeGreaterThan(WINDOWS);
  expect(off.waited).toEqual(new Set());
  expect(kept.openMost).toBeLessThan(WINDOWS / 3);
  expect(kept.waited.size).toBeGreaterThan(0);
});

test("subtasks: one with few records waits for one with many, and only for as long as that reads", async () => {
  const logs = () => [logOf("few", 30_000), logOf("many", 90_000)];
  const off = await run(logs(), { parallelism: 2, alignment: "off" });
  const kept = await run(logs(), { parallelism: 2 });
  expect(off.openMost).toBeGreaterThan(WINDOWS / 2);
  expect(off.waited).toEqual(new Set());
  expect(kept.openMost).toBeLessThan(WINDOWS / 2.5);
  expect(kept.waited).toContain("0");
  expect(kept.readBeside.get("many")).toBeGreaterThan(0.8 * 30_000);
});

test("hours that do not overlap are read side by side by two subtasks", async () => {
  const kept = await run([logOf("early", 60_000), logOf("late", 60_000, 1)], { parallelism: 2 });
  expect(kept.readBeside.get("early")).toBeGreaterThan(0.6 * 60_000);
});
