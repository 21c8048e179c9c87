/**
 * Time and turns, injected: a process hands its own to everything that it is made of, a test or a simulation moves them
 * by hand.
 *
 * Owns: the contract, and the clock of a real process. Does not own: the platform's limit on timers (timer.ts).
 *
 * The rooms `runtime`, `control` and `dataflow` know no other time and no other chance than what they are given (P60),
 * and test/layout.test.ts holds that.
 */
import { pause, startTimer } from "./timer.ts";

export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Wall clock in ms, for records that people read. */
  nowMs(): number;
  /** Monotonic, for durations. */
  elapsedMs(): number;
  /**
   * Calls `run` once, `ms` from now, however long that is.
   * @param keepsAlive whether the process stays alive for it. Default true.
   */
  after(ms: number, run: () => void, keepsAlive?: boolean): Timer;
  /** Calls `run` once in a turn of its own, after what is due by then: messages, timers, other turns. */
  later(run: () => void): void;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  elapsedMs: () => performance.now(),
  after: (ms, run, keepsAlive) => ({ cancel: startTimer(ms, run, keepsAlive) }),
  later: (run) => void setImmediate(run),
};

/** Resolves after `ms`, or as soon as `signal` aborts. */
export function pauseOn(clock: Pick<Clock, "after">, ms: number, signal: AbortSignal): Promise<void> {
  return pause(ms, signal, (waitMs, run) => {
    const timer = clock.after(waitMs, run);
    return () => timer.cancel();
  });
}

/** Resolves in a turn of its own: others have theirs meanwhile. */
export function nextTurn(clock: Pick<Clock, "later">): Promise<void> {
  return new Promise((resolve) => clock.later(resolve));
}

/** Aborts after `ms`, and does not keep the process alive meanwhile. The reason is a TimeoutError. */
export function timeoutSignal(clock: Pick<Clock, "after">, ms: number): AbortSignal {
  const controller = new AbortController();
  const abort = () => controller.abort(new DOMException(`${ms} ms have passed`, "TimeoutError"));
  clock.after(ms, abort, false);
  return controller.signal;
}
