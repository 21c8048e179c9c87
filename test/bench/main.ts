/**
 * `npm run bench -- [--json] [--only NAME]... [--rounds N] [--records N] [--check] [--sync-always]`
 *
 * Measures the engine beside floors, with real processes on one machine: compiled
 * workers, a coordinator, a nats-server. Ratios are medians of interleaved pairs. Not measured: networks, replication,
 * several machines, power loss. `reader.ts`, `state.ts` and `channel.ts` beside this file measure single parts.
 *
 * Exit code 0, also when a floor is missed; with `--check` then 1.
 */
import { loadavg } from "node:os";
import { parseArgs } from "node:util";
import type { Figure, Measured, Settings } from "./figure.ts";
import { durationFigures, measureDurations, measurePauses, pauseFigures } from "./figures/checkpoints.ts";
import { measureRecovery, recoveryFigures } from "./figures/recovery.ts";
import { measureThroughput, throughputFigures } from "./figures/throughput.ts";
import { measureMemory, measureWire, memoryFigures, wireFigures } from "./figures/wire.ts";
import { BenchCluster } from "./processes/processes.ts";
import { describeFigures, figuresAsJson, passes } from "./report.ts";
import { fillFrames, fillSingle } from "./streams.ts";

const { values: flags } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    only: { type: "string", multiple: true },
    rounds: { type: "string", default: "5" },
    records: { type: "string", default: "600000" },
    check: { type: "boolean", default: false },
    "sync-always": { type: "boolean", default: false },
  },
});

const GROUPS: readonly (readonly Figure[])[] = [
  throughputFigures,
  durationFigures,
  pauseFigures,
  recoveryFigures,
  wireFigures,
  memoryFigures,
];
const names = GROUPS.flat().map((figure) => figure.name);
const wanted = new Set(names.filter((name) => flags.only?.some((only) => isPartOf(name, only)) ?? true));
if (wanted.size === 0) {
  process.stderr.write(`no such figure; there are ${names.join(", ")}\n`);
  process.exit(2);
}

const records = Number(flags.records);
const settings: Settings = {
  rounds: Number(flags.rounds),
  records,
  streamRecords: 2 * records,
  say: (line) => void process.stderr.write(`${line}\n`),
};
const loadBefore = loadavg()[0]!;
const cluster = await BenchCluster.start({ syncAlways: flags["sync-always"] });
let measured: Measured[];
try {
  measured = await measure();
} finally {
  await cluster.stop();
}
process.stdout.write(`${(flags.json ? figuresAsJson : describeFigures)(measured, loadBefore)}\n`);
process.exit(flags.check && measured.some((one) => passes(one) === false) ? 1 : 0);

/** "rssMb" stands for all that begins with "rssMb.". */
function isPartOf(name: string, only: string): boolean {
  return name === only || name.startsWith(`${only}.`);
}

async function measure(): Promise<Measured[]> {
  const asked = (figures: readonly Figure[]) => figures.some((figure) => wanted.has(figure.name));
  const all: Measured[] = [];
  const throughput = asked(throughputFigures);
  if (throughput || asked(durationFigures) || asked(memoryFigures)) {
    settings.say(`filling streams with ${settings.streamRecords} records`);
    await fillSingle(cluster, settings.streamRecords);
  }
  if (throughput) await fillFrames(cluster, 4 * settings.records);
  if (throughput) all.push(...(await measureThroughput(cluster, wanted, settings)));
  if (asked(durationFigures)) all.push(...(await measureDurations(cluster, wanted, settings)));
  if (asked(pauseFigures)) all.push(...(await measurePauses(cluster, settings)));
  if (asked(recoveryFigures)) all.push(...(await measureRecovery(cluster, settings)));
  if (asked(wireFigures)) all.push(...(await measureWire(cluster)));
  if (asked(memoryFigures)) all.push(...(await measureMemory(cluster, settings)));
  // Requested figures first, what else was noticed behind them.
  return [...all.filter((one) => wanted.has(one.name)), ...all.filter((one) => !wanted.has(one.name))];
}
