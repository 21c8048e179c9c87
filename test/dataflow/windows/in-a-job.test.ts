/** Windows in a whole job: results and late records are those of a straight loop, with a worker lost on the way. */
import { afterEach, expect, test } from "vitest";
import { MemorySinkTarget, memorySink } from "../../../src/connectors/memory-sink.ts";
import { MemoryLog, memorySource } from "../../../src/connectors/memory-source.ts";
import {
  boundedOutOfOrderness,
  type JobBuilder,
  type LateRecord,
  sessionWindows,
  slidingWindows,
  tumblingWindows,
} from "../../../src/index.ts";
import { MemoryWorld } from "../../support/memory-world.ts";

interface View {
  readonly room: number;
  readonly number: number;
  readonly time: number;
}

const ROOMS = 40;
/** More than the watermarks allow for: some records are late. */
const DISORDER_MS = 400;
const BOUND_MS = 150;

const views = Array.from(
  { length: 6000 },
  (_, number): View => ({
    room: (number * 7) % ROOMS,
    number,
    time: number * 10 + ((number * 7919) % DISORDER_MS),
  }),
);

const countOf = {
  createAccumulator: () => 0,
  add: (count: number, _: View) => count + 1,
  merge: (count: number, later: number) => count + later,
  getResult: (count: number) => count,
};

/** What windows of `size` each `slide` come to, record by record, with a watermark behind each of them. */
function straightOn(size: number, slide: number) {
  const counts = new Map<string, number>();
  const late: number[] = [];
  let watermark = Number.NEGATIVE_INFINITY;
  for (const { room, number, time } of views) {
    let isTaken = false;
    for (let start = Math.floor(time / slide) * slide; start > time - size; start -= slide) {
      if (start + size - 1 <= watermark) continue;
      isTaken = true;
      const window = `${room} ${start + size}`;
      counts.set(window, (counts.get(window) ?? 0) + 1);
    }
    if (!isTaken) late.push(number);
    watermark = Math.max(watermark, time - BOUND_MS - 1);
  }
  return { results: [...counts].map(([window, count]) => `${window} ${count}`).sort(), late };
}

let world: MemoryWorld;

afterEach(() => world.close());

test("tumbling and sliding windows, and sessions, are exact, and so are their late records", async () => {
  const log = new MemoryLog<View>();
  log.append(...views);
  const targets = Object.fromEntries(
    ["tumbling", "sliding", "sessions"].map((name) => [
      name,
      { results: new MemorySinkTarget<string>(), late: new MemorySinkTarget<LateRecord<View>>() },
    ]),
  );
  world = new MemoryWorld({
    recordsPerCheckpoint: 800,
    build(builder: JobBuilder, created) {
      const rooms = builder
        .source("views", created.paced(memorySource([log], { until: "end" })), {
          timestamp: ({ time }) => time,
          watermarks: boundedOutOfOrderness(BOUND_MS),
          watermarkInterval: 0,
          // A second subtask would hold event time back until it is known to be idle.
          parallelism: 1,
        })
        .keyBy(({ room }) => room);
      const assigners = {
        tumbling: tumblingWindows({ size: 500 }),
        sliding: slidingWindows({ size: 1000, slide: 250 }),
        sessions: sessionWindows({ gap: 300 }),
      };
      for (const [name, assigner] of Object.entries(assigners)) {
        const counts = rooms
          .window(assigner, { lateOutput: "late" })
          .aggregate(name, countOf, (count, { key, window }) => `${key} ${window.end} ${count}`);
        counts.sink(`${name}-out`, memorySink(targets[name]!.results));
        counts.sideOutput("late").sink(`${name}-late`, memorySink(targets[name]!.late));
      }
    },
  });
  const first = await world.begins(0);
  await world.checkpoints(2);
  await world.replace(first);
  const report = await world.finished();
  expect(report.restarts).toBeGreaterThan(0);

  for (const [name, size, slide] of [["tumbling", 500, 500] as const, ["sliding", 1000, 250] as const]) {
    const expected = straightOn(size, slide);
    const { results, late } = targets[name]!;
    expect([...results.committed].sort()).toEqual(expected.results);
    expect(late.committed.map(({ value }) => value.number).sort((a, b) => a - b)).toEqual(expected.late);
  }
  expect(targets.tumbling!.late.committed.length).toBeGreaterThan(10);
  const { results, late } = targets.sessions!;
  const inSessions = results.committed.reduce((sum, result) => sum + Number(result.split(" ")[2]), 0);
  expect(inSessions + late.committed.length).toBe(views.length);
});
