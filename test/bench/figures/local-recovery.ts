/**
 * How long a job takes from the deployment to restored state at 10^6 keys, where each worker has copies of its state on
 * a disk of its machine, beside the same without copies. Two workers, one of them killed, as in recovery.ts; a
 * hundredth of the keys changes between two checkpoints.
 *
 * - localRecoveryRatio.remote: the storage is a directory that is as slow as an object store of a cloud: 100 ms a
 *   request, 90 MB/s an object (jobs/remote-storage.ts). This is what copies are for.
 * - localRecoveryRatio.here: the storage is the object store of a nats-server on this machine, so that copies save
 *   hardly more than a way through a socket: most of the time goes into decoding, which both have to do.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Comparable, type Probe, readingOf, rowsOf } from "../comparison/probe.ts";
import type { Figure, Measured, Settings } from "../figure.ts";
import { REMOTE_STORAGE_VARIABLE } from "../jobs/remote-storage.ts";
import { BenchCluster } from "../processes/processes.ts";
import { median } from "../statistics.ts";
import { killed } from "./recovery.ts";

const REMOTE = { name: "localRecoveryRatio.remote", better: "lower", floor: 0.6 } as const;
const HERE = { name: "localRecoveryRatio.here", better: "lower" } as const;
const KEYS = 1_000_000;
const KILLS = 5;
const COMPARED_KILLS = 3;

export const localRecoveryFigures: readonly Figure[] = [REMOTE, HERE];

export async function measureLocalRecovery(
  cluster: BenchCluster,
  wanted: ReadonlySet<string>,
  settings: Settings,
  kills = KILLS,
): Promise<Measured[]> {
  const measured: Measured[] = [];
  const directory = mkdtempSync(join(tmpdir(), "tidemark-bench-copies-"));
  try {
    if (wanted.has(REMOTE.name)) {
      process.env[REMOTE_STORAGE_VARIABLE] = join(directory, "remote");
      const storage = "jobs/remote-storage.js";
      const remote = await BenchCluster.start({ syncAlways: false, copy: cluster.copy, storage });
      const compared = await compare(remote, directory, kills, settings).finally(() => remote.stop());
      measured.push(...measuredAs(REMOTE, "remote", compared));
    }
    if (wanted.has(HERE.name))
      measured.push(...measuredAs(HERE, "here", await compare(cluster, directory, kills, settings)));
  } finally {
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  }
  return measured;
}

interface Compared {
  readonly local: readonly number[];
  readonly stored: readonly number[];
}

async function compare(
  cluster: BenchCluster,
  directory: string,
  kills: number,
  settings: Settings,
): Promise<Compared> {
  settings.say("from copies");
  const copies = { localRecovery: true, localDirectory: join(directory, "copies") };
  const run = { keys: KEYS, kills, hot: { share: 1, keys: KEYS / 100 } };
  const local = await killed(cluster, { ...run, checkpointing: copies }, settings);
  settings.say("from the storage");
  const stored = await killed(cluster, run, settings);
  return { local: local.restoring, stored: stored.restoring };
}

function measuredAs(figure: Figure, storage: string, { local, stored }: Compared): Measured[] {
  const storedMs = median(stored);
  const timed = (from: string, samples: readonly number[]): Measured => ({
    name: `restoringMs${from}.${storage}`,
    better: "lower",
    unit: "ms",
    samples,
  });
  return [
    { ...figure, samples: local.map((ms) => ms / storedMs) },
    timed("FromCopies", local),
    timed("FromStorage", stored),
  ];
}

export function comparableLocalRecovery(wanted: ReadonlySet<string>): Comparable {
  const figures = localRecoveryFigures.filter(({ name }) => wanted.has(name));
  return {
    probes: figures.map(
      ({ name }): Probe => ({
        name,
        measure: async (cluster, settings) =>
          readingOf(await measureLocalRecovery(cluster, new Set([name]), settings, COMPARED_KILLS)),
      }),
    ),
    rows: figures.flatMap((figure) => rowsOf([figure], figure.name)),
  };
}
