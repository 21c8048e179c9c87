/** Draws what a user may set: options of the job, and of its workers. */
import type { CheckpointingOptions, JobOptions, RestartOptions } from "../../../src/config/options.ts";
import type { Random } from "../../chaos/random.ts";
import type { DrawnWorker } from "./drawing.ts";

/** What of the graph decides which options go with it. */
export interface GraphFacts {
  /** Whether each source is bounded. */
  readonly bounded: readonly boolean[];
  readonly hasLoop: boolean;
  readonly transactional: boolean;
  readonly parallelism: number;
}

export function drawOptions(random: Random, facts: GraphFacts): JobOptions {
  return {
    parallelism: facts.parallelism,
    maxParallelism: random.pick([4, 16, 128]),
    checkpointing: checkpointing(random, facts),
    restart: restart(random),
    heartbeat: { pingInterval: 500, timeout: "5 s" },
  };
}

function checkpointing(
  random: Random,
  { bounded, hasLoop, transactional }: GraphFacts,
): CheckpointingOptions {
  const chance = (share: number): boolean => random.next() < share;
  const endless = bounded.includes(false);
  const atLeastOnce = chance(0.15);
  const unaligned = !atLeastOnce && chance(0.4);
  const iterations = !hasLoop ? undefined : atLeastOnce || chance(0.15) ? "force" : "exact";
  const single = unaligned || iterations === "exact";
  const off = !endless && !atLeastOnce && chance(0.05);
  const mayEnd = !endless || !transactional || !bounded.includes(true);
  return {
    mode: atLeastOnce ? "at-least-once" : "exactly-once",
    interval: off ? "off" : random.between(200, 2500),
    timeout: random.between(3000, 20_000),
    unaligned,
    ...(unaligned && chance(0.5) && { alignedTimeout: random.between(10, 1000) }),
    ...(!single && chance(0.35) && { maxConcurrent: random.between(2, 4) }),
    ...(chance(0.15) && { minPause: random.between(1, 2000) }),
    ...(chance(0.3) && { retained: random.between(2, 4) }),
    ...(iterations !== undefined && { iterations }),
    ...(mayEnd && chance(0.1) && { afterTasksFinish: false }),
    ...(chance(0.15) && { incremental: false }),
    retention: random.pick(["delete", "delete-on-cancellation", "retain-on-cancellation"]),
    readyTimeout: random.pick(["2 s", "1 m", "5 m"]),
    ...(chance(0.2) && { savepointTimeout: random.between(500, 10_000) }),
    ...(chance(0.15) && { tolerableFailures: random.between(0, 5) }),
  };
}

function restart(random: Random): RestartOptions {
  const kind = random.pick([
    "exponential-delay",
    "exponential-delay",
    "fixed-delay",
    "failure-rate",
  ] as const);
  // The job fails for good, and its user starts it again.
  if (random.next() < 0.04) return { strategy: "none" };
  if (random.next() < 0.06) return { strategy: "fixed-delay", attempts: random.between(0, 3), delay: 500 };
  switch (kind) {
    case "exponential-delay":
      return { strategy: kind, initialBackoff: 100, maxBackoff: 2000 };
    case "fixed-delay":
      return { strategy: kind, attempts: "unlimited", delay: random.between(0, 1500) };
    case "failure-rate":
      return {
        strategy: kind,
        maxFailuresPerInterval: 1000,
        failureRateInterval: "1 m",
        delay: random.between(0, 1500),
      };
  }
}

/** The options of a restored job: those that decide what its output is stay. */
export function redrawOptions(random: Random, options: JobOptions): JobOptions {
  const { checkpointing = {} } = options;
  const { alignedTimeout: _, ...kept } = checkpointing;
  const single = checkpointing.maxConcurrent === undefined && checkpointing.mode === "exactly-once";
  return {
    ...options,
    checkpointing: {
      ...kept,
      ...(kept.interval !== "off" && { interval: random.between(200, 2500) }),
      ...(single && { unaligned: random.next() < 0.5 }),
    },
    restart: restart(random),
  };
}

const ROWS_IN_MEMORY: readonly (number | null)[] = [null, null, 1, 20, 1000];

export function drawWorker(random: Random, slots: number): DrawnWorker {
  const inlineBytesMax = random.pick([0, 100, 2000, 20_000]);
  const flushMs = random.pick([1, 2, 5, 20]);
  const windowFrames = random.pick([2, 4, 16, 64]);
  const last = random.next();
  return {
    ...{ slots, inlineBytesMax, flushMs, windowFrames },
    checks: last < 0.7,
    // By the lower bits of the same number: what is drawn behind it stays what it was.
    rowsInMemory: ROWS_IN_MEMORY[Math.floor(last * 2 ** 24) % ROWS_IN_MEMORY.length] ?? null,
    localCopies: Math.floor(last * 2 ** 28) % 5 < 2,
  };
}
