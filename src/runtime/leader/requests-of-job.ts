/**
 * Requests about one job, handed to its runtime.
 *
 * Owns: which of them have to be new and about the job's present life (P75), and whom each goes to. Does not own:
 * whether the job is led here (coordinator.ts), what a request comes to (job-runtime.ts).
 */

import type { JobRecord } from "../../../machines/protocol.ts";
import { isTombstone } from "../../../machines/record.ts";
import { withoutKeys } from "../../control/hot-keys.ts";
import type { JobReport, LeaderAnswer, LeaderRequest } from "../../control/messages.ts";
import type { JobRuntime } from "./job-runtime.ts";
import { ofAnotherLife } from "./submissions/refusals.ts";
import { lifeOf, type RequestNonces } from "./submissions/request-nonces.ts";

export type Submit = Extract<LeaderRequest, { readonly type: "job.submit" }>;
export type Rehearsal = Extract<LeaderRequest, { readonly type: "job.rehearse" }>;
/** A request about a job that there is. */
export type OfJob = Exclude<LeaderRequest, Submit | Rehearsal>;

type Changing = Extract<
  OfJob,
  {
    readonly type: "job.cancel" | "job.suspend" | "job.snapshot" | "job.rescale" | "job.gc" | "job.dispose";
  }
>;

const CHANGING: readonly string[] = [
  "job.cancel",
  "job.suspend",
  "job.snapshot",
  "job.rescale",
  "job.gc",
  "job.dispose",
];
const isChanging = (request: OfJob): request is Changing => CHANGING.includes(request.type);

/**
 * undefined: another coordinator has claimed the job, and this one, which was cut off or paused, does not know it yet.
 * What it turns down the other one may have taken, so it says nothing (P76).
 */
export async function answerOfJob(
  runtime: JobRuntime,
  request: OfJob,
  nonces: RequestNonces,
  stored: () => Promise<JobRecord | undefined>,
): Promise<LeaderAnswer | undefined> {
  const answer = await answerOf(runtime, request, nonces);
  if (answer.answer !== "refused" && answer.answer !== "stale") return answer;
  const record = await stored().catch(() => undefined);
  return record !== undefined && record.token > runtime.token ? undefined : answer;
}

async function answerOf(runtime: JobRuntime, request: OfJob, nonces: RequestNonces): Promise<LeaderAnswer> {
  const { record } = runtime;
  if (isChanging(request)) {
    const stale = nonces.stale(request, request.job, record);
    if (stale !== undefined) return stale;
    const isKnown = request.type === "job.snapshot" && runtime.requests.knows(request.request);
    if (!isKnown && lifeOf(record) !== request.meant?.life) return ofAnotherLife(request.job);
  }
  if (request.type === "job.dispose") return runtime.disposals.request(request.requestId, request.what);
  if (isTombstone(record)) return { answer: "unknown" };
  switch (request.type) {
    case "worker.register":
      return runtime.offering.admission.register(request);
    case "worker.crashed":
      return runtime.workerCrashed(request, request.reason);
    case "job.status":
      return { answer: "status", status: reportFor(runtime.report(), request.keys === true) };
    case "job.state":
      return runtime.offering.look(request.look);
    case "job.cancel":
      return runtime.requests.cancel();
    case "job.suspend":
      return runtime.suspend();
    case "job.snapshot":
      return runtime.requests.take(request);
    case "job.rescale":
      return runtime.rescales.request(request);
    case "job.gc":
      return runtime.collect(request.requestId);
  }
}

const reportFor = (report: JobReport, withKeys: boolean): JobReport =>
  withKeys ? report : withoutKeys(report);
