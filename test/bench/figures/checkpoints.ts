/**
 * What checkpoints cost beside throughput: how long they take, how long they stop a subtask, what the event loop feels.
 *
 * Durations are the coordinator's, trigger to decision, at 10^5 keys and a checkpoint every 200 ms, saturated and at
 * half of the saturated rate. Pauses are the worker's, at 10^6 keys and saturated; the event loop's delay is measured
 * inside the worker (loop-delays.ts). Not measured: a slow storage, alignment between processes.
 */
import type { FeedEvent } from "../../../src/observe/feed.ts";
import { type Comparable, type Probe, readingOf, rowsOf } from "../comparison/probe.ts";
import type { Figure, Measured, Settings } from "../figure.ts";
import { type LoopDelays, loopDelaysOf } from "../processes/loop-delays-report.ts";
import type { BenchCluster } from "../processes/processes.ts";
import { quantile } from "../statistics.ts";
import { STREAM } from "../streams.ts";
import { saturatedRate } from "./throughput.ts";

const LOOP_DELAYS = "processes/loop-delays.js";
const INTERVAL_MS = 200;
const CHECKPOINTS = 100;
const KEYS_MANY = 1_000_000;
const SNAPSHOTS_MANY = 20;

const HALF = { name: "checkpointP99Ms", better: "lower", floor: 150, unit: "ms" } as const;
const SATURATED = { name: "checkpointSaturatedP99Ms", better: "lower", floor: 500, unit: "ms" } as const;
const SYNC = { name: "syncPauseP99Ms", better: "lower", floor: 2, unit: "ms" } as const;
const LOOP = { name: "loopDelayP99Ms", better: "lower", floor: 12, unit: "ms" } as const;
const LOOP_RUNNING = { name: "runningLoopDelayP99Ms", better: "lower", unit: "ms" } as const;
const LOOP_IDLE = { name: "idleLoopDelayP99Ms", better: "lower", unit: "ms", informs: true } as const;
/** In each round of a comparison. */
const COMPARED_CHECKPOINTS = 30;
const COMPARED_SNAPSHOTS = 10;

export const durationFigures: readonly Figure[] = [HALF, SATURATED];
export const pauseFigures: readonly Figure[] = [SYNC, LOOP, LOOP_RUNNING, LOOP_IDLE];

export async function measureDurations(
  cluster: BenchCluster,
  wanted: ReadonlySet<string>,
  settings: Settings,
): Promise<Measured[]> {
  const measured: Measured[] = [];
  if (wanted.has(HALF.name)) {
    const ratePerSecond = (await saturatedRate(cluster, settings)) / 2;
    measured.push(p99(HALF, await durations(cluster, settings, { ratePerSecond })));
  }
  if (wanted.has(SATURATED.name)) measured.push(p99(SATURATED, await durations(cluster, settings)));
  return measured;
}

function p99(figure: Figure, samples: readonly number[]): Measured {
  return { ...figure, samples, value: quantile(samples, 0.99) };
}

async function durations(
  cluster: BenchCluster,
  settings: Settings,
  { ratePerSecond, checkpoints = CHECKPOINTS }: { ratePerSecond?: number; checkpoints?: number } = {},
): Promise<number[]> {
  const samples: number[] = [];
  while (samples.length < checkpoints) {
    const ran = await cluster.run({
      name: "cp",
      input: { kind: "jetstream", stream: STREAM, end: settings.streamRecords },
      ...(ratePerSecond === undefined ? {} : { ratePerSecond }),
      sink: "jetstream",
      intervalMs: INTERVAL_MS,
      parallelism: 1,
    });
    const complete = ran.events.filter(isCompleted);
    // Until every key has been seen the state is smaller; the last checkpoint is the end's.
    const largest = Math.max(...complete.map((event) => event.bytes as number));
    const full = complete.slice(0, -1).filter((event) => (event.bytes as number) > largest * 0.9);
    samples.push(...full.map((event) => event.durationMs as number));
    const rate =
      ratePerSecond === undefined ? "saturated" : `${Math.round(ratePerSecond / 1000)} K records/s`;
    settings.say(`${rate}: ${samples.length} checkpoints, p99 ${quantile(samples, 0.99).toFixed(0)} ms`);
    if (full.length === 0) throw new Error("no checkpoint was completed");
  }
  return samples;
}

function isCompleted(event: FeedEvent): boolean {
  return event.role === "coordinator" && event.event === "checkpoint.completed";
}

export async function measurePauses(
  cluster: BenchCluster,
  settings: Settings,
  snapshots = SNAPSHOTS_MANY,
): Promise<Measured[]> {
  const job = await cluster.startJob(
    {
      name: "pauses",
      input: { kind: "light", keys: KEYS_MANY },
      sink: "discard",
      intervalMs: 1000,
      parallelism: 1,
    },
    { preload: LOOP_DELAYS },
  );
  const syncMs: number[] = [];
  try {
    await new Promise<void>((resolve, reject) => {
      job.ended.catch(reject);
      job.onEvent((event) => {
        if (!isCompleted(event)) return;
        syncMs.push(event.syncMs as number);
        settings.say(
          `${KEYS_MANY} keys: checkpoint of ${((event.bytes as number) / 1e6).toFixed(0)} MB in ` +
            `${Math.round(event.durationMs as number)} ms, sync ${syncMs.at(-1)!.toFixed(2)} ms`,
        );
        if (syncMs.length === snapshots) resolve();
      });
    });
    const delays = loopDelaysOf(job.workers[0]!.lines, job.events);
    if (Number.isNaN(delays.snapshotting.p99Ms))
      throw new Error("no delay of the event loop was seen in a snapshot");
    return [
      p99(SYNC, syncMs),
      loop(LOOP, delays.snapshotting),
      loop(LOOP_RUNNING, delays.running),
      loop(LOOP_IDLE, delays.idle),
    ];
  } finally {
    await job.cancel();
  }
}

function loop(figure: Figure, delay: LoopDelays["idle"]): Measured {
  return { ...figure, samples: [delay.p50Ms, delay.p99Ms, delay.maxMs], value: delay.p99Ms };
}

export function comparableDurations(): Comparable {
  let ratePerSecond = Number.POSITIVE_INFINITY;
  const checkpoints = COMPARED_CHECKPOINTS;
  const half: Probe = {
    name: HALF.name,
    // The same for both: half of what the slower one reaches.
    prepare: async (cluster, settings) => {
      ratePerSecond = Math.min(ratePerSecond, (await saturatedRate(cluster, settings)) / 2);
    },
    measure: async (cluster, settings) =>
      readingOf([p99(HALF, await durations(cluster, settings, { ratePerSecond, checkpoints }))]),
  };
  const saturated: Probe = {
    name: SATURATED.name,
    measure: async (cluster, settings) =>
      readingOf([p99(SATURATED, await durations(cluster, settings, { checkpoints }))]),
  };
  return {
    probes: [half, saturated],
    rows: [...rowsOf([HALF], half.name), ...rowsOf([SATURATED], saturated.name)],
  };
}

export function comparablePauses(): Comparable {
  const probe: Probe = {
    name: "pauses",
    measure: async (cluster, settings) =>
      readingOf(await measurePauses(cluster, settings, COMPARED_SNAPSHOTS)),
  };
  return { probes: [probe], rows: rowsOf(pauseFigures, probe.name) };
}
