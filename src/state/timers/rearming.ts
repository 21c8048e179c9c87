/**
 * The limit of timers that are registered by timers without an end (TS5 of timer-set.ts): shared by the sets of one
 * operator, because timers of one may register those of the other.
 */
import type { Key } from "../descriptor.ts";

const REARMED_MAX = 1000;

export class Rearming {
  /** How many timers each key has registered in this pass that bring it no further. */
  private readonly rearmed = new Map<Key, number>();
  /** The time of the timer that is firing; undefined: none is. */
  private firing: number | undefined;
  private isAtEnd = false;

  /** @param time of the pass; Infinity: the end of input, of which all passes count as one */
  begin(time: number): void {
    if (!this.isAtEnd) this.rearmed.clear();
    this.isAtEnd = time === Number.POSITIVE_INFINITY;
  }

  /** @param time of the timer; undefined: its function has returned */
  fires(time: number | undefined): void {
    this.firing = time;
  }

  /** @throws Error for one timer too many */
  registered(key: Key, time: number): void {
    if (this.firing === undefined || !(this.isAtEnd || time <= this.firing)) return;
    const count = (this.rearmed.get(key) ?? 0) + 1;
    this.rearmed.set(key, count);
    if (count <= REARMED_MAX) return;
    throw new Error(
      this.isAtEnd
        ? `a timer was registered by timers that fired at the end of input, for the ${count}th time for one key: the ` +
            "job would never end. At the end all timers fire, whatever their time: register none there without a condition"
        : `a timer registered one for its own time or an earlier one, for the ${count}th time for one key in a row: such ` +
            "a timer is due at once, so no record would ever be taken again. Register it for a later time",
    );
  }
}
