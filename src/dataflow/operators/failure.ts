/** The name that a failure gets: that of the operator whose function has failed (OP3). */
import { InvariantError, OperatorError } from "../../errors.ts";
import { isChangeRefused } from "../../state/frozen.ts";

/** `states`: those that the function has had in its hands. */
export function failureOf(operator: string, error: unknown, states: readonly string[] = []): unknown {
  if (error instanceof OperatorError || error instanceof InvariantError) return error;
  if (!isChangeRefused(error)) return new OperatorError(operator, error);
  const of = states.length === 0 ? "" : ` (here: state ${states.map((name) => `"${name}"`).join(" or ")})`;
  const explained = new Error(`${error.message}. ${neverInPlace(of)}`, { cause: error });
  return new OperatorError(operator, explained);
}

/** What is wrong with a change in place, and what to do. `of`: of what, in front of the colon. */
export function neverInPlace(of = ""): string {
  return (
    `Records and values of state are never changed in place${of}: make a new one, such as ` +
    "{ ...value, field } or [...items, item], and set or emit that"
  );
}
