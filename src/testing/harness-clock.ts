/**
 * The clock of a harness: it moves only when the test moves it. What keeps no process alive are bounds on the outside
 * world, which does not wait for this clock: these count real time.
 */
import { type Clock, systemClock, type Timer } from "../clock.ts";

interface Due {
  readonly atMs: number;
  readonly run: () => void;
}

export class HarnessClock implements Clock {
  #nowMs: number;
  /** In the order in which they were set, so that timers of one moment fire in that order. */
  readonly #timers = new Set<Due>();

  constructor(nowMs: number) {
    this.#nowMs = nowMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  elapsedMs(): number {
    return this.#nowMs;
  }

  after(ms: number, run: () => void, keepsAlive = true): Timer {
    if (!keepsAlive) return systemClock.after(ms, run);
    const due = { atMs: this.#nowMs + Math.max(0, ms), run };
    this.#timers.add(due);
    return { cancel: () => this.#timers.delete(due) };
  }

  later(run: () => void): void {
    setImmediate(run);
  }

  /** The time of the timer that is due first; Infinity: none is set. */
  get firstMs(): number {
    let first = Number.POSITIVE_INFINITY;
    for (const { atMs } of this.#timers) first = Math.min(first, atMs);
    return first;
  }

  /** Moves to `timeMs`, in front of which no timer is due, and fires those that are due then. */
  moveTo(timeMs: number): void {
    this.#nowMs = Math.max(this.#nowMs, timeMs);
    for (const due of [...this.#timers]) if (due.atMs <= this.#nowMs && this.#timers.delete(due)) due.run();
  }
}
