/** Values with a time to live, as `status` shows them: one line for each state, over all subtasks. */
import type { SubtaskReport } from "../../control/messages.ts";
import type { StateExpiry } from "../../dataflow/operators/figures.ts";
import { count, size } from "./text.ts";

export function expiringLines(subtasks: readonly Pick<SubtaskReport, "operators">[]): string[] {
  const byState = new Map<string, StateExpiry[]>();
  for (const { operator, expiring = [] } of subtasks.flatMap(({ operators }) => operators)) {
    for (const one of expiring) {
      const name = `${operator}.${one.state}`;
      const ofState = byState.get(name) ?? [];
      byState.set(name, ofState);
      ofState.push(one);
    }
  }
  return [...byState].map(([name, all]) => {
    const sum = (of: (one: StateExpiry) => number) => all.reduce((before, one) => before + of(one), 0);
    const expired = sum((one) => one.expired);
    const bytes = sum((one) => one.expiredBytes ?? 0);
    const left =
      expired === 0
        ? "none expired"
        : `${count(expired)} of them expired and still there${bytes === 0 ? "" : ` (some ${size(bytes)})`}`;
    return `expiring     ${name}: ${count(sum((one) => one.values))} values, ${left}`;
  });
}
