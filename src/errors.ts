/**
 * Every error class that this project throws.
 *
 * Each one says what should happen next: `TidemarkError.retry` is the engine's own answer to "does trying again make
 * sense": "now" (a passing fault of the outside world), "restart" (the generation is lost, the job's restart
 * strategy decides), "never" (a user has to change something first). The message names the thing, the place and
 * the next step; `cause` keeps what was thrown underneath.
 */

export type Retry = "now" | "restart" | "never";

export abstract class TidemarkError extends Error {
  abstract readonly retry: Retry;

  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** What the user wrote (options, job file, graph) cannot work. `key` is the option or the operator it is about. */
export class ConfigurationError extends TidemarkError {
  readonly retry = "never";
  readonly key: string;

  constructor(key: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.key = key;
  }
}

/** The world lacks something the job needs: a stream, a setting, a permission, a server version. */
export class EnvironmentError extends TidemarkError {
  readonly retry: Retry = "never";
}

/** A server that lets in only clients that prove themselves, and nothing was given to prove it with. */
export class CredentialsNeededError extends EnvironmentError {}

/** A stream or bucket that the job needs is missing, or lacks a setting; a command mends it while the caller waits. */
export class PrerequisiteError extends EnvironmentError {}

/** A stream, as the operators that use it would have to find it. */
export interface WantedStream {
  readonly stream: string;
  /** Empty: its user's functions know them. */
  readonly subjects: readonly string[];
  readonly usedBy: "source" | "sink" | "both";
  /** The subjects of an exactly-once sink's markers; undefined: no such sink writes there. */
  readonly markerSubjects: string | undefined;
  /** A job that goes on with its state has read it, or written to it. */
  readonly resumes?: boolean | undefined;
}

export class StreamMissingError extends PrerequisiteError {
  readonly wanted: WantedStream;

  constructor(wanted: WantedStream, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.wanted = wanted;
  }
}

/**
 * What lies in the place of a job's record is none (P52): that job stands still until a user mends it, and the others
 * go on.
 */
export class RecordUnreadableError extends EnvironmentError {}

/**
 * The NATS user may not do this. It may be allowed at any time, without a new connection: a caller that can wait tries
 * again.
 */
export class PermissionDeniedError extends EnvironmentError {
  override readonly retry = "now";
  readonly subject: string;

  constructor(
    operation: "publish" | "subscription",
    subject: string,
    options?: { what?: string; cause?: unknown },
  ) {
    const act = operation === "publish" ? "publish to" : "subscribe to";
    const prefix = options?.what === undefined ? "" : `${options.what}: `;
    super(`${prefix}this NATS user may not ${act} "${subject}"; allow it`, options);
    this.subject = subject;
  }
}

/** The server cannot be reached, or the connection was lost while a call was under way and nothing was sent. */
export class DisconnectedError extends TidemarkError {
  readonly retry = "now";
}

/** A message is larger than NATS carries at present. It is sent again, because the limit may be raised at any time. */
export class MessageTooLargeError extends EnvironmentError {
  override readonly retry = "now";
}

/** No process listens on this subject: the peer is gone or not there yet. */
export class NoRespondersError extends TidemarkError {
  readonly retry = "now";
}

/** No answer in time; whether the request was received is unknown. */
export class RequestTimeoutError extends TidemarkError {
  readonly retry = "now";
}

/** A request was answered, but by none of our processes (P52): the real answer may still come another time. */
export class ForeignAnswerError extends TidemarkError {
  readonly retry = "now";
  readonly subject: string;

