/**
 * What states, phases and reasons mean, in words for people: the one table of them. Names of states and reasons are for
 * programs (events, JSON) and for these files; a message shows the words.
 */
import type { RefusalReason } from "./leader/checkpoints/checkpointing-events.ts";
import type { AbortReason } from "./protocol.ts";

/** Why a checkpoint or savepoint was given up, or never begun: a sentence about it. */
const reasons: Readonly<Record<AbortReason | RefusalReason, string>> = {
  expired: "it was not complete within its timeout",
  declined: "a subtask could not take part in it",
  "async-exception": "a subtask could not store its state",
  "declined-task-not-ready": "a subtask was not ready for it",
  "declined-task-closing":
    "some subtasks of an operator with union list state have finished, others have not, and each needs the state of all",
  "declined-subsumed": "the barrier of a newer one reached a subtask first",
  "declined-on-cancellation-barrier": "it had been given up before its barriers reached every subtask",
  "io-exception": "the savepoint could not be written",
  "finalize-failure": "what makes it complete could not be written",
  subsumed: "a newer one was complete before it",
  "job-stopped": "the job, or a part of it, stopped or started again meanwhile",
  "not-all-subtasks-running": "the job was not running in time",
  "some-subtasks-ended":
    "some subtasks have finished, others have not, and checkpointing.afterTasksFinish is false",
  "job-draining": "the job is being drained, and only the savepoint that it stops with is taken from now on",
  "too-many-requests": "too many requests wait already",
};

/** @param reason other text stays as it is */
export function reasonInWords(reason: string): string {
  return Object.hasOwn(reasons, reason) ? reasons[reason as AbortReason] : reason;
}

/** What a job does, by the state of its machine (job.ts). */
const jobPhases: Readonly<Record<string, string>> = {
  claiming: "being taken over by its leader",
  claimed: "being taken over by its leader",
  recovering: "reading what it goes on from",
  waiting: "waiting for workers",
  "deploying.raising": "being deployed",
  "deploying.restoring": "restoring its state",
  "deploying.restored": "restoring its state",
  "running.beginning": "processing records",
  "running.processing": "processing records",
  "running.draining": "ending its sources to be drained",
  "running.stopping": "taking the savepoint that it stops with",
  "running.suspending": "taking the checkpoint that it is suspended with",
  "running.finishing": "taking its last checkpoint, all input is processed",
  failing: "dealing with a failure",
  backingOff: "waiting to be started again after a failure",
  "settling.storing": "committing what was decided, then it ends",
  "settling.judging": "committing what was decided, then it ends",
  "settling.committing": "committing what was decided, then it ends",
  resettling: "waiting to commit what was decided, then it ends",
  unsettled: "ending, since what it needs cannot be read or committed",
  ending: "ending",
  ended: "ended",
  deposed: "led by another coordinator",
};

/** @param phase the state of the job machine; that of a job which has ended is its status, and stays as it is */
export function phaseInWords(phase: string): string {
  return jobPhases[phase] ?? phase;
}

/** What a subtask does, by the state of its machine (subtask.ts), that of its input where it runs. */
const subtaskStates: Readonly<Record<string, string>> = {
  restoring: "restoring its state",
  recommitting: "committing what was decided before",
  restored: "restored, waiting for the others",
  deciding: "beginning",
  processing: "processing records",
  finishing: "running its end-of-input hooks",
  ended: "finished, answering barriers",
  failed: "failed",
  closed: "closed",
};

/** @param state as a host tells it: `restoring`, `running.input.processing+snapshot.idle+commit.idle` */
export function subtaskStateInWords(state: string): string {
  const word = /^running\.(?:.*\+)?input\.(\w+)/.exec(state)?.[1] ?? state.split(".")[0] ?? "";
  return subtaskStates[word] ?? state;
}

/** How far a subtask is with a checkpoint that has not been acknowledged everywhere. */
export const progressInWords = {
  "waiting-for-barrier": "waiting for its first barrier",
  aligning: "waiting for the barriers of its other channels",
  uploading: "storing its state",
  acknowledged: "done, its acknowledgement is on its way",
} as const;
