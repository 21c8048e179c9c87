/**
 * Messages side by side in one buffer: what a sink stages and what an atomic batch is published from.
 *
 * Layout of a message: u16 bytes of subject, u16 bytes of header lines, u32 bytes of payload, then the three. Header
 * lines are ready for the wire ("Key: value\r\n"). Little endian. Appending allocates nothing but the growing buffer.
 */

const MESSAGE_PREFIX_BYTES = 8;
export const HEADER_LINES_BYTES_MAX = 0xffff;

/** Consecutive messages of a block. */
export interface MessageRange {
  readonly bytes: Uint8Array;
  readonly from: number;
  readonly to: number;
  readonly messages: number;
}

export class MessageBlock {
  #buffer: Buffer;
  #length = 0;

  constructor(capacity: number) {
    this.#buffer = Buffer.allocUnsafeSlow(capacity);
  }

  get length(): number {
    return this.#length;
  }

  /** What was appended so far; not copied, so the block must not be truncated while it is in use. */
  content(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  /** Forgets everything from `length` on: a message that turned out to be too large. */
  truncate(length: number): void {
    this.#length = length;
  }

  /** Returns the bytes of header lines and payload together, which is what servers limit. */
  append(subject: string, headerLines: string, payload: string | Uint8Array): number {
    return typeof payload === "string"
      ? this.#appendText(subject, headerLines, payload)
      : this.#appendBytes(subject, headerLines, payload);
  }

  #appendText(subject: string, headerLines: string, payload: string): number {
    const text = headerLines === "" ? subject + payload : subject + headerLines + payload;
    this.#reserve(MESSAGE_PREFIX_BYTES + text.length * 3);
    const at = this.#length;
    // One crossing into native code for the three; when every character took one byte, the lengths are known.
    const written = this.#buffer.write(text, at + MESSAGE_PREFIX_BYTES, "utf8");
    if (written !== text.length) return this.#appendBytes(subject, headerLines, Buffer.from(payload));
    this.#prefix(at, subject.length, headerLines.length, payload.length);
    this.#length = at + MESSAGE_PREFIX_BYTES + written;
    return written - subject.length;
  }

  #appendBytes(subject: string, headerLines: string, payload: Uint8Array): number {
    this.#reserve(MESSAGE_PREFIX_BYTES + (subject.length + headerLines.length) * 3 + payload.length);
    const at = this.#length;
    let end = at + MESSAGE_PREFIX_BYTES;
    const subjectBytes = this.#buffer.write(subject, end, "utf8");
    end += subjectBytes;
    const headerBytes = headerLines === "" ? 0 : this.#buffer.write(headerLines, end, "utf8");
    end += headerBytes;
    this.#buffer.set(payload, end);
    this.#prefix(at, subjectBytes, headerBytes, payload.length);
    this.#length = end + payload.length;
    return headerBytes + payload.length;
  }

  #prefix(at: number, subjectBytes: number, headerBytes: number, payloadBytes: number): void {
    const buffer = this.#buffer;
    buffer[at] = subjectBytes;
    buffer[at + 1] = subjectBytes >>> 8;
    buffer[at + 2] = headerBytes;
    buffer[at + 3] = headerBytes >>> 8;
    buffer[at + 4] = payloadBytes;
    buffer[at + 5] = payloadBytes >>> 8;
    buffer[at + 6] = payloadBytes >>> 16;
    buffer[at + 7] = payloadBytes >>> 24;
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }
}

/** Goes through a range; its fields always show the message that `next` moved to. One reader for all messages. */
export class MessageReader {
  readonly #buffer: Buffer;
  readonly #end: number;
  #at: number;
  #subjectAt = 0;
  #subjectEnd = 0;
  #headersEnd = 0;

  constructor(range: MessageRange) {
    const { bytes } = range;
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#at = range.from;
    this.#headersEnd = range.from;
    this.#end = range.to;
  }

  /** false: the range is finished. @throws RangeError when the bytes are not a block */
  next(): boolean {
    const at = this.#at;
    if (at >= this.#end) return false;
    const buffer = this.#buffer;
    const subjectAt = at + MESSAGE_PREFIX_BYTES;
    this.#subjectEnd = subjectAt + buffer.readUInt16LE(at);
    this.#headersEnd = this.#subjectEnd + buffer.readUInt16LE(at + 2);
    this.#subjectAt = subjectAt;
    this.#at = this.#headersEnd + buffer.readUInt32LE(at + 4);
    if (this.#at > this.#end)
      throw new RangeError(`a message ends at ${this.#at}, its block at ${this.#end}`);
    return true;
  }

  get subject(): string {
    return this.#buffer.toString("utf8", this.#subjectAt, this.#subjectEnd);
  }

  get headersLength(): number {
    return this.#headersEnd - this.#subjectEnd;
  }

  get payloadLength(): number {
    return this.#at - this.#headersEnd;
  }

  /** Each `copy` returns how many bytes it has written. */
  copySubject(target: Uint8Array, at: number): number {
    return this.#buffer.copy(target, at, this.#subjectAt, this.#subjectEnd);
  }

  copyHeaders(target: Uint8Array, at: number): number {
    if (this.#headersEnd === this.#subjectEnd) return 0;
    return this.#buffer.copy(target, at, this.#subjectEnd, this.#headersEnd);
  }

  copyPayload(target: Uint8Array, at: number): number {
    return this.#buffer.copy(target, at, this.#headersEnd, this.#at);
  }

  /** A view, not a copy. */
  get payload(): Uint8Array {
    return this.#buffer.subarray(this.#headersEnd, this.#at);
  }
}
