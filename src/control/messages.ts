/**
 * Everything that processes say to each other, as plain data. Every handler is idempotent: requests are repeated until
 * they are answered or their generation ends, so each may arrive more than once.
 */
import type {
  AbortedCheckpoint,
  AbortReason,
  Answer,
  CheckpointingConfig,
  CheckpointReason,
  CodeListing,
  GraphPlan,
  HeartbeatConfig,
  JobStatus,
  MissingSubtask,
  RestartStrategy,
  ScalingConfig,
  SubtaskName,
  SubtaskSnapshot,
} from "../../machines/protocol.ts";
import type { DisposalTarget } from "../../machines/record.ts";
import type { Told } from "../../machines/wiring.ts";
import type { OperatorFigures } from "../dataflow/operators/figures.ts";
import type { InheritedFrom } from "../dataflow/sink.ts";
import type { Skipped } from "../dataflow/source.ts";
import type { Trouble } from "../dataflow/trouble.ts";
import type { OperatorsTime, SubtaskTime } from "./event-time-messages.ts";
import type { HotKeysReport } from "./hot-keys.ts";
import type { CollectionReport, DisposalReport } from "./requests/deletion.ts";
import type { LiveSubtask, StateLook } from "./requests/live-state.ts";
import type { LoadReport } from "./requests/load-report.ts";
import type { DeployedRestore, Parallelism, PlanQuestion, RescaleRequest } from "./requests/rescale.ts";
import type { PausedReport, WatermarkReport } from "./source-messages.ts";
import type { Addressed } from "./store-identity.ts";

/* ------------------------------------------------------- to the leader, `<prefix>.<job>.control` */

/** What a job file amounts to, without its functions. */
export interface JobSubmission {
  readonly job: string;
  /** Random per submission: a repeated request is recognised by it. */
  readonly submissionId: string;
  readonly plan: GraphPlan;
  readonly graphFingerprint: string;
  readonly codeFingerprint: string;
  readonly codeListing: CodeListing;
  readonly checkpointing: CheckpointingConfig;
  readonly restart: RestartStrategy;
  readonly heartbeat: HeartbeatConfig;
  readonly splits: { readonly [source: string]: readonly { readonly id: string }[] };
  /** false: it takes the number of key groups of the state that it goes on with. */
  readonly fixesMaxParallelism: boolean;
  /** Left out: the job keeps its numbers of subtasks until a user asks for others. */
  readonly scaling?: ScalingConfig;
  /** Description of the checkpoint storage that the job asks for; null: whichever the coordinator has. */
  readonly storage: string | null;
}

/** A worker process, and what shows that a message is about it, or from its leader. */
export interface WorkerIdentity {
  /** Random per process start (P5). */
  readonly worker: string;
  /** Random per process start: what the leader and this worker seal their messages with (P69). */
  readonly secret: string;
}

export interface WorkerRegistration extends WorkerIdentity {
  readonly type: "worker.register";
  readonly job: string;
  readonly codeFingerprint: string;
  readonly slots: number;
  readonly processId: number;
  /** The name of the worker's machine. */
  readonly host: string;
  /** Description of the checkpoint storage that it uses. */
  readonly storage: string;
  /** null: that storage is no directory. */
  readonly directory: OfferedDirectory | null;
  /**
   * The subject that only this process listens on, outside of the prefix: when its end is told there, the process is
   * gone, whoever else listens to the cluster's subjects (P70).
   */
  readonly inbox: string;
  /** The indexes of the subtasks of which it has copies of state (P102), by incarnation. */
  readonly copies?: { readonly [incarnation: string]: readonly number[] } | undefined;
  /** One more with each registration of this process: an old one that comes again is no sign of life. */
  readonly nth: number;
}

/** A coordinator that stands by, to the leader of the cluster (P62): answered as a registration is. */
export interface StandbyRequest extends Addressed, Required<SelfSealed> {
  readonly type: "standby.prove";
  /** Random per process start. */
  readonly coordinator: string;
  /** The coordinator's process and machine, in words. */
  readonly place: string;
  /** Description of the checkpoint storage that it uses. */
  readonly storage: string;
  /** null: that storage is no directory. */
  readonly directory: OfferedDirectory | null;
}

/**
 * The checkpoint directory of a worker or of a coordinator that stands by, and what proves that it is the leader's
 * (P53).
 */
