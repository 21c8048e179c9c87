/**
 * How long a job is away when a worker is killed by SIGKILL: two workers, parallelism 2, 10^5 keys, a checkpoint every
 * second, 40 000 records a second; the worker is started again at once, as `tidemark run` does it. Both workers then
 * read the state of their subtasks from the object store of a nats-server on this machine.
 *
 * - detectionMs: until the leader knows.
 * - restoredMs: until all subtasks have their state again and records flow.
 * - recoveryMs: until the first transaction that was written after the restore is committed. What the crash had
 *   left decided is committed earlier, and does not count.
 * - recoveryOfMs.*: the same as recoveryMs, with 10^6 and 10^7 keys.
 *
 * The restart strategy is a fixed delay of 100 ms: the default one waits a second at first, more at each repetition.
 */
import type { FeedEvent } from "../../../src/observe/feed.ts";
import { type Comparable, type Probe, readingOf, rowsOf } from "../comparison/probe.ts";
import type { Figure, Measured, Settings } from "../figure.ts";
import type { LightInput, Variant } from "../jobs/variant.ts";
import { seeded } from "../jobs/workload.ts";
import type { BenchCluster, RunningJob } from "../processes/processes.ts";
import { median } from "../statistics.ts";
import { KEYS } from "../streams.ts";
import { fullBytesOf, isCompleted } from "./checkpoints.ts";

const RECOVERY = { name: "recoveryMs", better: "lower", floor: 2000, unit: "ms" } as const;
const DETECTION = { name: "detectionMs", better: "lower", floor: 1000, unit: "ms" } as const;
const RESTORED = { name: "restoredMs", better: "lower", unit: "ms" } as const;
const KILLS_MIN = 10;
/** In each round of a comparison. */
const COMPARED_KILLS = 3;
const RATE = 40_000;
const WARM_UP_CHECKPOINTS = 4;
/** It takes no longer to come up, nor to come back. */
const EVENT_LIMIT_MS = 300_000;
const JOB_LIMIT_MS = 1_800_000;
/** Bytes of the name of a key alone, in a checkpoint. */
const KEY_BYTES = 14;
/** The leader believes a silent worker dead only when its own connection has been up for two seconds (P28). */
const SETTLED_MS = 2200;

interface SizedRecovery extends Figure {
  readonly keys: number;
  readonly kills: number;
}

const SIZED: readonly SizedRecovery[] = [
  { name: "recoveryOfMs.keys1M", better: "lower", floor: 4000, unit: "ms", keys: 1_000_000, kills: 5 },
  {
    name: "recoveryOfMs.keys10M",
    better: "lower",
    floor: 25_000,
    unit: "ms",
    keys: 10_000_000,
    kills: 3,
    large: true,
  },
];

export const recoveryFigures: readonly Figure[] = [RECOVERY, DETECTION, RESTORED];
export const sizedRecoveryFigures: readonly Figure[] = SIZED;

export async function measureRecovery(
  cluster: BenchCluster,
  settings: Settings,
  kills = Math.max(KILLS_MIN, settings.rounds),
): Promise<Measured[]> {
  const { recovery, detection, restored } = await killed(cluster, { keys: KEYS, kills }, settings);
  return [
    { ...RECOVERY, samples: recovery },
    { ...DETECTION, samples: detection },
    { ...RESTORED, samples: restored },
  ];
}

export async function measureSizedRecovery(
  cluster: BenchCluster,
  wanted: ReadonlySet<string>,
  settings: Settings,
): Promise<Measured[]> {
  const measured: Measured[] = [];
  for (const { keys, kills, ...figure } of SIZED.filter(({ name }) => wanted.has(name))) {
    const { recovery } = await killed(cluster, { keys, kills }, settings);
    measured.push({ ...figure, samples: recovery });
  }
  return measured;
}

interface Killings {
  readonly keys: number;
  readonly kills: number;
  readonly hot?: LightInput["hot"];
  readonly checkpointing?: Variant["checkpointing"];
}

