/** Fast and slow sources of a whole job that wait for each other (P87). */
import { afterEach, expect, test } from "vitest";
import { MemorySinkTarget, memorySink } from "../../../../src/connectors/memory-sink.ts";
import { MemoryLog, memorySource } from "../../../../src/connectors/memory-source.ts";
import { ascendingTimestamps, type SourceOptions } from "../../../../src/index.ts";
import { MemoryWorld } from "../../../support/memory-world.ts";
import { until } from "../../../support/until.ts";

interface Timed {
  readonly of: string;
  readonly at: number;
}

const STEP_MS = 10;
const RECORDS = 30_000;
const DRIFT_MS = 1_000;
/** What a source reads before it looks again: twice a poll. */
const OVERSHOOT_MS = 2 * 128 * STEP_MS;

const options: SourceOptions<Timed> = {
  timestamp: ({ at }) => at,
  watermarks: ascendingTimestamps(),
  watermarkInterval: 0,
  alignment: { group: "all", maxDrift: DRIFT_MS, interval: "1 s" },
};

let world: MemoryWorld;

afterEach(() => world.close());

test.each([
  ["sources of a group", 2],
  ["splits of one subtask", 1],
])("the fast ones of %s wait for the slow one, and barriers pass", async (_, sources) => {
  const fast = new MemoryLog<Timed>();
  const slow = new MemoryLog<Timed>();
  fast.append(...Array.from({ length: RECORDS }, (_, i) => ({ of: "fast", at: i * STEP_MS })));
  const target = new MemorySinkTarget<Timed>();
  let seenMs = 0;
  world = new MemoryWorld({
    parallelism: 1,
    bounded: false,
    build(builder) {
      const streams = (sources === 1 ? [[fast, slow]] : [[fast], [slow]]).map((logs, i) =>
        builder.source(`in${i}`, memorySource(logs), options),
      );
      const all = streams[1] === undefined ? streams[0]! : streams[0]!.union(streams[1]);
      all
        .map("see", (record) => {
          if (record.of === "fast") seenMs = Math.max(seenMs, record.at);
          return record;
        })
        .filter("some", ({ at }) => at % 1000 === 0)
        .sink("out", memorySink(target));
    },
  });
  await world.begins(0);
  const waits = (fromMs: number) =>
    until(
      `fast waits behind ${fromMs}`,
      async () => {
        const report = await world.comesTo("a report", () => true);
        return seenMs >= fromMs && report.subtasks.some(({ paused }) => paused?.splits.includes("0"));
      },
      { describe: () => String(seenMs) },
    );
  for (const slowMs of [0, 20_000, 50_000]) {
    slow.append({ of: "slow", at: slowMs });
    await waits(slowMs);
    expect(seenMs).toBeLessThanOrEqual(slowMs + DRIFT_MS + OVERSHOOT_MS);
  }
  await world.checkpoints(2);
  expect(seenMs).toBeLessThanOrEqual(50_000 + DRIFT_MS + OVERSHOOT_MS);
  slow.append({ of: "slow", at: RECORDS * STEP_MS });
  await until("all is read", () => seenMs === (RECORDS - 1) * STEP_MS, { describe: () => String(seenMs) });
  expect(world.crashes).toEqual([]);
});
