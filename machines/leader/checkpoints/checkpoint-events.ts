/**
 * What one checkpoint takes, hears and names: the input, the events, the effects and their answers of its machine
 * (checkpoint.ts).
 */
import type {
  AbortReason,
  CheckpointRequest,
  DeclineReason,
  SubtaskName,
  TimerEffects,
  TimerFired,
} from "../../protocol.ts";
import type { JobEvent } from "../job-events.ts";
import type { CheckpointingEvent } from "./checkpointing-events.ts";

export interface CheckpointInput {
  readonly checkpointId: number;
  /** The highest one of the job. */
  readonly generation: number;
  /** The generations of all regions. */
  readonly generations: readonly number[];
  readonly request: CheckpointRequest;
  readonly timeoutMs: number;
  readonly subtasks: readonly SubtaskName[];
}

export type CheckpointEvent =
  | {
      readonly type: "subtask.acknowledged";
      readonly generation: number;
      readonly checkpointId: number;
      readonly subtask: SubtaskName;
      readonly finished: boolean;
    }
  | {
      readonly type: "subtask.declined";
      readonly generation: number;
      readonly checkpointId: number;
      readonly subtask: SubtaskName;
      readonly reason: DeclineReason;
    }
  | { readonly type: "savepoint.stored" }
  | { readonly type: "savepoint.refused"; readonly reason: string }
  | { readonly type: "manifest.stored" }
  | { readonly type: "manifest.refused"; readonly reason: string }
  | { readonly type: "record.stored" }
  /** `completed`: the latest decided checkpoint. */
  | { readonly type: "record.refused"; readonly facts: { readonly completed: number } }
  | { readonly type: "record.lost" }
  | {
      readonly type: "subtask.committed";
      readonly generation: number;
      readonly subtask: SubtaskName;
      readonly upTo: number;
    }
  | { readonly type: "checkpoint.canceled" }
  /** A newer one is decided. */
  | { readonly type: "checkpoint.subsumed"; readonly checkpointId: number }
  | TimerFired;

export interface CheckpointEffects extends TimerEffects {
  "send.trigger": { readonly generation: number; readonly checkpointId: number };
  /**
   * What the acknowledgements name and the savepoint does not hold yet is copied into it, then its manifest is written.
   */
  "store.savepoint": { readonly checkpointId: number };
  /** The record remembers that there is one. */
  "store.savepointEntry": { readonly checkpointId: number };
  /** Written from the acknowledgements. */
  "store.manifest": { readonly checkpointId: number };
  /**
   * The decision, repeated however often (P8). Refused when the record has left this generation.
   */
  "store.decision": { readonly checkpointId: number; readonly allFinished: boolean };
  "send.completed": { readonly generation: number; readonly checkpointId: number };
  "send.aborted": {
    readonly generation: number;
    readonly checkpointId: number;
    readonly reason: AbortReason;
  };
  /** Its objects may go once a later write of the record has succeeded (P16). */
  "release.snapshots": { readonly checkpointId: number };
  "tell.checkpointing": { readonly event: CheckpointingEvent };
  "tell.job": { readonly event: JobEvent };
}

export interface CheckpointAnswers {
  readonly "store.savepoint": "savepoint.stored" | "savepoint.refused";
  readonly "store.savepointEntry": "record.stored" | "record.lost";
  readonly "store.manifest": "manifest.stored" | "manifest.refused";
  readonly "store.decision": "record.stored" | "record.refused" | "record.lost";
}
