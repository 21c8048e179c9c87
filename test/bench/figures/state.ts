/**
 * What a read-modify-write at the handle of keyed state costs, as the ratio of a bare Map's cost to it: 1 is as fast as
 * a Map of mutable objects (state-updates.ts). By processor time, in one process, no transport and no snapshot.
 */
import { type Comparable, type Probe, type Row, readingOf } from "../comparison/probe.ts";
import type { Figure, Measured, Settings } from "../figure.ts";
import type { Copy } from "../processes/copy.ts";
import { BenchProcess } from "../processes/processes.ts";
import { hasKeyedState } from "../state/keyed-state.ts";
import { parseStateUpdates } from "../state/state-updates-report.ts";
import { median } from "../statistics.ts";
import { KEYS } from "../streams.ts";

const SCRIPT = "state/state-updates.js";

interface StateFigure extends Figure {
  readonly type: "integers" | "strings";
  readonly keys: number;
}

const FIGURES: readonly StateFigure[] = [
  { name: "stateUpdateToMapRatio", floor: 0.6, better: "higher", type: "integers", keys: KEYS },
  { name: "stateUpdateToMap1MRatio", floor: 0.6, better: "higher", type: "integers", keys: 1_000_000 },
  { name: "stateUpdateToMapStringRatio", better: "higher", type: "strings", keys: KEYS },
];

export const stateFigures: readonly Figure[] = FIGURES;

export async function measureStateUpdates(
  copy: Copy,
  wanted: ReadonlySet<string>,
  settings: Settings,
): Promise<Measured[]> {
  const measured: Measured[] = [];
  for (const figure of FIGURES)
    if (wanted.has(figure.name)) measured.push(await updates(copy, figure, settings));
  return measured;
}

async function updates(
  copy: Copy,
  { type, keys, ...figure }: StateFigure,
  settings: Settings,
): Promise<Measured> {
  const process = new BenchProcess([copy.bench(SCRIPT), type, String(keys)]);
  if ((await process.exited) !== 0) throw new Error("its keyed state cannot be driven by state-updates.js");
  const [printed] = process.lines.flatMap((line) => parseStateUpdates(line) ?? []);
  if (printed === undefined) throw new Error("state-updates.js has said nothing");
  const { stateNs, mapNs } = printed;
  settings.say(
    `an update with ${keys} ${type} as keys: state ${Math.round(median(stateNs))} ns, map ${Math.round(median(mapNs))} ns`,
  );
  return { ...figure, samples: stateNs.map((cost, i) => mapNs[i]! / cost) };
}

export function comparableState(wanted: ReadonlySet<string>): Comparable {
  const figures = FIGURES.filter(({ name }) => wanted.has(name));
  return {
    probes: figures.map(
      (figure): Probe => ({
        name: figure.name,
        lackIn: ({ dist }) =>
          hasKeyedState(dist) ? undefined : "it keeps keyed state at a place unknown to this bench",
        measure: async ({ copy }, settings) => readingOf([await updates(copy, figure, settings)]),
      }),
    ),
    rows: figures.map(
      ({ name, better }): Row => ({
        name,
        better,
        judged: true,
        probes: [name],
        value: (reading) => reading[name]!,
      }),
    ),
  };
}
