/** What `status` shows of a job, put together from its parts on the leader. */
import type { JobRecord } from "../../../../machines/protocol.ts";
import type { JobReport } from "../../../control/messages.ts";
import type { Troubles } from "../../../observe/troubles.ts";
import type { JobCheckpoints } from "../checkpoints/job-checkpoints.ts";
import type { JobRequests } from "../checkpoints/job-requests.ts";
import type { JobWorkers } from "../generations/job-workers.ts";
import { keepsState } from "../submissions/submission.ts";
import type { JobFailures } from "./job-failures.ts";
import { troublesOfJob } from "./job-troubles.ts";

export interface ReportedParts {
  readonly record: JobRecord;
  readonly leader: string;
  /** State of the job machine. */
  readonly phase: string;
  readonly workers: JobWorkers;
  readonly checkpoints: JobCheckpoints;
  readonly failures: JobFailures;
  readonly requests: JobRequests;
  /** Those of the process and those of the job. */
  readonly troubles: readonly Troubles[];
}

export function jobReport(parts: ReportedParts): JobReport {
  const { record, leader, phase, workers, checkpoints, failures, requests, troubles } = parts;
  const { registry, slots } = workers;
  return {
    job: record.job,
    incarnation: record.incarnation,
    generation: record.generation,
    generations: record.generations,
    status: record.status,
    phase,
    leader,
    ...registry.report(record.generations),
    eventTime: workers.eventTime.report(),
    checkpoints: checkpoints.report(),
    restarts: failures.restarts,
    keepsState: keepsState(record),
    failures: failures.report(record),
    waitingFor: phase === "waiting" ? slots.needed : "",
    troubles: troublesOfJob(troubles, registry.list()),
    unansweredRequests: requests.unanswered,
  };
}
