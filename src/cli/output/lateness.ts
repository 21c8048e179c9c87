/** How late records came, as `status` shows it: one line for each operator, over all of its subtasks. */
import { formatDuration } from "../../config/quantity.ts";
import type { SubtaskReport } from "../../control/messages.ts";
import type { OperatorLateness } from "../../dataflow/operators/figures.ts";
import { count } from "./text.ts";

/** How late records came at one operator, and what would have taken 99 of 100 of them. */
export interface LatenessSummary {
  readonly operator: string;
  readonly records: number;
  readonly notTaken: number;
  /** Upper ends of buckets: at most an eighth too large. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** The `allowedLateness` of its windows. Left out: it has none, or no end. */
  readonly allowedMs?: number;
}

export function latenessOf(subtasks: readonly Pick<SubtaskReport, "operators">[]): LatenessSummary[] {
  const byOperator = new Map<string, OperatorLateness[]>();
  for (const { operator, lateness } of subtasks.flatMap(({ operators }) => operators)) {
    if (lateness === undefined) continue;
    const ofOperator = byOperator.get(operator) ?? [];
    byOperator.set(operator, ofOperator);
    ofOperator.push(lateness);
  }
  return [...byOperator].map(([operator, all]) => summaryOf(operator, all));
}

export function latenessLines(subtasks: readonly Pick<SubtaskReport, "operators">[]): string[] {
  return latenessOf(subtasks).map((one) => `lateness     ${describeLateness(one)}`);
}

/** "count: 40 too late, …; allowedLateness "42 s", … would have taken 99 % of them whole" */
export function describeLateness(summary: LatenessSummary): string {
  const { operator, records, notTaken, p50Ms, p99Ms, maxMs } = summary;
  return (
    `${operator}: ${count(records)} too late, ${count(notTaken)} of them not taken or in part only; ` +
    `by p50 ${rounded(p50Ms)}, p99 ${rounded(p99Ms)}, max ${rounded(maxMs)}` +
    (notTaken === 0 ? "" : `; ${adviceFor(summary)}`)
  );
}

function summaryOf(operator: string, all: readonly OperatorLateness[]): LatenessSummary {
  const buckets = new Map<number, number>();
  for (const [upToMs, records] of all.flatMap((one) => one.buckets))
    buckets.set(upToMs, (buckets.get(upToMs) ?? 0) + records);
  const ascending = [...buckets].sort(([one], [other]) => one - other);
  const sum = (of: (one: OperatorLateness) => number) => all.reduce((before, one) => before + of(one), 0);
  const records = sum((one) => one.records);
  const maxMs = Math.max(...all.map((one) => one.maxMs));
  const quantile = (part: number): number => {
    let left = Math.ceil(records * part);
    for (const [upToMs, inBucket] of ascending) {
      left -= inBucket;
      if (left <= 0) return Math.min(upToMs, maxMs);
    }
    return maxMs;
  };
  const allowedMs = all[0]?.allowedMs;
  return {
    operator,
    records,
    notTaken: sum((one) => one.notTaken),
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
    maxMs,
    ...(allowedMs !== undefined && { allowedMs }),
  };
}

function adviceFor({ p99Ms, allowedMs }: LatenessSummary): string {
  if (allowedMs === undefined) return `watermarks ${rounded(p99Ms)} later would have taken 99 % of them`;
  if (p99Ms <= allowedMs) return `allowedLateness "${formatDuration(allowedMs)}" takes 99 % of them`;
  return (
    `allowedLateness "${rounded(p99Ms)}", or watermarks ${rounded(p99Ms - allowedMs)} later, would have taken ` +
    "99 % of them whole"
  );
}

const STEPS_MS = [10, 100, 1000, 60_000, 3_600_000, 86_400_000] as const;

/** Up to a tenth more, so that it can be read; never less, because it is advice. */
function rounded(ms: number): string {
  const step = STEPS_MS.findLast((one) => ms >= 10 * one) ?? 1;
  return formatDuration(Math.ceil(ms / step) * step);
}
