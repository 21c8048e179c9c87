/** The user's function that says which key a record has. */
import { OperatorError } from "../../../errors.ts";
import { describeValue, silence } from "../../../state/described.ts";
import type { Key } from "../../../state/descriptor.ts";

/** The edge in front of a keyed operator has the same one: the sender picks the subtask, and the receiver the key. */
export type KeySelector<T = unknown> = (value: T) => Key;

/**
 * Asks a selector twice if `checks` is on: one that answers another key would send a record elsewhere after a failure.
 */
export function stableKey(operator: string, key: KeySelector, checks: boolean): KeySelector {
  if (!checks) return key;
  return (value) => {
    const first = key(value);
    const second = key(value);
    // What is no key at all is refused for what it is, by the caller.
    silence(second);
    if (Object.is(first, second) || typeof first === "object" || typeof first === "symbol") return first;
    const kind = describeValue(first);
    const then = describeValue(second);
    throw new OperatorError(
      operator,
      new Error(
        `its keyBy answers ${kind} and then ${then === kind ? "another one" : then} for the same record. A key must follow ` +
          "from the record alone: no random numbers, no clock",
      ),
    );
  };
}
