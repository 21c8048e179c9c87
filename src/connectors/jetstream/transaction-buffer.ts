/**
 * The records of a sink's open transaction, as messages.
 *
 * Owns: cutting a transaction into parts (what one atomic batch commits) and segments (what one staged object holds);
 * the plain data that a committable says about them.
 * Does not own: staging (transactions/segments.ts), what a message says, and committing it.
 *
 * - TB1 A part never spans two segments, and is cut once: its place is stored with the transaction (P4, P24).
 */
import type { StreamTransactionDetail } from "../../formats/transactions/transaction-detail.ts";
import { MessageBlock, type MessageRange } from "../../nats/publisher/message-block.ts";
import { inlineOf, type Segment, type SegmentStager, segmentLimits } from "../transactions/segments.ts";

export interface PartLimits {
  /** The most bytes of one message: header lines and payload. */
  readonly messageBytesMax: number;
  readonly partMessagesMax: number;
  /** A part is closed by the message that reaches it. */
  readonly partBytesMax: number;
}

/** What was cut. */
export interface StreamTransaction {
  readonly segments: readonly Segment[];
  /** Messages and end offset of each part of each segment, flat: [messages, end, messages, end, …]. */
  readonly parts: readonly (readonly number[])[];
}

export class TransactionBuffer {
  readonly #stager: SegmentStager;
  readonly #limits: PartLimits;
  #block = newBlock();
  #segments: Segment[] = [];
  #segmentParts: number[][] = [];
  /** Those of the open segment. */
  #parts: number[] = [];
  #partStart = 0;
  #partMessages = 0;

  constructor(stager: SegmentStager, limits: PartLimits) {
    this.#stager = stager;
    this.#limits = limits;
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
  cut(): StreamTransaction {
    if (this.#partMessages > 0) this.#endPart();
    if (this.#parts.length > 0) {
      const inline = this.#segments.length === 0 && this.#block.length <= segmentLimits.inlineBytesMax;
      this.#closeSegment(inline);
    }
    const cut = { segments: this.#segments, parts: this.#segmentParts };
    this.#segments = [];
    this.#segmentParts = [];
    return cut;
  }

  #closePart(): void {
    this.#endPart();
    if (this.#block.length >= segmentLimits.segmentBytesMax) this.#closeSegment(false);
  }

  #endPart(): void {
    this.#parts.push(this.#partMessages, this.#block.length);
    this.#partStart = this.#block.length;
    this.#partMessages = 0;
  }

  #closeSegment(inline: boolean): void {
    const bytes = this.#block.content();
    this.#segments.push(inline ? this.#stager.inline(bytes) : this.#stager.stage(bytes));
    this.#segmentParts.push(this.#parts);
    this.#block = newBlock();
    this.#parts = [];
    this.#partStart = 0;
  }
}

export function detailOf({ segments, parts }: StreamTransaction): StreamTransactionDetail {
  const inline = inlineOf(segments);
  return { version: 1, segments: parts, ...(inline !== undefined && { inline }) };
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
  return new MessageBlock(segmentLimits.inlineBytesMax * 2);
}
