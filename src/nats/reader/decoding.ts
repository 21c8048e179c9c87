/**
 * How the bytes of a message become the record's value.
 *
 * Decoding happens on arrival, straight from the bytes that the socket delivered: thousands of views or message objects
 * kept alive cost more than the values themselves.
 */

/**
 * Called once per message, synchronously. `data` is a view that may be overwritten or keeps a large buffer alive: copy
 * what is to be kept of it.
 */
export type Decoder<T> = (data: Uint8Array, subject: string) => T;

/** "text": UTF-8. "json": JSON.parse of it. "bytes": a copy of the payload. Headers are never part of it. */
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
      return ((bytes, start, end) =>
        bytes.toString("utf8", start, end)) as DecodeRange<unknown> as DecodeRange<T>;
    case "json":
      return (bytes, start, end) => JSON.parse(bytes.toString("utf8", start, end)) as T;
    case "bytes":
      return ((bytes, start, end) => {
        const copy = new Uint8Array(end - start);
        copy.set(bytes.subarray(start, end));
        return copy;
      }) as DecodeRange<unknown> as DecodeRange<T>;
    default:
      return (bytes, start, end, subjectStart, subjectEnd) =>
        decode(bytes.subarray(start, end), bytes.toString("utf8", subjectStart, subjectEnd));
  }
}

/** A message that is already an object of the library, which decodes the subject when somebody asks for it. */
export interface ParsedMessage {
  readonly data: Uint8Array;
  readonly subject: string;
}

export function decodeMessage<T>(decode: Decode<T>): (message: ParsedMessage) => T {
  if (typeof decode === "function") return (message) => decode(message.data, message.subject);
  const range = decodeRange<T>(decode);
  return ({ data }) => {
    const bytes = data instanceof Buffer ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    return range(bytes, 0, bytes.length, 0, 0);
  };
}
