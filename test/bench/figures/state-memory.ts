/**
 * How much memory 10^6 keys take on the heap (state-memory.ts): a small object, 100 bytes of JSON, as the value, the
 * list, the map or the open window of each key, or a timer for each. It is what V8 knows of behind a full collection,
 * objects and array buffers; `stateResidentMb` is what the process has grown by, with what V8 has not given back.
 *
 * Not counted: what a worker needs besides, and blocks that are kept while a checkpoint is read.
 */
import { type Comparable, type Probe, readingOf, rowsOf } from "../comparison/probe.ts";
import type { Figure, Measured, Settings } from "../figure.ts";
import type { Copy } from "../processes/copy.ts";
import { BenchProcess } from "../processes/processes.ts";
import { parseStateMemory } from "../state/state-memory-report.ts";

const KEYS = 1_000_000;
const KINDS = ["value", "list", "map", "window", "timer"] as const;
type Kind = (typeof KINDS)[number];

const FIGURES = KINDS.map((kind): Figure & { readonly kind: Kind } => ({
  name: `stateMemoryMb.${kind}`,
  better: "lower",
  unit: "MB",
  ...(kind === "value" ? { floor: 220 } : {}),
  kind,
}));

export const stateMemoryFigures: readonly Figure[] = FIGURES;

export async function measureStateMemory(copy: Copy, wanted: ReadonlySet<string>): Promise<Measured[]> {
  const measured: Measured[] = [];
  for (const { kind, ...figure } of FIGURES.filter(({ name }) => wanted.has(name))) {
    const script = copy.bench("state/state-memory.js");
    const process = new BenchProcess(["--expose-gc", script, kind, String(KEYS)]);
    if ((await process.exited) !== 0)
      throw new Error(`the memory of state of kind ${kind} cannot be measured`);
    const [memory] = process.lines.flatMap((line) => parseStateMemory(line) ?? []);
    if (memory === undefined) throw new Error("state-memory.js has said nothing");
    measured.push({ ...figure, samples: [memory.knownMb] });
    measured.push({
      name: `stateResidentMb.${kind}`,
      better: "lower",
      unit: "MB",
      samples: [memory.residentMb],
    });
  }
  return measured;
}

export function comparableStateMemory(): Comparable {
  const probe: Probe = {
    name: "state-memory",
    measure: async ({ copy }: { readonly copy: Copy }, _: Settings) =>
      readingOf(await measureStateMemory(copy, new Set(FIGURES.map(({ name }) => name)))),
  };
  return { probes: [probe], rows: rowsOf(stateMemoryFigures, probe.name) };
}