export interface OfferedDirectory {
  readonly host: string;
  /** The directory's path as the process names it. */
  readonly path: string;
  /** Name of the note that the process leaves there when it is asked for a proof. */
  readonly note: string;
  /** What that note says; "": it is not there yet. */
  readonly secret: string;
  /** What the leader's note says; "": the process has not seen it. */
  readonly read: string;
  /** Why the process cannot read or write there at present; null: it can. */
  readonly obstacle: string | null;
}

/** What any process may ask: the message and its answer carry the seal of a secret that the message itself tells. */
export interface SelfSealed {
  /**
   * Random, for each message of a client anew: the same message is taken once (P75). Left out: it can only look, and
   * its answer has no seal.
   */
  readonly secret?: string;
}

/** What a request that changes something is about (P75). */
export interface Meant {
  /** The life of the job that the client has met first: the id of its submission; "": there was no job. */
  readonly life: string;
  /** What the leader has given out last for that job. */
  readonly nonce: string;
}

/** A request that changes something. Without `meant` it is answered "stale", with what is to be named. */
export interface Changing {
  readonly meant?: Meant;
}

export type LeaderRequest = LeaderQuestion & Addressed & SelfSealed;

type LeaderQuestion =
  | WorkerRegistration
  | (Changing & {
      readonly type: "job.submit";
      readonly submission: JobSubmission;
      readonly fresh: boolean;
      readonly restore: RestoreRequest | null;
    })
  /**
   * Whether the submission would be taken with this state. Nothing begins, and nothing changes. A repetition carries
   * the same submission.
   */
  | {
      readonly type: "job.rehearse";
      readonly submission: JobSubmission;
      readonly fresh: boolean;
      readonly restore: RestoreRequest;
    }
  /** The last word of a worker whose process ends because it cannot go on. */
  | (WorkerIdentity & {
      readonly type: "worker.crashed";
      readonly job: string;
      readonly reason: string;
    })
  /** With `keys`, the report has hot keys as they are (P91). */
  | { readonly type: "job.status"; readonly job: string; readonly keys?: boolean }
  | { readonly type: "job.state"; readonly job: string; readonly look: StateLook }
  | (Changing & { readonly type: "job.cancel"; readonly job: string })
  | (Changing & { readonly type: "job.suspend"; readonly job: string })
  | (Changing & SnapshotRequest)
  | (Changing & RescaleRequest)
  /** Deletes what older generations have left behind. A repetition carries the same id. */
  | (Changing & { readonly type: "job.gc"; readonly job: string; readonly requestId: string })
  /** Deletes what an ended job has left. A repetition carries the same id. */
  | (Changing & {
      readonly type: "job.dispose";
      readonly job: string;
      readonly requestId: string;
      readonly what: DisposalTarget;
    });

/**
 * A checkpoint or savepoint that a client waits for. The client sends it again until the answer is its outcome.
 * `request` is random and names it.
 */
export interface SnapshotRequest {
  readonly type: "job.snapshot";
  readonly job: string;
  readonly request: string;
  readonly kind: "checkpoint" | "savepoint";
  /** Root of the savepoint (`OpenStorage`); null: the job's `checkpointing.savepointDirectory`. */
  readonly directory: string | null;
  /** What follows the savepoint. `drain`: sources end first, and no job goes on from it. */
  readonly followedBy: "go-on" | "stop" | "drain" | "cancel";
}

export type RequestOutcome =
  | { readonly state: "pending" }
  | { readonly state: "completed"; readonly checkpointId: number; readonly location: string | null }
  | { readonly state: "failed"; readonly reason: string };

/** What a new job starts from. */
export interface RestoreRequest {
  /**
   * The place of a savepoint; or `checkpoint:<job>` or `checkpoint:<job>/<id>` for a checkpoint that a job has left.
   */
  readonly location: string;
  readonly mode: "claim" | "no-claim";
  /** Operators whose state is given up. */
  readonly drop: readonly string[];
  /** true: pending output of a savepoint behind which its job went back is written, even if it was before (P59). */
  readonly writeAgain: boolean;
}

