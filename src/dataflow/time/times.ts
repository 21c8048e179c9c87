/** Times that a user's function gives: whole numbers of ms since 1970. */
import { describeValue } from "../../state/described.ts";

export function isTime(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

/** What is wrong with it, for messages. */
export function describeNoTime(value: unknown): string {
  const what = Number.isFinite(value) ? "a number that is not whole, or too large" : describeValue(value);
  return `${what}; needed is a whole number of ms since 1970`;
}
