/** What is wrong with what a sink has put out. */
import type { Item } from "../drawing.ts";
import type { Expected, Order } from "./oracle.ts";

export const textOf = ({ by, key, at, n }: Item): string => `${by} key ${key} #${at} n ${n}`;

export function counted(items: readonly Item[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const item of items) {
    const text = textOf(item);
    counts.set(text, (counts.get(text) ?? 0) + 1);
  }
  return counts;
}

/** "exactly", or only one side of it: no more and nothing else, or no less. */
export type Bound = "exactly" | "at-most" | "at-least";

/** What is wrong with what a sink has put out, in words. */
export function findingsAt(
  sink: string,
  expected: Expected,
  actual: readonly Item[],
  bound: Bound = "exactly",
): string[] {
  const findings: string[] = [];
  const { makers, lacks, repeats, beyond, vague, order } = expected;
  for (const { by } of actual)
    if (!makers.has(by)) findings.push(`sink ${sink}: nothing in front of it makes items of ${by}`);
  if (!vague) {
    const [wanted, came] = [counted(expected.items), counted(actual)];
    for (const [text, times] of came) {
      const most = wanted.get(text) ?? 0;
      if (bound === "at-least") break;
      const isMore = repeats ? most === 0 && !beyond : times > most;
      if (isMore) findings.push(`sink ${sink}: ${text} came ${times} times, not ${most}`);
    }
    if (!lacks && bound !== "at-most")
      for (const [text, times] of wanted) {
        const found = came.get(text) ?? 0;
        if (found < times) findings.push(`sink ${sink}: ${text} came ${found} times, not ${times}`);
      }
  }
  if (order !== "none" && !repeats && !vague) findings.push(...disorderAt(sink, order, actual));
  return findings;
}

function disorderAt(sink: string, order: Order, actual: readonly Item[]): string[] {
  const findings: string[] = [];
  const last = new Map<string, number>();
  for (const item of actual) {
    const line = order === "of-maker" && item.by.includes("/") ? item.by : `${item.by} key ${item.key}`;
    const before = last.get(line) ?? Number.NEGATIVE_INFINITY;
    if (item.at < before) findings.push(`sink ${sink}: ${textOf(item)} came behind #${before}`);
    last.set(line, item.at);
  }
  return findings;
}