export type LeaderAnswer =
  /**
   * For a worker that registers, `generations`: the present one of each region; `planSince`: what is below it is over.
   * `reason`: why it is unknown, if not for its absence.
   */
  | {
      readonly answer: Exclude<Answer, "stale">;
      readonly generations?: readonly number[];
      readonly planSince?: number;
      readonly reason?: string;
    }
  /** The request is older than the job's present life or than the nonce lasts, or names none: ask again with these. */
  | ({ readonly answer: "stale" } & Meant)
  /**
   * A worker that registers: the leader has left this note in its own checkpoint directory, and looks for the worker's.
   */
  | { readonly answer: "unproven"; readonly note: string }
  /** `codeListing`: of the submitted job, for a worker that has other code. */
  | { readonly answer: "refused"; readonly reason: string; readonly codeListing?: CodeListing }
  | { readonly answer: "status"; readonly status: JobReport }
  | { readonly answer: "state"; readonly subtasks: readonly LiveSubtask[] }
  | { readonly answer: "outcome"; readonly outcome: RequestOutcome }
  /** The work goes on: ask again with the same id. */
  | { readonly answer: "pending" }
  /** The submission would be taken with the state that it names. */
  | { readonly answer: "restorable" }
  | { readonly answer: "collected"; readonly report: CollectionReport }
  | { readonly answer: "disposed"; readonly report: DisposalReport };

export interface SubtaskReport {
  readonly subtask: SubtaskName;
  readonly generation: number;
  readonly worker: string;
  readonly state: string;
  /** Records taken from the source or the input channels in this generation. */
  readonly recordsIn: number;
  /** Input that was gone before a source read it and that it skipped, since the job began; null: none. */
  readonly skipped: Skipped | null;
  /** Left out: it does not run. */
  readonly load?: LoadReport;
  /** Left out: no split was ever paused. */
  readonly paused?: PausedReport;
  /** Left out: the job has no event time, or none means anything to the subtask. */
  readonly eventTime?: SubtaskTime;
  /** The keys that much of its records have. Left out: there is none. */
  readonly hotKeys?: HotKeysReport;
  /**
   * What its operators have counted in this generation, such as late records, and what waits in them; those that count
   * something, upstream first.
   */
  readonly operators: readonly OperatorFigures[];
  /**
   * The checkpoints that were triggered and are neither completed nor aborted, oldest first; of many the newest ones.
   */
  readonly checkpoints: readonly SubtaskProgress[];
}

/** How far one subtask has got with a checkpoint: what shows the channel that blocks it. */
export interface SubtaskProgress {
  readonly checkpointId: number;
  readonly phase: "waiting-for-barrier" | "aligning" | "uploading" | "acknowledged";
  /** The senders of the barriers that are still missing; a source has none. */
  readonly missingChannels: readonly string[];
}

export interface CheckpointReport {
  readonly checkpointId: number;
  readonly completedAtMs: number;
  readonly durationMs: number;
  readonly bytes: number;
}

/** A checkpoint that is under way, and whom it waits for. */
export interface PendingReport {
  readonly checkpointId: number;
  readonly requested: CheckpointReason;
  readonly ageMs: number;
  readonly acknowledged: number;
  readonly subtasks: number;
  readonly missing: readonly MissingSubtask[];
}

/** What processes of the job have been trying for some seconds without success, and go on trying. */
export interface JobTrouble extends Trouble {
  /** The processes that have it: "leader", "worker 5f…"; at most ten of them. */
  readonly where: readonly string[];
}

/** What `status` shows. */
export interface JobReport {
  readonly job: string;
  readonly incarnation: string;
  readonly generation: number;
  /** The present generation of each region. */
  readonly generations: readonly number[];
  readonly status: JobStatus;
  /** State of the job machine on its leader: finer than `status`. */
  readonly phase: string;
  readonly leader: string;
  readonly workers: readonly {
    readonly worker: string;
    readonly slots: number;
    readonly processId: number;
    readonly host: string;
  }[];
  readonly subtasks: readonly SubtaskReport[];
  /** How far event time is, for operators to which it means something; none where the job has no event time. */
  readonly eventTime: readonly OperatorsTime[];
  readonly checkpoints: {
    readonly completed: number;
    readonly aborted: number;
    readonly latest: CheckpointReport | null;
    /** The last one that was aborted, and why, in words. */
    readonly latestAborted: { readonly checkpointId: number; readonly reason: string } | null;
    /** The oldest sixteen of those that have begun. */
    readonly pending: readonly PendingReport[];
    /** How many more have begun. */
    readonly pendingMore: number;
    /** How many are asked for and have not begun. */
    readonly queued: number;
    /** The latest ones that were given up, oldest first. */
    readonly failed: readonly AbortedCheckpoint[];
    /** Why none begins at present although one may be due, in words; empty when nothing is in the way. */
    readonly hold: string;
  };
  /**
   * How often the present leader has deployed the job, or some of its regions, anew after failures. Several failures
   * before one deployment, and several regions in one, are one restart; a failure that no restart follows is none; nor
   * is a change of leader.
   */
  readonly restarts: number;
  /** false: it has failed, and what it would need to be resumed was deleted, as its retention says. */
  readonly keepsState: boolean;
  /** The first failure of the latest streak, then its latest ones, also when the job has recovered from them. */
  readonly failures: readonly {
    readonly atMs: number;
    readonly where: string;
    readonly reason: string;
    /** The whole job has run since. */
    readonly recovered: boolean;
  }[];
  /** What the job is waiting for, in words; empty when it is not. */
  readonly waitingFor: string;
  /** The troubles, at most twenty, oldest first. */
  readonly troubles: readonly JobTrouble[];
  /** The number of savepoints and checkpoints that a client waits for. */
  readonly unansweredRequests: number;
}

