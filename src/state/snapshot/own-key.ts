/**
 * Strings that state keeps for longer than what they came from.
 *
 * V8 makes a string of 13 characters or more that was cut out of a larger one a view of it, and what is decoded is cut
 * out of one string per frame: a new key kept as it came would keep some 20 KB alive. So a key is copied once, when
 * it is new (0.4 µs).
 */
import type { Key } from "../descriptor.ts";

/** Shorter ones are always strings of their own. */
const VIEW_LENGTH_MIN = 13;
const WIDE = /[\u0100-\uffff]/;

export function ownKey(key: Key): Key {
  return typeof key === "string" ? ownString(key) : key;
}

export function ownString(text: string): string {
  if (text.length < VIEW_LENGTH_MIN) return text;
  const encoding = WIDE.test(text) ? "utf16le" : "latin1";
  return Buffer.from(text, encoding).toString(encoding);
}
