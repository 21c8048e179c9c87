/**
 * Records that windows did not take, or not all of theirs: each is counted once, by its cause.
 *
 * Flink counts only records for which there is no late output, and only those that no window took.
 */
import type { Collect } from "../../source.ts";
import type { EventTime } from "../../time/event-time.ts";

/** A record that no window and no join took, as it goes to the late output. */
export interface LateRecord<T = unknown> {
  readonly value: T;
  /** Its event time in ms. */
  readonly timestamp: number;
  /** "late": its windows are over, or its partners have gone; "outside": it lies in no window. */
  readonly cause: "late" | "outside";
  /** The operator that did not take it. */
  readonly operator: string;
  /** The watermark at which it came, in ms; null: there was none yet. */
  readonly watermark: number | null;
}

export class LateRecords {
  /** Records that came when all of their windows were over. */
  late = 0;
  /** Records that lie in no window. */
  outside = 0;
  /** Records that only some of their windows took. */
  partlyLate = 0;
  private readonly operator: string;
  private readonly time: EventTime;
  private readonly output: Collect<unknown> | undefined;

  /** @param output undefined: they are only counted */
  constructor(operator: string, time: EventTime, output: Collect<unknown> | undefined) {
    this.operator = operator;
    this.time = time;
    this.output = output;
  }

  refuse(value: unknown, timestamp: number, cause: LateRecord["cause"]): void {
    this[cause]++;
    const { operator, output } = this;
    if (output === undefined) return;
    const { watermark: reached } = this.time;
    const watermark = Number.isFinite(reached) ? reached : null;
    const late: LateRecord = { value, timestamp, cause, operator, watermark };
    output(late, timestamp);
  }

  figures(): Readonly<Record<string, number>> {
    const { late, outside, partlyLate } = this;
    return { late, outside, partlyLate };
  }
}
