/**
 * How long `tidemark run` and `tidemark cancel` wait for the end that their user has asked for (P49).
 *
 * Owns: when waiting is over, and what is said then. Does not own: the job's own end; a suspension that cannot take its
 * checkpoint is ended by the leader. What ends here is the process: a decided transaction stays decided, the record
 * stays as it is, and the next start goes on there.
 */
import { phaseInWords } from "../../../machines/words.ts";
import type { JobReport } from "../../control/messages.ts";
import type { Trouble } from "../../dataflow/trouble.ts";
import { pendingInWords } from "../run/waiting.ts";

/** The bound since the job began to settle: its transactions are decided, and are being committed. */
const SETTLING_BOUND_MS = 10_000;
/** The bound since the request, or since the leader was last seen waiting for the checkpoint of the suspension. */
const ENDING_BOUND_MS = 20_000;

export class EndingPatience {
  #sinceMs: number;
  #settling = false;

  /** @param nowMs of a monotonic clock, as everywhere here */
  constructor(nowMs: number) {
    this.#sinceMs = nowMs;
  }

  /** Called at each report of the leader. */
  heard({ status, phase }: Pick<JobReport, "status" | "phase">, nowMs: number): void {
    if (status === "settling" && !this.#settling) {
      this.#settling = true;
      this.#sinceMs = nowMs;
    }
    // The leader has a bound of its own for that.
    if (phase === "running.suspending") this.#sinceMs = nowMs;
  }

  /** How long was waited, when that is long enough; else undefined. */
  spentMs(nowMs: number): number | undefined {
    const spentMs = nowMs - this.#sinceMs;
    return spentMs >= (this.#settling ? SETTLING_BOUND_MS : ENDING_BOUND_MS) ? spentMs : undefined;
  }
}

/**
 * What a job that has not ended still waits for, and what comes of it.
 * @param next what its user can do
 */
export function unendedText(
  job: string,
  latest: Pick<JobReport, "status" | "phase" | "waitingFor" | "checkpoints"> | undefined,
  troubles: readonly Trouble[],
  spentMs: number,
  next = AGAIN,
): string {
  const seconds = Math.round(spentMs / 1000);
  const reasons = [...new Map(troubles.map(({ what, reason }) => [what, `${what} (${reason})`])).values()];
  if (latest?.waitingFor) reasons.push(latest.waitingFor);
  if (latest !== undefined) reasons.push(...pendingInWords(latest));
  const waits = reasons.length === 0 ? "" : `; it waits for: ${reasons.join("; ")}`;
  if (latest === undefined)
    return `job ${job} has not ended, and its coordinator has said nothing for ${seconds} s${waits}. ${next}`;
  if (latest.status === "settling")
    return `job ${job} is settling: output that is decided has not been committed within ${seconds} s${waits}. It stays decided. ${next}`;
  return `job ${job} has not ended within ${seconds} s: it is ${phaseInWords(latest.phase)}${waits}. It is as if it had crashed: nothing is lost. ${next}`;
}

const AGAIN = "Run it again, and it goes on there";
