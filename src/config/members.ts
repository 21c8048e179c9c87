/** Members of what a user writes: one that means nothing is refused, because its author believes that it does. */
import { ConfigurationError } from "../errors.ts";
import { show } from "./quantity.ts";
import { didYouMean } from "./suggestion.ts";

/**
 * @param what begins the message: `operator "count"`, "jetstreamSink"
 * @param kind of the members: "option", "member"
 * @param key of the error; default: `what` and the member
 * @throws ConfigurationError when `given` is no object, or has a member that is not `known`
 */
export function checkMembers(
  given: unknown,
  known: readonly string[],
  what: string,
  kind: string,
  key?: string,
): asserts given is object {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new ConfigurationError(
      key ?? what,
      `${what}: an object with ${known.join(", ")} is needed, got ${show(given)}`,
    );
  }
  for (const name of writtenMembers(given)) {
    if (!known.includes(name)) {
      throw new ConfigurationError(
        key ?? `${what}.${name}`,
        `${what}: no ${kind} "${name}"${didYouMean(name, known)}`,
      );
    }
  }
}

/**
 * The members that the user wrote. A plain object's are its fields. An instance of a class may have fields and helpers
 * of its own, so that only its handlers (`onRecord`, `onTimer`) are taken for members.
 */
function writtenMembers(given: object): string[] {
  const prototype: unknown = Object.getPrototypeOf(given);
  const own = Object.keys(given);
  if (prototype === Object.prototype || prototype === null) return own;
  const inherited: string[] = [];
  for (let at = prototype; at !== null && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    inherited.push(...Object.getOwnPropertyNames(at));
  }
  return [...own, ...inherited].filter((name) => /^on[A-Z]/.test(name));
}
