/** What is alike in every server's look at a value, before it is spelled in the server's words. */
import { RecordRefusedError } from "../../errors.ts";
import { describeValue } from "../../state/described.ts";
import { jsonText } from "../json-text.ts";

/** Ends the write of a record with the name of its table and column. */
export type Refuse = (problem: string) => never;

/** A decimal number as text, of any size. */
export const NUMERIC = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

export function got(value: unknown, wanted: string): string {
  return `takes ${wanted}, got ${describeValue(value)}`;
}

/** Within the bounds, both included. */
export function integerText(value: unknown, min: bigint, max: bigint, refuse: Refuse): string {
  if (typeof value === "number" && !Number.isSafeInteger(value))
    return refuse(got(value, "a whole number, a bigint beyond 2^53"));
  if (typeof value !== "number" && typeof value !== "bigint")
    return refuse(got(value, "a whole number or a bigint"));
  if (value < min || value > max) return refuse(`is ${value}, out of its range`);
  // -0 is 0.
  return String(typeof value === "number" ? value + 0 : value);
}

export function wellFormed(text: string, refuse: Refuse): string {
  return text.isWellFormed() ? text : refuse("takes no half of a surrogate pair, and the text holds one");
}

/** @param max in characters, of which one beyond the basic plane is two units of a JavaScript string */
export function checkCharacters(text: string, max: number, refuse: Refuse): void {
  if (text.length <= max) return;
  let count = 0;
  for (const _ of text) count += 1;
  if (count > max) refuse(`takes ${max} characters, got ${count}`);
}

export function jsonOf(value: unknown, refuse: Refuse): string {
  try {
    return jsonText(value);
  } catch (error) {
    if (!(error instanceof RecordRefusedError)) throw error;
    return refuse(error.message.replace(/^a record /, ""));
  }
}

/**
 * A point in time as ISO text in UTC, "2026-12-31T23:59:59.999Z".
 * @param value a Date, or ms since 1970
 * @param wanted in words, for other values
 */
export function isoOf(value: unknown, wanted: string, refuse: Refuse): string {
  const date = typeof value === "number" ? new Date(value) : value;
  if (!(date instanceof Date) || Number.isNaN(date.getTime())) return refuse(got(value, wanted));
  const year = date.getUTCFullYear();
  return year >= 1 && year <= 9999 ? date.toISOString() : refuse(`is of the year ${year}; give it as text`);
}
