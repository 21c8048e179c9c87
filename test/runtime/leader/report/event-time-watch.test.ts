/** Event time that stands while records come is told, once. */
import { beforeEach, expect, test } from "vitest";
import type { SubtaskReport } from "../../../../src/control/messages.ts";
import type { FeedEvent } from "../../../../src/observe/feed.ts";
import { EventTimeWatch } from "../../../../src/runtime/leader/report/event-time-watch.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

const MINUTE = 60_000;

let clock: ManualClock;
let events: FeedEvent[];
let warnings: string[];
let subtask: SubtaskReport;
let watch: EventTimeWatch;

beforeEach(() => {
  clock = new ManualClock();
  events = [];
  warnings = [];
  subtask = {
    subtask: "in/0",
    generation: 1,
    worker: "w",
    state: "running",
    recordsIn: 0,
    skipped: null,
    operators: [],
    checkpoints: [],
  };
  const quiet = (): void => {};
  watch = new EventTimeWatch({
    job: "j",
    clock,
    feed: { publish: (event) => void events.push(event) },
    logger: { debug: quiet, info: quiet, error: quiet, warn: (_, text) => void warnings.push(text) },
    record: () => ({
      generation: 3,
      plan: {
        vertices: [{ id: "in", parallelism: 1, operators: [{ id: "in", kind: "source", inputs: [] }] }],
        edges: [],
        maxParallelism: 128,
      },
    }),
    subtasks: () => [subtask],
  });
});

/** The subtask has come to a watermark. */
function comesTo(watermark: number | null): void {
  const standing = { watermark, sinceMs: clock.nowMs() };
  const hold = { ...standing, split: "eu", reason: "noRecord" } as const;
  subtask = {
    ...subtask,
    eventTime: { ...standing, makesWatermarks: true, status: "active", holds: [hold] },
  };
}

/** Time passes, and workers are heard meanwhile. */
function passes(ms: number, records: number): void {
  for (let passed = 0; passed < ms; passed += 1000) {
    clock.advance(1000);
    subtask = { ...subtask, recordsIn: subtask.recordsIn + (records * 1000) / ms };
    watch.look();
  }
}

test("after five minutes with its holder, once, and again when it has moved and stands again", () => {
  comesTo(null);
  passes(5 * MINUTE - 20_000, 100);
  expect(events).toEqual([]);
  passes(40_000, 100);
  expect(events).toMatchObject([
    {
      job: "j",
      generation: 3,
      role: "job",
      id: "in/0",
      event: "watermark.held",
      operator: "in",
      subtask: "in/0",
      split: "eu",
      reason: "noRecord",
      watermark: null,
    },
  ]);
  expect(warnings).toEqual(['event time does not go on: "tidemark doctor j" says why']);
  passes(20 * MINUTE, 100);
  expect(events).toHaveLength(1);
  comesTo(1000);
  passes(6 * MINUTE, 100);
  expect(events).toMatchObject([{ watermark: null }, { watermark: 1000 }]);
});

test("not while no records come: a job without input has nothing to wait for", () => {
  comesTo(1000);
  passes(60 * MINUTE, 0);
  expect(events).toEqual([]);
  passes(MINUTE, 1);
  expect(events).toHaveLength(1);
});

test("a restart that counts records anew tells nothing twice, and misses nothing", () => {
  subtask = { ...subtask, recordsIn: 1_000_000 };
  comesTo(1000);
  passes(MINUTE, 10);
  subtask = { ...subtask, recordsIn: 0 };
  passes(5 * MINUTE, 10);
  expect(events).toHaveLength(1);
  subtask = { ...subtask, recordsIn: 0 };
  passes(10 * MINUTE, 10);
  expect(events).toHaveLength(1);
});
