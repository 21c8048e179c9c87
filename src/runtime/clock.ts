/** Time, injected: production uses the process's own, tests move it by hand. */
import { startTimer } from "../timer.ts";

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Wall clock in ms, for records that people read. */
  nowMs(): number;
  /** Monotonic, for durations. */
  elapsedMs(): number;
  /** Calls `run` once, `ms` from now, however long that is. */
  after(ms: number, run: () => void): Timer;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  elapsedMs: () => performance.now(),
  after: (ms, run) => ({ cancel: startTimer(ms, run) }),
};
