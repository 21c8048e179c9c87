/**
 * How far event time had come for the key groups of one operator, where they come from subtasks of which some were
 * ahead of others (P93).
 *
 * Owns: the time of each key group until the operator has come as far. Does not own: the operator's own time
 * (event-time.ts), the bytes (formats/positions/event-time.ts).
 *
 * - GT1 A record is late by the time of its key group, so a restore under another parallelism does not change what is
 *   late.
 * - GT2 The operator's own time is the least of them. What is due behind it was done for the key groups that are ahead,
 *   and has left no rows, or rows that tell so (aligned/fired-marks.ts).
 */
import type { KeyGroupRange } from "../../../machines/protocol.ts";
import { keyGroupOf } from "../../state/key-groups.ts";
import type { KeySelector } from "../operators/keyed/key-selector.ts";
import type { Collect } from "../source.ts";
import type { EventTime } from "./event-time.ts";

export interface GroupTime {
  readonly keyGroups: KeyGroupRange;
  readonly watermark: number;
  /** What was due at the watermark had not all been done. */
  readonly isWorkingOff: boolean;
}

export class GroupTimes {
  readonly greatest: number;
  readonly #first: number;
  readonly #watermarks: Float64Array;
  readonly #workingOff: Uint8Array;

  /** Key groups that no entry tells of have not begun. */
  private constructor({ first, last }: KeyGroupRange, times: readonly GroupTime[]) {
    this.#first = first;
    this.#watermarks = new Float64Array(last - first + 1).fill(Number.NEGATIVE_INFINITY);
    this.#workingOff = new Uint8Array(last - first + 1);
    for (const { keyGroups, watermark, isWorkingOff } of times) {
      const [from, end] = [
        Math.max(first, keyGroups.first) - first,
        Math.min(last, keyGroups.last) + 1 - first,
      ];
      if (from >= end) continue;
      this.#watermarks.fill(watermark, from, end);
      this.#workingOff.fill(isWorkingOff ? 1 : 0, from, end);
    }
    this.greatest = this.#watermarks.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  }

  /** Sets an operator's time to what its key groups had come to. */
  static restore(time: EventTime, keyGroups: KeyGroupRange, times: readonly GroupTime[]): void {
    const groups = new GroupTimes(keyGroups, times);
    const watermark = groups.#watermarks.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
    const working = groups.#workingOff.filter((_, i) => groups.#watermarks[i] === watermark);
    time.watermark = watermark;
    time.isWorkingOff = working.includes(1);
    time.ahead = groups.greatest > watermark || new Set(working).size > 1 ? groups : undefined;
  }

  watermarkOf(keyGroup: number): number {
    return this.#watermarks[keyGroup - this.#first]!;
  }

  /** The times of all key groups, as a cut holds them, while the operator's own time is `now`. */
  entries(now: Pick<EventTime, "watermark" | "isWorkingOff">): GroupTime[] {
    const found: { keyGroups: { first: number; last: number }; watermark: number; isWorkingOff: boolean }[] =
      [];
    for (const [i, ahead] of this.#watermarks.entries()) {
      const watermark = Math.max(ahead, now.watermark);
      const isWorkingOff = ahead > now.watermark ? this.#workingOff[i] === 1 : now.isWorkingOff;
      const keyGroup = this.#first + i;
      const last = found.at(-1);
      if (last !== undefined && last.watermark === watermark && last.isWorkingOff === isWorkingOff)
        last.keyGroups.last = keyGroup;
      else found.push({ keyGroups: { first: keyGroup, last: keyGroup }, watermark, isWorkingOff });
    }
    return found;
  }
}

/** The input of an operator of which some key groups may be ahead: each record meets the time of its own (GT1). */
export function atTimeOfGroup(
  head: Collect<unknown>,
  time: EventTime,
  keyOf: KeySelector,
  maxParallelism: number,
): Collect<unknown> {
  return (value, timestamp) => {
    const { ahead, watermark } = time;
    const own = ahead === undefined ? watermark : ahead.watermarkOf(groupOf(value, keyOf, maxParallelism));
    if (!(own > watermark)) {
      head(value, timestamp);
      return;
    }
    time.watermark = own;
    try {
      head(value, timestamp);
    } finally {
      time.watermark = watermark;
    }
  };
}

/** The operator asks for the key, too, and tells what is wrong with it. */
function groupOf(value: unknown, keyOf: KeySelector, maxParallelism: number): number {
  try {
    return keyGroupOf(keyOf(value), maxParallelism);
  } catch {
    return Number.NaN;
  }
}
