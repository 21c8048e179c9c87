/**
 * JSON whose whole numbers are exact.
 *
 * JSON.parse rounds whole numbers beyond 2^53 in silence, and services in Go or Java write 64-bit ids. The text is
 * scanned for them, and they are marked before JSON.parse sees it, which does the rest. A text without such a number
 * costs one search.
 *
 * Own code, because JSON.parse tells the text of a number only from Node 21 on.
 */
import { randomBytes } from "node:crypto";

/**
 * What becomes of a whole number that a number cannot hold exactly: a bigint, its text, or an error. Whole numbers that
 * fit, and all others, stay numbers.
 */
export type Integers = "bigint" | "text" | "refuse";

/** Shorter runs of digits are always exact. */
const MAYBE_LARGE = /\d{16}/;

/**
 * The mark in front of the digits of a number on its way to a bigint; unguessable, so that no text of the user's begins
 * with it.
 */
const MARK = `bigint-${randomBytes(12).toString("hex")}:`;

/** @throws SyntaxError as JSON.parse does, or Error naming the place of the number */
export function parseExact(text: string, integers: Integers): unknown {
  if (!MAYBE_LARGE.test(text)) return JSON.parse(text);
  // An error of syntax comes of the text as it came.
  const rounded: unknown = JSON.parse(text);
  const marked = markLarge(text, integers);
  if (marked === text) return rounded;
  return integers === "bigint" ? JSON.parse(marked, reviveLarge) : JSON.parse(marked);
}

function reviveLarge(_name: string, value: unknown): unknown {
  return typeof value === "string" && value.startsWith(MARK) ? BigInt(value.slice(MARK.length)) : value;
}

/** `text` is JSON. */
function markLarge(text: string, integers: Integers): string {
  let marked = "";
  let copiedTo = 0;
  for (let at = 0; at < text.length; ) {
    const first = text[at]!;
    if (first === '"') {
      at = endOfString(text, at);
    } else if (first === "-" || (first >= "0" && first <= "9")) {
      const end = endOfNumber(text, at);
      const number = text.slice(at, end);
      if (isLarge(number)) {
        if (integers === "refuse") {
          throw new Error(
            `the payload holds a whole number of ${number.length} characters, at character ${at}, which a number cannot hold exactly; integers: "bigint" or "text" would`,
          );
        }
        marked += `${text.slice(copiedTo, at)}"${integers === "bigint" ? MARK : ""}${number}"`;
        copiedTo = end;
      }
      at = end;
    } else {
      at++;
    }
  }
  return copiedTo === 0 ? text : marked + text.slice(copiedTo);
}

function isLarge(number: string): boolean {
  return number.length >= 16 && /^-?\d+$/.test(number) && !Number.isSafeInteger(Number(number));
}

/** The offset behind the closing quote. */
function endOfString(text: string, start: number): number {
  for (let quote = text.indexOf('"', start + 1); ; quote = text.indexOf('"', quote + 1)) {
    let escapes = 0;
    while (text[quote - 1 - escapes] === "\\") escapes++;
    if (escapes % 2 === 0) return quote + 1;
  }
}

const NUMBER = /-?[\d.eE+-]+/y;

function endOfNumber(text: string, start: number): number {
  NUMBER.lastIndex = start;
  NUMBER.test(text);
  return NUMBER.lastIndex;
}
