/** What users' functions of further kinds do, said once for the job and for the oracle: see drawing.ts. */
import { type DrawnOperator, type Item, TICK_MS, told } from "./drawing.ts";

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