  /** @param heard which process has answered, and what the user can do about it */
  constructor(subject: string, heard: string, options?: { cause?: unknown }) {
    super(`${subject}: ${heard}`, options);
    this.subject = subject;
  }
}

/**
 * A write whose outcome is unknown (P8). Never treat it as failed: send the same value again at the same revision.
 */
export class UnknownOutcomeError extends TidemarkError {
  readonly retry = "now";
}

/**
 * The bucket of the records is gone, or refuses what is asked of it, by a setting of its stream, the account or the
 * server. Nothing was stored. It is asked again until a user has mended that.
 */
export class RecordsUnavailableError extends TidemarkError {
  readonly retry = "now";
}

/** A leader read says that the object does not exist (P20). */
export class ObjectMissingError extends TidemarkError {
  readonly retry = "never";
  readonly object: string;

  constructor(object: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.object = object;
  }
}

/** The object's bytes do not match the digest in its handle (P20). */
export class ObjectCorruptError extends TidemarkError {
  readonly retry = "never";
  readonly object: string;

  constructor(object: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.object = object;
  }
}

/** The storage does not do what it was asked for, at present. */
abstract class StorageError extends TidemarkError {
  readonly retry = "now";
  /** What is wrong, without the object that it happened to: the same for all of them. */
  readonly reason: string;

  constructor(message: string, options?: { readonly cause?: unknown; readonly reason?: string }) {
    super(message, options);
    this.reason = options?.reason ?? message;
  }
}

/** A read or write made no progress within its stall timeout; the object may well be there (P20). */
export class StorageStalledError extends StorageError {}

/** The storage refused a write: full, read-only, no permission. */
export class StorageRefusedError extends StorageError {}

/** What is to be stored is larger than the storage takes. It will be again, until a user has raised the limit. */
export class ObjectTooLargeError extends StorageRefusedError {
  readonly bytes: number;
  readonly bytesMax: number;

  constructor(object: string, bytes: number, bytesMax: number) {
    const reason = `${bytes} bytes, of which the storage takes at most ${bytesMax}`;
    super(`object "${object}" has ${reason}`, { reason });
    this.bytes = bytes;
    this.bytesMax = bytesMax;
  }
}

/**
 * A user function or decoder threw. Names the operator and, where they are known, the position in the source and the
 * group of the record's key.
 */
export class OperatorError extends TidemarkError {
  readonly retry: Retry;
  readonly operator: string;
  position: string | undefined;
  keyGroup: number | undefined;
  readonly #said: string;
  #key: OperatorError["key"];

  constructor(operator: string, cause: unknown, position?: string) {
    super(`operator "${operator}" failed: ${saidBy(cause)}`, {
      cause,
    });
    this.retry = cause instanceof RecordBeyondLimitError ? "never" : "restart";
    this.operator = operator;
    this.#said = this.message;
    if (position !== undefined) this.at(position);
  }

  /**
   * The key whose record, timer or window the function had in its hands. undefined: there was none. It is data of
   * users, and messages and properties of errors end in logs: so it stands in no message, and is no property that a
   * logger would find. Code that has caught the error may ask for it.
   */
  get key(): string | number | boolean | bigint | undefined {
    return this.#key;
  }

  /** Does nothing where a key is known. */
  ofKey(key: NonNullable<OperatorError["key"]>, keyGroup: number): this {
    if (this.#key === undefined) {
      this.#key = key;
      this.keyGroup = keyGroup;
      this.#tell();
    }
    return this;
  }

  /** The turn that polls the source knows where the record came from; the operator that threw does not. */
  at(position: string): this {
    if (this.position === undefined) {
      this.position = position;
      this.#tell();
    }
    return this;
  }

  #tell(): void {
    const at = this.position === undefined ? "" : ` (at ${this.position})`;
    const of = this.keyGroup === undefined ? "" : ` (key group ${this.keyGroup})`;
    this.message = `${this.#said}${at}${of}`;
  }
}

/** A sink refuses a record which it could never commit (P24). */
export class RecordRefusedError extends TidemarkError {
  readonly retry: Retry = "restart";
}

/** A record is larger than a limit that has refused it before. The job stops resumably, until a user raises it. */
export class RecordBeyondLimitError extends RecordRefusedError {
  override readonly retry = "never";
}

