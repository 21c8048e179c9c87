/**
 * How late a worker's event loop was, and in which situation: what loop-delays.ts prints, and the worker's own events.
 */
import type { FeedEvent } from "../../../src/observe/feed.ts";
import { quantile } from "../statistics.ts";

export interface LoopDelay {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface LoopDelays {
  /** Before the worker had loaded anything: what the machine itself does to a timer. */
  readonly idle: LoopDelay;
  /** Records, and no snapshot. */
  readonly running: LoopDelay;
  /** The delays from the barrier until the snapshot is stored. */
  readonly snapshotting: LoopDelay;
}

interface PrintedDelays {
  /** The worker has not begun. */
  readonly idle: boolean;
  /** Wall clock and delay, both in ms. */
  readonly delays: readonly (readonly [t: number, lateMs: number])[];
}

const PREFIX = "loop ";
/** While these are taken state still grows and code is still compiled. */
const WARM_UP_SNAPSHOTS = 5;

export function printLoopDelays(printed: PrintedDelays): void {
  process.stdout.write(`${PREFIX}${JSON.stringify(printed)}\n`);
}

/**
 * @param lines what the one worker has printed
 * @param events of its job, in the order in which they came
 */
export function loopDelaysOf(lines: readonly string[], events: readonly FeedEvent[]): LoopDelays {
  const printed = lines
    .filter((line) => line.startsWith(PREFIX))
    .map((line) => JSON.parse(line.slice(PREFIX.length)) as PrintedDelays);
  const late = (idle: boolean) => printed.filter((each) => each.idle === idle).flatMap((each) => each.delays);
  const sorted = { running: [] as number[], snapshotting: [] as number[] };
  const changes = situationsOf(events.filter(({ role }) => role === "subtask"));
  let passed = 0;
  for (const [t, lateMs] of late(false)) {
    while (passed < changes.length && changes[passed]!.t <= t) passed++;
    const situation = changes[passed - 1]?.situation ?? "warming-up";
    if (situation !== "warming-up") sorted[situation].push(lateMs);
  }
  return {
    idle: delayOf(late(true).map(([, lateMs]) => lateMs)),
    running: delayOf(sorted.running),
    snapshotting: delayOf(sorted.snapshotting),
  };
}

interface Change {
  readonly t: number;
  readonly situation: "warming-up" | "running" | "snapshotting";
}

/** Which situation begins when. */
function situationsOf(events: readonly FeedEvent[]): Change[] {
  const changes: Change[] = [];
  let stored = 0;
  for (const { t, event, effects } of events) {
    const isStored = event === "snapshot.stored";
    if (isStored) stored++;
    if (stored < WARM_UP_SNAPSHOTS) continue;
    if (effects.includes("take.snapshot")) changes.push({ t, situation: "snapshotting" });
    else if (isStored) changes.push({ t, situation: "running" });
  }
  return changes;
}

function delayOf(samples: readonly number[]): LoopDelay {
  return { p50Ms: quantile(samples, 0.5), p99Ms: quantile(samples, 0.99), maxMs: quantile(samples, 1) };
}
