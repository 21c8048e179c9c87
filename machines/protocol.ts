/**
 * The words that all processes share: ids, durable records, wire messages and machine events, as plain data types.
 *
 * Owns: the vocabulary of the protocol. Does not own: any behaviour. Everything here survives JSON, so that it can be
 * stored, sent, logged, hashed by the model checker and drawn.
 *
 * Ids (P1 to P5): an `incarnation` is one life of a job; a `generation` is one deployment of one of its regions, raised
 * durably; a `checkpointId` grows for ever and is never used twice. All three travel in every message.
 */

import type { GraphPlan } from "./graph/plan.ts";
import type { AbandonedCheckpoint } from "./leader/abandoned.ts";
import type { Fallback } from "./leader/fallback.ts";
import type { ScalingConfig } from "./leader/scaling.ts";
import type { ObjectHandle, SubtaskName, SubtaskSnapshot } from "./snapshot.ts";

export type * from "./graph/plan.ts";
export type { ScalingConfig } from "./leader/scaling.ts";
export type * from "./snapshot.ts";

/**
 * `<sink operator>/<writer>@<checkpoint id>`: one transaction of one sink subtask; with the incarnation it is P4's id.
 */
export type TransactionName = string;

/* ------------------------------------------------------------------ durable */

/** `stopped`: with a savepoint. */
export type TerminalStatus = "finished" | "stopped" | "canceled" | "suspended" | "failed";

/** `created`: accepted, never deployed. `settling`: no new input, decided transactions are being committed (P18). */
export type JobStatus = "created" | "running" | "settling" | TerminalStatus;

export interface CompletedCheckpoint {
  readonly checkpointId: number;
  /** Generation that took it. */
  readonly generation: number;
  readonly manifest: ObjectHandle;
  readonly completedAtMs: number;
  /** What was stored for it. */
  readonly bytes: number;
  /** What a restore from it reads (P81). Left out: what was stored for it. */
  readonly fullBytes?: number;
  /** Whether every subtask had processed all of its input and had run `finish` (P19). */
  readonly allFinished: boolean;
}

/** A subtask that a checkpoint waited for. */
export interface MissingSubtask {
  readonly subtask: SubtaskName;
  /** How far it had got, in words. */
  readonly phase: string;
  /** Channels whose barrier had not come. */
  readonly channels: readonly string[];
}

/** A checkpoint that was given up, for a user who asks why; kept over a change of leader. */
export interface AbortedCheckpoint {
  readonly checkpointId: number;
  readonly generation: number;
  readonly requested: CheckpointReason;
  readonly reason: AbortReason;
  /** Why the checkpoint was given up, in the words of the subtask that could not go on. */
  readonly detail: string;
  readonly startedAtMs: number;
  readonly abortedAtMs: number;
  readonly acknowledged: number;
  /** The first few of the subtasks that had not acknowledged it. */
  readonly missing: readonly MissingSubtask[];
}

/** What a job was restored from: copied into its own storage before it began, so that nothing depends on it. */
export interface RestoreOrigin {
  readonly location: string;
  /** The job that took it, the incarnation that this had then, and the generation that cut it. */
  readonly job: string;
  readonly incarnation: string;
  readonly generation: number;
  readonly checkpointId: number;
  /** `claim`: the job's to delete, once a checkpoint of its own is complete; then `claimed`. */
  readonly mode: "claim" | "claimed" | "no-claim";
}

/** A savepoint that was completed: its user's, never used for recovery by itself. */
export interface SavepointEntry {
  readonly checkpointId: number;
  /** The generation that cut it. */
  readonly generation: number;
  /** The name of the request that it answers. */
  readonly request: string;
  /** What `restore` takes. */
  readonly location: string;
  readonly completedAtMs: number;
  readonly bytes: number;
  /** What was cut short where the job was drained for it. Left out: it was not drained. */
  readonly drained?: readonly Unfinished[] | undefined;
}

/** What an operator had open when the sources were ended that would have gone on, as its workers had said last. */
export interface Unfinished {
  readonly operator: string;
  /** Windows that had not fired at their end. */
  readonly windows: number;
  /** "keys": a window of two keys counts twice; "time": once. */
  readonly of: "keys" | "time";
  /** End of the last one in ms; null: none was open, or they have no end. */
  readonly lastEndMs: number | null;
  readonly timers: number;
}

