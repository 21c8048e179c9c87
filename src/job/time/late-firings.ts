/** Windows behind windows that fire again for late records: what a job drops there that its author may have wanted. */
import { formatDuration } from "../../config/quantity.ts";
import type { OperatorDetails } from "../../dataflow/operators/contract.ts";
import type { JobOperator } from "../job.ts";

/**
 * One sentence for each pair. A late firing has the timestamp of its window, and event time has passed that: so it is
 * late wherever time decides, unless as much lateness is allowed there.
 */
export function lateFirings(operators: readonly JobOperator[]): string[] {
  const warnings: string[] = [];
  const byId = new Map(operators.map((operator) => [operator.definition.id, operator]));
  for (const { definition, inputs } of operators) {
    const { id, details } = definition;
    if (!judgesByTime(details)) continue;
    const allowed = details.allowedLatenessMs ?? 0;
    for (const [from, latenessMs] of firingLate(
      inputs.map(({ from }) => from),
      byId,
    )) {
      if (latenessMs <= allowed) continue;
      warnings.push(
        `operator "${from}" fires again for late records (allowedLateness ${inWords(latenessMs)}), and operator "${id}" ` +
          `behind it takes these results for late${allowed === 0 ? "" : ` after ${inWords(allowed)}`}: ` +
          (details.allowedLatenessMs === undefined
            ? "take them from its late output, or leave allowedLateness out in front of it"
            : "give it as much allowedLateness and let the first one take results back (retract: true)"),
      );
    }
  }
  return warnings;
}

/** Windows and joins of event time. */
const judgesByTime = ({ windows, needsWatermarks }: OperatorDetails): boolean =>
  windows !== undefined && needsWatermarks === true;

const inWords = (ms: number): string => (ms === Number.POSITIVE_INFINITY ? "Infinity" : formatDuration(ms));

/** The windows whose late firings come by here, and how late these may be. Others have timestamps of their own. */
function firingLate(
  from: readonly string[],
  byId: ReadonlyMap<string, JobOperator>,
): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  const seen = new Set(from);
  for (const id of seen) {
    const { definition, inputs = [] } = byId.get(id) ?? {};
    const details = definition?.details;
    if (details === undefined || details.eventTime !== undefined) continue;
    const { allowedLatenessMs } = details;
    if (allowedLatenessMs !== undefined) {
      if (allowedLatenessMs > 0) found.set(id, allowedLatenessMs);
      continue;
    }
    for (const input of inputs) seen.add(input.from);
  }
  return found;
}
