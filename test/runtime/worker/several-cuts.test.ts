/** Checkpoints that come while the state at an older barrier is still being read: all of them complete (P47). */
import { afterEach, describe, expect, test } from "vitest";
import { memorySink } from "../../../src/connectors/memory-sink.ts";
import { memorySource } from "../../../src/connectors/memory-source.ts";
import type { JobReport, SnapshotRequest } from "../../../src/control/messages.ts";
import type { JobBuilder } from "../../../src/job/builder.ts";
import { wordCountWithBallast } from "../../support/graphs/word-count.ts";
import { latch } from "../../support/latch.ts";
import { countWords, MemoryWorld, snapshotRequest, type WorldOptions } from "../../support/memory-world.ts";
import { patientSignal } from "../../support/suite/patience.ts";

const NEVER_MS = 3_600_000;
/** State of 20 MB: takes several turns to encode. */
const BALLAST = "x".repeat(40_000);

/** The usual job, except that each key has much state: more than may wait for the storage. */
function countWithBallast(builder: JobBuilder, { logs, target, bounded }: MemoryWorld): void {
  wordCountWithBallast(
    builder,
    memorySource(logs, bounded ? { until: "end" } : {}),
    memorySink(target),
    BALLAST,
  );
}

let world: MemoryWorld;
let asked = 0;
afterEach(() => world.close());

async function started(options: WorldOptions): Promise<void> {
  world = new MemoryWorld({ build: countWithBallast, ...options });
  await world.begins(4000);
  await world.runs();
}

const isState = (name: string) => !name.endsWith("/manifest");

/** Objects of state are not written before this is opened. */
function slowStorage(isSlow: (name: string) => boolean = isState) {
  const { opened, open } = latch();
  world.beforePut = (name) => (isSlow(name) ? opened : Promise.resolve());
  return { open };
}

const takesCheckpoint = () =>
  world.client().snapshot(snapshotRequest({ request: `w${++asked}`, kind: "checkpoint" }), patientSignal());

const takesSavepoint = (followedBy: SnapshotRequest["followedBy"] = "go-on") =>
  world
    .client()
    .snapshot(
      snapshotRequest({ request: `w${++asked}`, kind: "savepoint", directory: "/savepoints", followedBy }),
      patientSignal(),
    );

/** Two checkpoints are under way, and the counts have cut their state for both. */
const cutsTwice = () =>
  world.comesTo("the state is cut twice", ({ checkpoints }) => {
    const phases = phasesOfCounts(checkpoints).filter((phase) => phase === STORING);
    return phases.length >= 2;
  });

const STORING = "storing its state";

/** What is said of one subtask, for each pending checkpoint. */
const phasesOfCounts = ({ pending }: JobReport["checkpoints"]): string[] =>
  pending.flatMap(({ missing }) =>
    missing.filter(({ subtask }) => subtask === "count/0").map(({ phase }) => phase),
  );

const recordsOfCounts = ({ subtasks }: JobReport): number =>
  subtasks.reduce((sum, { subtask, recordsIn }) => (subtask.startsWith("count") ? sum + recordsIn : sum), 0);

const OVER = new Set<string>(["subsumed", "job-stopped"]);

async function nothingDeclined(): Promise<void> {
  const report = await world.client().status("words");
  // A newer one may be decided first, and a client that stops a job interrupts the interval's.
  const failed = report?.checkpoints.failed.filter(({ reason }) => !OVER.has(reason));
  expect(failed).toEqual([]);
  expect(world.crashes).toEqual([]);
}

describe("several checkpoints at a time, storage that is slow", () => {
  test.each([2, 3])("%d: all complete, and a worker that is lost costs nothing", async (maxConcurrent) => {
    await started({
      interval: "20 ms",
      checkpointing: { maxConcurrent },
      bounded: false,
    });
    world.beforePut = async (name) => {
      if (isState(name)) await new Promise((resolve) => setTimeout(resolve, 100));
    };
    let together = 0;
    await world.comesTo("checkpoints complete", ({ checkpoints: { completed, pending } }) => {
      together = Math.max(together, pending.length);
      return completed >= 6;
    });
    expect(together).toBe(maxConcurrent);
    await nothingDeclined();
    await world.replace(world.firstWorker);
    world.fill(1000);
    await world.comesTo("it has restarted", ({ generation }) => generation > 1);
    await world.allCommitted();
  });
});