interface Killed {
  readonly detection: readonly number[];
  /** From the deployment until all subtasks have their state. */
  readonly restoring: readonly number[];
  readonly restored: readonly number[];
  readonly recovery: readonly number[];
}

export async function killed(
  cluster: BenchCluster,
  { keys, kills, hot, checkpointing }: Killings,
  settings: Settings,
): Promise<Killed> {
  const job = await cluster.startJob(
    {
      name: "recovery",
      input: { kind: "light", keys, ...(hot === undefined ? {} : { hot }) },
      ratePerSecond: RATE,
      sink: "jetstream",
      intervalMs: 1000,
      parallelism: 2,
      ...(checkpointing === undefined ? {} : { checkpointing }),
    },
    { workers: 2, limitMs: JOB_LIMIT_MS, nodeArguments: ["--max-old-space-size=8192"] },
  );
  const [detection, restoring, restored, recovery]: number[][] = [[], [], [], []];
  const random = seeded(7);
  try {
    await next(job, (event) => isCompleted(event) && fullBytesOf(event) >= keys * KEY_BYTES);
    for (let i = 0; i < WARM_UP_CHECKPOINTS; i++) await next(job, isCompleted);
    for (let kill = 0; kill < kills; kill++) {
      // At any moment between two checkpoints.
      await new Promise((resolve) => setTimeout(resolve, SETTLED_MS + 1000 * random()));
      const { generation } = job.events.at(-1)!;
      const later = (event: FeedEvent) => event.generation > generation;
      const lost = next(job, (event) => event.role === "job" && event.event === "worker.lost");
      const deployed = next(job, (event) => later(event) && event.to === "deploying.restoring");
      const running = next(job, (event) => later(event) && event.to.startsWith("running.processing"));
      const output = next(job, (event) => later(event) && isCompleted(event)).then(() =>
        next(job, (event) => event.role === "sink-transaction" && event.event === "transaction.committed"),
      );
      const at = job.killWorker(kill % 2);
      detection!.push((await lost).t - at);
      restoring!.push((await running).t - (await deployed).t);
      restored!.push((await running).t - at);
      recovery!.push((await output).t - at);
      settings.say(
        `${keys} keys, kill ${kill + 1}: detected ${detection!.at(-1)}, restored ${restored!.at(-1)} ` +
          `(${restoring!.at(-1)} of it from the deployment on), output ${recovery!.at(-1)} ms`,
      );
    }
  } finally {
    await job.cancel();
  }
  return { detection: detection!, restoring: restoring!, restored: restored!, recovery: recovery! };
}

export function comparableRecovery(): Comparable {
  const probe: Probe = {
    name: "recovery",
    measure: async (cluster, settings) => readingOf(await measureRecovery(cluster, settings, COMPARED_KILLS)),
  };
  return { probes: [probe], rows: rowsOf(recoveryFigures, probe.name) };
}

export function comparableSizedRecovery(wanted: ReadonlySet<string>): Comparable {
  const figures = SIZED.filter(({ name }) => wanted.has(name));
  return {
    probes: figures.map(
      ({ name, keys }): Probe => ({
        name,
        measure: async (cluster, settings) => {
          const { recovery } = await killed(cluster, { keys, kills: COMPARED_KILLS }, settings);
          return { [name]: median(recovery) };
        },
      }),
    ),
    rows: figures.flatMap((figure) => rowsOf([figure], figure.name)),
  };
}

/** The next event of a kind. */
function next(job: RunningJob, matches: (event: FeedEvent) => boolean): Promise<FeedEvent> {
  return new Promise((resolve, reject) => {
    const limit = setTimeout(() => reject(new Error("it does not recover")), EVENT_LIMIT_MS);
    const forget = job.onEvent((event) => {
      if (!matches(event)) return;
      clearTimeout(limit);
      forget();
      resolve(event);
    });
  });
}
