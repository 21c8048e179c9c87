/**
 * The records of an open transaction, side by side in the segment that is being filled.
 *
 * A record is whatever its sink has appended to `block` before it called `recordEnded`. Records never span segments.
 */
import type { RecordTransactionDetail } from "../../formats/transactions/transaction-detail.ts";
import { ByteBlock } from "./byte-block.ts";
import { inlineOf, type Segment, type SegmentStager, segmentLimits } from "./segments.ts";

export interface RecordTransaction {
  readonly segments: readonly Segment[];
  /** Records of each segment. */
  readonly records: readonly number[];
}

export class RecordBuffer {
  readonly #stager: SegmentStager;
  #block = newBlock();
  #count = 0;
  #segments: Segment[] = [];
  #records: number[] = [];

  constructor(stager: SegmentStager) {
    this.#stager = stager;
  }

  /** The open segment. Another one after each `recordEnded` and `cut`. */
  get block(): ByteBlock {
    return this.#block;
  }

  recordEnded(): void {
    this.#count += 1;
    if (this.#block.length >= segmentLimits.segmentBytesMax) this.#closeSegment(false);
  }

  /** Everything since the last cut; no segments when that is nothing. */
  cut(): RecordTransaction {
    if (this.#count > 0)
      this.#closeSegment(this.#segments.length === 0 && this.#block.length <= segmentLimits.inlineBytesMax);
    const cut = { segments: this.#segments, records: this.#records };
    this.#segments = [];
    this.#records = [];
    return cut;
  }

  #closeSegment(inline: boolean): void {
    const bytes = this.#block.content();
    this.#segments.push(inline ? this.#stager.inline(bytes) : this.#stager.stage(bytes));
    this.#records.push(this.#count);
    this.#block = newBlock();
    this.#count = 0;
  }
}

export function detailOf({ segments, records }: RecordTransaction): RecordTransactionDetail {
  const inline = inlineOf(segments);
  return { version: 1, records, ...(inline !== undefined && { inline }) };
}

function newBlock(): ByteBlock {
  return new ByteBlock(segmentLimits.inlineBytesMax * 2);
}
