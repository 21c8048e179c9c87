/**
 * Whether a figure has become worse: the ratio of this copy's median to the other's, above 1 is better.
 *
 * A figure is worse when its ratio is below 0.97 and its 90 % interval does not reach 1. Where the interval is wider
 * than 0.1 neither can be said, unless all of it lies on one side of 0.97.
 */
import { estimateRatio, type Pair, type RatioEstimate } from "../statistics.ts";

const RATIO_MIN = 0.97;
const WIDTH_MAX = 0.1;

export type Verdict = "ok" | "worse" | "unresolved";

export interface Judgement extends RatioEstimate {
  readonly verdict: Verdict;
}

/** @param pairs of each round: what this copy had, and what the other one had */
export function judge(better: "higher" | "lower", pairs: readonly Pair[]): Judgement {
  const oriented = better === "higher" ? pairs : pairs.map(([own, other]): Pair => [other, own]);
  const estimate = estimateRatio(oriented);
  return { ...estimate, verdict: verdictOf(estimate) };
}

export function verdictOf({ ratio, low, high }: RatioEstimate): Verdict {
  if (low >= RATIO_MIN) return "ok";
  if (high < RATIO_MIN) return "worse";
  // Not (… <= …): what is not a number is not resolved.
  if (!(high - low <= WIDTH_MAX)) return "unresolved";
  return ratio >= RATIO_MIN || high >= 1 ? "ok" : "worse";
}
