/**
 * Ratios of two throughputs, each the median over interleaved pairs: one round runs every variant once. And the
 * throughput of the engine alone, from memory: whole bids of seven fields, and bids of two fields, both with integer
 * keys.
 *
 * Rates are those of records passing the counting operator between 25 % and 95 % of the input, counted in the measured
 * process: starting up, compiling hot code and the last commit are not in it; every commit and checkpoint that falls
 * between the two is. Whatever has read the same records must have emitted the same number of hits. Not measured: a
 * network, replication, more than one stream.
 *
 * `eventTimeRatio` says what timestamps and watermarks cost: both runs read whole bids from memory, and in one of them
 * the source takes their timestamps and makes watermarks for events that are up to 5 s late, at the default interval.
 * It is a ratio of the processor time for a record.
 *
 * `checkpointOverhead` alone compares whole runs, from the first records to the last commit: without checkpoints all
 * output is published at the end, with them along the way, and only so both have done the same. What the steady middle
 * shows instead, where only one of the two publishes, is `checkpointOverheadSteady`.
 */
import type { Comparable, Probe, Reading, Row } from "../comparison/probe.ts";
import type { Figure, Measured, Settings } from "../figure.ts";
import type { Variant } from "../jobs/variant.ts";
import { OWN_COPY } from "../processes/copy.ts";
import { type BenchCluster, BenchProcess } from "../processes/processes.ts";
import { type Pace, parseMark, steadyPace, wholePace } from "../processes/progress.ts";
import { FRAMES, KEYS, STREAM, takeOutput } from "../streams.ts";

const COMPARATORS = OWN_COPY.bench("processes/comparators.js");
const CHECKPOINT_MS = 1000;

interface Runner {
  readonly records: (settings: Settings) => number;
  readonly run: (cluster: BenchCluster, records: number) => Promise<Run>;
}

interface Run extends Pace {
  /** What was emitted, if it was counted: all runs that read the same records must have the same count. */
  readonly hits?: number;
  /** The rate from the first records to the end of the job, everything committed. */
  readonly committedPerSecond?: number;
}

const single = (settings: Settings) => settings.records;
const framed = (settings: Settings) => settings.records * 4;
const inMemory = (settings: Settings) => settings.records * 12;

function job(
  variant: Omit<Variant, "input">,
  input: (records: number) => Variant["input"],
  workers = 1,
): Runner["run"] {
  return async (cluster, records) => {
    const ran = await cluster.run({ ...variant, input: input(records) }, { workers });
    const pace = steadyPace(ran.marks, records);
    if (variant.sink === "discard") return pace;
    const committedPerSecond = wholePace(ran.marks, records, ran.endedAtMs);
    return { ...pace, committedPerSecond, hits: await takeOutput(cluster, ran.name) };
  };
}

function comparator(
  argumentsOf: (cluster: BenchCluster, records: number) => readonly string[],
): Runner["run"] {
  return async (cluster, records) => {
    const process = new BenchProcess([COMPARATORS, ...argumentsOf(cluster, records)]);
    if ((await process.exited) !== 0) throw new Error("the comparator has failed");
    const pace = steadyPace([process.lines.flatMap((line) => parseMark(line) ?? [])], records);
    const hits = process.lines.find((line) => line.startsWith("hits "));
    return hits === undefined ? pace : { ...pace, hits: Number(hits.slice(5)) };
  };
}

const stream = (end: number) => ({ kind: "jetstream", stream: STREAM, end }) as const;
const publicReader = (end: number) => ({ ...stream(end), reader: "public" }) as const;
const frames = (records: number) =>
  ({ kind: "framed", stream: FRAMES.stream, end: records / FRAMES.perMessage }) as const;
const pool = (count: number) => ({ kind: "generator", count, keys: KEYS }) as const;
const numbered = (records: "numbered-bids" | "numbered-pairs") => (count: number) =>
  ({ kind: "generator", count, keys: KEYS, records }) as const;

const exactlyOnce = { sink: "jetstream", intervalMs: CHECKPOINT_MS, parallelism: 1 } as const;
const discard = { sink: "discard", intervalMs: CHECKPOINT_MS, parallelism: 1 } as const;

