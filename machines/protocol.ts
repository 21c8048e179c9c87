/**
 * The words everyone uses: ids, durable records, wire messages and machine events, as plain data types.
 *
 * Owns: the vocabulary of the protocol. Does not own: any behaviour. Everything here survives JSON, so that it can be
 * stored, sent, logged, hashed by the model checker and drawn.
 *
 * Ids (P1 to P5): an `incarnation` is one life of a job; its `generation` is raised durably at every deployment; a
 * `checkpointId` grows for ever and is never used twice. All three travel in every message.
 */

/** `<vertex>/<index>`: one parallel instance of a vertex. */
export type SubtaskName = string;

/** `<sink operator>@<checkpoint id>`: one transaction of one sink subtask; with incarnation and writer it is P4's id. */
export type TransactionName = string;

export interface ObjectHandle {
  readonly name: string;
  readonly bytes: number;
  /** `sha256:<hex>` of the content. */
  readonly digest: string;
}

/* ------------------------------------------------------------------ durable */

export type TerminalStatus = "finished" | "canceled" | "suspended" | "failed";

/** `created`: accepted, never deployed. `settling`: no new input, decided transactions are being committed (P18). */
export type JobStatus = "created" | "running" | "settling" | TerminalStatus;

export interface CompletedCheckpoint {
  readonly checkpointId: number;
  /** Generation that took it. */
  readonly generation: number;
  readonly manifest: ObjectHandle;
  readonly completedAtMs: number;
  readonly bytes: number;
  /** Every subtask had processed all of its input and had run `finish` (P19). */
  readonly allFinished: boolean;
}

export interface Failure {
  readonly atMs: number;
  readonly generation: number;
  /** Subtask, worker or "job". */
  readonly where: string;
  readonly reason: string;
}

export interface OperatorPlan {
  readonly id: string;
  readonly kind: string;
  /** Ids of the operators whose records it takes, in this vertex or another. */
  readonly inputs: readonly string[];
  /** Of process operators: names of their states, sorted: what a resume must find again. */
  readonly states?: readonly string[];
  /** Kind of source or sink: "jetstream", "file", … */
  readonly connector?: string;
  /** Of sources. */
  readonly bounded?: boolean;
  /** Of sources. */
  readonly replayable?: boolean;
  /** Of sinks: what the sink promises by itself. */
  readonly guarantee?: "exactly-once" | "at-least-once" | "none";
  /** Of sinks: its transactions wait for the decision. */
  readonly transactional?: boolean;
}

export interface VertexPlan {
  readonly id: string;
  readonly parallelism: number;
  readonly operators: readonly OperatorPlan[];
}

export interface EdgePlan {
  readonly id: string;
  readonly from: string;
  readonly to: string;
  readonly partitioner: string;
}

/** The job graph as plain data: all that a coordinator knows of a job. */
export interface GraphPlan {
  readonly vertices: readonly VertexPlan[];
  readonly edges: readonly EdgePlan[];
  readonly maxParallelism: number;
}

export type RestartStrategy =
  | { readonly strategy: "none" }
  | { readonly strategy: "fixed-delay"; readonly attempts: number; readonly delayMs: number }
  | {
      readonly strategy: "failure-rate";
      readonly maxFailuresPerInterval: number;
      readonly failureRateIntervalMs: number;
      readonly delayMs: number;
    }
  | {
      readonly strategy: "exponential-delay";
      readonly initialBackoffMs: number;
      readonly maxBackoffMs: number;
      readonly backoffMultiplier: number;
      readonly resetBackoffThresholdMs: number;
      readonly jitterFactor: number;
      /** null: without limit. */
      readonly attemptsBeforeResetBackoff: number | null;
    };

export interface CheckpointingConfig {
  /** null: only the checkpoints that the end of a job needs. */
  readonly intervalMs: number | null;
  readonly timeoutMs: number;
  readonly minPauseMs: number;
  readonly retained: number;
  /** Default: exactly-once. */
  readonly mode?: "exactly-once" | "at-least-once";
  /** Barriers overtake records. Default: false. */
  readonly unaligned?: boolean;
  /** With `unaligned`: how old a checkpoint may get before its barriers begin to overtake. Default: 0, at once. */
  readonly alignedTimeoutMs?: number;
}

export interface HeartbeatConfig {
  readonly pingIntervalMs: number;
  /** A worker that hangs longer than this is lost. */
  readonly timeoutMs: number;
}

/**
 * The one durable record of a job (P7): one key, one writer, changed only by compare-and-set. A checkpoint is complete
 * when, and only when, this record names its manifest.
 */
