/**
 * `npm run bench -- [--json] [--figures A,B] [--rounds N] [--records N] [--large] [--sync-always]` and either
 * `[--check]` or `--against DIR [--rounds-max N]`. `--only NAME`, repeated, selects as `--figures` does.
 *
 * Measures the engine beside floors, with real processes on one machine: compiled
 * workers, a coordinator, a nats-server. Ratios are medians of interleaved pairs. Not measured: networks, replication,
 * several machines, power loss. `reader.ts`, `state.ts` and `channel.ts` in micro/ measure single parts.
 *
 * `--against` runs the same jobs by the commands of this copy and of another built one, in alternating rounds, and
 * compares each figure with itself (comparison/).
 *
 * Exit codes: 0; 2 for wrong use. With `--check` 1 when a floor is missed. With `--against` 1 when a figure is worse,
 * else 3 when one is unresolved.
 */
import { loadavg } from "node:os";
import { type BenchArguments, parseBenchArguments, UsageError } from "./arguments.ts";
import type { Comparable } from "./comparison/probe.ts";
import { comparisonAsJson, describeComparison, exitCodeOf } from "./comparison/report.ts";
import { compare, lacks } from "./comparison/rounds.ts";
import type { Figure, Measured, Settings } from "./figure.ts";
import {
  comparableDurations,
  comparablePauses,
  comparableSizedPauses,
  durationFigures,
  measureDurations,
  measurePauses,
  measureSizedPauses,
  pauseFigures,
  sizedPauseFigures,
} from "./figures/checkpoints.ts";
import { comparableDisk, diskFigures, measureDisk } from "./figures/disk.ts";
import { comparableIncremental, incrementalFigures, measureIncremental } from "./figures/incremental.ts";
import {
  comparableLocalRecovery,
  localRecoveryFigures,
  measureLocalRecovery,
} from "./figures/local-recovery.ts";
import {
  comparableRecovery,
  comparableSizedRecovery,
  measureRecovery,
  measureSizedRecovery,
  recoveryFigures,
  sizedRecoveryFigures,
} from "./figures/recovery.ts";
import { comparableState, measureStateUpdates, stateFigures } from "./figures/state.ts";
import { comparableStateMemory, measureStateMemory, stateMemoryFigures } from "./figures/state-memory.ts";
import { comparableSizes, measureSizes, sizeFigures } from "./figures/state-size.ts";
import { comparableThroughput, measureThroughput, throughputFigures } from "./figures/throughput.ts";
import {
  comparableMemory,
  comparableWire,
  measureMemory,
  measureWire,
  memoryFigures,
  wireFigures,
} from "./figures/wire.ts";
import { type Copy, OWN_COPY, openCopy } from "./processes/copy.ts";
import { BenchCluster } from "./processes/processes.ts";
import { describeFigures, figuresAsJson, machine, passes } from "./report.ts";
import { fillFrames, fillSingle } from "./streams.ts";

/** What one measurement gives together, and how it is measured here and compared. */
interface Group {
  readonly figures: readonly Figure[];
  /** Streams that it reads. */
  readonly reads: { readonly single: boolean; readonly frames: boolean };
  measure(cluster: BenchCluster, wanted: ReadonlySet<string>, settings: Settings): Promise<Measured[]>;
  compare(wanted: ReadonlySet<string>): Comparable;
}

const NOTHING = { single: false, frames: false };
const SINGLE = { single: true, frames: false };

const GROUPS: readonly Group[] = [
  {
    figures: throughputFigures,
    reads: { single: true, frames: true },
    measure: measureThroughput,
    compare: comparableThroughput,
  },
  { figures: durationFigures, reads: SINGLE, measure: measureDurations, compare: comparableDurations },
  {
    figures: pauseFigures,
    reads: NOTHING,
    measure: (cluster, _, settings) => measurePauses(cluster, settings),
    compare: comparablePauses,
  },
  {
    figures: recoveryFigures,
    reads: NOTHING,
    measure: (cluster, _, settings) => measureRecovery(cluster, settings),
    compare: comparableRecovery,
  },
  {
    figures: wireFigures,
    reads: NOTHING,
    measure: (cluster) => measureWire(cluster),
    compare: comparableWire,
  },
  {
    figures: memoryFigures,
    reads: SINGLE,
    measure: (cluster, _, settings) => measureMemory(cluster, settings),
    compare: comparableMemory,
  },
  {
    figures: stateFigures,
    reads: NOTHING,
    measure: ({ copy }, wanted, settings) => measureStateUpdates(copy, wanted, settings),
    compare: comparableState,
  },
  { figures: sizeFigures, reads: NOTHING, measure: measureSizes, compare: comparableSizes },
  {
    figures: incrementalFigures,
    reads: NOTHING,
    measure: (cluster, _, settings) => measureIncremental(cluster, settings),
    compare: comparableIncremental,
  },
  {
    figures: sizedPauseFigures,
    reads: NOTHING,
    measure: measureSizedPauses,
    compare: comparableSizedPauses,
  },
  {
    figures: diskFigures,
    reads: NOTHING,
    measure: ({ copy }, wanted, settings) => measureDisk(copy, wanted, settings),
    compare: comparableDisk,
  },
  {
    figures: stateMemoryFigures,
    reads: NOTHING,
    measure: ({ copy }, wanted) => measureStateMemory(copy, wanted),
    compare: comparableStateMemory,
  },
  {
    figures: sizedRecoveryFigures,
    reads: NOTHING,
    measure: measureSizedRecovery,
    compare: comparableSizedRecovery,
  },
  {
    figures: localRecoveryFigures,
    reads: NOTHING,
    measure: measureLocalRecovery,
    compare: comparableLocalRecovery,
  },
];

