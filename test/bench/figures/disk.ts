/**
 * State on disk beside the heap, in processes of their own, without a job around it (backend-updates.ts).
 *
 * - diskToHeapRatio: 10^6 keys, all of which fit into memory; processor time of an update on the heap to that on disk.
 * - diskUpdatesPerSecond.quarter10M: 10^7 keys, of which a quarter fits into memory. Everything else is in the page
 *   cache of the operating system, which is not limited: a machine whose memory is full reads from its disk instead.
 */
import type { Comparable, Probe } from "../comparison/probe.ts";
import { readingOf, rowsOf } from "../comparison/probe.ts";
import type { Figure, Measured, Settings } from "../figure.ts";
import type { Copy } from "../processes/copy.ts";
import { BenchProcess } from "../processes/processes.ts";
import { type BackendUpdates, parseBackendUpdates } from "../state/backend-updates-report.ts";
import { median } from "../statistics.ts";

const RATIO = { name: "diskToHeapRatio", better: "higher", floor: 0.25 } as const;
const UPDATES = {
  name: "diskUpdatesPerSecond.quarter10M",
  better: "higher",
  floor: 30_000,
  unit: "updates/s",
  large: true,
} as const;
const KEYS = 1_000_000;
const KEYS_MOST = 10_000_000;
const PAIRS_MAX = 3;

export const diskFigures: readonly Figure[] = [RATIO, UPDATES];

export async function measureDisk(
  copy: Copy,
  wanted: ReadonlySet<string>,
  settings: Settings,
): Promise<Measured[]> {
  const measured: Measured[] = [];
  if (wanted.has(RATIO.name)) {
    const samples: number[] = [];
    for (let pair = 0; pair < Math.min(settings.rounds, PAIRS_MAX); pair++) {
      const heap = await updatesOf(copy, ["heap", String(KEYS)], settings);
      const disk = await updatesOf(copy, ["disk", String(KEYS), String(2 * KEYS)], settings);
      samples.push(median(heap.cpuUs) / median(disk.cpuUs));
    }
    measured.push({ ...RATIO, samples });
  }
  if (wanted.has(UPDATES.name)) {
    const { perSecond } = await updatesOf(copy, ["disk", String(KEYS_MOST), String(KEYS_MOST / 4)], settings);
    measured.push({ ...UPDATES, samples: perSecond });
  }
  return measured;
}

async function updatesOf(
  copy: Copy,
  [backend, ...rest]: readonly [string, ...string[]],
  { say }: Settings,
): Promise<BackendUpdates> {
  const process = new BenchProcess([
    "--max-old-space-size=8192",
    copy.bench("state/backend-updates.js"),
    backend,
    ...rest,
  ]);
  if ((await process.exited) !== 0) throw new Error(`state on ${backend} cannot be driven`);
  const [updates] = process.lines.flatMap((line) => parseBackendUpdates(line) ?? []);
  if (updates === undefined) throw new Error("backend-updates.js has said nothing");
  say(
    `an update of ${rest[0]} keys on ${backend}: ${median(updates.cpuUs).toFixed(2)} us of processor time, ` +
      `${Math.round(median(updates.perSecond) / 1000)} K/s`,
  );
  return updates;
}

export function comparableDisk(wanted: ReadonlySet<string>): Comparable {
  const figures = diskFigures.filter(({ name }) => wanted.has(name));
  return {
    probes: figures.map(
      ({ name }): Probe => ({
        name,
        measure: async ({ copy }, settings) =>
          readingOf(await measureDisk(copy, new Set([name]), { ...settings, rounds: 1 })),
      }),
    ),
    rows: figures.flatMap((figure) => rowsOf([figure], figure.name)),
  };
}
