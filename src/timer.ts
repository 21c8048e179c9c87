/**
 * Timers of any length. The platform's own fire at once when they are asked for more than 2^31-1 ms (24.8 days), and
 * options may say up to 365 d. So whatever waits for a duration that is not a constant of its own file is timed here.
 */

/** The longest that `setTimeout` can wait, in ms. */
const STEP_MS_MAX = 2 ** 31 - 1;

/**
 * Calls `run` once, `ms` from now.
 * @param ms Infinity: never
 * @param keepsAlive whether the process stays alive for it. Default true.
 * @returns cancels it; canceling what has fired does nothing
 */
export function startTimer(ms: number, run: () => void, keepsAlive = true): () => void {
  let timer: NodeJS.Timeout;
  const step = (leftMs: number): void => {
    const stepMs = Math.min(leftMs, STEP_MS_MAX);
    timer = setTimeout(() => (leftMs > stepMs ? step(leftMs - stepMs) : run()), stepMs);
    if (!keepsAlive) timer.unref();
  };
  step(ms);
  return () => clearTimeout(timer);
}

/** Resolves after `ms`, or as soon as `signal` aborts. `start` is another clock's timer. */
export function pause(
  ms: number,
  signal?: AbortSignal,
  start: (ms: number, run: () => void) => () => void = startTimer,
): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      cancel();
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const cancel = start(ms, done);
    signal?.addEventListener("abort", done);
  });
}
