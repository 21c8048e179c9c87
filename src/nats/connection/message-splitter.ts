/**
 * Splits the bytes that a NATS server sends into what a handler takes and what the library goes on with.
 *
 * Owns: the unfinished end of the last chunk. Does not own: the socket, the subscriptions, the meaning of a message.
 *
 * - MS1 Every byte goes to exactly one of the two, in the order in which it came.
 * - MS2 The library gets whole protocol lines, but payloads as they come: a large one is never gathered for it.
 * - MS3 A handler gets a message only when all of it is there, in one buffer. Messages without a reply subject are
 *   JetStream's status messages: they stay with the library, as do all lines that are not messages.
 * - MS4 How the stream is cut into chunks changes nothing.
 */

/**
 * Takes the messages of one subscription, synchronously, in order. The numbers are positions in `bytes`, which is valid
 * only during the call: copy or decode what is to be kept. Must not throw.
 */
export interface DivertedMessages {
  onMessage(
    bytes: Buffer,
    subjectStart: number,
    subjectEnd: number,
    replyStart: number,
    replyEnd: number,
    /** The offset of the header block; `dataStart` when there is none. */
    headerStart: number,
    dataStart: number,
    dataEnd: number,
  ): void;
  /** All messages of a chunk that the socket delivered were handed over. */
  onChunkEnd(): void;
}

const NEWLINE = 10;
const SPACE = 32;
const ZERO = 48;
const H = 72;
const M = 77;
const LINE_END_BYTES = 2;

export class MessageSplitter {
  readonly #handlers: ReadonlyMap<number, DivertedMessages>;
  readonly #library: (bytes: Uint8Array) => void;
  /** Payload bytes of a message of the library that are still to come. */
  #passing = 0;
  /** Pieces of an unfinished line or of an unfinished message for a handler. */
  #held: Buffer[] = [];
  #heldBytes = 0;
  /** How many bytes must be there before it makes sense to look at the held pieces again. */
  #neededBytes = 0;
  /** What goes to the library out of the chunk at hand. */
  #passed: Buffer[] = [];

  /** @param handlers by subscription id; looked at for every message, so it may change at any time */
  constructor(handlers: ReadonlyMap<number, DivertedMessages>, library: (bytes: Uint8Array) => void) {
    this.#handlers = handlers;
    this.#library = library;
  }

  push(chunk: Buffer): void {
    if (this.#held.length === 0) {
      this.#split(chunk);
      return;
    }
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
    if (this.#heldBytes < this.#neededBytes) return;
    const joined = Buffer.concat(this.#held, this.#heldBytes);
    this.#held = [];
    this.#split(joined);
  }

  #split(bytes: Buffer): void {
    const end = bytes.length;
    const handlers = this.#handlers;
    let passFrom = 0;
    let at = Math.min(this.#passing, end);
    let diverted = false;
    this.#passing -= at;
    while (at < end) {
      const newline = bytes.indexOf(NEWLINE, at);
      if (newline < 0) break;
      const kind = bytes[at];
      if (kind !== M && kind !== H) {
        at = newline + 1;
        continue;
      }
      // MSG <subject> <sid> [reply] <size>     HMSG <subject> <sid> [reply] <header size> <size>
      const sizeStart = tokenStart(bytes, newline - 2);
      const size = decimal(bytes, sizeStart, newline - 1);
      const dataEnd = newline + 1 + size;
      const messageEnd = dataEnd + LINE_END_BYTES;
      const subjectStart = at + (kind === M ? 4 : 5);
      const subjectEnd = bytes.indexOf(SPACE, subjectStart);
      let sid = 0;
      let sidEnd = subjectEnd + 1;
      for (let digit = bytes[sidEnd]!; digit !== SPACE; digit = bytes[++sidEnd]!)
        sid = sid * 10 + digit - ZERO;
      const handler = handlers.get(sid);
      if (handler !== undefined) {
        let replyEnd = sizeStart - 1;
        let headerSize = 0;
        if (kind === H) {
          const headerSizeStart = tokenStart(bytes, replyEnd - 1);
          headerSize = decimal(bytes, headerSizeStart, replyEnd);
          replyEnd = headerSizeStart - 1;
        }
        if (replyEnd > sidEnd) {
          if (messageEnd > end) {
            this.#hold(bytes, passFrom, at, messageEnd - at);
            this.#finish(diverted);
            return;
          }
          if (passFrom < at) this.#passed.push(bytes.subarray(passFrom, at));
          handler.onMessage(
            bytes,
            subjectStart,
            subjectEnd,
            sidEnd + 1,
            replyEnd,
            newline + 1,
            newline + 1 + headerSize,
            dataEnd,
          );
          diverted = true;
          at = messageEnd;
          passFrom = at;
          continue;
        }
      }
      at = messageEnd;
    }
    if (at >= end) {
      this.#passing += at - end;
      if (passFrom < end) this.#passed.push(passFrom === 0 ? bytes : bytes.subarray(passFrom));
    } else {
      this.#hold(bytes, passFrom, at, end - at + 1);
    }
    this.#finish(diverted);
  }

  /** Keeps what begins at `at` until `neededBytes` of it are there. */
  #hold(bytes: Buffer, passFrom: number, at: number, neededBytes: number): void {
    if (passFrom < at) this.#passed.push(bytes.subarray(passFrom, at));
    this.#held = [bytes.subarray(at)];
    this.#heldBytes = bytes.length - at;
    this.#neededBytes = neededBytes;
  }

  #finish(diverted: boolean): void {
    const passed = this.#passed;
    if (passed.length > 0) {
      this.#passed = [];
      // One piece, because the library awaits once for each.
      this.#library(passed.length === 1 ? passed[0]! : Buffer.concat(passed));
    }
    if (diverted) for (const handler of this.#handlers.values()) handler.onChunkEnd();
  }
}

/** The offset of the first byte of the token whose last byte is at `last`. */
function tokenStart(bytes: Buffer, last: number): number {
  let at = last;
  while (bytes[at] !== SPACE) at--;
  return at + 1;
}

function decimal(bytes: Buffer, start: number, end: number): number {
  let value = 0;
  for (let at = start; at < end; at++) value = value * 10 + bytes[at]! - ZERO;
  return value;
}
