/** Lines of the log that other connections may bring about without number: some a minute, the rest is counted. */
import type { Clock } from "../clock.ts";
import type { Logger } from "../dataflow/connector.ts";

const INTERVAL_MS = 60_000;
const LINES_MAX = 10;

export class RareLines {
  readonly #logger: Logger;
  readonly #clock: Pick<Clock, "elapsedMs">;
  #sinceMs = Number.NEGATIVE_INFINITY;
  #lines = 0;
  #unsaid = 0;

  constructor(clock: Pick<Clock, "elapsedMs">, logger: Logger) {
    this.#clock = clock;
    this.#logger = logger;
  }

  /** `unsaid` in a line: so many were left out before it. */
  warn(fields: object, text: string): void {
    const nowMs = this.#clock.elapsedMs();
    if (nowMs - this.#sinceMs >= INTERVAL_MS) {
      this.#sinceMs = nowMs;
      this.#lines = 0;
    }
    if (this.#lines >= LINES_MAX) {
      this.#unsaid++;
      return;
    }
    this.#lines++;
    this.#logger.warn(this.#unsaid === 0 ? fields : { ...fields, unsaid: this.#unsaid }, text);
    this.#unsaid = 0;
  }
}
