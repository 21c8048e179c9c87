/** Why a leader refuses what a client asks for, and what a client hears that waited in vain, by the job's state. */
import type { AbortReason, JobRecord, JobStatus } from "../../protocol.ts";
import { phaseInWords, reasonInWords } from "../../words.ts";
import type { AskedFacts, JobFacts, LeftBehind, RequestInput } from "./request-events.ts";

/** What only a job gives that has not ended. */
export type Wanted = "cancel" | "suspend" | "rescale" | "take a savepoint of" | "take a checkpoint of";

/** What a job that has ended leaves to go on from. */
export function leftBy({ savepoints, disposed, checkpoints }: JobRecord): LeftBehind {
  const retained = disposed === undefined && checkpoints.length > 0;
  return { savepoint: savepoints.at(-1)?.location ?? null, retained };
}

/** Why that cannot be asked of the job, and with which command its user goes on. */
export function nothingToAsk(
  job: string,
  facts: LeftBehind & Pick<JobFacts, "status" | "settleTo">,
  wanted: Wanted,
): string {
  return `job ${job} is ${facts.status}: there is nothing to ${wanted}${nextStep(job, facts, wanted)}`;
}

function nextStep(
  job: string,
  { status, settleTo, savepoint, retained }: LeftBehind & Pick<JobFacts, "status" | "settleTo">,
  wanted: Wanted,
): string {
  if (wanted === "suspend") return "";
  if (wanted === "cancel") {
    const kept = status === "suspended" || status === "failed";
    return kept ? `; "tidemark dispose job:${job}" deletes what it keeps` : "";
  }
  if (status === "settling")
    return `; it will be ${settleTo}, and "tidemark status ${job}" shows what that waits for`;
  if (status === "stopped" && savepoint !== null) return `; its savepoint is ${savepoint}`;
  return retained
    ? `; its last checkpoint stays, and another job goes on from it with "tidemark restore FILE --from checkpoint:${job}"`
    : "";
}

/** Why a request cannot be taken; undefined: it can. */
export function requestRefusal(
  { job, kind, place, followedBy }: Omit<RequestInput, "request">,
  facts: AskedFacts,
): string | undefined {
  const { status, phase, ended, unusable } = facts;
  if (ended || status === "settling") return nothingToAsk(job, facts, `take a ${kind} of`);
  if (kind === "savepoint" && place === null)
    return (
      `no place is named for the savepoint of job ${job}: give a directory or nats:<bucket> with --to, or ` +
      "set checkpointing.savepointDirectory"
    );
  if (kind === "savepoint" && unusable !== null)
    return `the savepoint of job ${job} cannot be kept there: ${unusable}`;
  if ((followedBy === "stop" || followedBy === "drain") && phase !== "running.processing")
    return phase.startsWith("running.")
      ? `job ${job} is ending already: it is ${phaseInWords(phase)}; "tidemark status ${job}" shows how far it is`
      : `job ${job} does not run at present (it is ${phaseInWords(phase)}), so it cannot stop with a savepoint: try again when it does, or end it with "tidemark cancel ${job}"`;
  return undefined;
}

/** Why the job cannot be canceled; undefined: it can, or it is or was already. */
export function cancelRefusal(job: string, facts: JobFacts): string | undefined {
  const { status, settleTo, ended } = facts;
  if (ended) return status === "canceled" ? undefined : nothingToAsk(job, facts, "cancel");
  if (settleTo === null || settleTo === "canceled") return undefined;
  return `job ${job} is ending already, and will be ${settleTo}: "tidemark status ${job}" shows what that waits for`;
}

/** Why the job cannot be suspended now; undefined: it can, or it is being suspended already. */
export function suspendRefusal(job: string, facts: JobFacts): string | undefined {
  const { status, settleTo, phase, ended } = facts;
  if (status === "suspended" || settleTo === "suspended") return undefined;
  if (ended) return nothingToAsk(job, facts, "suspend");
  const instead = `wait for that, or end it with "tidemark cancel ${job}"`;
  if (phase === "running.draining" || phase === "running.stopping")
    return `job ${job} is stopping with a savepoint already: ${instead}`;
  if (phase === "running.finishing")
    return `job ${job} has processed all of its input and takes its last checkpoint: ${instead}`;
  if (status === "settling" || phase.startsWith("settling."))
    return `job ${job} is ending already: wait for that`;
  return undefined;
}

/** Why a checkpoint was given up that a client waits for: the job may not have waited for it. */
export function whyAborted(
  reason: AbortReason,
  detail: string,
  { phase, settleTo }: Pick<JobFacts, "phase" | "settleTo">,
): string {
  if (reason !== "job-stopped") return detail;
  if (phase === "running.draining") return reasonInWords("job-draining");
  return settleTo === null ? detail : `the job is ${settleTo}, and it was not complete by then`;
}

export const startedSince = (job: string, location: string | null): string =>
  `it is at ${location}, and job ${job} was started again since: that one is left alone`;

/** `completed`: a checkpoint that was decided after the savepoint was cut. */
export const goneOnBehind = (job: string, location: string | null, completed: number): string =>
  `it is at ${location}, but job ${job} has completed checkpoint ${completed} behind it, and goes on: a job that went ` +
  "on from the savepoint would write again what is committed since; ask again";

export const endedOtherwise = (job: string, location: string | null, status: JobStatus): string =>
  `it is at ${location}, but job ${job} is ${status} now, and its last transactions may not be ` +
  "committed; start it again, so that it commits them, before you go on from the savepoint";
