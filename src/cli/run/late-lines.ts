/** Late records as `tidemark run` tells of them: when some were not taken, then once a minute, and at the end. */
import type { JobReport } from "../../control/messages.ts";
import { describeLateness, type LatenessSummary, latenessOf } from "../output/lateness.ts";

const SAID_EVERY_MS = 60_000;

export class LateLines {
  readonly #said = new Map<string, { readonly notTaken: number; readonly atMs: number }>();
  /** Those of the last report that had some: a job that has ended reports no subtasks. */
  #latest: readonly LatenessSummary[] = [];

  news({ subtasks }: Pick<JobReport, "subtasks">, nowMs: number): string[] {
    const present = latenessOf(subtasks).filter(({ notTaken }) => notTaken > 0);
    if (present.length > 0) this.#latest = present;
    return this.#say(present, nowMs, SAID_EVERY_MS);
  }

  /** What was not said yet. */
  atEnd(): string[] {
    return this.#say(this.#latest, Number.POSITIVE_INFINITY, 0);
  }

  #say(summaries: readonly LatenessSummary[], nowMs: number, everyMs: number): string[] {
    return summaries.flatMap((summary) => {
      const { operator, notTaken } = summary;
      const said = this.#said.get(operator);
      if (said !== undefined && (said.notTaken === notTaken || nowMs - said.atMs < everyMs)) return [];
      this.#said.set(operator, { notTaken, atMs: nowMs });
      return [`late records: ${describeLateness(summary)}`];
    });
  }
}