try {
  const args = parseBenchArguments(
    process.argv.slice(2),
    GROUPS.flatMap(({ figures }) => figures),
  );
  process.exit(
    await (args.against === undefined ? runAlone(args) : runAgainst(args, openCopy(args.against))),
  );
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  process.stderr.write(`bench: ${error.message}\n`);
  process.exit(2);
}

function settingsOf({ rounds, records }: BenchArguments): Settings {
  const say = (line: string) => void process.stderr.write(`${line}\n`);
  return { rounds, records, streamRecords: 2 * records, say };
}

function groupsOf({ figures }: BenchArguments): Group[] {
  return GROUPS.filter((group) => group.figures.some(({ name }) => figures.has(name)));
}

async function fillStreams(
  cluster: BenchCluster,
  groups: readonly Group[],
  settings: Settings,
): Promise<void> {
  if (groups.some(({ reads }) => reads.single)) {
    settings.say(`filling a stream with ${settings.streamRecords} records`);
    await fillSingle(cluster, settings.streamRecords);
  }
  if (groups.some(({ reads }) => reads.frames)) await fillFrames(cluster, 4 * settings.records);
}

async function runAlone(args: BenchArguments): Promise<number> {
  const settings = settingsOf(args);
  const groups = groupsOf(args);
  const loadBefore = loadavg()[0]!;
  const all: Measured[] = [];
  const cluster = await BenchCluster.start({ syncAlways: args.syncAlways });
  try {
    await fillStreams(cluster, groups, settings);
    for (const group of groups) all.push(...(await group.measure(cluster, args.figures, settings)));
  } finally {
    await cluster.stop();
  }
  // Requested figures first, what else was noticed behind them.
  const isWanted = ({ name }: Measured) => args.figures.has(name);
  const measured = [...all.filter(isWanted), ...all.filter((one) => !isWanted(one))];
  process.stdout.write(`${(args.json ? figuresAsJson : describeFigures)(measured, loadBefore)}\n`);
  return args.check && measured.some((one) => passes(one) === false) ? 1 : 0;
}

/** The rows of the groups that are wanted, and of those that they need; rows for information come last. */
function comparableOf(groups: readonly Group[], wanted: ReadonlySet<string>): Comparable {
  const unwanted = new Set(
    groups.flatMap(({ figures }) => figures.map(({ name }) => name).filter((name) => !wanted.has(name))),
  );
  const all = groups.map((group) => group.compare(wanted));
  const rows = all.flatMap((each) => each.rows).filter(({ name }) => !unwanted.has(name));
  const needed = new Set(rows.flatMap((row) => row.probes));
  return {
    probes: all.flatMap((each) => each.probes).filter(({ name }) => needed.has(name)),
    rows: [...rows.filter(({ judged }) => judged), ...rows.filter(({ judged }) => !judged)],
  };
}

async function runAgainst(args: BenchArguments, otherCopy: Copy): Promise<number> {
  const settings = { ...settingsOf(args), roundsMax: args.roundsMax };
  const groups = groupsOf(args);
  const comparable = comparableOf(groups, args.figures);
  for (const { name, lackIn } of comparable.probes) {
    for (const copy of [OWN_COPY, otherCopy]) {
      const lack = lackIn?.(copy);
      if (lack !== undefined) throw lacks(name, copy.root, lack);
    }
  }
  const begun = performance.now();
  const loadBefore = loadavg()[0]!;
  // A server and a coordinator each: what one copy stores, the other never reads.
  const own = await BenchCluster.start({ syncAlways: args.syncAlways });
  const other = await BenchCluster.start({ syncAlways: args.syncAlways, copy: otherCopy });
  try {
    for (const cluster of [own, other]) await fillStreams(cluster, groups, settings);
    const rows = await compare({ own, other }, comparable, settings);
    const at = { own: OWN_COPY.root, other: otherCopy.root, roundsMax: args.roundsMax };
    const minutes = (performance.now() - begun) / 60_000;
    settings.say(`took ${minutes.toFixed(1)} minutes`);
    const load = { loadBefore, loadAfter: loadavg()[0] };
    process.stdout.write(
      args.json
        ? `${JSON.stringify({ ...comparisonAsJson(rows, at), minutes, ...load, machine: machine() })}\n`
        : `${describeComparison(rows, at)}\n`,
    );
    return exitCodeOf(rows);
  } finally {
    await own.stop();
    await other.stop();
  }
}