describe("a savepoint", () => {
  test("is complete although a periodic checkpoint is being read, and restores what was before its barrier", async () => {
    await started({ interval: "50 ms", bounded: false });
    const storage = slowStorage();
    await world.comesTo("a checkpoint is under way", ({ checkpoints }) => checkpoints.pending.length === 1);
    const savepoint = takesSavepoint("stop");
    await cutsTwice();
    // Behind its barrier, so none of its concern.
    world.fill(1000);
    storage.open();
    const { location } = await savepoint;
    await world.ends("stopped");
    await nothingDeclined();
    await world.submit({ location: String(location), mode: "no-claim", drop: [], writeAgain: false });
    await world.allCommitted();
  });

  test("is complete although another one is being read", async () => {
    await started({ interval: "1 h", bounded: false });
    const storage = slowStorage();
    const first = takesSavepoint();
    await world.comesTo("it is under way", ({ checkpoints }) => checkpoints.pending.length === 1);
    const second = takesSavepoint();
    const third = takesSavepoint();
    // None waits for another one.
    await world.comesTo("all three are cut", ({ checkpoints }) => {
      const phases = phasesOfCounts(checkpoints);
      return phases.length === 3 && phases.every((phase) => phase === STORING);
    });
    // And records go on.
    world.fill(500);
    await world.comesTo("all records are taken", (report) => recordsOfCounts(report) === 4500);
    storage.open();
    const locations = await Promise.all([first, second, third]);
    expect(new Set(locations.map(({ location }) => location)).size).toBe(3);
    await nothingDeclined();
    await world.allCommitted();
  });

  test("is complete although its trigger is lost on the way, and a newer one is not", async () => {
    let lost = 1;
    let losing = false;
    const drop = (subject: string) => losing && subject.includes(".worker.") && lost-- > 0;
    await started({ interval: "1 h", checkpointing: { savepointTimeoutMs: NEVER_MS }, bounded: false, drop });
    losing = true;
    await Promise.all([takesSavepoint(), takesSavepoint()]);
    expect(lost).toBeLessThanOrEqual(0);
    await nothingDeclined();
  });

  test("is complete although an older checkpoint beside it expires", async () => {
    const checkpointing = { timeoutMs: 2000, savepointTimeoutMs: NEVER_MS, tolerableFailures: null };
    await started({ interval: "50 ms", checkpointing, bounded: false });
    let stuck: string | undefined;
    world.beforePut = (name) => {
      if (!isState(name)) return Promise.resolve();
      stuck ??= name.split("/")[3]!;
      return name.includes(`/${stuck}/`) ? new Promise(() => {}) : Promise.resolve();
    };
    await world.comesTo("a checkpoint is stuck", () => stuck !== undefined);
    await takesSavepoint();
    await world.comesTo("the stuck one expires", ({ checkpoints }) => checkpoints.failed.length > 0);
    const report = await world.client().status("words");
    expect(new Set(report?.checkpoints.failed.map(({ reason }) => reason))).toEqual(new Set(["expired"]));
    world.beforePut = async () => {};
    await world.allCommitted();
  });
});

test("a checkpoint that is asked for is complete when a newer one is decided first", async () => {
  await started({ interval: "1 h", checkpointing: { maxConcurrent: 2 }, bounded: false, build: countWords });
  const storage = slowStorage((name) => name.includes("/checkpoint-1/"));
  const first = takesCheckpoint();
  await world.comesTo("it is under way", ({ checkpoints }) => checkpoints.pending.length === 1);
  const second = await takesCheckpoint();
  expect(await first).toEqual(second);
  storage.open();
});