export interface Failure {
  readonly atMs: number;
  readonly generation: number;
  /** Subtask, worker or "job". */
  readonly where: string;
  readonly reason: string;
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

/** Which checkpoints outlive their job: none; those of a failed one, to resume it; those of a canceled one, too. */
export type CheckpointRetention = "delete" | "delete-on-cancellation" | "retain-on-cancellation";

export interface CheckpointingConfig {
  readonly mode: "exactly-once" | "at-least-once";
  /** null: only the checkpoints that the end of a job needs. */
  readonly intervalMs: number | null;
  readonly timeoutMs: number;
  readonly minPauseMs: number;
  /** 1 with a pause, and with unaligned checkpoints. */
  readonly maxConcurrent: number;
  /** Failed checkpoints in a row that a job bears; one more fails it. null: without limit. */
  readonly tolerableFailures: number | null;
  readonly retention: CheckpointRetention;
  readonly retained: number;
  /** Whether barriers overtake; exactly-once only. */
  readonly unaligned: boolean;
  /** The age at which unaligned checkpoints, which begin aligned, overtake. 0: they overtake at once. */
  readonly alignedTimeoutMs: number;
  /** A checkpoint stores only what has changed since one before it (P81). */
  readonly incremental: boolean;
  /** Checkpoints go on when some subtasks have finished. */
  readonly afterTasksFinish: boolean;
  /** null: every savepoint has to name its place. */
  readonly savepointDirectory: string | null;
  readonly savepointTimeoutMs: number;
  /** Jobs with loops: no intervals, checkpoints without the records on their way back, or with them. */
  readonly iterations: "refuse" | "force" | "exact";
  /** How long a requested checkpoint or savepoint waits until the job can take one. */
  readonly readyTimeoutMs: number;
}

export interface HeartbeatConfig {
  readonly pingIntervalMs: number;
  /** A worker that hangs longer than this is lost. */
  readonly timeoutMs: number;
}

/**
 * What a code fingerprint is made of, as far as it is listed: for the message that refuses a worker of other code
 * (P51).
 */
export interface CodeListing {
  /** Paths in the job's project, with the first digits of their content's digest. */
  readonly files: readonly (readonly [path: string, digest: string])[];
  /** `name@version` */
  readonly packages: readonly string[];
  /** How many more files and packages count, and are not listed. */
  readonly unlisted: number;
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
  /** The highest generation ever raised. */
  readonly generation: number;
  /** The present generation of each region (regions.ts); empty until the first deployment. */
  readonly generations: readonly number[];
  /** Random; shared by the generations that were raised in the last deployment (P6). */
  readonly nonce: string;
  /** Fencing token of the leader that wrote last. */
  readonly token: number;
  /** The lease that covers the job (P50). */
  readonly scope: LeadershipScope;
  /** Random per write: by it a leader recognises its own write after an unknown outcome (P8). */
  readonly writeId: string;
  readonly status: JobStatus;
  /** What settling ends in. */
  readonly settleTo: TerminalStatus | null;
  /** Ids up to here may have been used (P3). */
  readonly reservedCheckpointId: number;
  readonly plan: GraphPlan;
  /** The generations from this one on have run the plan: those below it are over, whatever region they are of (P95). */
  readonly planSince: number;
  /** The plans that retained checkpoints were taken of, where that is another one than the present; oldest first. */
  readonly formerPlans: readonly FormerPlan[];
  /** The plan as it was submitted. Left out: the job was never rescaled, and `plan` is that. */
  readonly submittedPlan?: GraphPlan;
  /** What became of the latest rescale. Left out: there was none. */
  readonly rescale?: RescaleEntry;
  /** Topology and state names: what a resume must match. */
  readonly graphFingerprint: string;
  /** Files and packages of the job's project, plan, options and user functions: what a worker must match (P51). */
  readonly codeFingerprint: string;
  readonly codeListing: CodeListing;
  readonly checkpointing: CheckpointingConfig;
  readonly restart: RestartStrategy;
  readonly heartbeat: HeartbeatConfig;
  /** Splits of each source as discovered at submission, ends of bounded input included (P31). */
  readonly splits: { readonly [source: string]: readonly { readonly id: string; readonly input?: string }[] };
  /** Retained completed checkpoints, oldest first. */
  readonly checkpoints: readonly CompletedCheckpoint[];
  /** What the job was restored from; null: nothing. */
  readonly origin: RestoreOrigin | null;
  /** The latest savepoints; they belong to their users. */
  readonly savepoints: readonly SavepointEntry[];
  /**
   * Locations that a leader has begun to copy a savepoint to, and did not enter as complete, and the one that the job
   * has claimed until it is gone; the latest ones.
   */
  readonly begunSavepoints: readonly string[];
  /** Left out: the job keeps its numbers of subtasks until a user asks for others. */
  readonly scaling?: ScalingConfig;
  /** The latest aborted checkpoints. */
  readonly aborted: readonly AbortedCheckpoint[];
  /**
   * The first failure of the latest streak, then its latest ones; bounded. A completed checkpoint ends a streak, which
   * stays until the next one.
   */
  readonly failures: readonly Failure[];
  /**
   * What a user has deleted of the ended job, where that matters: its last checkpoint ("state": it starts only afresh),
   * or all of it ("job": a tombstone, which keeps the counters of P1 and shows nowhere).
   */
  readonly disposed?: "state" | "job";
  /**
   * Checkpoints whose output a user has given up (P17), the latest ones; they outlive disposals and new lives of the
   * job.
   */
  readonly abandoned: readonly AbandonedCheckpoint[];
  /** The times that the job went back behind savepoints (P59); they outlive disposals and new lives of the job. */
  readonly fallbacks: readonly Fallback[];
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

/** A plan that a job had before it was rescaled. */
export interface FormerPlan {
  readonly plan: GraphPlan;
  /** The id of the latest checkpoint that was taken of it. */
  readonly upTo: number;
}

/** A rescale that the record has decided (P95). */
export interface RescaleEntry {
  /** The random name that its client has given it. */
  readonly request: string;
  /** "pending": no generation of the new plan has run yet. "failed": the job has gone back to the former plan. */
  readonly state: "pending" | "done" | "failed";
  /** Why the job has gone back, in words; "": it has not. */
  readonly reason: string;
  readonly atMs: number;
}

/**
 * The leaders of a job (P50): the coordinators of the cluster, over one lease for all their jobs; or the coordinator of
 * one `tidemark run`, over a lease for this job alone.
 */
export type LeadershipScope = "cluster" | "job";

/** A lease of coordinators (P11, P50). Its revision at take-over is the fencing token. */
export interface LeaseRecord {
  readonly holder: string;
  /** The holder's process and machine, for messages. */
  readonly place: string;
  /** 0 in the write that takes over: the token is that write's own revision. */
  readonly token: number;
  readonly renewals: number;
  readonly released: boolean;
}

/* ----------------------------------------------------------------- messages */

/**
 * Why a checkpoint is taken. `final` and `suspend` are repeated until one completes (P19, P30); `stop` is the savepoint
 * that a job stops with, `drain` the one that it stops with behind all of its input, `cancel` a plain one that it is
 * canceled after; these are tried once.
 */
export type CheckpointReason =
  | "periodic"
  | "manual"
  | "final"
  | "suspend"
  | "savepoint"
  | "stop"
  | "drain"
  | "cancel";

export interface CheckpointRequest {
  /** Random: names it for the client that waits for its outcome. Empty when no client does. */
  readonly request: string;
  readonly reason: CheckpointReason;
  /** The place where the savepoint is kept; null: a checkpoint. */
  readonly savepoint: string | null;
}

/** Why a checkpoint was given up (Flink's CheckpointFailureReason, without the ones before it begins). */
export type AbortReason =
  | "expired"
  | "declined"
  /** A subtask could not store its state: Flink's CHECKPOINT_ASYNC_EXCEPTION. */
  | "async-exception"
  | "declined-task-not-ready"
  /** Some subtasks of an operator with union list state have finished, others have not (P83). */
  | "declined-task-closing"
  | "declined-subsumed"
  | "declined-on-cancellation-barrier"
  /** The savepoint could not be written. */
  | "io-exception"
  /** Manifest or decision could not be made durable. */
  | "finalize-failure"
  | "subsumed"
  /** The generation is over: Flink's CHECKPOINT_COORDINATOR_SUSPEND and JOB_FAILOVER_REGION. */
  | "job-stopped";

/** What a subtask may say when it declines. */
export type DeclineReason = Extract<AbortReason, "declined" | "async-exception" | `declined-${string}`>;

/**
 * How a barrier passes a subtask. Aligned: when every channel has delivered it, and those that have wait. At least
 * once: the same, and no channel waits. Unaligned: when the first channel has; the records that it overtakes are stored
 * with the checkpoint. Aligned with timeout: aligned, until the checkpoint has grown too old for it.
 */
export type BarrierAlignment = "aligned" | "at-least-once" | "unaligned" | "aligned-with-timeout";

/** Travels with the trigger and with every barrier of a checkpoint. */
export interface CheckpointOptions {
  /** What the sender has made of the barrier. Once unaligned, it is unaligned for every subtask downstream. */
  readonly alignment: BarrierAlignment;
  readonly alignedTimeoutMs: number;
  /** The leader's wall clock: the timeout counts from here, not from the first barrier at a gate. */
  readonly triggeredAtMs: number;
  /** The place where a savepoint goes; null: a checkpoint. */
  readonly savepoint: string | null;
  /** true: sources emit nothing behind the barrier, unless the checkpoint is aborted. */
  readonly stop: boolean;
  /** The completed checkpoint that this one may have objects in common with (P81); null: with none. */
  readonly base: number | null;
}

/** Why a subtask declines a checkpoint whose barriers cannot be completed; failures of a snapshot name themselves. */
export type BarrierDecline = Extract<DeclineReason, "declined-subsumed" | "declined-on-cancellation-barrier">;

/** What makes a savepoint readable by itself: nothing else has to be there to restore from it. */
export interface SavepointMetadata {
  readonly format: 1;
  readonly location: string;
  readonly createdAtMs: number;
  /** Every operator had finished before it: no job can go on from here. */
  readonly drained: boolean;
  /** What was cut short by that, if the user has ended the sources. */
  readonly unfinished: readonly Unfinished[];
  readonly plan: GraphPlan;
  readonly splits: JobRecord["splits"];
  /** Names objects of this savepoint only. */
  readonly manifest: Manifest;
}

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

/**
 * Every handler of a control message is idempotent and answers one of these; no process deletes because of an answer
 * (P16).
 */
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
