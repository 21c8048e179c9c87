/** Times that a user's function or a source gives: whole numbers of ms since 1970. */
import { describeValue } from "../../state/described.ts";

/**
 * In ms, in front of and behind 1970. Far beyond it sums with the length of a window would not be exact, a search for
 * the windows of a record might never end, and a Date knows no day.
 */
const FARTHEST_TIME = 250_000 * 365.25 * 86_400_000;

/** Also false for NaN and the infinities: what they mean, if anything, the caller knows. */
export function isTime(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) <= FARTHEST_TIME && (value as number) >= -FARTHEST_TIME;
}

/** What is wrong with it, for messages. */
export function describeNoTime(value: unknown): string {
  const what = Number.isFinite(value)
    ? "a number that is not whole, or more than 250,000 years away"
    : describeValue(value);
  return `${what}; needed is a whole number of ms since 1970`;
}
