/**
 * The wait of a client for a leader that does not answer. NATS says that none listens only where no other connection
 * listens to the subject; else the leases tell whether a coordinator leads at all.
 *
 * Owns: when that is looked at, and that its user hears of it within some seconds. Does not own: the questions to the
 * leader, and how long they go on (client.ts).
 */
import type { Clock, Timer } from "../clock.ts";

/** Without an answer for so long; looking takes as long as a lease lasts. */
const LOOK_AFTER_MS = 1000;

export interface LeaderSearchOptions {
  readonly clock: Pick<Clock, "after">;
  readonly isLed: ((job: string) => Promise<boolean>) | undefined;
  readonly onUnled: ((waiting: string) => void) | undefined;
  readonly job: string;
  readonly timeoutMs: number;
}

export class LeaderSearch {
  readonly #options: LeaderSearchOptions;
  readonly #timer: Timer;
  #isUnled = false;
  #isOver = false;

  constructor(options: LeaderSearchOptions) {
    this.#options = options;
    this.#timer = options.clock.after(LOOK_AFTER_MS, () => void this.#look());
  }

  /** No coordinator led when that was looked at. */
  get isUnled(): boolean {
    return this.#isUnled;
  }

  end(): void {
    this.#isOver = true;
    this.#timer.cancel();
  }

  async #look(): Promise<void> {
    const { isLed, onUnled, job, timeoutMs } = this.#options;
    // What cannot be read does not say that none leads.
    const led = isLed === undefined || (await isLed(job).catch(() => true));
    if (led || this.#isOver) return;
    this.#isUnled = true;
    onUnled?.(
      `no coordinator leads, so nothing answers: one is waited for until ${timeoutMs / 1000} s are over ` +
        '(--connect-timeout); start one with "tidemark coordinator"',
    );
  }
}
