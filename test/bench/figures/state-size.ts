/**
 * What the size of keyed state costs a job: a count and a sum for each key, records made in memory, output discarded.
 * Keys are integers, drawn uniformly once each has been visited; what is measured begins behind that.
 *
 * - stateSize.*: 10^6 and 4·10^6 keys beside 10^5, a checkpoint each second. One of two is enough at 4·10^6: the share
 *   of the rate, or the processor time that a record costs more. The latter is what a busy machine moves less.
 * - checkpointOverhead1M.*: checkpoints each second beside none, at 10^6 keys. Skewed: half of the records have one of
 *   10^4 keys. Both by the rate.
 *
 * Not measured: sources and sinks outside of the worker; several subtasks.
 */
import { type Comparable, type Probe, type Row, readingOf } from "../comparison/probe.ts";
import type { Figure, Measured, Settings } from "../figure.ts";
import type { LightInput } from "../jobs/variant.ts";
import type { BenchCluster } from "../processes/processes.ts";
import { type Pace, steadyPace } from "../processes/progress.ts";
import { KEYS } from "../streams.ts";

const MANY = 1_000_000;
const MOST = 4_000_000;
/** The first quarter is not measured: by then each key has been visited. */
const RECORDS_PER_KEY = 4.2;
const RECORDS_MIN = 30_000_000;
/** Each takes some minutes. */
const ROUNDS_MAX = 3;
const SKEWED = { share: 0.5, keys: MANY / 100 } as const;

interface Run {
  readonly keys: number;
  readonly hot?: NonNullable<LightInput["hot"]>;
  /** Default: true. */
  readonly checkpoints?: boolean;
}

const RUNS = {
  keys100K: { keys: KEYS },
  keys1M: { keys: MANY },
  keys4M: { keys: MOST },
  keys1MOff: { keys: MANY, checkpoints: false },
  skewed1M: { keys: MANY, hot: SKEWED },
  skewed1MOff: { keys: MANY, hot: SKEWED, checkpoints: false },
} satisfies Record<string, Run>;

type RunName = keyof typeof RUNS;

interface SizeFigure extends Figure {
  readonly of: RunName;
  readonly to: RunName;
  readonly by: "rate" | "addedCpuUs";
}

const FIGURES: readonly SizeFigure[] = [
  { name: "stateSizeRatio.keys1M", better: "higher", of: "keys1M", to: "keys100K", by: "rate" },
  { name: "stateSizeRatio.keys4M", aim: 0.6, better: "higher", of: "keys4M", to: "keys100K", by: "rate" },
  {
    name: "stateSizeAddedCpuUs.keys1M",
    better: "lower",
    unit: "us",
    of: "keys1M",
    to: "keys100K",
    by: "addedCpuUs",
  },
  {
    name: "stateSizeAddedCpuUs.keys4M",
    floor: 0.8,
    better: "lower",
    unit: "us",
    of: "keys4M",
    to: "keys100K",
    by: "addedCpuUs",
  },
  { name: "checkpointOverhead1M.uniform", better: "higher", of: "keys1M", to: "keys1MOff", by: "rate" },
  {
    name: "checkpointOverhead1M.skewed",
    floor: 0.9,
    better: "higher",
    of: "skewed1M",
    to: "skewed1MOff",
    by: "rate",
  },
];

export const sizeFigures: readonly Figure[] = FIGURES;

export async function measureSizes(
  cluster: BenchCluster,
  wanted: ReadonlySet<string>,
  settings: Settings,
): Promise<Measured[]> {
  const figures = FIGURES.filter(({ name }) => wanted.has(name));
  const names = runsOf(figures);
  const paces = new Map<RunName, Pace[]>(names.map((name) => [name, []]));
  for (let round = 0; round < Math.min(settings.rounds, ROUNDS_MAX); round++) {
    for (const name of round % 2 === 0 ? names : [...names].reverse())
      paces.get(name)!.push(await paceOf(cluster, name, settings));
  }
  return [
    ...figures.map(({ of, to, by, ...figure }) => {
      const base = paces.get(to)!;
      const samples = paces
        .get(of)!
        .map((pace, round) =>
          by === "rate"
            ? pace.recordsPerSecond / base[round]!.recordsPerSecond
            : pace.cpuUsPerRecord - base[round]!.cpuUsPerRecord,
        );
      return { ...figure, samples };
    }),
    ...names.flatMap((name): Measured[] => [
      {
        name: `recordsPerSecond.${name}`,
        better: "higher",
        samples: paces.get(name)!.map((pace) => Math.round(pace.recordsPerSecond)),
      },
      {
        name: `cpuUsPerRecord.${name}`,
        better: "lower",
        samples: paces.get(name)!.map((pace) => pace.cpuUsPerRecord),
      },
    ]),
  ];
}

function runsOf(figures: readonly SizeFigure[]): RunName[] {
  return [...new Set(figures.flatMap(({ of, to }) => [of, to]))];
}

async function paceOf(cluster: BenchCluster, name: RunName, settings: Settings): Promise<Pace> {
  const { keys, hot, checkpoints = true }: Run = RUNS[name];
  const count = Math.max(RECORDS_MIN, Math.ceil(keys * RECORDS_PER_KEY));
  const ran = await cluster.run({
    name: "size",
    input: { kind: "light", keys, count, numbered: true, ...(hot === undefined ? {} : { hot }) },
    sink: "discard",
    parallelism: 1,
    ...(checkpoints ? { intervalMs: 1000 } : {}),
  });
  const pace = steadyPace(ran.marks, count);
  settings.say(
    `${name.padEnd(12)} ${Math.round(pace.recordsPerSecond / 1000)} K records/s, ` +
      `${pace.cpuUsPerRecord.toFixed(2)} us of processor time a record`,
  );
  return pace;
}

/** Each run is compared by its processor time for a record. */
export function comparableSizes(wanted: ReadonlySet<string>): Comparable {
  const names = runsOf(FIGURES.filter(({ name }) => wanted.has(name)));
  return {
    probes: names.map(
      (name): Probe => ({
        name,
        measure: async (cluster, settings) => {
          const { cpuUsPerRecord } = await paceOf(cluster, name, settings);
          return readingOf([{ name: `cpuUsPerRecord.${name}`, better: "lower", samples: [cpuUsPerRecord] }]);
        },
      }),
    ),
    rows: names.map(
      (name): Row => ({
        name: `cpuUsPerRecord.${name}`,
        better: "lower",
        unit: "us",
        judged: true,
        probes: [name],
        value: (reading) => reading[`cpuUsPerRecord.${name}`]!,
      }),
    ),
  };
}
