/**
 * What checkpointing takes, hears and names: the input, the events, the effects and their answers of its machine
 * (checkpointing.ts).
 */
import type { AbortReason, CheckpointRequest, TimerEffects, TimerFired } from "../../protocol.ts";
import type { JobEvent } from "../job-events.ts";
import type { RequestEvent } from "../requests/request-events.ts";
import type { CheckpointEvent } from "./checkpoint-events.ts";
import type { Hold } from "./checkpoint-turn.ts";

export interface CheckpointingInput {
  /** null: no periodic checkpoints. Not less than `minPauseMs`. */
  readonly intervalMs: number | null;
  readonly minPauseMs: number;
  readonly maxConcurrent: number;
  /** Failures in a row that do not fail the job; null: any number. */
  readonly tolerableFailures: number | null;
  /** Savepoints do not wait for a free place: no barrier overtakes, and no loop's records are kept. */
  readonly forcesSavepoints: boolean;
  /** So many savepoints are pending at most. Flink begins any number of them at once. */
  readonly savepointsMax: number;
  /** Checkpoints go on when some subtasks have ended. */
  readonly afterTasksFinish: boolean;
  /** How long a request waits for the job to run. */
  readonly readyTimeoutMs: number;
  /** Pause before a checkpoint of the job's end is tried again. */
  readonly retryMs: number;
  /** Requests that may wait. Flink's is 1000. */
  readonly queueMax: number;
  /** Ids up to here may have been used. */
  readonly reservedCheckpointId: number;
  /** How many ids one reservation adds. */
  readonly block: number;
  /** Uniform in [0, 1): when the first checkpoint comes. */
  readonly chance: number;
}

export type CheckpointingEvent =
  | { readonly type: "generation.running" }
  | { readonly type: "generation.stopped" }
  /** Its sources end as if their input did. Until it is "running" again it takes no checkpoint. */
  | { readonly type: "generation.draining" }
  | { readonly type: "checkpoint.requested"; readonly request: CheckpointRequest }
  /** `allFinished`: decided, and every subtask had finished before it, so it is the last one of the job. */
  | { readonly type: "checkpoint.completed"; readonly checkpointId: number; readonly allFinished: boolean }
  | { readonly type: "checkpoint.aborted"; readonly checkpointId: number; readonly reason: AbortReason }
  /** One more subtask has processed all of its input. */
  | { readonly type: "subtask.ended"; readonly all: boolean }
  /** So many subsumed checkpoints are still being deleted. */
  | { readonly type: "cleanup.changed"; readonly checkpoints: number }
  | { readonly type: "record.stored" }
  | { readonly type: "record.lost" }
  | TimerFired;

export interface CheckpointingEffects extends TimerEffects {
  "store.reservation": { readonly reservedCheckpointId: number };
  /** A new checkpoint actor comes to life. */
  "start.checkpoint": { readonly checkpointId: number; readonly request: CheckpointRequest };
  /** They will never be started: tells the requests of these names. */
  "tell.requests": { readonly requests: readonly string[]; readonly event: RequestEvent };
  /** Why none begins at present, for a user who asks; null: nothing is in the way. */
  "report.hold": { readonly hold: Hold | null };
  /** Tells every checkpoint of the generation that is still alive. */
  "tell.checkpoints": { readonly event: CheckpointEvent };
  "tell.job": { readonly event: JobEvent };
}

export interface CheckpointingAnswers {
  readonly "store.reservation": "record.stored" | "record.lost";
}

/**
 * Flink's pre-flight reasons NOT_ALL_REQUIRED_TASKS_RUNNING, twice, and TOO_MANY_CHECKPOINT_REQUESTS; and that the
 * job is drained (G11).
 */
export type RefusalReason =
  | "not-all-subtasks-running"
  | "some-subtasks-ended"
  | "too-many-requests"
  | "job-draining";
