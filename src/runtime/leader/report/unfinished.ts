/** What a job would cut short if its input ended now: open windows and pending timers, by operator, and in words. */
import type { Unfinished } from "../../../../machines/protocol.ts";
import { formatTime } from "../../../config/quantity.ts";
import type { SubtaskReport } from "../../../control/messages.ts";
import type { OperatorFigures } from "../../../dataflow/operators/figures.ts";

/** A record names so many at most. */
const OPERATORS_MAX = 20;

/** The operators that have something open, in the order of the reports. */
export function unfinishedOf(subtasks: readonly Pick<SubtaskReport, "operators">[]): Unfinished[] {
  const byOperator = new Map<string, Unfinished>();
  for (const figures of subtasks.flatMap(({ operators }) => operators)) {
    const known = byOperator.get(figures.operator);
    const one = unfinishedIn(figures);
    byOperator.set(figures.operator, known === undefined ? one : together(known, one));
  }
  return [...byOperator.values()]
    .filter(({ windows, timers }) => windows + timers > 0)
    .slice(0, OPERATORS_MAX);
}

function unfinishedIn({ operator, figures, openWindows }: OperatorFigures): Unfinished {
  const { eventTimers = 0, processingTimers = 0 } = figures;
  const { windows = 0, of = "keys", lastEndMs = null } = openWindows ?? {};
  return { operator, windows, of, lastEndMs, timers: eventTimers + processingTimers };
}

/** Keys lie in one subtask each; the same stretches of time are open in several. */
function together(one: Unfinished, other: Unfinished): Unfinished {
  const { operator, of } = one;
  const windows = of === "keys" ? one.windows + other.windows : Math.max(one.windows, other.windows);
  const lastEndMs = latest(one.lastEndMs, other.lastEndMs);
  return { operator, windows, of, lastEndMs, timers: one.timers + other.timers };
}

/** "operator count (3 windows of keys, the last one until 2026-01-01T00:00:00.000Z)" */
export function unfinishedInWords({ operator, windows, of, lastEndMs, timers }: Unfinished): string {
  const until = lastEndMs === null ? "" : `, the last one until ${formatTime(lastEndMs)}`;
  const said = [
    ...(windows === 0 ? [] : [`${counted(windows, "window")}${of === "keys" ? " of keys" : ""}${until}`]),
    ...(timers === 0 ? [] : [counted(timers, "timer")]),
  ];
  return `operator ${operator} (${said.join("; ")})`;
}

/** What is said of a savepoint behind all else: that these were closed half-way. "": nothing was. */
export function cutShort(unfinished: readonly Unfinished[]): string {
  if (unfinished.length === 0) return "";
  return `; windows and timers were cut short in ${unfinished.map(unfinishedInWords).join(", ")}`;
}

const latest = (one: number | null, other: number | null): number | null =>
  one === null || other === null ? (one ?? other) : Math.max(one, other);

const counted = (value: number, noun: string): string =>
  `${value.toLocaleString("en")} ${noun}${value === 1 ? "" : "s"}`;
