/**
 * Where watermarks come from: one generator for each split of a source.
 *
 * Owns: the contract of a generator. Does not own: which ones a job can choose from (job/time/watermarks.ts), how the
 * watermarks of several splits are combined (watermark-combiner.ts), when a generator is asked (source-time.ts).
 */

/**
 * The generator of one split. A watermark of `t` says that no record with a timestamp of `t` or less is expected any
 * more. Only larger ones go out; -Infinity and undefined say nothing.
 */
export interface WatermarkGenerator<T = unknown> {
  /**
   * Called behind each record with its timestamp in ms, or NO_TIMESTAMP. The watermark that it answers stands directly
   * behind that record.
   */
  onRecord(value: T, timestamp: number): number | undefined;
  /** Called about every `watermarkInterval`, after records or always (`alsoWhenQuiet`): answers the watermark now. */
  onInterval(): number | undefined;
  /** What it remembers, plain data: `create` gets it back after a restore. */
  snapshot(): unknown;
}

export interface WatermarkStrategy<T = unknown> {
  /** What it does, for the printed plan: "at most 5s out of order". */
  readonly description: string;
  /** true: `onRecord` may answer a watermark. Default false: it only looks at records. */
  readonly perRecord?: boolean;
  /** true: `onInterval` is asked also while no records come, as one that looks at a clock needs. Default false. */
  readonly alsoWhenQuiet?: boolean;
  /** @param restored what `snapshot` has answered; undefined: the split begins */
  create(restored: unknown): WatermarkGenerator<T>;
}

/**
 * The generator of records that come at most so much later than newer ones. (Flink's BoundedOutOfOrdernessWatermarks.)
 */
export class BoundedGenerator implements WatermarkGenerator {
  readonly #byMs: number;
  #maxTimestamp: number;

  constructor(byMs: number, maxTimestamp: number) {
    this.#byMs = byMs;
    this.#maxTimestamp = maxTimestamp;
  }

  onRecord(_value: unknown, timestamp: number): undefined {
    if (timestamp > this.#maxTimestamp) this.#maxTimestamp = timestamp;
  }

  onInterval(): number {
    return this.#maxTimestamp - this.#byMs - 1;
  }

  snapshot(): number {
    return this.#maxTimestamp;
  }
}
