/**
 * The records of a sink's open transaction on their way to durable objects.
 *
 * Owns: cutting a transaction into parts (what one atomic batch commits) and segments (what one staged object holds);
 * staging segments while the transaction is still open; the plain data that a committable says about them.
 * Does not own: what a message says, and committing it.
 *
 * - TB1 A part never spans two segments, and is cut once: its place is stored with the transaction (P4, P24).
 * - TB2 Memory holds the open segment, `stagingMax` segments being staged, and one more that a cut has closed
 *   meanwhile. Durable ones that wait for their commit stay in it as long as they and those being staged hold at most
 *   `keptBytesMax`; the others are read back (P25).
 * - TB3 A transaction of one small segment travels inline in its committable (P15).
 */
import type { ObjectHandle } from "../../../machines/protocol.ts";
import type { StagingArea } from "../../dataflow/sink.ts";
import type { StreamTransactionDetail } from "../../formats/transactions/transaction-detail.ts";
import { MessageBlock, type MessageRange } from "../../nats/publisher/message-block.ts";

export interface PartLimits {
  /** The most bytes of one message: header lines and payload. */
  readonly messageBytesMax: number;
  readonly partMessagesMax: number;
  /** A part is closed by the message that reaches it. */
  readonly partBytesMax: number;
}

export const bufferLimits = {
  segmentBytesMax: 1024 * 1024,
  inlineBytesMax: 16 * 1024,
  stagingMax: 4,
  keptBytesMax: 4 * 1024 * 1024,
};

/** One staged object, or the inline bytes of a small transaction. */
export interface Segment {
  readonly length: number;
  /** Messages and end offset of each part, flat: [messages, end, messages, end, …]. */
  readonly parts: readonly number[];
  /** undefined once it was dropped from memory (TB2). */
  bytes: Uint8Array | undefined;
  /** undefined: inline. */
  readonly staged: Promise<ObjectHandle> | undefined;
}

export interface BufferEvents {
  /** A segment became durable: `isFull` may have changed. */
  onStaged(): void;
  onFailed(error: unknown): void;
}

export class TransactionBuffer {
  readonly #staging: StagingArea;
  readonly #limits: PartLimits;
  readonly #events: BufferEvents;
  #block = newBlock();
  #segments: Segment[] = [];
  #parts: number[] = [];
  #partStart = 0;
  #partMessages = 0;
  #stagingNow = 0;
  #keptBytes = 0;

  constructor(staging: StagingArea, limits: PartLimits, events: BufferEvents) {
    this.#staging = staging;
    this.#limits = limits;
    this.#events = events;
  }

  get isFull(): boolean {
    return this.#stagingNow >= bufferLimits.stagingMax;
  }

  /** Returns false, and takes nothing, when the message is larger than allowed. */
  append(subject: string, headerLines: string, payload: string | Uint8Array): boolean {
    const limits = this.#limits;
    const before = this.#block.length;
    if (this.#partMessages >= limits.partMessagesMax || before - this.#partStart >= limits.partBytesMax) {
      this.#closePart();
    }
    const block = this.#block;
    const start = block.length;
    if (block.append(subject, headerLines, payload) > limits.messageBytesMax) {
      block.truncate(start);
      return false;
    }
    this.#partMessages += 1;
    return true;
  }

  /** Everything since the last cut, in segments that are durable or becoming so; none when that is nothing. */
  cut(): Segment[] {
    if (this.#partMessages > 0) this.#endPart();
    if (this.#parts.length > 0) {
      const inline = this.#segments.length === 0 && this.#block.length <= bufferLimits.inlineBytesMax;
      this.#closeSegment(inline);
    }
    const segments = this.#segments;
    this.#segments = [];
    return segments;
  }

  /** A transaction was committed: its bytes are needed no more. */
  release(segments: readonly Segment[]): void {
    for (const segment of segments) {
      if (segment.bytes !== undefined && segment.staged !== undefined) this.#keptBytes -= segment.length;
      segment.bytes = undefined;
    }
  }

  #closePart(): void {
    this.#endPart();
    if (this.#block.length >= bufferLimits.segmentBytesMax) this.#closeSegment(false);
  }

  #endPart(): void {
    this.#parts.push(this.#partMessages, this.#block.length);
    this.#partStart = this.#block.length;
    this.#partMessages = 0;
  }

  #closeSegment(inline: boolean): void {
    const bytes = this.#block.content();
    const staged = inline ? undefined : this.#stage(bytes);
    const segment: Segment = { length: bytes.length, parts: this.#parts, bytes, staged };
    this.#segments.push(segment);
    this.#block = newBlock();
    this.#parts = [];
    this.#partStart = 0;
    staged?.then(
      () => this.#staged(segment),
      (error: unknown) => this.#events.onFailed(error),
    );
  }

  #stage(bytes: Uint8Array): Promise<ObjectHandle> {
    this.#stagingNow += 1;
    this.#keptBytes += bytes.length;
    return this.#staging.put(bytes);
  }

  #staged(segment: Segment): void {
    this.#stagingNow -= 1;
    if (segment.bytes !== undefined && this.#keptBytes > bufferLimits.keptBytesMax) {
      this.#keptBytes -= segment.length;
      segment.bytes = undefined;
    }
    this.#events.onStaged();
  }
}

export function detailOf(segments: readonly Segment[]): StreamTransactionDetail {
  const parts = segments.map((segment) => segment.parts);
  const [only] = segments;
  if (only === undefined || only.staged !== undefined || only.bytes === undefined) {
    return { version: 1, segments: parts };
  }
  return { version: 1, segments: parts, inline: Buffer.from(only.bytes).toString("base64") };
}

export function countParts(detail: StreamTransactionDetail): number {
  let count = 0;
  for (const segment of detail.segments) count += segment.length / 2;
  return count;
}

/** Records in the largest part. */
export function largestPart(detail: StreamTransactionDetail): number {
  let largest = 0;
  for (const segment of detail.segments)
    for (let at = 0; at < segment.length; at += 2) largest = Math.max(largest, segment[at]!);
  return largest;
}

/** Says how much of a transaction is in the stream. @param committed parts, from the first one on */
export function describeProgress(detail: StreamTransactionDetail, committed: number): string {
  let parts = 0;
  let records = 0;
  let recordsCommitted = 0;
  for (const segment of detail.segments) {
    for (let at = 0; at < segment.length; at += 2) {
      records += segment[at]!;
      if (parts < committed) recordsCommitted += segment[at]!;
      parts += 1;
    }
  }
  if (committed === 0) return `Nothing of its ${records} records is committed`;
  return (
    `Of its ${records} records the first ${recordsCommitted} are committed already (${committed} of ${parts} parts), ` +
    `the other ${records - recordsCommitted} are not`
  );
}

/** The parts of one segment, in order. */
export function* rangesOf(bytes: Uint8Array, parts: readonly number[]): Generator<MessageRange> {
  let from = 0;
  for (let at = 0; at < parts.length; at += 2) {
    const to = parts[at + 1]!;
    yield { bytes, from, to, messages: parts[at]! };
    from = to;
  }
}

function newBlock(): MessageBlock {
  return new MessageBlock(bufferLimits.inlineBytesMax * 2);
}
