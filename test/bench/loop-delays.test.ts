import { expect, test } from "vitest";
import type { FeedEvent } from "../../src/observe/feed.ts";
import { loopDelaysOf } from "./processes/loop-delays-report.ts";

function event(t: number, name: string, effects: string[] = [], role = "subtask"): FeedEvent {
  return { t, job: "j", generation: 1, role, id: "count/0", event: name, from: "", to: "", effects };
}

const line = (idle: boolean, ...delays: [number, number][]) => `loop ${JSON.stringify({ idle, delays })}`;

/** Five snapshots, which are warm-up, and one more from 1000 to 1010. */
const events = [
  ...[1, 2, 3, 4, 5].flatMap((n) => [
    event(100 * n, "barrier.aligned", ["take.snapshot"]),
    event(100 * n + 10, "snapshot.stored"),
  ]),
  event(1000, "barrier.aligned", ["emit.barrier", "take.snapshot"]),
  event(1005, "checkpoint.completed", [], "coordinator"),
  event(1010, "snapshot.stored"),
];

test("delays are sorted by what the worker did when they ended", () => {
  const lines = [
    line(true, [1, 0.1], [2, 0.3]),
    "mark {}",
    line(false, [50, 900], [105, 900]),
    line(false, [600, 1], [999, 2], [1000, 70], [1009, 60], [1010, 3]),
  ];
  expect(loopDelaysOf(lines, events)).toEqual({
    idle: { p50Ms: 0.3, p99Ms: 0.3, maxMs: 0.3 },
    running: { p50Ms: 2, p99Ms: 3, maxMs: 3 },
    snapshotting: { p50Ms: 70, p99Ms: 70, maxMs: 70 },
  });
});

test("where nothing was seen there is no number", () => {
  expect(loopDelaysOf([line(false, [1500, 4])], events)).toMatchObject({
    running: { p99Ms: 4 },
    snapshotting: { p99Ms: Number.NaN },
  });
});
