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
  /** The checkpoint that was restored; 0: none was. */
  readonly restoredCheckpointId: number;
  /** true: the restored snapshot was taken after `finish` ran, which never runs again (P19). */
  readonly finished: boolean;
  /** true: the subtask reads a source. It has no channels, and a trigger is its barrier. */
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
  /** A trigger says that all subtasks run, too: it may overtake `generation.started` (S8). */
  | {
      readonly type: "checkpoint.triggered";
      readonly generation: number;
      readonly checkpointId: number;
      readonly options: CheckpointOptions;
    }
  /** The job ends here as if its sources had no more input. */
  | { readonly type: "drain.requested"; readonly generation: number }
  | { readonly type: "generation.ended"; readonly generation: number }
  /** If it is unaligned, or has feedback, records are still being collected, and `channels.stored` follows. */
  | {
      readonly type: "barrier.aligned";
      readonly checkpointId: number;
      /** The options that the barrier goes on with. */
      readonly options: CheckpointOptions;
      readonly feedback?: true;
    }
  /** The barrier will not come: the leader has aborted its checkpoint. */
  | { readonly type: "barrier.canceled"; readonly checkpointId: number }
  /** The barrier will not come, or not everywhere: its checkpoint cannot complete. */
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
  /** Opens operators and sinks, and loads their state. */
  "restore.state": { readonly restoredCheckpointId: number };
  "send.restored": { readonly subtask: SubtaskName; readonly generation: number };
  /** Lets records flow. */
  "run.input": { readonly finished: boolean };
  /** Answered between two records. */
  "inject.barrier": { readonly checkpointId: number; readonly options: CheckpointOptions };
  /** Keeps the source from reading, until `resume.source`. */
  "hold.source": { readonly checkpointId: number };
  "resume.source": { readonly checkpointId: number };
  /** Ends the source, as if there were no more input. */
  "drain.source": { readonly subtask: SubtaskName };
  /** Answered at once (H5). */
  "cut.transactions": { readonly checkpointId: number };
  "emit.barrier": { readonly checkpointId: number; readonly options: CheckpointOptions };
  "emit.cancelMarker": { readonly checkpointId: number };
  /** Takes the synchronous part of the snapshot now, and the rest beside the records. */
  "take.snapshot": { readonly checkpointId: number };
  "cancel.snapshot": { readonly checkpointId: number };
  /**
   * Gives the snapshot up for good, if there is one. When nothing of it is under way any more, the leader is told what
   * it has left in the storage, unless it was acknowledged (P48).
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
    /** The failure of the snapshot in words, if there was one; else the reason. */
    readonly detail: string;
  };
  "tell.transaction": { readonly transaction: TransactionName; readonly event: SinkTransactionEvent };
  "send.committed": { readonly subtask: SubtaskName; readonly generation: number; readonly upTo: number };
  /** Lets sources tell their broker how far the job has got. */
  "report.progress": { readonly checkpointId: number };
  /** Runs the end-of-input hooks of the operators, then sends the end of data downstream. */
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
