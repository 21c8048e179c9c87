/**
 * How long a test waits for what it expects. The machine may be slow or busy, so nothing is measured in seconds, but in
 * time in which the machine had time to spare. Where all cores are at work, that time stands still.
 *
 * - A wait is given up when nothing that the test looks at has changed for a minute of it.
 * - A wait is given up at last after `WAIT_BOUND_MS` of it, so that its failure says what it waited for.
 * - A test that hangs elsewhere is ended after `TEST_BOUND_MS` of it (`patient-runner.ts`).
 *
 * `TEST_PATIENCE_S=20 npx vitest run …` gives up sooner: for a test that is known to fail.
 */
import { cpus } from "node:os";

/** The real clock, whatever timers a test fakes. */
const elapsedMs = performance.now.bind(performance);

const STILL_MS_MAX = 60_000;
/** The last bound of a wait. For requests and processes that take a plain timeout, too. */
export const WAIT_BOUND_MS = Number(process.env.TEST_PATIENCE_S ?? 270) * 1000;
/** The last bound of a whole test. */
export const TEST_BOUND_MS = 300_000;
/** Reading how busy the cores are takes a while. */
const LOOK_EVERY_MS = 500;
/** A look that comes later than this, such as the first one of a process that was suspended, counts for no more. */
const LOOK_MS_MAX = 2000;

/** The time since it was made, as far as the machine had time to spare. */
export class SpareClock {
  #lookedMs = elapsedMs();
  #idleMs = idleMs();
  #ms = 0;

  look(): number {
    const nowMs = elapsedMs();
    if (nowMs - this.#lookedMs < LOOK_EVERY_MS) return this.#ms;
    const idle = idleMs();
    this.#ms += Math.min(nowMs - this.#lookedMs, idle - this.#idleMs, LOOK_MS_MAX);
    this.#lookedMs = nowMs;
    this.#idleMs = idle;
    return this.#ms;
  }
}

export class Patience {
  readonly #clock = new SpareClock();
  #changedMs = 0;
  #seen: string | undefined;

  /**
   * @param seen what can be seen of the progress: a change of it is one
   * @returns why to wait no longer; undefined: wait
   */
  isOver(seen: string | undefined): string | undefined {
    const nowMs = this.#clock.look();
    if (seen !== this.#seen) {
      this.#seen = seen;
      this.#changedMs = nowMs;
    }
    const spare = "while the machine had time to spare";
    if (nowMs > WAIT_BOUND_MS) return `not within ${WAIT_BOUND_MS / 1000} s ${spare}`;
    if (nowMs - this.#changedMs < STILL_MS_MAX) return undefined;
    return `nothing has changed for ${STILL_MS_MAX / 1000} s ${spare}`;
  }
}

/** The bound of requests that take a signal. */
export function patientSignal(): AbortSignal {
  return AbortSignal.timeout(WAIT_BOUND_MS);
}

/** Time in which cores had nothing to do, all of them together. */
function idleMs(): number {
  return cpus().reduce((sum, { times }) => sum + times.idle, 0);
}
