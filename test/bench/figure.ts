/** What is measured: a name, what it must reach, and the samples of its rounds. */
import { median } from "./statistics.ts";

export interface Figure {
  readonly name: string;
  readonly better: "higher" | "lower";
  /** Worse than this is a miss; undefined: shown for information. */
  readonly floor?: number;
  readonly aim?: number;
  readonly unit?: string;
  /** true: the figure is about the machine or the method, so two copies are not judged by it. */
  readonly informs?: true;
  /** true: it takes minutes and gigabytes, so it is measured only where it is asked for. */
  readonly large?: boolean;
}

export interface Measured extends Figure {
  /** One for each round or event; the figure is their median, unless `value` says otherwise. */
  readonly samples: readonly number[];
  /** A quantile, for instance. */
  readonly value?: number;
}

export interface Settings {
  readonly rounds: number;
  /** Read one a message in one run. */
  readonly records: number;
  /** In the stream of single records. */
  readonly streamRecords: number;
  readonly say: (line: string) => void;
}

export function valueOfFigure(measured: Measured): number {
  return measured.value ?? median(measured.samples);
}
