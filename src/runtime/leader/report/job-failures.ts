/**
 * What the leader tells of a job's failures: how often it was started again, and which of them it has recovered from.
 *
 * Owns: the count of restarts, and when the job ran again. Does not own: the failures themselves (the record names
 * them), whether a restart is granted (machines/leader/restart.ts).
 */
import type { JobRecord } from "../../../../machines/protocol.ts";
import type { JobReport } from "../../../control/messages.ts";

export class JobFailures {
  /** Whether the job has failed since the last deployment. */
  #failed = false;
  #restarts = 0;
  #recoveredAtMs: number | undefined;

  failed(): void {
    this.#failed = true;
  }

  /** @param settle only to commit what was decided: no restart */
  deployed(settle: boolean): void {
    if (this.#failed && !settle) this.#restarts++;
    this.#failed = false;
  }

  /** Every part of the job runs. */
  recovered(atMs: number): void {
    this.#recoveredAtMs = atMs;
  }

  get restarts(): number {
    return this.#restarts;
  }

  report({ failures, status }: JobRecord): JobReport["failures"] {
    const mended = status === "finished" || status === "stopped";
    const recoveredAtMs = this.#recoveredAtMs ?? Number.NEGATIVE_INFINITY;
    return failures.map(({ atMs, where, reason }) => ({
      atMs,
      where,
      reason,
      recovered: mended || atMs <= recoveredAtMs,
    }));
  }
}
