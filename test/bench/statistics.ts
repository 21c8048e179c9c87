/** Numbers of several rounds in a few words. */
import { seeded } from "./jobs/workload.ts";

export function quantile(samples: readonly number[], q: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
}

export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle]!;
  return ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2;
}

/** (max - min) / median: how much rounds of the same thing differ. */
export function spread(samples: readonly number[]): number {
  return (Math.max(...samples) - Math.min(...samples)) / median(samples);
}

/** The samples of two sides in one round. */
export type Pair = readonly [one: number, other: number];

export interface RatioEstimate {
  /** Median of the one side / median of the other. */
  readonly ratio: number;
  /** Ends of its 90 % interval. */
  readonly low: number;
  readonly high: number;
}

const RESAMPLES = 2000;
const SEED = 20;

/**
 * The ratio of medians over paired rounds, and its 90 % interval: percentiles of a bootstrap that draws whole rounds,
 * so that what disturbed both sides of a round is drawn for both (Efron, Tibshirani: An Introduction to the Bootstrap,
 * 1993, 13.3). Equal pairs give equal results.
 *
 * @param pairs at least one
 */
export function estimateRatio(pairs: readonly Pair[]): RatioEstimate {
  const random = seeded(SEED);
  const drawn = Array.from({ length: RESAMPLES }, () =>
    ratioOfMedians(pairs.map(() => pairs[Math.floor(random() * pairs.length)]!)),
  ).sort((a, b) => a - b);
  return {
    ratio: ratioOfMedians(pairs),
    low: drawn[Math.floor(RESAMPLES * 0.05)]!,
    high: drawn[Math.ceil(RESAMPLES * 0.95) - 1]!,
  };
}

/** Equal medians have the ratio 1, also when both are 0. */
function ratioOfMedians(pairs: readonly Pair[]): number {
  const one = median(pairs.map((pair) => pair[0]));
  const other = median(pairs.map((pair) => pair[1]));
  return one === other ? 1 : one / other;
}