const RUNNERS = {
  stock: {
    records: single,
    run: comparator((cluster, records) => ["stock", cluster.server.url, STREAM, String(records)]),
  },
  engine: { records: single, run: job({ name: "w1", ...exactlyOnce }, stream) },
  public: { records: single, run: job({ name: "w1-public", ...exactlyOnce }, publicReader) },
  off: { records: single, run: job({ name: "w1-off", sink: "jetstream", parallelism: 1 }, stream) },
  discard: { records: single, run: job({ name: "w1-discard", ...discard }, stream) },
  discardOff: {
    records: single,
    run: job({ name: "w1-discard-off", sink: "discard", parallelism: 1 }, stream),
  },
  parse: { records: framed, run: comparator((_, records) => ["parse", String(records), String(KEYS)]) },
  framed: { records: framed, run: job({ name: "w1-framed", ...discard }, frames) },
  one: { records: inMemory, run: job({ name: "one", ...discard }, pool) },
  two: { records: inMemory, run: job({ name: "two", ...discard, parallelism: 2 }, pool, 2) },
  oneProjected: { records: inMemory, run: job({ name: "one-projected", ...discard, projected: true }, pool) },
  twoProjected: {
    records: inMemory,
    run: job({ name: "two-projected", ...discard, parallelism: 2, projected: true }, pool, 2),
  },
  engineOnly: {
    records: inMemory,
    run: job({ name: "engine-only", ...discard }, numbered("numbered-bids")),
  },
  engineOnlyTimed: {
    records: inMemory,
    run: job({ name: "engine-only-timed", ...discard, timed: true }, numbered("numbered-bids")),
  },
  engineOnlyTwoFields: {
    records: inMemory,
    run: job({ name: "engine-only-two-fields", ...discard }, numbered("numbered-pairs")),
  },
} satisfies Record<string, Runner>;

type RunnerName = keyof typeof RUNNERS;

interface Ratio extends Figure {
  readonly of: RunnerName;
  readonly to: RunnerName;
  /** Default: steady. */
  readonly rate?: "committed" | "perCpu";
}

const RATIOS: readonly Ratio[] = [
  { name: "engineToRawRatio", floor: 1.2, aim: 1.6, better: "higher", of: "engine", to: "stock" },
  { name: "engineToRawPublicApi", floor: 0.85, better: "higher", of: "public", to: "stock" },
  { name: "framedToParseRatio", floor: 0.5, aim: 0.7, better: "higher", of: "framed", to: "parse" },
  { name: "checkpointOverhead", floor: 0.85, better: "higher", of: "engine", to: "off", rate: "committed" },
  { name: "checkpointOverheadSteady", better: "higher", of: "engine", to: "off" },
  { name: "checkpointOverheadDiscard", floor: 0.9, better: "higher", of: "discard", to: "discardOff" },
  { name: "twoWorkersRatio", floor: 0.7, better: "higher", of: "two", to: "one" },
  { name: "twoWorkersProjectedRatio", floor: 1, better: "higher", of: "twoProjected", to: "oneProjected" },
  {
    name: "eventTimeRatio",
    aim: 0.95,
    better: "higher",
    of: "engineOnlyTimed",
    to: "engineOnly",
    rate: "perCpu",
  },
];

interface Rate extends Figure {
  readonly of: RunnerName;
}

const RATES: readonly Rate[] = [
  { name: "engineOnly", aim: 2_000_000, better: "higher", unit: "records/s", of: "engineOnly" },
  { name: "engineOnlyTwoFields", better: "higher", unit: "records/s", of: "engineOnlyTwoFields" },
];

export const throughputFigures: readonly Figure[] = [...RATIOS, ...RATES];

export async function measureThroughput(
  cluster: BenchCluster,
  wanted: ReadonlySet<string>,
  settings: Settings,
): Promise<Measured[]> {
  const ratios = RATIOS.filter((ratio) => wanted.has(ratio.name));
  const rates = RATES.filter((rate) => wanted.has(rate.name));
  const names = [...new Set([...ratios.flatMap(({ of, to }) => [of, to]), ...rates.map(({ of }) => of)])];
  const paces = new Map(names.map((name) => [name, [] as Run[]]));
  const hits = new Set<number>();
  for (let round = 0; round < settings.rounds; round++) {
    // The order is turned round each time, so that it is not always the same copy that comes first.
    for (const name of round % 2 === 0 ? names : [...names].reverse()) {
      const { run, records } = RUNNERS[name];
      const pace = await run(cluster, records(settings));
      paces.get(name)!.push(pace);
      if (pace.hits !== undefined) hits.add(pace.hits);
      if (hits.size > 1) throw new Error(`${name} has emitted ${pace.hits} hits, others ${[...hits][0]}`);
      settings.say(
        `round ${round + 1}: ${name.padEnd(12)} ${Math.round(pace.recordsPerSecond / 1000)} K records/s, ` +
          `${pace.cpuUsPerRecord.toFixed(2)} us of processor time a record`,
      );
    }
  }
  const each = (name: RunnerName, of: (pace: Run) => number) => paces.get(name)!.map(of);
  return [
    ...ratios.map((ratio) => {
      const rateOf = (pace: Run): number => {
        if (ratio.rate === "perCpu") return 1 / pace.cpuUsPerRecord;
        return ratio.rate === "committed" ? pace.committedPerSecond! : pace.recordsPerSecond;
      };
      const to = each(ratio.to, rateOf);
      return { ...ratio, samples: each(ratio.of, rateOf).map((rate, i) => rate / to[i]!) };
    }),
    ...rates.map(({ of, ...figure }) => ({
      ...figure,
      samples: each(of, (pace) => Math.round(pace.recordsPerSecond)),
    })),
    ...names.flatMap((name): Measured[] => [
      {
        name: `recordsPerSecond.${name}`,
        better: "higher",
        samples: each(name, (pace) => Math.round(pace.recordsPerSecond)),
      },
      { name: `cpuUsPerRecord.${name}`, better: "lower", samples: each(name, (pace) => pace.cpuUsPerRecord) },
    ]),
  ];
}

