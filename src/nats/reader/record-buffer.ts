/**
 * Records that were read ahead: a ring, so that their number is bounded by construction and nothing is allocated.
 * Columns instead of objects: a record costs the value that its decoder made and three numbers.
 *
 * A record is pushed, later released, then given out: what is not released yet waits for a judgement on the hole in
 * front of it (gap-judge.ts). Nothing behind it is given out before.
 */
import type { Collect } from "../../dataflow/source.ts";
import { invariant } from "../../errors.ts";

/**
 * Stands in place of a value for a message that is none of the split's records. It has a sequence and is not given out.
 */
export const NO_RECORD: unique symbol = Symbol("no record");

/** Where a record lies in its stream, and when the server has stored it. */
export interface PlacedRecord {
  readonly sequence: number;
  readonly timestampMs: number;
}

export class RecordBuffer<T> {
  readonly capacity: number;
  /** Sequence of the record last given out; readable while `collect` runs. */
  position: number;
  readonly #mask: number;
  readonly #values: (T | typeof NO_RECORD | undefined)[];
  readonly #sequences: Float64Array;
  readonly #timestamps: Float64Array;
  /** `#bytesIn` as it was after the record. */
  readonly #bytesAfter: Float64Array;
  /**
   * Three counts that only grow: records that came, were released, were given out. The first less the last is buffered.
   */
  #recordsIn = 0;
  #recordsReleased = 0;
  #recordsOut = 0;
  #bytesIn = 0;
  #bytesOut = 0;

  /** @param capacity a power of two; @param position sequence before the first record */
  constructor(capacity: number, position: number) {
    invariant(capacity > 0 && (capacity & (capacity - 1)) === 0, "the capacity is a power of two");
    this.capacity = capacity;
    this.position = position;
    this.#mask = capacity - 1;
    this.#values = new Array(capacity).fill(undefined);
    this.#sequences = new Float64Array(capacity);
    this.#timestamps = new Float64Array(capacity);
    this.#bytesAfter = new Float64Array(capacity);
  }

  get length(): number {
    return this.#recordsIn - this.#recordsOut;
  }

  /** How many buffered records may be given out. */
  get released(): number {
    return this.#recordsReleased - this.#recordsOut;
  }

  /** Payload bytes of the buffered records, as they were on the wire. */
  get bytes(): number {
    return this.#bytesIn - this.#bytesOut;
  }

  /** Counts records for ever: the number of the next one. */
  get recordsIn(): number {
    return this.#recordsIn;
  }

  /** The number of the first record that is not released; `recordsIn` when all are. */
  get recordsReleased(): number {
    return this.#recordsReleased;
  }

  /** The stream sequence of a buffered record, by the record's number. */
  sequenceOf(record: number): number {
    return this.#sequences[record & this.#mask]!;
  }

  /** Sequence of the record that `take` gives out next; undefined when it would give none. */
  get next(): number | undefined {
    return this.#recordsOut < this.#recordsReleased ? this.sequenceOf(this.#recordsOut) : undefined;
  }

  /** The record that `take` gives out next, else the one that it gave out last; undefined: neither is there. */
  get front(): PlacedRecord | undefined {
    const front = this.released > 0 ? this.#recordsOut : this.#recordsOut - 1;
    if (front < 0) return undefined;
    const at = front & this.#mask;
    return { sequence: this.#sequences[at]!, timestampMs: this.#timestamps[at]! };
  }

  push(value: T | typeof NO_RECORD, sequence: number, timestamp: number, bytes: number): void {
    invariant(this.#recordsIn - this.#recordsOut < this.capacity, "no more is pulled than the buffer takes");
    const at = this.#recordsIn & this.#mask;
    this.#bytesIn += bytes;
    this.#values[at] = value;
    this.#sequences[at] = sequence;
    this.#timestamps[at] = timestamp;
    this.#bytesAfter[at] = this.#bytesIn;
    this.#recordsIn++;
  }

  /** Records below this number may be given out. */
  release(record: number): void {
    this.#recordsReleased = record;
  }

  /** Forgets the records that are not released. */
  dropUnreleased(): void {
    for (let record = this.#recordsReleased; record < this.#recordsIn; record++)
      this.#values[record & this.#mask] = undefined;
    this.#recordsIn = this.#recordsReleased;
    const last = (this.#recordsIn - 1) & this.#mask;
    this.#bytesIn = this.length === 0 ? this.#bytesOut : this.#bytesAfter[last]!;
  }

  /** Gives out up to `recordsMax` records, oldest first. What `collect` throws passes; its record counts as given. */
  take(collect: Collect<T>, recordsMax: number): void {
    const values = this.#values;
    const sequences = this.#sequences;
    const timestamps = this.#timestamps;
    const until = Math.min(this.#recordsReleased, this.#recordsOut + recordsMax);
    while (this.#recordsOut < until) {
      const at = this.#recordsOut & this.#mask;
      const value = values[at];
      values[at] = undefined;
      this.#bytesOut = this.#bytesAfter[at]!;
      this.#recordsOut++;
      if (value === NO_RECORD) continue;
      this.position = sequences[at]!;
      collect(value as T, timestamps[at]!);
    }
  }
}
