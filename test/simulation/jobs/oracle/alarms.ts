/**
 * What alarms must tell: computed with maps from the items alone.
 *
 * - EA1 An item whose alarm is not later than the watermark sets none, and comes out as late. So each alarm of a key is
 *   told once, with all items that have set it, in whatever order they came.
 */
import {
  type DrawnOperator,
  fired,
  groupOf,
  type Item,
  type KeyKind,
  keyOf,
  late,
  TICK_MS,
} from "../drawing.ts";
import { dueOf, isFollowed } from "../further-functions.ts";
import type { Outcome, TimeOf } from "./windows.ts";

/** @param boundMs how much older than the newest item one may be; undefined: none comes late */
export function alarmed(
  operator: DrawnOperator & { readonly keys: KeyKind },
  items: readonly Item[],
  timeOf: TimeOf,
  boundMs: number | undefined,
): NonNullable<Outcome> {
  const { id, keys } = operator;
  const results: Item[] = [];
  const tooLate: Item[] = [];
  const set = new Map<number, Map<number, number>>();
  let newest = Number.NEGATIVE_INFINITY;
  for (const item of items) {
    const time = timeOf(item)!;
    const due = dueOf(operator, item, time);
    if (boundMs !== undefined && due <= newest - boundMs - 1) tooLate.push(late(id, item));
    else {
      const key = groupOf(keyOf[keys](item));
      const counts = set.get(key) ?? new Map<number, number>();
      set.set(key, counts);
      counts.set(due, (counts.get(due) ?? 0) + 1);
    }
    newest = Math.max(newest, time);
  }
  for (const [key, counts] of set) {
    const told = new Set<number>();
    for (const first of counts.keys()) {
      told.add(first);
      for (let due = first; isFollowed(operator, due); due += TICK_MS) told.add(due + TICK_MS);
    }
    for (const due of told) results.push(fired(id, key, due + 1, counts.get(due) ?? 0));
  }
  return { results, late: tooLate };
}
