/**
 * Foreign messages: what came over our subjects and was dropped, because none of our processes can have sent it (P52).
 *
 * Owns: counting them, and telling the log of them. Does not own: what is recognised (wire.ts).
 *
 * - ST1 One line a minute for each subject, with the count; what comes in between is in the next line's count.
 * - ST2 Foreign senders choose the subjects, so the number of subjects that are remembered is bounded; the rest share
 *   one line.
 */
import type { Clock } from "../clock.ts";
import type { Logger } from "../dataflow/connector.ts";

const INTERVAL_MS = 60_000;
const SUBJECTS_MAX = 100;
const OTHERS = "other subjects";

interface Met {
  dropped: number;
  toldMs: number;
}

export class ForeignMessages {
  readonly #logger: Logger | undefined;
  readonly #clock: Pick<Clock, "elapsedMs">;
  readonly #met = new Map<string, Met>();

  constructor(clock: Pick<Clock, "elapsedMs">, logger?: Logger) {
    this.#logger = logger;
    this.#clock = clock;
  }

  /** @param why what it was, which process seems to have sent it and what the user can do about it */
  met(subject: string, why: string): void {
    const known = this.#met.has(subject) || this.#met.size < SUBJECTS_MAX;
    const at = known ? subject : OTHERS;
    const nowMs = this.#clock.elapsedMs();
    const met = this.#met.get(at) ?? { dropped: 0, toldMs: Number.NEGATIVE_INFINITY };
    this.#met.set(at, met);
    met.dropped++;
    if (nowMs - met.toldMs < INTERVAL_MS) return;
    met.toldMs = nowMs;
    this.#logger?.warn(
      { subject, dropped: met.dropped },
      `dropped what came on ${subject} and is none of our messages: ${why}`,
    );
  }
}
