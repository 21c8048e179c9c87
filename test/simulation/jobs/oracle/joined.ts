/** What joins must put out: computed with loops over all pairs. */
import {
  beside,
  type DrawnOperator,
  groupOf,
  type Item,
  intervalOf,
  type JoinKind,
  joinWindowsOf,
  keyOf,
  type PassingKind,
  paired,
} from "../drawing.ts";
import { looked } from "../further-functions.ts";
import { KeySessions } from "./sessions.ts";
import { boundsAt, type TimeOf } from "./windows.ts";

export type JoinOperator = Extract<DrawnOperator, { readonly kind: JoinKind }>;
export type PassingOperator = Extract<DrawnOperator, { readonly kind: PassingKind }>;

interface Sided {
  readonly item: Item;
  readonly time: number;
  readonly side: number;
}

/** No item of theirs can come late. @returns undefined: it follows from the order in which items come */
export function joined(
  operator: JoinOperator,
  ports: readonly (readonly Item[])[],
  timeOf: TimeOf,
): readonly Item[] | undefined {
  const groups = new Map<number, Sided[]>();
  for (const [side, items] of ports.entries())
    for (const item of items) {
      const key = groupOf(keyOf[operator.keys](item));
      groups.set(key, [...(groups.get(key) ?? []), { item, time: timeOf(item)!, side }]);
    }
  const results: Item[] = [];
  for (const [key, all] of groups) {
    if (operator.kind === "intervalJoin") {
      results.push(...withinInterval(operator, key, all));
      continue;
    }
    if (operator.kind === "versionedJoin") {
      results.push(...atVersions(operator.id, key, all));
      continue;
    }
    const windows = windowsAmong(operator, all);
    if (windows === undefined) return undefined;
    for (const { end, items } of windows) {
      const [lefts, rights] = [0, 1].map((side) =>
        items.filter((one) => one.side === side).map(({ item }) => item),
      ) as [Item[], Item[]];
      if (operator.kind === "coGroup") results.push(beside(operator.id, key, end, lefts, rights));
      else
        results.push(
          ...lefts.flatMap((left) => rights.map((right) => paired(operator.id, key, end, left, right))),
        );
    }
  }
  return results;
}

/** The items that lie in no window: they come out with those that are late. */
export function outside(operator: JoinOperator, items: readonly Item[], timeOf: TimeOf): readonly Item[] {
  const shape = joinWindowsOf(operator);
  const hasWindows = operator.kind === "windowJoin" || operator.kind === "coGroup";
  if (!hasWindows || shape.kind === "session") return [];
  return items.filter((item) => boundsAt(shape, timeOf(item)!).length === 0);
}

function withinInterval(operator: JoinOperator, key: number, all: readonly Sided[]): Item[] {
  const { lowerMs, upperMs, lowerExclusive, upperExclusive } = intervalOf(operator);
  const pairs: Item[] = [];
  for (const left of all)
    for (const right of all) {
      if (left.side !== 0 || right.side !== 1) continue;
      const apart = right.time - left.time;
      if (apart < lowerMs || apart > upperMs) continue;
      if ((lowerExclusive && apart === lowerMs) || (upperExclusive && apart === upperMs)) continue;
      pairs.push(paired(operator.id, key, Math.max(left.time, right.time), left.item, right.item));
    }
  return pairs;
}

function atVersions(id: string, key: number, all: readonly Sided[]): Item[] {
  return all
    .filter(({ side }) => side === 0)
    .map(({ item, time }) => {
      const versions = all.filter((one) => one.side === 1 && one.time <= time).map((one) => one.time);
      return looked(id, key, time, item, versions.length === 0 ? undefined : Math.max(...versions));
    });
}

function windowsAmong(
  operator: JoinOperator,
  all: readonly Sided[],
): readonly { readonly end: number; readonly items: readonly Sided[] }[] | undefined {
  const shape = joinWindowsOf(operator);
  if (shape.kind === "session") {
    const sessions = new KeySessions(shape);
    for (const one of all) sessions.take(one, Number.NEGATIVE_INFINITY);
    if (sessions.touches) return undefined;
    return sessions.endUpTo(Number.POSITIVE_INFINITY).map(({ start, end }) => ({
      end,
      items: all.filter(({ time }) => start <= time && time < end),
    }));
  }
  const windows = new Map<number, Sided[]>();
  for (const one of all)
    for (const [, end] of boundsAt(shape, one.time)) windows.set(end, [...(windows.get(end) ?? []), one]);
  return [...windows].map(([end, items]) => ({ end, items }));
}
