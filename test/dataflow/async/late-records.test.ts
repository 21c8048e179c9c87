/**
 * Event time behind requests, in a whole job: answers come in any order, and yet what windows count, and what is late,
 * are those of a straight loop over the records. A worker is lost on the way.
 */
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import { MemorySinkTarget, memorySink } from "../../../src/connectors/memory-sink.ts";
import { MemoryLog, memorySource } from "../../../src/connectors/memory-source.ts";
import { boundedOutOfOrderness, type LateRecord, tumblingWindows } from "../../../src/index.ts";
import { MemoryWorld } from "../../support/memory-world.ts";

interface View {
  readonly room: number;
  readonly number: number;
  readonly time: number;
}

const ROOMS = 7;
const SIZE_MS = 500;
/** More than the watermarks allow for: some records are late. */
const DISORDER_MS = 400;
const BOUND_MS = 150;

const views = Array.from({ length: 2500 }, (_, number): View => {
  const time = number * 10 + ((number * 7919) % DISORDER_MS);
  return { room: (number * 3) % ROOMS, number, time };
});

function expected() {
  const counts = new Map<string, number>();
  const late: number[] = [];
  let watermark = Number.NEGATIVE_INFINITY;
  for (const { room, number, time } of views) {
    const end = Math.floor(time / SIZE_MS) * SIZE_MS + SIZE_MS;
    const window = `${room} ${end}`;
    if (end - 1 <= watermark) late.push(number);
    else counts.set(window, (counts.get(window) ?? 0) + 1);
    watermark = Math.max(watermark, time - BOUND_MS - 1);
  }
  return { results: [...counts].map(([window, count]) => `${window} ${count}`).sort(), late };
}

const count = {
  createAccumulator: () => 0,
  add: (sum: number, _: View) => sum + 1,
  merge: (sum: number, more: number) => sum + more,
  getResult: (sum: number) => sum,
};

let world: MemoryWorld;

afterEach(() => world.close());

test("windows behind requests are exact in every mode, and so are their late records", async () => {
  let asked = 0;
  const request = async (view: View) => {
    for (let turns = ++asked % 5; turns > 0; turns--) await turn();
    return view;
  };
  const log = new MemoryLog<View>();
  log.append(...views);
  const modes = ["ordered", "unordered", "perKey"] as const;
  const targets = modes.map((mode) => ({
    mode,
    results: new MemorySinkTarget<string>(),
    late: new MemorySinkTarget<LateRecord<View>>(),
  }));
  world = new MemoryWorld({
    recordsPerCheckpoint: 400,
    build(builder, created) {
      const read = builder.source("views", created.paced(memorySource([log], { until: "end" })), {
        timestamp: ({ time }) => time,
        watermarks: boundedOutOfOrderness(BOUND_MS),
        watermarkInterval: 0,
        parallelism: 1,
      });
      for (const { mode, results, late } of targets) {
        // In one subtask: of several the slowest one would hold event time back, and fewer records would be late.
        const one = { parallelism: 1 };
        const seen =
          mode === "perKey"
            ? read.keyBy(({ room }) => room).async(mode, { request, capacity: 30 }, one)
            : read.async(mode, { request, mode, capacity: 30 }, one);
        const counts = seen
          .keyBy(({ room }) => room)
          .window(tumblingWindows({ size: SIZE_MS }), { lateOutput: "late" })
          .aggregate(`${mode}-count`, count, (sum, { key, window }) => `${key} ${window.end} ${sum}`);
        counts.sink(`${mode}-out`, memorySink(results));
        counts.sideOutput("late").sink(`${mode}-late`, memorySink(late));
      }
    },
  });
  const first = await world.begins(0);
  await world.checkpoints(2);
  await world.replace(first);
  const report = await world.finished();
  expect(report.restarts).toBeGreaterThan(0);
  expect(asked).toBeGreaterThan(modes.length * views.length);
  const { results, late } = expected();
  expect(late.length).toBeGreaterThan(10);
  for (const { results: counted, late: told } of targets) {
    expect([...counted.committed].sort()).toEqual(results);
    expect(told.committed.map(({ value }) => value.number).sort((a, b) => a - b)).toEqual(late);
  }
});
