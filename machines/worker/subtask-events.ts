/** What a subtask hears and what it names to be done: the events and effects of its machine (subtask.ts). */
import type {
  BarrierDecline,
  CheckpointOptions,
  DeclineReason,
  SubtaskName,
  TransactionName,
} from "../protocol.ts";
import type { SinkTransactionEvent } from "./sink-transaction.ts";

export interface SubtaskInput {
  readonly subtask: SubtaskName;
  readonly generation: number;
  /** 0: nothing was restored. */
  readonly restoredCheckpointId: number;
  /** The restored snapshot was taken after `finish` ran; it never runs again (P19). */
  readonly finished: boolean;
  /** It reads a source: it has no channels, and a trigger is its barrier. */
  readonly source: boolean;
}

export interface PendingTransaction {
  readonly transaction: TransactionName;
  readonly checkpointId: number;
  readonly prepared: boolean;
}

export type SubtaskEvent =
  | {
      readonly type: "state.restored";
      readonly transactions: readonly Omit<PendingTransaction, "prepared">[];
    }
  | { readonly type: "generation.started"; readonly generation: number }
  /** It says that all subtasks run, too: it may overtake `generation.started` (S8). */
  | {
      readonly type: "checkpoint.triggered";
      readonly generation: number;
      readonly checkpointId: number;
      readonly options: CheckpointOptions;
    }
  /** The job ends here as if its sources had no more input. */
  | { readonly type: "drain.requested"; readonly generation: number }
  | { readonly type: "generation.ended"; readonly generation: number }
  /** Unaligned, or with feedback: records are still being collected, `channels.stored` follows. */
  | {
      readonly type: "barrier.aligned";
      readonly checkpointId: number;
      /** Those that its barrier goes on with. */
      readonly options: CheckpointOptions;
      readonly feedback?: true;
    }
  /** It will not come: the leader has aborted its checkpoint. */
  | { readonly type: "barrier.canceled"; readonly checkpointId: number }
  /** It will not come, or not everywhere: its checkpoint cannot complete. */
  | {
      readonly type: "barrier.declined";
      readonly checkpointId: number;
      readonly reason: BarrierDecline;
    }
  | {
      readonly type: "transactions.cut";
      readonly checkpointId: number;
      readonly transactions: readonly TransactionName[];
    }
  | { readonly type: "transaction.prepared"; readonly transaction: TransactionName }
  | { readonly type: "transaction.committed"; readonly transaction: TransactionName }
  | { readonly type: "snapshot.stored"; readonly checkpointId: number }
  | { readonly type: "channels.stored"; readonly checkpointId: number }
  | { readonly type: "snapshot.failed"; readonly checkpointId: number; readonly reason: string }
  | { readonly type: "checkpoint.completed"; readonly generation: number; readonly checkpointId: number }
  | { readonly type: "checkpoint.aborted"; readonly generation: number; readonly checkpointId: number }
  | { readonly type: "input.ended" }
  | { readonly type: "finish.completed" }
  | { readonly type: "subtask.broke"; readonly reason: string; readonly retry: "restart" | "never" };

export interface SubtaskEffects {
  /** Open operators and sinks, load state. */
  "restore.state": { readonly restoredCheckpointId: number };
  "send.restored": { readonly subtask: SubtaskName; readonly generation: number };
  /** Let records flow. */
  "run.input": { readonly finished: boolean };
  /** Answered between two records. */
  "inject.barrier": { readonly checkpointId: number; readonly options: CheckpointOptions };
  /** The source reads nothing more, until `resume.source`. */
  "hold.source": { readonly checkpointId: number };
  "resume.source": { readonly checkpointId: number };
  /** The source ends, as if there were no more input. */
  "drain.source": { readonly subtask: SubtaskName };
  /** Answered at once (H5). */
  "cut.transactions": { readonly checkpointId: number };
  "emit.barrier": { readonly checkpointId: number; readonly options: CheckpointOptions };
  "emit.cancelMarker": { readonly checkpointId: number };
  /** Synchronous part now, the rest beside the records. */
  "take.snapshot": { readonly checkpointId: number };
  "cancel.snapshot": { readonly checkpointId: number };
  /**
   * The same for good, if there is one: when nothing of it is under way any more, the leader is told what it has left
   * in the storage, unless it was acknowledged (P48).
   */
  "discard.snapshot": {
    readonly subtask: SubtaskName;
    readonly generation: number;
    readonly checkpointId: number;
  };
  "send.acknowledgement": {
    readonly subtask: SubtaskName;
    readonly generation: number;
    readonly checkpointId: number;
    readonly finished: boolean;
  };
  "send.decline": {
    readonly subtask: SubtaskName;
    readonly generation: number;
    readonly checkpointId: number;
    readonly reason: DeclineReason;
    /** What the snapshot failed of; else the reason. */
    readonly detail: string;
  };
  "tell.transaction": { readonly transaction: TransactionName; readonly event: SinkTransactionEvent };
  "send.committed": { readonly subtask: SubtaskName; readonly generation: number; readonly upTo: number };
  /** Sources tell their broker how far the job has got. */
  "report.progress": { readonly checkpointId: number };
  /** End-of-input hooks of the operators, then end of data downstream. */
  "run.finish": { readonly subtask: SubtaskName };
  "send.ended": { readonly subtask: SubtaskName; readonly generation: number };
  "send.failure": {
    readonly subtask: SubtaskName;
    readonly generation: number;
    readonly reason: string;
    readonly retry: "restart" | "never";
  };
  "close.operators": { readonly subtask: SubtaskName };
}

export interface SubtaskAnswers {
  readonly "restore.state": "state.restored";
  readonly "inject.barrier": "barrier.aligned";
  readonly "cut.transactions": "transactions.cut";
  readonly "take.snapshot": "snapshot.stored" | "snapshot.failed";
  readonly "run.finish": "finish.completed";
}
