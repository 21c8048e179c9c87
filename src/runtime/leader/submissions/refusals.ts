/** What a coordinator answers for a job that it does not lead, or cannot: in words, with the next step. */
import { leftBy, nothingToAsk, type Wanted } from "../../../../machines/leader/requests/refusals.ts";
import type { JobRecord } from "../../../../machines/protocol.ts";
import { isTerminal } from "../../../../machines/record.ts";
import type { LeaderAnswer, LeaderRequest } from "../../../control/messages.ts";
import { RecordUnreadableError } from "../../../errors.ts";

type Refusal = LeaderAnswer & { readonly answer: "refused" };

const refused = (reason: string): Refusal => ({ answer: "refused", reason });

/** @param place of the process that leads it */
export function ledByRun(job: string, place: string): Refusal {
  return refused(
    `job ${job} is led by the "tidemark run" of ${place} alone: ` +
      `end that one with Ctrl-C or "tidemark cancel ${job}", then submit the job again`,
  );
}

export function runningInRun(job: string, place: string): Refusal {
  return refused(
    `job ${job} is running already, by the "tidemark run" of ${place}: ` +
      `watch it with "tidemark status ${job}", or end that one with Ctrl-C and run the job again`,
  );
}

export function leftBehindByRun(job: string): Refusal {
  return refused(
    `job ${job} was left behind by a "tidemark run" that is gone: go on with "tidemark run FILE" or ` +
      `"tidemark submit FILE" and its job file; with --fresh it starts over. To end it, run it again, then "tidemark cancel ${job}"`,
  );
}

/** The refusal of a run. */
export function ledByCluster({ job, status }: JobRecord, place: string): string {
  return (
    `job ${job} is ${status} already, led by the coordinator of ${place}: watch it with "tidemark status ${job}"; ` +
    `to change it, end it with "tidemark cancel ${job}" or "tidemark stop ${job}" first, or hand it in there with "tidemark submit FILE"`
  );
}

/** A request about a life of the job that is over (P75). */
export function ofAnotherLife(job: string): Refusal {
  return refused(
    `job ${job} was submitted again since this was asked for, so it is left alone: look at it with ` +
      `"tidemark status ${job}", then ask again`,
  );
}

export function beingChanged(job: string): Refusal {
  return refused(`job ${job} is being changed by another client; try again`);
}

/**
 * What a handler answers, also where the record of the job is none (P52). A worker waits until a user has mended that.
 */
export async function answerOf(
  answer: Promise<LeaderAnswer | undefined>,
  { type }: LeaderRequest,
): Promise<LeaderAnswer | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (!(error instanceof RecordUnreadableError)) throw error;
    return type === "worker.register" ? { answer: "unknown", reason: error.message } : refused(error.message);
  }
}

/** What is asked of a job that only a living one can give, and with which command its user goes on. */
export const nothingTo = (record: JobRecord, wanted: Wanted): string =>
  nothingToAsk(record.job, { ...record, ...leftBy(record) }, wanted);

export function hasEnded({ status }: Pick<JobRecord, "status">): boolean {
  return isTerminal(status);
}
