/**
 * Publishes an atomic batch (ADR-50): all of its messages become visible, or none.
 *
 * Owns: the wire form of a batch and what the server's answer means.
 * Does not own: whether to try again; that depends on the marker, see sink-marker.ts.
 *
 * - AP1 One round trip: every message but the last is published without waiting, the last one is a request.
 * - AP2 An answer counts only when it names this batch and all its messages. One that does not comes from a server that
 *   ignored the headers and stored plain messages.
 * - AP3 A silent or broken connection is an unknown outcome, never a failed one (P8).
 *
 * This is the throughput path of the sink. Where the connection lets it, a batch goes out as the bytes of its commands
 * in one buffer (0.4 µs of the client's time per message of 60 bytes); else message by message through the library,
 * with header blocks as bytes (1.5 µs; with `MsgHdrs` 2.9 µs).
 */
import {
  ClosedConnectionError,
  headers,
  InvalidArgumentError,
  type MsgHdrs,
  MsgHdrsImpl,
  type NatsConnection,
  nuid,
} from "@nats-io/transport-node";
import { EnvironmentError, type PermissionDeniedError } from "../../errors.ts";
import { denialIn } from "../connection/denials.ts";
import type { SendCommands } from "../connection/diverting-transport.ts";
import type { NatsEnvironment } from "../connection/environment.ts";
import { isTooLarge, NatsLink } from "../connection/link.ts";
import { type MessageRange, MessageReader } from "./message-block.ts";

/** Messages in one batch, the last one included, unless the server is configured otherwise. */
export const BATCH_MESSAGES_MAX = 1000;

/** What the batch headers add to each message, at most; servers count it into the size of a message. */
export const BATCH_HEADER_BYTES_MAX = 96;

/** What the batch headers add to each message, at least. */
export const BATCH_HEADER_BYTES_MIN = 75;

/** "HPUB", two lengths, blanks and line ends. */
const COMMAND_BYTES_MAX = 48;

/** The message that ends a batch and carries its guard. */
export interface LastMessage {
  readonly subject: string;
  readonly payload: string;
  readonly headers: Readonly<Record<string, string>>;
}

export type BatchOutcome =
  /** `sequence` is that of the last message. */
  | { readonly kind: "stored"; readonly sequence: number }
  /** The guard of the last message does not hold: its subject has another last sequence. Nothing was stored. */
  | { readonly kind: "conflict" }
  /** Nothing was stored, and trying again helps: load, an abandoned batch, no stream leader. */
  | { readonly kind: "retryable"; readonly description: string }
  /** Nothing was stored, because the stream or the account is full. */
  | { readonly kind: "full"; readonly description: string }
  /** Nothing was stored, and nothing will be until a user changes the stream or the server. */
  | { readonly kind: "refused"; readonly code: number; readonly description: string }
  /** Stored or not; only a read of the guarded subject can tell. */
  | { readonly kind: "unknown"; readonly description: string; readonly cause: unknown };

export class AtomicPublisher {
  readonly #nats: NatsEnvironment;
  readonly #connection: NatsConnection;
  readonly #link: NatsLink;
  readonly #sendCommands: SendCommands | undefined;

  constructor(nats: NatsEnvironment) {
    this.#nats = nats;
    this.#connection = nats.connection;
    this.#link = NatsLink.of(nats.connection);
    // A buffer of commands holds subjects as they are stored, which is not always where they are published.
    this.#sendCommands = nats.isLocal ? nats.sendCommands : undefined;
  }

