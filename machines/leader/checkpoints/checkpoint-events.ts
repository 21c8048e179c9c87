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
  /** The highest generation of the job. */
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
  /** A newer checkpoint is decided. */
  | { readonly type: "checkpoint.subsumed"; readonly checkpointId: number }
  | TimerFired;

export interface CheckpointEffects extends TimerEffects {
  "send.trigger": { readonly generation: number; readonly checkpointId: number };
  /**
   * Copies into the savepoint what the acknowledgements name and it does not hold yet, then writes its manifest.
   */
  "store.savepoint": { readonly checkpointId: number };
  /** Enters the savepoint in the record. */
  "store.savepointEntry": { readonly checkpointId: number };
  /** Writes the manifest from the acknowledgements. */
  "store.manifest": { readonly checkpointId: number };
  /**
   * Writes the decision, repeated as often as needed (P8). The record refuses it when it has left this generation.
   */
  "store.decision": { readonly checkpointId: number; readonly allFinished: boolean };
  "send.completed": { readonly generation: number; readonly checkpointId: number };
  "send.aborted": {
    readonly generation: number;
    readonly checkpointId: number;
    readonly reason: AbortReason;
  };
  /** Lets the checkpoint's objects go once a later write of the record has succeeded (P16). */
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