export interface JobRecord {
  readonly format: 1;
  readonly job: string;
  /** Random per submission: a repeated request is recognised by it. */
  readonly submissionId: string;
  readonly incarnation: string;
  readonly generation: number;
  /** Of the present generation, random (P6). */
  readonly nonce: string;
  /** Fencing token of the leader that wrote last. */
  readonly token: number;
  /** Random per write: recognises my own write after an unknown outcome (P8). */
  readonly writeId: string;
  readonly status: JobStatus;
  /** What settling ends in. */
  readonly settleTo: TerminalStatus | null;
  /** Ids up to here may have been used (P3). */
  readonly reservedCheckpointId: number;
  readonly plan: GraphPlan;
  /** Topology and state names: what a resume must match. */
  readonly graphFingerprint: string;
  /** Plan, options and user functions: what a worker must match. */
  readonly codeFingerprint: string;
  readonly checkpointing: CheckpointingConfig;
  readonly restart: RestartStrategy;
  readonly heartbeat: HeartbeatConfig;
  /** Splits of each source as discovered at submission, ends of bounded input included (P31). */
  readonly splits: { readonly [source: string]: readonly { readonly id: string }[] };
  /** Retained completed checkpoints, oldest first. */
  readonly checkpoints: readonly CompletedCheckpoint[];
  /** Since the last completed checkpoint: the first failure of this streak, then the latest ones; bounded. */
  readonly failures: readonly Failure[];
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

/** The lease of the coordinators (P11). Its revision at take-over is the fencing token. */
export interface LeaseRecord {
  readonly holder: string;
  /** 0 in the write that takes over: the token is that write's own revision. */
  readonly token: number;
  readonly renewals: number;
  readonly released: boolean;
}

/* ----------------------------------------------------------------- messages */

/** Why a checkpoint is taken. `final` and `suspend` are repeated until one completes (P19, P30). */
export type CheckpointReason = "periodic" | "final" | "suspend";

export type AbortReason = "expired" | "declined" | "manifest-refused" | "job-stopped" | "superseded";

/**
 * How a barrier passes a subtask. Aligned: when every channel has delivered it, and those that have wait. At least once:
 * the same, and nobody waits. Unaligned: when the first channel has; the records that it overtakes are stored with the
 * checkpoint. Aligned with timeout: aligned, until the checkpoint has grown too old for it.
 */
export type BarrierAlignment = "aligned" | "at-least-once" | "unaligned" | "aligned-with-timeout";

/** Travels with the trigger and with every barrier of a checkpoint. */
export interface CheckpointOptions {
  /** Of a barrier: what its sender has made of it. Once unaligned, unaligned for everybody behind. */
  readonly alignment: BarrierAlignment;
  readonly alignedTimeoutMs: number;
  /** The leader's wall clock: the timeout counts from here, not from the first barrier at a gate. */
  readonly triggeredAtMs: number;
  /** Where a savepoint goes; null: a checkpoint. */
  readonly savepoint: string | null;
  /** What becomes of the job behind it. */
  readonly stop: "suspend" | "drain" | null;
}

/** Why a subtask declines a checkpoint whose barriers cannot be completed; failures of a snapshot name themselves. */
export type BarrierDecline = "declined-subsumed" | "declined-on-cancellation-barrier";

/**
 * Records that the barrier of an unaligned checkpoint has overtaken on one channel, as records: restore can route each
 * one again. Either inline or `bytes` bytes at `offset` of an object that the channels of a subtask share.
 */
export interface ChannelStateHandle {
  readonly edge: string;
  readonly from: number;
  readonly to: number;
  readonly records: number;
  readonly bytes: number;
  readonly inline: Uint8Array | null;
  readonly object: ObjectHandle | null;
  readonly offset: number;
}

/** The state of one operator's subtask, or its share of it. */
export interface StateHandle {
  readonly operator: string;
  readonly subtaskIndex: number;
  readonly kind: "keyed" | "splits" | "sink";
  /** Small plain data travels inside the acknowledgement and the manifest. */
  readonly inline: unknown;
  /** The objects that hold the rest, in order. */
  readonly objects: readonly ObjectHandle[];
}

export interface CommittableHandle {
  readonly sink: string;
  readonly writer: number;
  readonly checkpointId: number;
  readonly staged: readonly ObjectHandle[];
  readonly detail: unknown;
}

/** What one subtask hands over when it acknowledges a checkpoint. */
export interface SubtaskSnapshot {
  readonly subtask: SubtaskName;
  readonly states: readonly StateHandle[];
  /** Every uncommitted transaction with an id up to this checkpoint, all of them durable (P13). */
  readonly transactions: readonly CommittableHandle[];
  /** Records in front of the barrier that were not processed: of an unaligned checkpoint only. */
  readonly channels: readonly ChannelStateHandle[];
  /** All input processed and `finish` run, before the barrier (P19). */
  readonly finished: boolean;
  readonly alignmentMs: number;
  readonly syncMs: number;
  readonly asyncMs: number;
  /** Of its objects. */
  readonly bytes: number;
  /** Of `channels`, inline ones included. */
  readonly persistedInFlightBytes: number;
}

/** What a completed checkpoint is on disk; always the complete set of what a restore needs. */
export interface Manifest {
  readonly format: 1;
  readonly job: string;
  readonly incarnation: string;
  readonly generation: number;
  readonly nonce: string;
  readonly checkpointId: number;
  readonly graphFingerprint: string;
  readonly maxParallelism: number;
  readonly subtasks: readonly SubtaskSnapshot[];
}

/* ------------------------------------------------------------------- answers */

/** Every handler of a control message is idempotent and answers one of these; no answer makes anybody delete (P16). */
export type Answer = "accepted" | "duplicate" | "stale" | "unknown";

/* ---------------------------------------------------------------------- time */

/** Time enters machines as events: `timer.start {timer, ms}`, later `timer.fired {timer}`. */
export interface TimerFired {
  readonly type: "timer.fired";
  readonly timer: string;
}

export interface TimerEffects {
  "timer.start": { readonly timer: string; readonly ms: number };
  "timer.cancel": { readonly timer: string };
}
