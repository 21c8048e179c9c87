/** Ranges that a reader passes over, in the log of its process: at most one line in a while. */
import type { Logger } from "../../../dataflow/connector.ts";
import type { Skipped } from "../../../dataflow/source.ts";
import type { SequenceRange } from "./stream-position.ts";

const EVERY_MS = 10_000;

export class SkippedLog {
  readonly #of: { readonly logger: Logger; readonly stream: string; readonly operator: string };
  #loggedMs = Number.NEGATIVE_INFINITY;

  constructor(of: { readonly logger: Logger; readonly stream: string; readonly operator: string }) {
    this.#of = of;
  }

  /** @param why it is passed over, as the rest of a sentence; `skipped`: all of them */
  skipped({ from, to }: SequenceRange, why: string, { ranges, sequences }: Skipped): void {
    const nowMs = performance.now();
    if (nowMs - this.#loggedMs < EVERY_MS) return;
    this.#loggedMs = nowMs;
    const { logger, stream, operator } = this.#of;
    logger.warn(
      { stream, operator, from, to, rangesSkipped: ranges, sequencesSkipped: sequences },
      `stream "${stream}" no longer has the sequences ${from} to ${to}, ${why}`,
    );
  }
}
