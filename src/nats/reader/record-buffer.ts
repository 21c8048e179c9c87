/**
 * Records that were read ahead: a ring, so that their number is bounded by construction and nothing is allocated.
 * Columns instead of objects: a record costs the value that its decoder made and three numbers.
 */
import type { Collect } from "../../dataflow/source.ts";
import { invariant } from "../../errors.ts";

export class RecordBuffer<T> {
  readonly capacity: number;
  /** Sequence of the record last given out; readable while `collect` runs. */
  position: number;
  readonly #mask: number;
  readonly #values: (T | undefined)[];
  readonly #sequences: Float64Array;
  readonly #timestamps: Float64Array;
  /** `#bytesIn` as it was after the record. */
  readonly #bytesAfter: Float64Array;
  /** Both count for ever; their difference is what is buffered. */
  #recordsIn = 0;
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

  /** Payload bytes of the buffered records, as they were on the wire. */
  get bytes(): number {
    return this.#bytesIn - this.#bytesOut;
  }

  push(value: T, sequence: number, timestamp: number, bytes: number): void {
    invariant(this.#recordsIn - this.#recordsOut < this.capacity, "no more is pulled than the buffer takes");
    const at = this.#recordsIn & this.#mask;
    this.#bytesIn += bytes;
    this.#values[at] = value;
    this.#sequences[at] = sequence;
    this.#timestamps[at] = timestamp;
    this.#bytesAfter[at] = this.#bytesIn;
    this.#recordsIn++;
  }

  /** Gives out up to `recordsMax` records, oldest first. What `collect` throws passes; its record counts as given. */
  take(collect: Collect<T>, recordsMax: number): void {
    const values = this.#values;
    const sequences = this.#sequences;
    const timestamps = this.#timestamps;
    const until = Math.min(this.#recordsIn, this.#recordsOut + recordsMax);
    while (this.#recordsOut < until) {
      const at = this.#recordsOut & this.#mask;
      const value = values[at] as T;
      values[at] = undefined;
      this.position = sequences[at]!;
      this.#bytesOut = this.#bytesAfter[at]!;
      this.#recordsOut++;
      collect(value, timestamps[at]!);
    }
  }
}
