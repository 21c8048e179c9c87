/** What users give to state: what is refused at once. */
import { ValueRefusedError } from "../../errors.ts";
import { freezePlain } from "../frozen.ts";
import { refuseValue } from "../plain-value.ts";

/** @throws ValueRefusedError always */
export function refuseNothing(state: string, nothing: unknown): never {
  throw new ValueRefusedError(
    `state "${state}" was given ${nothing}, which is no value: it would look like state that was never set. To remove what it ` +
      "holds, use clear(), and delete(key) for an entry of a map",
  );
}

/**
 * @param by the user's function that has answered
 * @throws ValueRefusedError always
 */
export function refuseAnswered(state: string, by: string, nothing: undefined | null): never {
  throw new ValueRefusedError(
    `${by} of state "${state}" answered ${nothing}, which is no value: it must return what the state is to hold`,
  );
}

/**
 * Looks at a value closely, and freezes it.
 *
 * @throws ValueRefusedError
 */
export function checkGiven(state: string, value: unknown): void {
  if (!freezePlain(value)) refuseValue(value, `what is set as state "${state}"`);
}
