/** Time, injected: production uses the process's own, tests move it by hand. */

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Wall clock in ms, for records that people read. */
  nowMs(): number;
  /** Monotonic, for durations. */
  elapsedMs(): number;
  after(ms: number, run: () => void): Timer;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  elapsedMs: () => performance.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return { cancel: () => clearTimeout(timer) };
  },
};
