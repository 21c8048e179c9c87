/**
 * The word to the user of timestamps that are seconds or microseconds: windows are then a thousand times as long or as
 * short as they should be, and nothing fails.
 *
 * Owns: what is taken for another unit, the trouble. Does not own: when it is asked (source.ts).
 */
import type { TroubleWatch, TroubleWatcher } from "../../../../dataflow/trouble.ts";

/** What is no further from the present is a plausible time of a record. Watermarks may lie a good while behind. */
const PLAUSIBLE_MS = 30 * 365.25 * 86_400_000;

const UNITS = [
  {
    msOf: (time: number) => time * 1000,
    problem:
      "they come to January 1970, and as seconds they would come to the present: give milliseconds, seconds * 1000",
  },
  {
    msOf: (time: number) => time / 1000,
    problem:
      "they come to the far future, and as microseconds they would come to the present: give whole milliseconds, " +
      "Math.floor(microseconds / 1000)",
  },
];

export class TimestampsUnit {
  readonly #watch: TroubleWatch;

  constructor(operator: string, troubles: TroubleWatcher) {
    this.#watch = troubles.watch(`reading the timestamps of source "${operator}" as milliseconds`);
  }

  /** @param watermarks of the splits. @param nowMs of the wall clock */
  look(watermarks: readonly number[], nowMs: number): void {
    const isNow = (time: number) => Math.abs(time - nowMs) < PLAUSIBLE_MS;
    for (const time of watermarks) {
      if (isNow(time)) continue;
      const unit = UNITS.find(({ msOf }) => isNow(msOf(time)));
      if (unit === undefined) continue;
      this.#watch.failed(new Error(unit.problem));
      return;
    }
    this.#watch.passed();
  }

  close(): void {
    this.#watch.forget();
  }
}