/** Records a second of the saturated exactly-once job: half of it is half load. */
export async function saturatedRate(cluster: BenchCluster, settings: Settings): Promise<number> {
  return (await RUNNERS.engine.run(cluster, settings.records)).recordsPerSecond;
}

const COMPARATOR_NAMES: readonly RunnerName[] = ["stock", "parse"];

/**
 * Runs of the engine, compared by their processor time for a record: what a figure is a ratio to either is the same for
 * both copies (a comparator), or is compared as a row of its own. A ratio between two runs of one copy is only shown:
 * it falls, too, when nothing but its base has become faster.
 */
export function comparableThroughput(wanted: ReadonlySet<string>): Comparable {
  const ratios = RATIOS.filter((ratio) => wanted.has(ratio.name));
  const rates = RATES.filter((rate) => wanted.has(rate.name));
  const between = ratios.filter(({ to }) => !COMPARATOR_NAMES.includes(to));
  const measured = [...new Set([...ratios, ...rates].map(({ of }) => of))];
  const bases = [...new Set(between.map(({ to }) => to))].filter((to) => !measured.includes(to));
  const names = [...measured, ...bases];
  return {
    probes: names.map(probeOf),
    rows: [
      ...ratios.map(({ name, of, rate }) =>
        rate === "committed" ? rateRow(name, of, "committedPerSecond") : cpuRow(name, of),
      ),
      ...rates.map(({ name, of }) => cpuRow(name, of)),
      ...bases.map((base) => cpuRow(`cpuUsPerRecord.${base}`, base)),
      ...between.map(ratioRow),
      ...names.map((name) => ({
        ...rateRow(`recordsPerSecond.${name}`, name, "recordsPerSecond"),
        judged: false,
      })),
    ],
  };
}

function probeOf(name: RunnerName): Probe {
  const { run, records } = RUNNERS[name];
  return {
    name,
    measure: async (cluster, settings) => {
      const { recordsPerSecond, cpuUsPerRecord, committedPerSecond } = await run(cluster, records(settings));
      settings.say(
        `${Math.round(recordsPerSecond / 1000)} K records/s, ${cpuUsPerRecord.toFixed(2)} us of processor time a record`,
      );
      return {
        [`recordsPerSecond.${name}`]: recordsPerSecond,
        [`cpuUsPerRecord.${name}`]: cpuUsPerRecord,
        ...(committedPerSecond === undefined ? {} : { [`committedPerSecond.${name}`]: committedPerSecond }),
      };
    },
  };
}

function cpuRow(name: string, of: RunnerName): Row {
  return {
    name,
    better: "lower",
    unit: "us",
    comparedBy: `processor time a record of "${of}"`,
    judged: true,
    probes: [of],
    value: (reading) => reading[`cpuUsPerRecord.${of}`]!,
  };
}

function rateRow(name: string, of: RunnerName, rate: "recordsPerSecond" | "committedPerSecond"): Row {
  const whole = rate === "committedPerSecond";
  return {
    name,
    better: "higher",
    unit: "records/s",
    ...(whole ? { comparedBy: `records a second of "${of}" to the last commit` } : {}),
    judged: true,
    probes: [of],
    value: (reading) => reading[`${rate}.${of}`]!,
  };
}

function ratioRow({ name, of, to, rate }: Ratio): Row {
  const value =
    rate === "committed"
      ? (reading: Reading) => reading[`committedPerSecond.${of}`]! / reading[`committedPerSecond.${to}`]!
      : (reading: Reading) => reading[`cpuUsPerRecord.${to}`]! / reading[`cpuUsPerRecord.${of}`]!;
  return {
    name: `${name}.ratio`,
    better: "higher",
    comparedBy: `"${of}" to "${to}" within one copy`,
    judged: false,
    probes: [of, to],
    value,
  };
}
