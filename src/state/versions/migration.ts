/** One call of a user's function that brings a stored value into its present form. */
import { freezePlain } from "../frozen.ts";
import { isCarried, refuseValue } from "../plain-value.ts";
import type { StateMigrations } from "./state-version.ts";

/**
 * The function for values of this version, of a state that has one. It throws what the user's throws, and Errors that
 * name the state where its answer is no value.
 *
 * @param checks answers are frozen
 */
export function migrationFrom(
  version: string,
  { name, migrate }: { readonly name: string; readonly migrate: StateMigrations },
  checks: boolean,
): (held: unknown) => unknown {
  const call = migrate[version]!;
  const what = `migrate["${version}"] of state "${name}"`;
  return (held) => {
    const answer = call(held);
    if (answer === undefined || answer === null)
      throw new Error(
        `${what} answered ${answer}, which is no value: it must return what the state is to hold`,
      );
    if (!(checks ? freezePlain(answer) : isCarried(answer))) refuseValue(answer, `what ${what} answers`);
    return answer;
  };
}

/** A restore that was planned has none of these. */
export function unknownVersion(state: string, version: string): Error {
  return new Error(
    `state "${state}" is stored in version "${version}", of which nothing is known: give it migrate: { "${version}": (value) => ... }`,
  );
}
