/**
 * Processing time of one operator that goes on from the checkpoint instead of jumping to the present (P96).
 *
 * Owns: how far the operator's clock is behind that of its worker, and when it comes nearer. Does not own: the worker's
 * clock, how far event time has come (the chain tells it), what a checkpoint stores of it.
 *
 * - RK1 A restored clock begins at the time of the cut. It is never slower than the worker's clock and never ahead of
 *   it, so it never goes back.
 * - RK2 It comes nearer with event time: a watermark that is so much later than the one at the cut shows that so much
 *   time had passed when its records were first there.
 * - RK3 Where all input has become idle there is nothing to be read again, and the two clocks are one from then on.
 * - RK4 What is due when the clock has moved is done before the next record.
 */
import type { ProcessingTime } from "./processing-time.ts";
import { AT_ONCE } from "./processing-time.ts";

const NONE = Number.NEGATIVE_INFINITY;
const NEVER = Number.POSITIVE_INFINITY;

export class ReplayClock implements ProcessingTime {
  readonly #worker: ProcessingTime;
  /** 0: the two are one. */
  #behindMs = 0;
  /** The clock stands there until the job is restored. */
  #standsAtMs: number | undefined;
  /** A watermark, and what the clock shows when event time is there. */
  #from = { watermark: NONE, timeMs: 0 };
  /** The earliest time that the operator waits for. */
  #askedMs = NEVER;

  constructor(worker: ProcessingTime) {
    this.#worker = worker;
  }

  nowMs(): number {
    return this.#standsAtMs ?? this.#worker.nowMs() - this.#behindMs;
  }

  wakeAt(timeMs: number): void {
    this.#askedMs = Math.min(this.#askedMs, timeMs);
    if (this.#standsAtMs === undefined) this.#worker.wakeAt(timeMs + this.#behindMs);
  }

  /** The operator is called, and asks again for what it waits for. */
  taken(): void {
    this.#askedMs = NEVER;
  }

  /** What a cut holds. Several say so where key groups come together: the latest counts. */
  restore(timeMs: number, watermark: number): void {
    if (this.#standsAtMs !== undefined && timeMs <= this.#standsAtMs) return;
    this.#standsAtMs = timeMs;
    this.#from = { watermark, timeMs };
  }

  /** The job is restored. */
  goOn(): void {
    if (this.#standsAtMs === undefined) return;
    // The clock of another worker may have been ahead.
    this.#behindMs = Math.max(0, this.#worker.nowMs() - this.#standsAtMs);
    this.#standsAtMs = undefined;
    if (this.#askedMs !== NEVER) this.#worker.wakeAt(this.#askedMs + this.#behindMs);
  }

  /** RK2. Event time has come to `watermark`. */
  followed(watermark: number): void {
    if (this.#behindMs === 0 || !Number.isFinite(watermark)) return;
    // Before the cut, event time had not begun.
    if (this.#from.watermark === NONE) this.#from = { watermark, timeMs: this.nowMs() };
    const shownMs = this.#from.timeMs + watermark - this.#from.watermark;
    this.#comesNearer(Math.max(0, this.#worker.nowMs() - shownMs));
  }

  /** RK3 */
  caughtUp(): void {
    this.#comesNearer(0);
  }

  #comesNearer(behindMs: number): void {
    if (behindMs >= this.#behindMs) return;
    this.#behindMs = behindMs;
    if (this.#askedMs === NEVER) return;
    this.#worker.wakeAt(this.#askedMs < this.nowMs() ? AT_ONCE : this.#askedMs + behindMs);
  }
}
