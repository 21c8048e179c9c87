/**
 * What the user's functions may answer.
 *
 * Owns: the refusal of answers that no function of an operator, source or sink can mean: promises, generators,
 * iterators, functions, symbols. Does not own: which values can cross to another process or be stored
 * (state/plain-value.ts).
 *
 * Cost: a record that is no object costs one comparison, a plain one two more; the look at other objects is remembered
 * by prototype.
 */
import { OperatorError } from "../../errors.ts";
import { describeValue, isThenable } from "../../state/described.ts";

const OBJECT = Object.prototype;
const ARRAY = Array.prototype;

/** The prototype of the last object of a class that was let through. */
let accepted: unknown;

/** Whether a user can have meant it as a value. */
export function isAnswer(value: unknown): boolean {
  if (typeof value !== "object") return typeof value !== "function" && typeof value !== "symbol";
  if (value === null) return true;
  if (typeof (value as { readonly then?: unknown }).then === "function") return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === OBJECT || prototype === ARRAY || prototype === accepted || isKept(value, prototype);
}

function isKept(value: object, prototype: unknown): boolean {
  const tag = OBJECT.toString.call(value);
  if (tag === "[object Generator]" || tag === "[object AsyncGenerator]" || tag.endsWith(" Iterator]")) {
    return false;
  }
  accepted = prototype;
  return true;
}

/**
 * @param did what the function did, and with what: "map answered", "emit was given"
 * @throws OperatorError
 */
export function refuseAnswer(operator: string, did: string, value: unknown, needed = "a value"): never {
  const described = describeValue(value);
  const hint = isThenable(value) || described === "an async generator" ? `; ${CANNOT_WAIT}` : "";
  throw new OperatorError(operator, new Error(`${did} ${described}, and ${needed} is needed${hint}`));
}

/** The next step for who answers a promise. */
export const CANNOT_WAIT =
  "the functions of a job are synchronous and cannot wait (no async, no await): ask other services in " +
  "async(id, { request }), and make clients in open";

/** Names of the kinds of answers that are asked for, so that messages agree. */
export const wanted = {
  boolean: "true or false",
  iterable: "something iterable (an array, a Set, a generator)",
  nothing: "no answer",
} as const;
