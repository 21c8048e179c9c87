/** What becomes of restored values whose state has another time to live now: nothing of it is changed in silence. */
import type { OperatorPlan } from "../../../machines/protocol.ts";
import { clockOf, describeTtl } from "../../state/ttl/time-to-live.ts";

/** One sentence for each state that is stored and has another time to live than it had. */
export function changedTtls(
  id: string,
  before: OperatorPlan,
  now: OperatorPlan,
  stored: readonly string[],
): string[] {
  return stored.flatMap((state) => {
    const was = before.stateTtls?.[state];
    const is = now.stateTtls?.[state];
    const [wasText, isText] = [was, is].map((ttl) => ttl && describeTtl(ttl));
    if (wasText === isText || !now.states?.includes(state)) return [];
    const what = `state "${state}" of operator ${id}`;
    if (is === undefined) return [`${what} has no time to live any more (${wasText}): its values stay`];
    const begins = "each value that is restored has this time before it, from the restore on";
    if (was === undefined) return [`${what} has a time to live now (${isText}) and had none: ${begins}`];
    const has = `${what} has another time to live: ${isText} now, ${wasText} before`;
    if (clockOf(was) !== clockOf(is)) return [`${has}: ${begins}`];
    return [`${has}: values that are restored live by the new one, counted from when they were stored`];
  });
}
