/**
 * What an incremental checkpoint stores and how long its upload takes, beside a full one: 10^6 keys, of which the same
 * 10^4 change between two checkpoints, 100 000 records a second.
 *
 * - incrementalBytesRatio: what a checkpoint has stored, to what one of a job without incremental checkpoints has.
 * - incrementalUploadRatio: the same of the time from the cut to the stored snapshot. The fixed cost is left out: it is
 *   what a checkpoint of 3000 keys takes, the smallest that makes an object.
 *
 * The checkpoints are the coordinator's, the longest of its subtasks counts; medians of those that no base was made at.
 * The storage is the object store of a nats-server on this machine.
 */
import { type Comparable, type Probe, readingOf, rowsOf } from "../comparison/probe.ts";
import type { Figure, Measured, Settings } from "../figure.ts";
import type { BenchCluster } from "../processes/processes.ts";
import { median } from "../statistics.ts";
import { fullBytesOf, isCompleted } from "./checkpoints.ts";

const BYTES = { name: "incrementalBytesRatio", better: "lower", floor: 0.03 } as const;
const UPLOAD = { name: "incrementalUploadRatio", better: "lower", floor: 0.1 } as const;
const UPLOAD_MS = { name: "incrementalUploadMs", better: "lower", unit: "ms", informs: true } as const;
const FULL_MS = { name: "fullUploadMs", better: "lower", unit: "ms", informs: true } as const;
const FIXED_MS = { name: "fixedUploadMs", better: "lower", unit: "ms", informs: true } as const;

export const incrementalFigures: readonly Figure[] = [BYTES, UPLOAD, UPLOAD_MS, FULL_MS, FIXED_MS];

const KEYS = 1_000_000;
const CHANGING = KEYS / 100;
const KEYS_FEW = 3000;
const RATE = 100_000;
const INTERVAL_MS = 1000;
const CHECKPOINTS = 12;
/** The first ones hold what was made before, or are what others rest on. */
const WARM_UP = 3;

/** A key and its value take more. */
const KEY_BYTES_MIN = 10;

interface Stored {
  readonly bytes: number;
  readonly uploadMs: number;
}

export async function measureIncremental(cluster: BenchCluster, settings: Settings): Promise<Measured[]> {
  const full = await checkpointsOf(cluster, { keys: KEYS, incremental: false }, settings);
  const incremental = await checkpointsOf(cluster, { keys: KEYS, incremental: true }, settings);
  const fixed = await checkpointsOf(cluster, { keys: KEYS_FEW, incremental: true }, settings);
  const ofFull = { bytes: median(bytesOf(full)), uploadMs: median(uploadsOf(full)) };
  const fixedMs = median(uploadsOf(fixed));
  return [
    { ...BYTES, samples: bytesOf(incremental).map((bytes) => bytes / ofFull.bytes) },
    {
      ...UPLOAD,
      samples: uploadsOf(incremental).map((ms) => Math.max(0, ms - fixedMs) / (ofFull.uploadMs - fixedMs)),
    },
    { ...UPLOAD_MS, samples: uploadsOf(incremental) },
    { ...FULL_MS, samples: uploadsOf(full) },
    { ...FIXED_MS, samples: uploadsOf(fixed) },
  ];
}

const bytesOf = (all: readonly Stored[]): number[] => all.map(({ bytes }) => bytes);
const uploadsOf = (all: readonly Stored[]): number[] => all.map(({ uploadMs }) => uploadMs);

async function checkpointsOf(
  cluster: BenchCluster,
  { keys, incremental }: { keys: number; incremental: boolean },
  settings: Settings,
): Promise<Stored[]> {
  const hot = { share: 1, keys: Math.min(keys, CHANGING) };
  const job = await cluster.startJob({
    name: "incremental",
    input: { kind: "light", keys, numbered: true, hot },
    ratePerSecond: RATE,
    sink: "discard",
    intervalMs: INTERVAL_MS,
    parallelism: 1,
    checkpointing: { incremental },
  });
  try {
    const stored = await new Promise<Stored[]>((resolve, reject) => {
      const seen: Stored[] = [];
      job.ended.catch(reject);
      job.onEvent((event) => {
        if (!isCompleted(event) || fullBytesOf(event) < keys * KEY_BYTES_MIN) return;
        seen.push({ bytes: event.bytes as number, uploadMs: event.asyncMs as number });
        if (seen.length === WARM_UP + CHECKPOINTS) resolve(seen.slice(WARM_UP));
      });
    });
    settings.say(
      `${keys} keys, ${incremental ? "incremental" : "full"}: ${Math.round(median(bytesOf(stored)) / 1000)} KB, ` +
        `stored ${median(uploadsOf(stored)).toFixed(1)} ms behind the cut`,
    );
    return stored;
  } finally {
    await job.cancel();
  }
}

export function comparableIncremental(): Comparable {
  const probe: Probe = {
    name: "incremental",
    measure: async (cluster, settings) => readingOf(await measureIncremental(cluster, settings)),
  };
  return { probes: [probe], rows: rowsOf(incrementalFigures, probe.name) };
}
