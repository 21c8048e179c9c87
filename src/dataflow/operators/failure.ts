/** The name that a failure gets: that of the operator whose function has failed (OP3), and the key that it had. */
import { InvariantError, OperatorError } from "../../errors.ts";
import type { Key } from "../../state/descriptor.ts";
import { isChangeRefused } from "../../state/frozen.ts";
import { keyGroupOf } from "../../state/key-groups.ts";
import type { KeyedState } from "../../state/keyed-state.ts";

/** `states`: those that the function has had in its hands. */
export function failureOf(operator: string, error: unknown, states: readonly string[] = []): unknown {
  if (error instanceof OperatorError || error instanceof InvariantError) return error;
  if (!isChangeRefused(error)) return new OperatorError(operator, error);
  const of = states.length === 0 ? "" : ` (here: state ${states.map((name) => `"${name}"`).join(" or ")})`;
  const explained = new Error(`${error.message}. ${neverInPlace(of)}`, { cause: error });
  return new OperatorError(operator, explained);
}

/**
 * The same, of a function that had a key in its hands.
 *
 * @param key undefined: none, as where the key selector itself has failed
 */
export function failureAtKey(
  operator: string,
  error: unknown,
  { maxParallelism }: Pick<KeyedState, "maxParallelism">,
  key: Key | undefined,
  states: readonly string[] = [],
): unknown {
  const failure = failureOf(operator, error, states);
  if (key === undefined || !(failure instanceof OperatorError) || failure.operator !== operator)
    return failure;
  // What the selector answers where types are not checked.
  if (typeof key === "object" || typeof key === "symbol" || typeof key === "function") return failure;
  return failure.ofKey(key, keyGroupOf(key, maxParallelism));
}

/** What is wrong with a change in place, and what to do. `of`: of what, in front of the colon. */
export function neverInPlace(of = ""): string {
  return (
    `Records and values of state are never changed in place${of}: make a new one, such as ` +
    "{ ...value, field } or [...items, item], and set or emit that"
  );
}
