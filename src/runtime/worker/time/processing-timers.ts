/**
 * Processing time in one subtask: one timer of the clock for all timers of its operators, and the turns in which they
 * fire.
 *
 * Owns: when the chain hears of processing time. Does not own: which timers there are (the operators), when there is a
 * turn (subtask/turns.ts).
 *
 * - PT1 The clock's timer goes off when the millisecond of the first timer is over: records of that very millisecond
 *   may still come (Flink: ProcessingTimeServiceUtil).
 * - PT2 Timers fire between two records, neither while event time is worked off nor at the end of input, nor behind it,
 *   also where a subtask is restored that had ended. No record is taken before all that are due have fired; barriers
 *   pass.
 */
import type { Clock, Timer } from "../../../clock.ts";
import type { Chain } from "../../../dataflow/chain.ts";
import type { Slices } from "../../../dataflow/operators/contract.ts";
import { AT_ONCE, type ProcessingTime } from "../../../dataflow/time/processing-time.ts";

/** The clock of a subtask's operators. It is there before the chain. */
export class ProcessingClock implements ProcessingTime {
  readonly #clock: Clock;
  #wake: () => void = () => {};
  #timer: Timer | undefined;
  /** What the clock's timer is set for. */
  #forMs = Number.POSITIVE_INFINITY;
  #isDue = false;
  #closed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  nowMs(): number {
    return this.#clock.nowMs();
  }

  wakeAt(timeMs: number): void {
    if (this.#closed || this.#isDue || timeMs >= this.#forMs) return;
    this.#timer?.cancel();
    if (timeMs === AT_ONCE) {
      this.#due();
      return;
    }
    this.#forMs = timeMs;
    this.#timer = this.#clock.after(Math.max(0, timeMs + 1 - this.#clock.nowMs()), () => this.#due());
  }

  #due(): void {
    this.#forMs = Number.POSITIVE_INFINITY;
    this.#isDue = true;
    this.#wake();
  }

  onDue(wake: () => void): void {
    this.#wake = wake;
  }

  get isDue(): boolean {
    return this.#isDue;
  }

  /** The operators are asked: from here on they say again when they want to be called. */
  taken(): void {
    this.#isDue = false;
  }

  /** No timer goes off any more, also none that is due. */
  close(): void {
    this.#closed = true;
    this.#isDue = false;
    this.#timer?.cancel();
  }
}

export class ProcessingTimers {
  readonly #clock: ProcessingClock;
  readonly #chain: Pick<Chain, "isAdvancing" | "advanceProcessingTime">;
  #slices: Slices | undefined;

  constructor(clock: ProcessingClock, chain: Pick<Chain, "isAdvancing" | "advanceProcessingTime">) {
    this.#clock = clock;
    this.#chain = chain;
  }

  onDue(wake: () => void): void {
    this.#clock.onDue(wake);
  }

  get isDue(): boolean {
    return this.#slices !== undefined || (this.#clock.isDue && !this.#chain.isAdvancing);
  }

  /** Fires some timers in place of records. Called between two of them, while `isDue`. */
  step(): void {
    if (this.#slices === undefined) {
      this.#clock.taken();
      this.#slices = this.#chain.advanceProcessingTime(this.#clock.nowMs() - 1);
    } else if (!this.#slices.step()) this.#slices = undefined;
  }
}