/* ------------------------------------------------------- to a worker, `<prefix>.workers.<worker>` */

/** The order to start the subtasks of one region. */
export interface Deployment {
  readonly job: string;
  readonly incarnation: string;
  /** The place of the region in the job's plan. */
  readonly region: number;
  readonly generation: number;
  readonly nonce: string;
  /** The worker of every subtask of the generation; the same map for all workers (P5). */
  readonly placement: { readonly [subtask: SubtaskName]: string };
  readonly splits: { readonly [source: string]: readonly { readonly id: string }[] };
  /** The subtasks of each operator, whatever the worker was started with (P95). */
  readonly parallelism: Parallelism;
  /** No generation below it is the job's any more, whatever region it is of. */
  readonly planSince: number;
  /** null: a fresh start. */
  readonly restore: DeployedRestore | null;
  /** The job whose transactions the restored state holds; null: there are none but the job's own. */
  readonly inherits: InheritedFrom | null;
  /** true: the generation only commits what was decided, and reads nothing (P18). */
  readonly settle: boolean;
  readonly leader: string;
  readonly maxParallelism: number;
  /** Whether checkpoints hold the records on their way back in a loop: not if it is "force". */
  readonly iterations: CheckpointingConfig["iterations"];
  readonly incremental: CheckpointingConfig["incremental"];
}

export type WorkerRequest =
  | { readonly type: "worker.ping" }
  | { readonly type: "worker.state"; readonly look: StateLook }
  | PlanQuestion
  | { readonly type: "generation.deploy"; readonly deployment: Deployment }
  /** Ends every generation of the region up to this one. */
  | {
      readonly type: "generation.teardown";
      readonly job: string;
      readonly region: number;
      readonly generation: number;
    };

export interface PingAnswer {
  readonly worker: string;
  /** The highest generation that the worker has seen of each region (P5). */
  readonly generations: readonly number[];
  readonly subtasks: readonly Omit<SubtaskReport, "worker">[];
  readonly troubles: readonly Trouble[];
}

/* ------------------------------- to a generation's worker, `<prefix>.<job>.<generation>.worker.<worker>` */

/** The events that wires carry to subtasks (machines/wiring.ts). */
export type GenerationRequest =
  | Told<"generation.started">
  | Told<"drain.requested">
  | Told<"checkpoint.triggered">
  | Told<"checkpoint.completed">
  | (Told<"checkpoint.aborted"> & { readonly reason: AbortReason });

/* ------------------------------- to a generation's leader, `<prefix>.<job>.<generation>.coordinator` */

/** The events that wires carry to the leader's machines, and what its host alone needs. */
export type SubtaskMessage =
  | Told<"subtask.restored">
  | Told<"subtask.ended">
  | Told<"subtask.committed">
  | Told<"subtask.failed">
  | WatermarkReport
  /** The snapshot says whether the subtask has finished. */
  | (Omit<Told<"subtask.acknowledged">, "finished"> & { readonly snapshot: SubtaskSnapshot })
  /** `detail`: in words. */
  | (Told<"subtask.declined"> & { readonly detail: string })
  /** Nothing of an aborted checkpoint is under way any more; these objects of it may be in the storage (P48). */
  | {
      readonly type: "subtask.discarded";
      readonly generation: number;
      readonly checkpointId: number;
      readonly subtask: SubtaskName;
      readonly objects: readonly string[];
    };