  /** @throws EnvironmentError when the server is too old (AP2) */
  async publish(
    messages: MessageRange | undefined,
    last: LastMessage,
    timeoutMs: number,
  ): Promise<BatchOutcome> {
    const batchId = nuid.next();
    const count = (messages?.messages ?? 0) + 1;
    let denied: PermissionDeniedError | undefined;
    const subjects = new LazySubjects(this.#nats, messages);
    const forget = this.#link.denials.onPublish(
      (subject) => subjects.has(subject),
      (error) => {
        denied ??= error;
      },
    );
    try {
      if (messages !== undefined) {
        if (this.#sendCommands === undefined) this.#publishAllButLast(batchId, messages);
        else this.#sendAllButLast(batchId, messages, this.#sendCommands);
      }
      const subject = this.#nats.publishSubject(last.subject);
      const answer = await this.#connection.request(subject, last.payload, {
        timeout: timeoutMs,
        headers: lastHeaders(batchId, count, last.headers),
      });
      const outcome = parseAnswer(answer.string(), batchId, count);
      if (outcome.kind === "stored" || outcome.kind === "conflict") return outcome;
      // What the server has refused before it answered is told in the same turn of the event loop.
      await new Promise(setImmediate);
      return denied === undefined ? outcome : { kind: "retryable", description: denied.message };
    } catch (error) {
      if (error instanceof EnvironmentError || error instanceof RangeError) throw error;
      if (isTooLarge(error)) return await this.#tooLarge();
      if (error instanceof InvalidArgumentError)
        return { kind: "refused", code: 0, description: error.message };
      const description = denied?.message ?? describe(error);
      return { kind: "unknown", description, cause: error };
    } finally {
      forget();
    }
  }

  /** The client itself refuses what is larger than the server's max_payload, which may have been raised meanwhile. */
  async #tooLarge(): Promise<BatchOutcome> {
    const { payload } = this.#link;
    const before = payload.bytesMax;
    payload.met();
    await payload.ask();
    const description = "a message is larger than the server's max_payload";
    if (payload.bytesMax > before) return { kind: "retryable", description };
    return { kind: "refused", code: 0, description };
  }

  /**
   * How many messages the server takes in one batch. No API tells it, but the refusal of a batch that begins with a
   * message far beyond it does; nothing is stored. In words: why there was no answer.
   */
  async batchMessagesMax(subject: string, timeoutMs: number): Promise<number | string> {
    const all = headers();
    all.set("Nats-Batch-Id", nuid.next());
    all.set("Nats-Batch-Sequence", String(SEQUENCE_BEYOND_LIMITS));
    all.set("Nats-Batch-Commit", "1");
    // A server that knows no batches refuses it for this one.
    all.set("Nats-Expected-Last-Subject-Sequence", String(SEQUENCE_BEYOND_LIMITS));
    try {
      const options = { timeout: timeoutMs, headers: all };
      const answer = await this.#connection.request(this.#nats.publishSubject(subject), "", options);
      const text = answer.string();
      if (text === "") return NO_STREAM;
      const { error } = JSON.parse(text) as Answer;
      const said = error?.err_code === TOO_LARGE_CODE ? /\d+/.exec(error.description ?? "") : null;
      return said === null ? BATCH_MESSAGES_MAX : Number(said[0]);
    } catch (error) {
      return describe(error);
    }
  }

  #sendAllButLast(batchId: string, range: MessageRange, sendCommands: SendCommands): void {
    // What the library's publish looks at first.
    if (this.#connection.isClosed() || this.#connection.isDraining()) throw new ClosedConnectionError();
    sendCommands(commandsOf(batchId, range, this.#link.payload.bytesMax));
  }

  #publishAllButLast(batchId: string, range: MessageRange): void {
    const connection = this.#connection;
    const reader = new MessageReader(range);
    const block = new HeaderBlock(batchId, range);
    const options = { headers: block };
    let sequence = 0;
    while (reader.next()) {
      sequence += 1;
      block.moveTo(sequence, reader);
      connection.publish(this.#nats.publishSubject(reader.subject), reader.payload, options);
    }
    assertComplete(range, sequence);
  }
}

/** The subjects of the messages of a batch; read only when they are asked for. */
class LazySubjects {
  readonly #nats: NatsEnvironment;
  readonly #range: MessageRange | undefined;
  #subjects: Set<string> | undefined;

  constructor(nats: NatsEnvironment, range: MessageRange | undefined) {
    this.#nats = nats;
    this.#range = range;
  }

  has(subject: string): boolean {
    this.#subjects ??= this.#read();
    return this.#subjects.has(subject);
  }

  #read(): Set<string> {
    const subjects = new Set<string>();
    if (this.#range === undefined) return subjects;
    const reader = new MessageReader(this.#range);
    while (reader.next()) subjects.add(this.#nats.publishSubject(reader.subject));
    return subjects;
  }
}

/** The commands that publish a batch's messages, as they go over the wire. */
function commandsOf(batchId: string, range: MessageRange, payloadMax: number): Uint8Array {
  const reader = new MessageReader(range);
  const headerStart = `NATS/1.0\r\nNats-Batch-Id: ${batchId}\r\nNats-Batch-Sequence: `;
  const messageBytesMax = COMMAND_BYTES_MAX + BATCH_HEADER_BYTES_MAX;
  const buffer = Buffer.allocUnsafeSlow(range.to - range.from + range.messages * messageBytesMax);
  let at = 0;
  let sequence = 0;
  while (reader.next()) {
    sequence += 1;
    const own = `${headerStart}${sequence}\r\n`;
    const headersLength = own.length + reader.headersLength + 2;
    const length = headersLength + reader.payloadLength;
    if (length > payloadMax) throw InvalidArgumentError.format("payload", "max_payload size exceeded");
    at += buffer.write("HPUB ", at, "latin1");
    at += reader.copySubject(buffer, at);
    at += buffer.write(` ${headersLength} ${length}\r\n${own}`, at, "latin1");
    at += reader.copyHeaders(buffer, at);
    at += buffer.write("\r\n", at, "latin1");
    at += reader.copyPayload(buffer, at);
    at += buffer.write("\r\n", at, "latin1");
  }
  assertComplete(range, sequence);
  return buffer.subarray(0, at);
}

function assertComplete(range: MessageRange, found: number): void {
  if (found === range.messages) return;
  throw new RangeError(`a block should hold ${range.messages} messages and holds ${found}`);
}

/**
 * The headers of the message that `moveTo` was called for, ready as bytes: `publish` asks for nothing else. The client
 * keeps those bytes until it has sent them, so each message has its own place in the buffer.
 */
class HeaderBlock extends MsgHdrsImpl {
  readonly #buffer: Buffer;
  readonly #start: string;
  #from = 0;
  #to = 0;

  constructor(batchId: string, range: MessageRange) {
    super();
    this.#start = `NATS/1.0\r\nNats-Batch-Id: ${batchId}\r\nNats-Batch-Sequence: `;
    // The header lines of all messages are certainly not longer than the messages themselves.
    const linesMax = range.to - range.from;
    this.#buffer = Buffer.allocUnsafeSlow(range.messages * BATCH_HEADER_BYTES_MAX + linesMax);
  }

  moveTo(sequence: number, message: MessageReader): void {
    const buffer = this.#buffer;
    const from = this.#to;
    const lines = message.headersLength;
    if (lines === 0) {
      this.#to = from + buffer.write(`${this.#start}${sequence}\r\n\r\n`, from, "latin1");
    } else {
      let at = from + buffer.write(`${this.#start}${sequence}\r\n`, from, "latin1");
      at += message.copyHeaders(buffer, at);
      this.#to = at + buffer.write("\r\n", at, "latin1");
    }
    this.#from = from;
  }

  override encode(): Uint8Array {
    return this.#buffer.subarray(this.#from, this.#to);
  }
}

function lastHeaders(batchId: string, sequence: number, own: Readonly<Record<string, string>>): MsgHdrs {
  const all = headers();
  all.set("Nats-Batch-Id", batchId);
  all.set("Nats-Batch-Sequence", String(sequence));
  all.set("Nats-Batch-Commit", "1");
  for (const [name, value] of Object.entries(own)) all.set(name, value);
  return all;
}

interface Answer {
  readonly error?: { readonly code: number; readonly err_code?: number; readonly description?: string };
  readonly stream?: string;
  readonly seq?: number;
  readonly batch?: string;
  readonly count?: number;
}

const NO_STREAM = "no stream answers on the marker's subject";
const SEQUENCE_BEYOND_LIMITS = 1_000_000_000;

/** err_code values of the server (server/errors.json). */
const TOO_LARGE_CODE = 10199;
const CONFLICT_CODES = new Set([10071, 10164]);
/** Insufficient resources, account limits, storage limits, a store that refuses (discard new, full disk). */
const FULL_CODES = new Set([10002, 10023, 10028, 10047, 10077]);
/**
 * Too many requests, batch abandoned or incomplete, too many open batches. Together with every 429 and 503 (leaders
 * that move, a server that starts) these pass; everything else is refused for good: sealed, atomic publish or TTL or
 * rollup disabled, too large, wrong headers.
 */
const RETRYABLE_CODES = new Set([10167, 10176, 10210]);
const INCOMPLETE_CODE = 10176;
/** The server may drop one in passing; what its configuration takes elsewhere it takes there each time. */
const WHY_INCOMPLETE =
  "a message of it did not reach the stream. Where that goes on, the server takes its subject elsewhere: look at the " +
  "mappings of server and account, and at the permissions of this user";

/** Not even JSON, or no object: a service of the user's, whose words are not shown. */
function answerIn(text: string): Answer {
  try {
    return (JSON.parse(text) ?? {}) as Answer;
  } catch {
    return {};
  }
}

function parseAnswer(text: string, batchId: string, count: number): BatchOutcome {
  if (text === "") return { kind: "retryable", description: NO_STREAM };
  const answer = answerIn(text);
  if (typeof answer.error?.code === "number") return parseError(answer.error);
  // A service listens on the subject of the marker, too. What the stream has done is for the marker to tell.
  if (answer.stream === undefined)
    return { kind: "unknown", description: "a service that is no stream answers", cause: undefined };
  if (answer.batch !== batchId || answer.count !== count || answer.seq === undefined) {
    throw new EnvironmentError(
      `the server stored an atomic batch as plain messages: it is older than 2.12 (answer: ${text}). Upgrade every ` +
        'nats-server of the cluster, or use guarantee: "at-least-once"',
    );
  }
  return { kind: "stored", sequence: answer.seq };
}

function parseError(error: NonNullable<Answer["error"]>): BatchOutcome {
  const code = error.err_code ?? 0;
  const description = `${error.description ?? "no description"} (${code})`;
  if (CONFLICT_CODES.has(code)) return { kind: "conflict" };
  if (FULL_CODES.has(code)) return { kind: "full", description };
  const passes = RETRYABLE_CODES.has(code) || error.code === 429 || error.code === 503;
  if (passes)
    return {
      kind: "retryable",
      description: code === INCOMPLETE_CODE ? `${description}: ${WHY_INCOMPLETE}` : description,
    };
  return { kind: "refused", code, description };
}

function describe(error: unknown): string {
  const denied = denialIn(error);
  if (denied !== undefined) return denied.message;
  return error instanceof Error ? error.message || error.name : String(error);
}
