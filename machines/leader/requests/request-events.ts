/** What a request takes, hears and names: the input, the events and the effects of its machine (request.ts). */
import type { AbortReason, JobStatus, TerminalStatus, TimerEffects, TimerFired } from "../../protocol.ts";
import type { CheckpointingEvent, RefusalReason } from "../checkpoints/checkpointing-events.ts";
import type { JobEvent } from "../job-events.ts";

export interface RequestInput {
  readonly job: string;
  /** The name that its client gave it. */
  readonly request: string;
  readonly kind: "checkpoint" | "savepoint";
  /** Where the savepoint is to be kept; null: the client has not said, and neither has the job. */
  readonly place: string | null;
  /** What follows the savepoint. `drain`: sources end first, and no job goes on from it. */
  readonly followedBy: "go-on" | "stop" | "drain" | "cancel";
}

/** What a job leaves to go on from. */
export interface LeftBehind {
  /** Where its latest savepoint lies. */
  readonly savepoint: string | null;
  /** Whether it retains a checkpoint. */
  readonly retained: boolean;
}

/** How far a job is with its life, as its leader knows it. */
export interface JobFacts extends LeftBehind {
  readonly status: JobStatus;
  /** What it settles to, also before the record says so. */
  readonly settleTo: TerminalStatus | null;
  /** State of the job machine; empty when that has ended. */
  readonly phase: string;
  /** A terminal status is reached, and this leader has nothing more to do for the job. */
  readonly ended: boolean;
}

/** A savepoint that the record names under the request. */
export interface RecordedSavepoint {
  readonly checkpointId: number;
  readonly location: string | null;
  /** The job that took it was not submitted again since. */
  readonly ofThisLife: boolean;
  /** The latest decided checkpoint. */
  readonly completed: number;
}

/** What the leader knows when a client asks. */
export interface AskedFacts extends JobFacts {
  /** The leader has claimed the job, so it can begin something. */
  readonly claimed: boolean;
  /** Why no savepoint can be kept at the place; null: one can. */
  readonly unusable: string | null;
  readonly recorded: RecordedSavepoint | null;
}

/** What a client hears of its request. */
export type RequestAnswer =
  | { readonly state: "pending" }
  | { readonly state: "completed"; readonly checkpointId: number; readonly location: string | null }
  | { readonly state: "failed"; readonly reason: string }
  /** It was not taken. */
  | { readonly state: "refused"; readonly reason: string };

export type RequestEvent =
  /** The client asks for it, or asks again. */
  | { readonly type: "request.asked"; readonly facts: AskedFacts }
  /** Its checkpoint has begun. */
  | { readonly type: "request.begun"; readonly request: string }
  /** Its checkpoint will never begin. */
  | { readonly type: "request.refused"; readonly reason: RefusalReason }
  /** Its checkpoint was given up. */
  | {
      readonly type: "request.aborted";
      readonly request: string;
      readonly reason: AbortReason;
      readonly detail: string;
      /** The latest decided checkpoint. */
      readonly completed: number;
      readonly phase: string;
      readonly settleTo: TerminalStatus | null;
    }
  /** The record names its checkpoint as completed. */
  | {
      readonly type: "checkpoint.decided";
      readonly request: string;
      readonly checkpointId: number;
      readonly location: string | null;
    }
  /** The record names its savepoint, which decides nothing (K5). */
  | {
      readonly type: "savepoint.recorded";
      readonly request: string;
      readonly checkpointId: number;
      readonly location: string | null;
      /** The latest decided checkpoint: a later one than the savepoint, if the job has failed meanwhile. */
      readonly completed: number;
    }
  | { readonly type: "job.failed"; readonly where: string; readonly reason: string }
  | { readonly type: "job.ended"; readonly status: JobStatus }
  | TimerFired;

export interface RequestEffects extends TimerEffects {
  /** For the client that asks at present, if one does. */
  "answer.client": { readonly answer: RequestAnswer };
  "tell.checkpointing": { readonly event: CheckpointingEvent };
  "tell.job": { readonly event: JobEvent };
}
