/**
 * What a comparison runs and what it makes of it. A probe is run once a round by either copy; a row is a line of the
 * result.
 */
import { type Figure, type Measured, type Settings, valueOfFigure } from "../figure.ts";
import type { Copy } from "../processes/copy.ts";
import type { BenchCluster } from "../processes/processes.ts";

/** Named numbers of one run. */
export type Reading = Readonly<Record<string, number>>;

export interface Probe {
  readonly name: string;
  /** Why this copy cannot be measured so, as far as it shows without running it; undefined: it can. */
  readonly lackIn?: (copy: Copy) => string | undefined;
  /** Once for either copy, before the first round. */
  readonly prepare?: (cluster: BenchCluster, settings: Settings) => Promise<void>;
  readonly measure: (cluster: BenchCluster, settings: Settings) => Promise<Reading>;
}

export interface Row {
  /** The name of the figure. */
  readonly name: string;
  readonly better: "higher" | "lower";
  readonly unit?: string;
  /** In words, where it is not the figure's own number. */
  readonly comparedBy?: string;
  /** false: shown for information. */
  readonly judged: boolean;
  /** Names of the probes whose readings `value` needs. */
  readonly probes: readonly string[];
  readonly value: (reading: Reading) => number;
}

export interface Comparable {
  readonly probes: readonly Probe[];
  readonly rows: readonly Row[];
}

/** The values of figures, by their names. */
export function readingOf(all: readonly Measured[]): Reading {
  return Object.fromEntries(all.map((measured) => [measured.name, valueOfFigure(measured)]));
}

/** Figures that are compared by their own numbers, which one probe reads. */
export function rowsOf(figures: readonly Figure[], probe: string): Row[] {
  return figures.map(({ name, better, unit, informs }) => ({
    name,
    better,
    ...(unit === undefined ? {} : { unit }),
    judged: informs !== true,
    probes: [probe],
    value: (reading) => reading[name]!,
  }));
}
