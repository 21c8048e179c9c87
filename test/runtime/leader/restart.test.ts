/** Machines over time: the real host and machines, a clock that the test moves. */
import { describe, expect, it } from "vitest";
import { checkpointingMachine } from "../../../machines/leader/checkpoints/checkpointing.ts";
import { jobMachine } from "../../../machines/leader/job.ts";
import type { RecordFacts } from "../../../machines/leader/job-events.ts";
import { restartMachine } from "../../../machines/leader/restart.ts";
import type { RestartStrategy } from "../../../machines/protocol.ts";
import { Host } from "../../../src/runtime/actor.ts";
import { ManualClock, settled } from "../../support/manual-clock.ts";

/** A job of one subtask whose record answers at once; the test says when it fails. */
class World {
  readonly clock = new ManualClock(0);
  readonly deployedAtMs: number[] = [];
  readonly statuses: string[] = [];
  readonly crashes: unknown[] = [];
  chance = 0;
  #facts: RecordFacts = {
    generation: 0,
    generations: [],
    status: "created",
    settleTo: null,
    reservedCheckpointId: 0,
    completed: 0,
    allFinished: false,
  };
  readonly host: Host;

  constructor(strategy: RestartStrategy) {
    this.host = new Host({ clock: this.clock, onCrash: (error) => this.crashes.push(error) });
    const store = async (some: Partial<RecordFacts>) => {
      this.#facts = { ...this.#facts, ...some };
      return { type: "record.stored", facts: this.#facts } as const;
    };
    this.host.start({
      id: "job",
      machine: jobMachine,
      input: { regions: [["count/0"]], deployTimeoutMs: 120_000, settleRetryMs: 500 },
      handlers: {
        "store.claim": () => store({}),
        "start.policies": () =>
          this.host.start({ id: "restart", machine: restartMachine, input: { strategy }, handlers: {} }),
        "plan.recovery": (_, answer) => answer({ type: "recovery.planned" }),
        "await.slots": (_, answer) => answer({ type: "slots.available" }),
        "store.generation": ({ generation }) =>
          store({ generation, generations: [generation], status: "running" }),
        "send.deployment": () => {
          this.deployedAtMs.push(this.clock.elapsedMs());
        },
        "send.start": () => {},
        "send.teardown": () => {},
        "store.settling": ({ settleTo }) => store({ status: "settling", settleTo }),
        "store.terminal": ({ status }) => {
          this.statuses.push(status);
          return store({ status, settleTo: null });
        },
        "release.job": () => {},
        "send.drain": () => {},
        "report.failure": () => ({ atMs: this.clock.nowMs(), chance: this.chance }),
        "report.recovery": () => ({ atMs: this.clock.nowMs() }),
      },
    });
  }

  /** The present generation is restored and runs. */
  async run(): Promise<void> {
    await settled();
    this.host.send("job", {
      type: "subtask.restored",
      generation: this.#facts.generation,
      subtask: "count/0",
    });
    await settled();
  }

  /** It fails; the time until the next deployment, or the status in which the job ends. */
  async failAndWait(reason = "division by zero"): Promise<number | string> {
    const atMs = this.clock.elapsedMs();
    const deployments = this.deployedAtMs.length;
    this.host.send("job", {
      type: "subtask.failed",
      generation: this.#facts.generation,
      subtask: "count/0",
      reason,
      retry: "restart",
    });
    for (let waitedMs = 0; waitedMs < 200_000; waitedMs += 10) {
      await settled();
      if (!this.host.has("job")) return this.statuses.at(-1)!;
      if (this.deployedAtMs.length > deployments) return this.deployedAtMs.at(-1)! - atMs;
      this.clock.advance(10);
    }
    return "nothing";
  }
}

