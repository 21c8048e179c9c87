/** Time that only moves when a test moves it. */
import type { Clock, Timer } from "../../src/clock.ts";

interface Due {
  readonly atMs: number;
  readonly run: () => void;
}

export class ManualClock implements Clock {
  #elapsedMs = 0;
  #startMs: number;
  /** In the order in which they were set, so that timers of one moment fire in that order. */
  readonly #timers = new Set<Due>();

  constructor(startMs = 1_700_000_000_000) {
    this.#startMs = startMs;
  }

  nowMs(): number {
    return this.#startMs + this.#elapsedMs;
  }

  elapsedMs(): number {
    return this.#elapsedMs;
  }

  /** The wall clock is corrected; no time passes. */
  setBack(ms: number): void {
    this.#startMs -= ms;
  }

  after(ms: number, run: () => void): Timer {
    const timer: Due = { atMs: this.#elapsedMs + Math.max(0, ms), run };
    this.#timers.add(timer);
    return { cancel: () => this.#timers.delete(timer) };
  }

  /** Turns pass by themselves. */
  later(run: () => void): void {
    setImmediate(run);
  }

  /** Milliseconds until each timer that is set, soonest first. */
  get pending(): readonly number[] {
    return [...this.#timers].map(({ atMs }) => atMs - this.#elapsedMs).sort((a, b) => a - b);
  }

  /** Fires every timer that falls due on the way, those set on the way included; each at its own time. */
  advance(ms: number): void {
    const untilMs = this.#elapsedMs + ms;
    for (let next = this.#nextUntil(untilMs); next !== undefined; next = this.#nextUntil(untilMs)) {
      this.#timers.delete(next);
      this.#elapsedMs = Math.max(this.#elapsedMs, next.atMs);
      next.run();
    }
    this.#elapsedMs = untilMs;
  }

  /** Like `advance`, in steps, with every promise that can settle settled after each of them. */
  async pass(ms: number, stepMs = 50): Promise<void> {
    this.advance(0);
    await settled();
    for (let leftMs = ms; leftMs > 0; leftMs -= stepMs) {
      this.advance(Math.min(stepMs, leftMs));
      await settled();
    }
  }

  #nextUntil(untilMs: number): Due | undefined {
    let next: Due | undefined;
    for (const timer of this.#timers)
      if (timer.atMs <= untilMs && (next === undefined || timer.atMs < next.atMs)) next = timer;
    return next;
  }
}

/** Resolves when every promise that needs neither time nor the outside world has settled. */
export async function settled(): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve));
}
