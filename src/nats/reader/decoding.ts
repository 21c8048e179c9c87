/**
 * How the bytes of a message become the record's value.
 *
 * Decoding happens on arrival, straight from the bytes that the socket delivered: thousands of views or message objects
 * kept alive cost more than the values themselves.
 */

import { isUtf8 } from "node:buffer";
import { isAnswer } from "../../dataflow/guards/answers.ts";
import { describeValue, silence } from "../../state/described.ts";
import { type Integers, parseExact } from "./json-integers.ts";

/**
 * Called once per message, synchronously. `data` is a view that may be overwritten or keeps a large buffer alive: copy
 * what is to be kept of it.
 */
export type Decoder<T> = (data: Uint8Array, subject: string) => T;

/**
 * "text": UTF-8. "json": JSON.parse of it, which rounds whole numbers beyond 2^53 (json-integers.ts does not). "bytes":
 * a copy of the payload. Headers are never part of it. What is no UTF-8 is refused by the first two: mended, two
 * payloads could become one.
 */
export type Decode<T> = "text" | "json" | "bytes" | Decoder<T>;

/** Decodes from positions in a larger buffer. */
export type DecodeRange<T> = (
  bytes: Buffer,
  dataStart: number,
  dataEnd: number,
  subjectStart: number,
  subjectEnd: number,
) => T;

export function decodeRange<T>(decode: Decode<T>): DecodeRange<T> {
  switch (decode) {
    case "text":
      return textOf as DecodeRange<unknown> as DecodeRange<T>;
    case "json":
      return (bytes, start, end) => {
        const text = textOf(bytes, start, end);
        try {
          return JSON.parse(text) as T;
        } catch {
          throw noJson(text);
        }
      };
    case "bytes":
      return ((bytes, start, end) => {
        const copy = new Uint8Array(end - start);
        copy.set(bytes.subarray(start, end));
        return copy;
      }) as DecodeRange<unknown> as DecodeRange<T>;
    default:
      return (bytes, start, end, subjectStart, subjectEnd) =>
        answered(decode(bytes.subarray(start, end), bytes.toString("utf8", subjectStart, subjectEnd)));
  }
}

/** The decoder of `decode: "json"` with the option `integers`. */
export function exactJson(integers: Integers): Decoder<unknown> {
  return (data) => {
    const text = textOf(Buffer.from(data.buffer, data.byteOffset, data.byteLength), 0, data.byteLength);
    try {
      return parseExact(text, integers);
    } catch (error) {
      throw error instanceof SyntaxError ? noJson(text) : error;
    }
  };
}

function textOf(bytes: Buffer, start: number, end: number): string {
  const text = bytes.toString("utf8", start, end);
  // Free for most texts: one of plain Latin letters cannot hold it.
  if (text.includes("\ufffd") && !isUtf8(bytes.subarray(start, end))) {
    throw new Error('the payload is no UTF-8; read it with decode: "bytes", or with a function of your own');
  }
  return text;
}

/** The error has no cause, whose message would show the text. */
function noJson(text: string): Error {
  if (text === "") {
    return new Error(
      "the payload is empty, which is no JSON: a deletion marker, as of a KV bucket, or a message without payload",
    );
  }
  const mark = text.startsWith("\ufeff")
    ? "the payload begins with a byte order mark, which is no JSON"
    : `the payload is no JSON: ${whereNoJson(text)}`;
  return new Error(mark);
}

/** Where its syntax is wrong: JSON.parse names no place, but shows what is there. */
function whereNoJson(text: string): string {
  if (!isWrong(text)) return `it ends too early, after ${text.length} characters`;
  let right = 0;
  let wrong = text.length;
  while (wrong - right > 1) {
    const middle = (right + wrong) >>> 1;
    if (isWrong(text.slice(0, middle))) wrong = middle;
    else right = middle;
  }
  return `character ${right} of ${text.length}${invisible(text[right]!)} cannot be there (they count from 0)`;
}

/** What cannot be seen is no data, and hard to find. */
function invisible(character: string): string {
  return INVISIBLE.test(character) ? `, \\u{${character.charCodeAt(0).toString(16)}},` : "";
}

const INVISIBLE = /[^\P{C}\u{ad}]|[\p{Zl}\p{Zp}]|(?! )\p{Zs}/u;

/** Whether no JSON begins like this. */
function isWrong(beginning: string): boolean {
  try {
    JSON.parse(beginning);
    return false;
  } catch (error) {
    const { message } = error as Error;
    if (/Unexpected end|Unterminated/.test(message)) return false;
    return / at position (\d+)/.exec(message)?.[1] !== String(beginning.length);
  }
}

function answered<T>(value: T): T {
  if (isAnswer(value)) return value;
  silence(value);
  throw new Error(
    `decode answered ${describeValue(value)}, and a value is needed; decode is synchronous and cannot wait`,
  );
}

/** A message that is already an object of the library, which decodes the subject when it is asked for. */
export interface ParsedMessage {
  readonly data: Uint8Array;
  readonly subject: string;
}

export function decodeMessage<T>(decode: Decode<T>): (message: ParsedMessage) => T {
  if (typeof decode === "function") return (message) => answered(decode(message.data, message.subject));
  const range = decodeRange<T>(decode);
  return ({ data }) => {
    const bytes = data instanceof Buffer ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    return range(bytes, 0, bytes.length, 0, 0);
  };
}
