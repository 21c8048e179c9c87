/**
 * How long a test waits for what it expects. The machine may be slow or busy, so a wait is not measured in seconds:
 *
 * - It is given up when nothing that the test looks at has changed for a minute in which the machine had time to spare. On
 *   a machine whose cores are all at work, that minute never passes.
 * - It is given up at last after `WAIT_BOUND_MS`, so that its failure says what it waited for. The bound of vitest on a
 *   whole test (`vitest.config.ts`) lies behind that, and says nothing.
 *
 * `TEST_PATIENCE_S=20 npx vitest run …` gives up sooner: for a test that is known to fail.
 */
import { cpus } from "node:os";

/** As they are, whatever timers a test fakes. */
const elapsedMs = performance.now.bind(performance);

const STILL_MS_MAX = 60_000;
/** The last bound of a wait. */
export const WAIT_BOUND_MS = Number(process.env.TEST_PATIENCE_S ?? 270) * 1000;
/** The last bound of a whole test, and of a hook. */
export const TEST_BOUND_MS = 300_000;
/** Reading how busy the cores are takes a while. */
const LOOK_EVERY_MS = 500;
/** A look that comes later than this, such as the first one of a process that was suspended, counts for no more. */
const LOOK_MS_MAX = 1000;

export class Patience {
  readonly #begunMs = elapsedMs();
  #lookedMs = this.#begunMs;
  #spareMs = spareMs();
  #stillMs = 0;
  #seen: string | undefined;

  /**
   * @param seen what can be seen of the progress: a change of it is one
   * @returns why to wait no longer; undefined: wait
   */
  isOver(seen: string | undefined): string | undefined {
    const nowMs = elapsedMs();
    if (nowMs - this.#begunMs > WAIT_BOUND_MS) return `not within ${WAIT_BOUND_MS / 1000} s`;
    if (seen !== this.#seen) {
      this.#seen = seen;
      this.#stillMs = 0;
    }
    if (nowMs - this.#lookedMs < LOOK_EVERY_MS) return undefined;
    const spare = spareMs();
    this.#stillMs += Math.min(nowMs - this.#lookedMs, spare - this.#spareMs, LOOK_MS_MAX);
    this.#lookedMs = nowMs;
    this.#spareMs = spare;
    if (this.#stillMs < STILL_MS_MAX) return undefined;
    return `nothing has changed for ${STILL_MS_MAX / 1000} s while the machine had time to spare`;
  }
}

/** For requests that take a signal. */
export function patientSignal(): AbortSignal {
  return AbortSignal.timeout(WAIT_BOUND_MS);
}

/** Time in which cores had nothing to do, all of them together. */
function spareMs(): number {
  return cpus().reduce((sum, { times }) => sum + times.idle, 0);
}
