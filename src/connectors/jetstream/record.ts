/** Turns a value into subject, header lines and payload, and refuses what a stream could never take (P24). */
import { ConfigurationError, RecordRefusedError } from "../../errors.ts";
import { HEADER_LINES_BYTES_MAX } from "../../nats/publisher/message-block.ts";
import { isLiteralSubject, subjectMatcher } from "../../nats/publisher/stream-subjects.ts";
import { describeOption, describeValue, silence } from "../../state/described.ts";
import { jsonText } from "../json-text.ts";

/**
 * "json": JSON.stringify, except that what JSON would lose in silence (a Map, NaN, undefined in an array, a function,
 * an instance of a class without `toJSON`) is refused. "text": the record is a text. "bytes": it is a Uint8Array.
 */
export type Encode<T> = "json" | "text" | "bytes" | ((value: T) => Uint8Array | string);

/**
 * How a sink turns a record into a message. Each function is called once for each record and must be quick and pure.
 */
export interface RecordShape<T> {
  /** The subject of each message, one for all or a function of the record. The stream must capture it. */
  readonly subject: string | ((value: T) => string);
  /** The payload of each message. Default "json". */
  readonly encode?: Encode<T>;
  /** The headers of each message, by name. Default: none. Names with "Nats-" are reserved. */
  readonly headers?: (value: T) => Readonly<Record<string, string>>;
}

/** What the stream takes. */
export interface RecordBounds {
  readonly stream: string;
  readonly subjects: readonly string[];
  /** The prefix of the subjects of markers; undefined: there are no markers. */
  readonly markerPrefix: string | undefined;
}

/** The longest subject that fits into the server's control line (4 KiB by default) beside sizes and reply. */
const SUBJECT_LENGTH_MAX = 1_024;

/** Holds the record prepared last in its fields; one form for all records, so that preparing allocates nothing. */
export class RecordForm<T> {
  subject = "";
  headerLines = "";
  payload: string | Uint8Array = "";
  readonly #subjectOf: ((value: T) => string) | undefined;
  readonly #headersOf: ((value: T) => Readonly<Record<string, string>>) | undefined;
  readonly #encode: (value: T) => Uint8Array | string;
  readonly #bounds: RecordBounds;
  readonly #isCaptured: (subject: string) => boolean;
  readonly #markerStart: string | undefined;

  /** @throws ConfigurationError when the constant subject cannot be published to the stream */
  constructor(shape: RecordShape<T>, bounds: RecordBounds) {
    this.#bounds = bounds;
    this.#isCaptured = subjectMatcher(bounds.subjects);
    this.#markerStart = bounds.markerPrefix === undefined ? undefined : `${bounds.markerPrefix}.`;
    this.#headersOf = shape.headers;
    this.#encode = encoderOf(shape.encode ?? "json");
    if (typeof shape.subject === "function") {
      this.#subjectOf = shape.subject;
    } else {
      this.subject = shape.subject;
      const reason = this.#subjectRefusal(shape.subject);
      if (reason !== undefined)
        throw new ConfigurationError("subject", `subject "${shape.subject}" ${reason}`);
    }
  }

  /** @throws RecordRefusedError */
  prepare(value: T): void {
    if (this.#subjectOf !== undefined) {
      const subject = this.#subjectOf(value);
      const reason = this.#subjectRefusal(subject);
      if (reason !== undefined) {
        const of = typeof subject === "string" ? ` for a subject of ${subject.length} characters` : "";
        throw new RecordRefusedError(`a record${of} ${reason}`);
      }
      this.subject = subject;
    }
    if (this.#headersOf !== undefined) this.headerLines = this.#linesOf(this.#headersOf(value));
    const payload = this.#encode(value);
    if (typeof payload === "string" ? !payload.isWellFormed() : !(payload instanceof Uint8Array)) {
      throw this.#payloadRefusal(payload);
    }
    this.payload = payload;
  }

  refusal(reason: string): RecordRefusedError {
    return new RecordRefusedError(`${this.words} ${reason}`);
  }

  /** The record at hand. A subject that the user's function has made may hold what is in the record. */
  get words(): string {
    return this.#subjectOf === undefined ? `a record for subject "${this.subject}"` : "a record";
  }

  #payloadRefusal(payload: unknown): RecordRefusedError {
    silence(payload);
    return this.refusal(
      typeof payload === "string"
        ? "cannot be encoded: its text holds half a surrogate pair, which UTF-8 does not know; cut texts between characters"
        : `cannot be encoded: encode answered ${describeValue(payload)}, and text or bytes are needed`,
    );
  }

  #subjectRefusal(subject: string): string | undefined {
    if (typeof subject !== "string") {
      silence(subject);
      return `is refused: the subject is ${describeValue(subject)}, and text is needed`;
    }
    if (!subject.isWellFormed()) return "is refused: the subject holds half a surrogate pair";
    if (subject.length > SUBJECT_LENGTH_MAX) return `is refused: it is longer than ${SUBJECT_LENGTH_MAX}`;
    if (!isLiteralSubject(subject)) {
      return "is refused: tokens must not be empty, be a wildcard, or hold whitespace";
    }
    if (this.#markerStart !== undefined && subject.startsWith(this.#markerStart)) {
      return `is refused: subjects below ${this.#markerStart} belong to the markers`;
    }
    if (!this.#isCaptured(subject)) {
      const { stream, subjects } = this.#bounds;
      return `is refused: stream ${stream} takes only ${subjects.join(", ")}`;
    }
    return undefined;
  }

  #linesOf(headers: Readonly<Record<string, string>>): string {
    const prototype: unknown =
      headers === null || typeof headers !== "object" || Object.getPrototypeOf(headers);
    if (prototype !== Object.prototype && prototype !== null) {
      silence(headers);
      throw this.refusal(
        `is refused: headers answered ${describeValue(headers)}, and a plain object is needed; {} for none`,
      );
    }
    let lines = "";
    for (const name in headers) {
      const value = headers[name];
      if (!HEADER_NAME.test(name))
        throw this.refusal(`has a header with an illegal name, ${describeValue(name)}`);
      if (RESERVED_NAME.test(name))
        throw this.refusal("has a header whose name begins with Nats-, and these are reserved");
      if (typeof value !== "string" || HEADER_VALUE_ILLEGAL.test(value)) {
        throw this.refusal(`has an illegal value in header ${name}`);
      }
      lines += `${name}: ${value}\r\n`;
    }
    if (Buffer.byteLength(lines) > HEADER_LINES_BYTES_MAX)
      throw this.refusal("has more than 64 KiB of headers");
    return lines;
  }
}

/** Printable ASCII without the colon. */
const HEADER_NAME = /^[!-9;-~]+$/;
const HEADER_VALUE_ILLEGAL = /[\r\n]|\p{Surrogate}/u;
/** The names of headers that steer batches, guards and rollups. */
const RESERVED_NAME = /^nats-/i;

function encoderOf<T>(encode: Encode<T>): (value: T) => Uint8Array | string {
  if (typeof encode === "function") return encode;
  switch (encode) {
    case "json":
      return jsonText;
    case "text":
    case "bytes":
      return (value) => value as Uint8Array | string;
    default:
      throw new ConfigurationError(
        "encode",
        `encode must be "json", "text", "bytes" or a function, got ${describeOption(encode)}`,
      );
  }
}