/** A record, or a value of state, is none that could come back as it is (state/plain-value.ts). */
export class ValueRefusedError extends TidemarkError {
  readonly retry = "restart";
}

/** A request of an `async` operator got no answer in time, over all attempts. It is the cause of an OperatorError. */
export class AsyncTimeoutError extends TidemarkError {
  readonly retry = "restart";
}

/** A record is larger than any that can be sent to another worker. */
export class RecordTooLargeError extends TidemarkError {
  readonly retry = "restart";
}

/** The target of a sink does not answer, or refuses for now: it is asked again until it works. */
export class TargetUnavailableError extends TidemarkError {
  readonly retry = "now";
}

/** A commit that can never succeed: a person has to mend the target first. The job stops resumably. */
export class CommitRefusedError extends TidemarkError {
  readonly retry = "never";
}

/** A newer generation has taken over: whatever this one still does has no effect (P2, P23). */
export class FencedError extends TidemarkError {
  readonly retry = "never";
}

/** A marker of another job belongs to a generation that this job's leader does not know of: it looks again (P59). */
export class MarkerMovedError extends TidemarkError {
  readonly retry = "restart";
}

/** Frames of a channel were lost (P26): the generation fails and the job is restored. */
export class ChannelError extends TidemarkError {
  readonly retry = "restart";
}

/** More records wait in a loop than it may hold: it multiplies them. */
export class LoopOverflowError extends TidemarkError {
  readonly retry = "never";
}

/** The source cannot give what the restored position asks for: stream recreated, trimmed, purged (P32). */
export class SourcePositionError extends TidemarkError {
  readonly retry = "never";
}

/** The coordinator refused a request; `reason` is its answer in words. */
export class RequestRefusedError extends TidemarkError {
  readonly retry = "never";
}

/** A bug in this project. Never caught. */
export class InvariantError extends TidemarkError {
  readonly retry = "never";
}

export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InvariantError(`broken invariant: ${message}`);
}

/** What the engine does after this error; anything that is not ours is a failure of user code or a library. */
export function retryOf(error: unknown): Retry {
  return error instanceof TidemarkError ? error.retry : "restart";
}

/**
 * The error in words, for logs, failure histories, the wire and the terminal: message plus the chain of causes. What
 * records hold may stand in it, so nothing in it steers a terminal or hides.
 */
export function describeError(error: unknown): string {
  const parts: string[] = [];
  for (let at: unknown = error; at !== undefined && parts.length < 5; ) {
    const text = at instanceof TidemarkError ? at.message : saidBy(at);
    if (!parts.some((part) => part.includes(text))) parts.push(text);
    // NATS says the same in its own words below a denial.
    at = at instanceof Error && !(at instanceof PermissionDeniedError) ? at.cause : undefined;
  }
  return visible(parts.join(": "));
}

/** The text without what steers a terminal or hides. */
export function visible(text: string): string {
  return text.replace(INVISIBLE, escaped);
}

/** Control characters but the line feed, invisible and direction marks, halves of surrogate pairs. */
const INVISIBLE = /(?!\n)[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

function escaped(one: string): string {
  const code = one.codePointAt(0)!.toString(16);
  return code.length > 4 ? `\\u{${code}}` : `\\u${code.padStart(4, "0")}`;
}

const BEGINNING_LENGTH = 3000;
const END_LENGTH = 1000;

/** A message that is not ours: it may hold a whole record, so that its middle is left out. */
function saidBy(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const beyond = text.length - BEGINNING_LENGTH - END_LENGTH;
  if (beyond <= 0) return text;
  return `${text.slice(0, BEGINNING_LENGTH)}… (${beyond} more characters) …${text.slice(-END_LENGTH)}`;
}

/** The same without what is another one at each try: the name of an object. */
export function describeReason(error: unknown): string {
  return error instanceof StorageError ? error.reason : describeError(error);
}
