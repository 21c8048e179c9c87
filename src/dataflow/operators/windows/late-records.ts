/**
 * Records that windows did not take, or not all of theirs: each is counted once, by its cause.
 *
 * Owns: the counts, and what goes to the late output. Does not own: how late they are, and examples (Lateness).
 *
 * Flink counts only records for which there is no late output, and only those that no window took.
 */

import { keyGroupOf } from "../../../state/key-groups.ts";
import type { KeyedState } from "../../../state/keyed-state.ts";
import type { Collect } from "../../source.ts";
import type { EventTime } from "../../time/event-time.ts";
import type { OperatorServices } from "../contract.ts";
import type { KeySelector } from "../keyed/key-selector.ts";

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

export interface LateRecordsParts {
  readonly services: Pick<OperatorServices, "id" | "lateness">;
  /** By which a record is late. */
  readonly time: EventTime;
  readonly keyOf: KeySelector;
  readonly state: Pick<KeyedState, "maxParallelism">;
  /** undefined: they are only counted. */
  readonly output: Collect<unknown> | undefined;
}

export class LateRecords {
  /** Records that came when all of their windows were over. */
  late = 0;
  /** Records that lie in no window. */
  outside = 0;
  /** Records that only some of their windows took. */
  partlyLate = 0;
  private readonly parts: LateRecordsParts;
  private readonly keyGroupOf: (value: unknown) => number;

  constructor(parts: LateRecordsParts) {
    this.parts = parts;
    const { keyOf, state } = parts;
    this.keyGroupOf = (value) => keyGroupOf(keyOf(value), state.maxParallelism);
  }

  /** @param end of the first window that the record lies in; of a join, the ms behind the record */
  refuse(value: unknown, timestamp: number, cause: LateRecord["cause"], end: number): void {
    this[cause]++;
    const { services, time, output } = this.parts;
    const { watermark: reached } = time;
    if (cause === "late")
      services.lateness.refuse(value, timestamp, reached, neededFor(end, reached), this.keyGroupOf);
    if (output === undefined) return;
    const watermark = Number.isFinite(reached) ? reached : null;
    const late: LateRecord = { value, timestamp, cause, operator: services.id, watermark };
    output(late, timestamp);
  }

  /**
   * A record was taken that has come behind the end of a window of its own.
   *
   * @param end of the first such window
   * @param isPartlyLate some of its windows were over
   */
  behind(end: number, isPartlyLate: boolean): void {
    if (isPartlyLate) this.partlyLate++;
    const { services, time } = this.parts;
    services.lateness.count(neededFor(end, time.watermark), !isPartlyLate);
  }

  figures(): Readonly<Record<string, number>> {
    const { late, outside, partlyLate } = this;
    return { late, outside, partlyLate };
  }
}

/** The allowed lateness in ms at which a window with this end still stands at the watermark. */
const neededFor = (end: number, watermark: number): number => watermark - end + 2;
