/**
 * How many records a slice of input has: as many as take about its time.
 *
 * - SZ1 A slice ends by its number of records and by the clock, which is looked at each few records. So a function that
 *   takes some ms for each holds the event loop for one of its records, or for a few where it has just turned slow.
 */

export const RECORDS_PER_SLICE_MAX = 128;

/** A slice ends at the first look at the clock behind this. */
export const SLICE_MS = 1;

export class SliceSize {
  /** At most so many records has the next slice. */
  records: number;
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
    this.records = max;
  }

  /** The next slice takes about its time if its records are as slow as the `done` ones of this slice. */
  adapt(done: number, tookMs: number): void {
    if (tookMs > SLICE_MS) this.records = Math.max(1, Math.floor((done * SLICE_MS) / tookMs));
    else if (this.records < this.#max && tookMs * 2 < SLICE_MS)
      this.records = Math.min(this.records * 2, this.#max);
  }
}
