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
const SNAPSHOTS_MOST = 5;

const HALF = { name: "checkpointP99Ms", better: "lower", floor: 100, unit: "ms" } as const;
const SATURATED = { name: "checkpointSaturatedP99Ms", better: "lower", floor: 500, unit: "ms" } as const;
const SYNC = { name: "syncPauseP99Ms", better: "lower", floor: 2, unit: "ms" } as const;
const LOOP = { name: "loopDelayP99Ms", better: "lower", floor: 12, unit: "ms" } as const;
const LOOP_RUNNING = { name: "runningLoopDelayP99Ms", better: "lower", unit: "ms" } as const;
const LOOP_IDLE = { name: "idleLoopDelayP99Ms", better: "lower", unit: "ms", informs: true } as const;
/** In each round of a comparison. */
const COMPARED_CHECKPOINTS = 30;
const COMPARED_SNAPSHOTS = 10;

/** Bytes of the name of a key alone, in a checkpoint. */
const KEY_BYTES = 14;
const PAUSES_LIMIT_MS = 900_000;

interface PausedRun {
  readonly keys: number;
  readonly snapshots: number;
  readonly backend?: "heap" | "disk";
  /** As that of a job (processes.ts). */
  readonly preload?: string;
}

/** The pause at another size, or on another backend. */
interface PauseFigure extends Figure, PausedRun {
  readonly backend: "heap" | "disk";
}

const PAUSES: readonly PauseFigure[] = (["heap", "disk"] as const).flatMap((backend) => [
  pauseAt(backend, "100K", 100_000, SNAPSHOTS_MANY),
  ...(backend === "heap" ? [] : [pauseAt(backend, "1M", KEYS_MANY, SNAPSHOTS_MANY)]),
  { ...pauseAt(backend, "10M", 10_000_000, SNAPSHOTS_MOST), large: true },
]);

function pauseAt(backend: "heap" | "disk", size: string, keys: number, snapshots: number): PauseFigure {
  const name = `syncPauseP99MsAt.${backend}${size}`;
  return { name, better: "lower", floor: 2, unit: "ms", keys, snapshots, backend };
}

export const durationFigures: readonly Figure[] = [HALF, SATURATED];
export const pauseFigures: readonly Figure[] = [SYNC, LOOP, LOOP_RUNNING, LOOP_IDLE];
export const sizedPauseFigures: readonly Figure[] = PAUSES;

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
    const largest = Math.max(...complete.map(fullBytesOf));
    const full = complete.slice(0, -1).filter((event) => fullBytesOf(event) > largest * 0.9);
    samples.push(...full.map((event) => event.durationMs as number));
    const rate =
      ratePerSecond === undefined ? "saturated" : `${Math.round(ratePerSecond / 1000)} K records/s`;
    settings.say(`${rate}: ${samples.length} checkpoints, p99 ${quantile(samples, 0.99).toFixed(0)} ms`);
    if (full.length === 0) throw new Error("no checkpoint was completed");
  }
  return samples;
}

export function isCompleted(event: FeedEvent): boolean {
  return event.role === "coordinator" && event.event === "checkpoint.completed";
}

/** How much state a checkpoint holds, with what older ones have stored of it. */
export function fullBytesOf({ bytes, fullBytes = bytes }: FeedEvent): number {
  return fullBytes as number;
}

export async function measurePauses(
  cluster: BenchCluster,
  settings: Settings,
  snapshots = SNAPSHOTS_MANY,
): Promise<Measured[]> {
  const { syncMs, delays } = await pausesOf(
    cluster,
    { keys: KEYS_MANY, snapshots, preload: LOOP_DELAYS },
    settings,
  );
  if (Number.isNaN(delays.snapshotting.p99Ms))
    throw new Error("no delay of the event loop was seen in a snapshot");
  return [
    p99(SYNC, syncMs),
    loop(LOOP, delays.snapshotting),
    loop(LOOP_RUNNING, delays.running),
    loop(LOOP_IDLE, delays.idle),
  ];
}

interface Pauses {
  readonly syncMs: readonly number[];
  readonly delays: ReturnType<typeof loopDelaysOf>;
}

/** Checkpoints of a saturated job, from the first one on that holds all keys. */
async function pausesOf(
  cluster: BenchCluster,
  { keys, snapshots, backend, preload }: PausedRun,
  { say }: Settings,
): Promise<Pauses> {
  const job = await cluster.startJob(
    {
      name: "pauses",
      input: { kind: "light", keys },
      sink: "discard",
      intervalMs: 1000,
      parallelism: 1,
      ...(backend === undefined ? {} : { state: { backend } }),
    },
    {
      ...(preload === undefined ? {} : { preload }),
      // Names of keys, and what waits to be uploaded, are more than Node would give by itself.
      nodeArguments: ["--max-old-space-size=8192"],
      limitMs: PAUSES_LIMIT_MS,
    },
  );
  const syncMs: number[] = [];
  try {
    await new Promise<void>((resolve, reject) => {
      job.ended.catch(reject);
      job.onEvent((event) => {
        if (!isCompleted(event) || fullBytesOf(event) < keys * KEY_BYTES) return;
        syncMs.push(event.syncMs as number);
        say(
          `${keys} keys${backend === undefined ? "" : ` on ${backend}`}: checkpoint of ` +
            `${((event.bytes as number) / 1e6).toFixed(0)} MB in ${Math.round(event.durationMs as number)} ms, ` +
            `sync ${syncMs.at(-1)!.toFixed(2)} ms`,
        );
        if (syncMs.length === snapshots) resolve();
      });
    });
    return { syncMs, delays: loopDelaysOf(job.workers[0]!.lines, job.events) };
  } finally {
    await job.cancel();
  }
}

export async function measureSizedPauses(
  cluster: BenchCluster,
  wanted: ReadonlySet<string>,
  settings: Settings,
): Promise<Measured[]> {
  const measured: Measured[] = [];
  for (const { keys, snapshots, backend, ...figure } of PAUSES) {
    if (!wanted.has(figure.name)) continue;
    const { syncMs } = await pausesOf(cluster, { keys, snapshots, backend }, settings);
    measured.push(p99(figure, syncMs));
  }
  return measured;
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

export function comparableSizedPauses(wanted: ReadonlySet<string>): Comparable {
  const figures = PAUSES.filter(({ name }) => wanted.has(name));
  return {
    probes: figures.map(
      ({ name }): Probe => ({
        name,
        measure: async (cluster, settings) =>
          readingOf(await measureSizedPauses(cluster, new Set([name]), settings)),
      }),
    ),
    rows: figures.flatMap((figure) => rowsOf([figure], figure.name)),
  };
}
