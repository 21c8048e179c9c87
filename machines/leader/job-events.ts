/** What the job machine takes, hears and names: its input, its events and its effects. */

import type {
  CheckpointReason,
  JobStatus,
  SubtaskName,
  TerminalStatus,
  TimerEffects,
  TimerFired,
} from "../protocol.ts";
import type { CheckpointingEvent } from "./checkpoints/checkpointing-events.ts";
import type { Region } from "./regions.ts";

export interface JobInput {
  readonly regions: readonly Region[];
  /** How long a deployment may take before it counts as failed. */
  readonly deployTimeoutMs: number;
  /** Pause between two deployments whose only purpose is to settle. */
  readonly settleRetryMs: number;
}

/** What the record says after this leader's write. */
export interface RecordFacts {
  /** The highest generation ever raised. */
  readonly generation: number;
  /** The present generation of each region. */
  readonly generations: readonly number[];
  readonly status: JobStatus;
  readonly settleTo: TerminalStatus | null;
  readonly reservedCheckpointId: number;
  /** Id of the latest completed checkpoint, 0 when there is none. */
  readonly completed: number;
  readonly allFinished: boolean;
}

export type JobEvent =
  | { readonly type: "record.stored"; readonly facts: RecordFacts }
  | { readonly type: "record.refused"; readonly facts: RecordFacts }
  | { readonly type: "record.lost" }
  | { readonly type: "recovery.planned" }
  | { readonly type: "recovery.impossible"; readonly reason: string }
  | { readonly type: "slots.available" }
  | { readonly type: "deployment.failed"; readonly generation: number; readonly reason: string }
  | { readonly type: "subtask.restored"; readonly generation: number; readonly subtask: SubtaskName }
  | { readonly type: "subtask.ended"; readonly generation: number; readonly subtask: SubtaskName }
  | {
      readonly type: "subtask.failed";
      readonly generation: number;
      readonly subtask: SubtaskName;
      readonly reason: string;
      readonly retry: "restart" | "never";
    }
  | {
      readonly type: "subtask.committed";
      readonly generation: number;
      readonly subtask: SubtaskName;
      readonly upTo: number;
    }
  | {
      readonly type: "worker.lost";
      /** The generations that had subtasks on the worker. */
      readonly generations: readonly number[];
      readonly worker: string;
      readonly reason: string;
    }
  | {
      readonly type: "checkpoint.completed";
      readonly checkpointId: number;
      readonly reason: CheckpointReason;
      readonly allFinished: boolean;
    }
  | { readonly type: "restart.granted"; readonly delayMs: number }
  | { readonly type: "restart.denied" }
  | { readonly type: "cancel.requested" }
  /**
   * The suspension's checkpoint is given up after `boundMs`: the job ends without it, and goes on from an older one.
   */
  | { readonly type: "suspend.requested"; readonly boundMs: number }
  | {
      readonly type: "stop.requested";
      readonly request: string;
      readonly savepoint: string;
      /** true: sources end first, as if their input did; no job can go on from the savepoint. */
      readonly drain: boolean;
    }
  /** The savepoint that the job was to stop with was given up. */
  | { readonly type: "stop.failed"; readonly request: string; readonly reason: string }
  /** The requests of these names will never be served; one of them may be the stop. */
  | { readonly type: "requests.refused"; readonly requests: readonly string[]; readonly reason: string }
  /** More checkpoints in a row have failed than are tolerated. */
  | { readonly type: "checkpoints.failed"; readonly checkpointId: number; readonly reason: string }
  | TimerFired;

export interface JobEffects extends TimerEffects {
  "store.claim": { readonly subtasks: number };
  /** Starts the actors of checkpointing and restart. */
  "start.policies": { readonly reservedCheckpointId: number };
  /** Reads what the record names and derives what to restore. */
  "plan.recovery": { readonly completed: number };
  /** Waits until the workers offer enough slots. */
  "await.slots": { readonly settle: boolean };
  /**
   * Raises a generation for each of these regions, from this one upwards. The record refuses it (`record.refused`) when
   * another checkpoint was decided after recovery was planned.
   */
  "store.generation": {
    readonly generation: number;
    readonly regions: readonly number[];
    readonly completed: number;
  };
  "send.deployment": {
    readonly generations: readonly number[];
    readonly completed: number;
    readonly settle: boolean;
  };
  /** Starts the sources. Generations that run already have nothing to do. */
  "send.start": { readonly generations: readonly number[] };
  /** Ends the sources as if their input had ended. */
  "send.drain": { readonly generations: readonly number[] };
  /**
   * Ends the subtasks of these generations and of all older ones of their regions. The job does not wait for it (P29).
   */
  "send.teardown": { readonly generations: readonly number[] };
  "store.settling": { readonly settleTo: TerminalStatus; readonly reason: string };
  /** `keepsAll`: the job can be resumed whatever the retention says. */
  "store.terminal": { readonly status: TerminalStatus; readonly keepsAll: boolean };
  /** Data that the terminal status does not retain may go (P16, P18). */
  "release.job": { readonly status: JobStatus };
  "tell.checkpointing": { readonly event: CheckpointingEvent };
  /** The host adds time and chance and passes it to restart. */
  "report.failure": { readonly where: string; readonly reason: string; readonly recoverable: boolean };
  "report.recovery": { readonly generation: number };
}

export interface JobAnswers {
  readonly "store.claim": "record.stored" | "record.lost";
  readonly "plan.recovery": "recovery.planned" | "recovery.impossible";
  readonly "await.slots": "slots.available";
  readonly "store.generation": "record.stored" | "record.refused" | "record.lost";
  readonly "store.settling": "record.stored" | "record.lost";
  readonly "store.terminal": "record.stored" | "record.lost";
}
