/** What users' functions of further kinds do, said once for the job and for the oracle: see drawing.ts. */
import { type DrawnOperator, type Item, KEYS, N_MAX, TICK_MS, told } from "./drawing.ts";

type Numbers = Pick<DrawnOperator, "a" | "b">;

/** When the alarm of an item of this time is due: not before the item. */
export const dueOf = ({ a }: Numbers, { n }: Item, time: number): number =>
  time + TICK_MS * ((a + Math.abs(n)) % 4);
/** Whether an alarm of this time sets another one, a tick later: at most two in a row. */
export const isFollowed = ({ b }: Numbers, time: number): boolean =>
  Math.abs(Math.floor(time / TICK_MS) + b) % 3 !== 0;
/** What comes of a timer that has been deleted, or that has fired before: nothing in front of a sink makes it. */
export const stray = (id: string, key: number): Item => told(`${id}.stray`, key, 0);

/** How long a pause holds back what comes for its key. */
export const pauseMsOf = ({ a, b }: Numbers): number => 40 * a + 17 * b;

/** How the firings of a window come to one result. */
export type Firings =
  | {
      /** Each of these is a result. */
      readonly by: "count";
      readonly count: number;
      readonly purges: boolean;
      /** What is left at the end of the window fires, too. */
      readonly firesRest: boolean;
    }
  | {
      /** When they come does not follow from the input: an operator behind tells what they come to. */
      readonly by: "event time" | "processing time" | "clock";
      /** They are added, or each takes the place of the one before. */
      readonly purges: boolean;
      /** How long windows stay behind their end. */
      readonly latenessMs: number;
    };

export function firingsOf({ a, b }: Numbers): Firings {
  const purges = b % 2 === 0;
  if (b < 4) return { by: "count", count: 2 + (a % 3), purges, firesRest: b < 2 };
  const by = b < 6 ? "event time" : b < 8 ? "processing time" : "clock";
  return { by, purges, latenessMs: TICK_MS * (a % 3) };
}

/** How long windows stay behind their end. */
export function latenessOf(operator: Pick<DrawnOperator, "kind" | "a" | "b">): number {
  if (operator.kind === "patient") return TICK_MS * (1 + (operator.a % 3));
  if (operator.kind !== "triggered") return 0;
  const firings = firingsOf(operator);
  return firings.by === "count" ? 0 : firings.latenessMs;
}

/** What a record tells that has met a version, or none. @param at ms */
export const looked = (
  id: string,
  key: number,
  at: number,
  item: Item,
  versionAt: number | undefined,
): Item => ({
  by: id,
  key,
  at,
  n: Math.abs(item.n * 13 + item.at + (versionAt ?? -1) * 7) % N_MAX,
});

/** Where a relay sends an item that is to go further. */
export const relayed = ({ a }: Numbers, item: Item): Item => ({
  ...item,
  key: (item.key + a) % KEYS,
  n: item.n - 1,
});

/** How many records a window by count is of, and whether what is left at the end is one, too. */
export const countWindowOf = ({ a, b }: Numbers): { readonly size: number; readonly firesRest: boolean } => ({
  size: 2 + (a % 4),
  firesRest: b % 2 === 0,
});
/** Those of so many records of a key that windows by count tell of. */
export function countedBy(operator: Numbers, count: number): number {
  const { size, firesRest } = countWindowOf(operator);
  return firesRest ? count : count - (count % size);
}

/** The aggregation of a window: how many items it has. */
export const counting = {
  createAccumulator: () => 0,
  add: (count: number) => count + 1,
  getResult: (count: number) => count,
  merge: (one: number, other: number) => one + other,
};