describe("restarts over time (Flink's restart strategies)", () => {
  it("fixed-delay: as many restarts as attempts, each after its delay, then failed", async () => {
    const world = new World({ strategy: "fixed-delay", attempts: 2, delayMs: 300 });
    await world.run();
    expect(await world.failAndWait()).toBe(300);
    await world.run();
    expect(await world.failAndWait()).toBe(300);
    await world.run();
    expect(await world.failAndWait()).toBe("failed");
    expect(world.crashes).toEqual([]);
  });

  it("exponential-delay: grows within one attempt as well, and begins anew after a quiet time", async () => {
    const world = new World({
      strategy: "exponential-delay",
      initialBackoffMs: 100,
      maxBackoffMs: 400,
      backoffMultiplier: 2,
      resetBackoffThresholdMs: 10_000,
      jitterFactor: 0.1,
      attemptsBeforeResetBackoff: null,
    });
    await world.run();
    expect(await world.failAndWait()).toBe(100);
    expect(await world.failAndWait()).toBe(200);
    expect(await world.failAndWait()).toBe(400);
    expect(await world.failAndWait()).toBe(400);
    await world.run();
    world.clock.advance(10_000);
    expect(await world.failAndWait()).toBe(100);
    await world.run();
    world.chance = -1;
    expect(await world.failAndWait()).toBe(180);
    expect(world.crashes).toEqual([]);
  });

  it("none: the first failure is final", async () => {
    const world = new World({ strategy: "none" });
    await world.run();
    expect(await world.failAndWait()).toBe("failed");
  });

  it("a deployment that never restores counts as failed after its timeout", async () => {
    const world = new World({ strategy: "fixed-delay", attempts: 1, delayMs: 1000 });
    await settled();
    expect(world.deployedAtMs).toEqual([0]);
    world.clock.advance(119_999);
    await settled();
    expect(world.deployedAtMs).toHaveLength(1);
    world.clock.advance(1);
    await settled();
    world.clock.advance(1000);
    await settled();
    expect(world.deployedAtMs).toEqual([0, 121_000]);
  });

  it("a cancellation during the delay ends the job at once", async () => {
    const world = new World({ strategy: "fixed-delay", attempts: 9, delayMs: 60_000 });
    await world.run();
    world.host.send("job", {
      type: "subtask.failed",
      generation: 1,
      subtask: "count/0",
      reason: "x",
      retry: "restart",
    });
    world.host.send("job", { type: "cancel.requested" });
    await settled();
    expect(world.statuses).toEqual(["canceled"]);
    expect(world.clock.pending).toEqual([]);
  });
});

describe("checkpoints over time (Flink's CheckpointCoordinator)", () => {
  /** When checkpoints start, if each takes `durationMs`. */
  async function startsOf(
    intervals: { readonly intervalMs: number; readonly minPauseMs: number },
    durationMs: number,
    forMs: number,
  ): Promise<number[]> {
    const clock = new ManualClock();
    const starts: number[] = [];
    const host = new Host({
      clock,
      onCrash: (error) => {
        throw error;
      },
    });
    host.start({
      id: "checkpointing",
      machine: checkpointingMachine,
      input: {
        ...intervals,
        maxConcurrent: 1,
        tolerableFailures: null,
        forcesSavepoints: true,
        savepointsMax: 8,
        afterTasksFinish: true,
        readyTimeoutMs: 30_000,
        retryMs: 200,
        queueMax: 1000,
        reservedCheckpointId: 0,
        block: 1000,
        // The first one as late as it may come.
        chance: 0.9999,
      },
      handlers: {
        "store.reservation": async () => ({ type: "record.stored" }),
        "start.checkpoint": ({ checkpointId }) => {
          starts.push(clock.elapsedMs());
          clock.after(durationMs, () =>
            host.send("checkpointing", { type: "checkpoint.completed", checkpointId, allFinished: false }),
          );
        },
        "report.hold": () => {},
      },
      siblings: () => [],
    });
    host.send("checkpointing", { type: "generation.running" });
    await clock.pass(forMs, 10);
    host.close();
    return starts;
  }

  it("interval raised to the pause of 500, each takes 300: they start 800 apart", async () => {
    expect(await startsOf({ intervalMs: 500, minPauseMs: 500 }, 300, 3000)).toEqual([500, 1300, 2100, 2900]);
  });

  it("short ones start at the interval", async () => {
    expect(await startsOf({ intervalMs: 1000, minPauseMs: 500 }, 100, 3500)).toEqual([1000, 2000, 3000]);
  });

  it("one that outlasts the interval is followed at once, without a burst", async () => {
    expect(await startsOf({ intervalMs: 100, minPauseMs: 0 }, 250, 900)).toEqual([100, 350, 600, 850]);
  });
});
