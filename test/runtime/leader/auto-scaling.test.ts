/** A job that scales by itself, under a scripted load: what its leader asks for, and what the feed says. */
import { beforeEach, expect, test } from "vitest";
import type { JobRecord, ScalingConfig } from "../../../machines/protocol.ts";
import type { LeaderAnswer, SubtaskReport } from "../../../src/control/messages.ts";
import type { RescaleRequest } from "../../../src/control/requests/rescale.ts";
import type { EventFeed } from "../../../src/observe/feed.ts";
import { AutoScaling } from "../../../src/runtime/leader/rescale/auto-scaling.ts";
import { jobRecord } from "../../support/job-record.ts";
import { ManualClock, settled } from "../../support/manual-clock.ts";

const config: ScalingConfig = { min: 1, max: null, target: 0.7, windowMs: 5_000, cooldownMs: 10_000 };

class World {
  readonly clock = new ManualClock();
  readonly leadership = new AbortController();
  readonly asked: RescaleRequest[] = [];
  readonly told: unknown[] = [];
  answer: LeaderAnswer = { answer: "pending" };
  phase = "running.processing";
  slots = 4;
  record: JobRecord;
  /** The part of a second that each subtask is busy, by subtask; and what the sources have left. */
  busy: Record<string, number> = { "lines/0": 0.1, "count/0": 0.2, "count/1": 0.2 };
  pending: number | undefined = 0;
  readonly #busyMs = new Map<string, number>();

  constructor(change: Partial<JobRecord> = {}) {
    const plan = {
      vertices: [
        { id: "lines", parallelism: 1, operators: [{ id: "lines" }] },
        { id: "count", parallelism: 2, operators: [{ id: "count" }] },
      ],
      edges: [],
      maxParallelism: 128,
    } as unknown as JobRecord["plan"];
    this.record = { ...jobRecord({ generation: 3 }), plan, ...change };
    const feed = {
      publish: ({ event, parallelism, reason }: Record<string, unknown>) =>
        void this.told.push([event, parallelism, reason]),
    } as unknown as EventFeed;
    const ignore = () => {};
    new AutoScaling(config, {
      job: "words",
      clock: this.clock,
      logger: { debug: ignore, info: ignore, warn: ignore, error: ignore } as never,
      feed,
      newId: () => `request-${this.asked.length}`,
      signal: this.leadership.signal,
      record: () => this.record,
      phase: () => this.phase,
      slots: () => this.slots,
      subtasks: () => this.#reports(),
      rescale: async (request) => {
        this.asked.push(request);
        return this.answer;
      },
    }).start();
  }

  async seconds(count: number): Promise<void> {
    for (let second = 0; second < count; second++) {
      for (const [subtask, part] of Object.entries(this.busy))
        this.#busyMs.set(subtask, (this.#busyMs.get(subtask) ?? 0) + part * 1000);
      this.clock.advance(1000);
      await settled();
    }
  }

  /** The first worker has a subtask of each operator. */
  #reports(): SubtaskReport[] {
    return Object.keys(this.busy).map((subtask) => {
      const pending = subtask === "lines/0" && this.pending !== undefined ? { pending: this.pending } : {};
      const load = { busyMs: this.#busyMs.get(subtask) ?? 0, backPressuredMs: 0, ...pending };
      const worker = subtask.endsWith("/0") ? "a" : "b";
      return { subtask, generation: 3, worker, load } as unknown as SubtaskReport;
    });
  }
}

let world: World;
beforeEach(() => {
  world = new World();
});

test("a busy worker leads to more subtasks, of the operators that have most, after the pause and a window", async () => {
  world.busy = { "lines/0": 0.4, "count/0": 0.6, "count/1": 0.3 };
  await world.seconds(9);
  expect(world.asked).toEqual([]);
  await world.seconds(2);
  const reason = "the busiest worker was busy for 100 % of 5 s; sources had 0 records left to read, then 0";
  expect(world.asked[0]).toEqual({
    type: "job.rescale",
    job: "words",
    request: "request-0",
    parallelism: 3,
    operators: { lines: 1 },
  });
  expect(world.told).toEqual([["scaling.decided", 3, reason]]);
  // It asks until it has an answer, and for nothing else meanwhile.
  await world.seconds(3);
  expect(new Set(world.asked.map(({ request }) => request))).toEqual(new Set(["request-0"]));
  world.leadership.abort();
  const asked = world.asked.length;
  await world.seconds(30);
  expect(world.asked).toHaveLength(asked);
});

test("what is refused is told, and not asked for again for ten pauses", async () => {
  world.answer = { answer: "refused", reason: "its sink says no" };
  world.busy = { "count/0": 1, "count/1": 1 };
  await world.seconds(12);
  expect(world.asked).toHaveLength(1);
  expect(world.told.at(-1)).toEqual(["scaling.refused", 3, "its sink says no"]);
  await world.seconds(97);
  expect(world.asked).toHaveLength(1);
  await world.seconds(5);
  expect(world.asked).toHaveLength(2);
});

test("a job that went back behind its last rescale waits for ten pauses", async () => {
  const rescale = { request: "r", state: "failed", reason: "it did not come up", atMs: 0 } as const;
  world = new World({ rescale });
  world.busy = { "count/0": 1, "count/1": 1 };
  await world.seconds(98);
  expect(world.asked).toEqual([]);
  await world.seconds(3);
  expect(world.asked[0]).toMatchObject({ parallelism: 3 });
});

test("what was measured before the job ran, or while it restored, counts for nothing", async () => {
  world.busy = { "count/0": 1, "count/1": 1 };
  world.phase = "recovering";
  await world.seconds(30);
  expect(world.asked).toEqual([]);
  world.phase = "running.processing";
  await world.seconds(4);
  expect(world.asked).toEqual([]);
  await world.seconds(2);
  expect(world.asked[0]).toMatchObject({ parallelism: 3 });
});

test("hardly busy workers lead to fewer subtasks", async () => {
  world.busy = { "lines/0": 0.05, "count/0": 0.1, "count/1": 0.1 };
  await world.seconds(22);
  expect(world.asked[0]).toMatchObject({ parallelism: 1 });
});
