/**
 * What one exploration covers: the size of the job, the processes that take part, and how often what may go wrong does.
 */
import type { RestartStrategy } from "../../../machines/protocol.ts";

/** What a client asks the leader for: the names of requests, and what is to follow them. */
export type RequestKind = "checkpoint" | "savepoint" | "cancel" | "stop" | "drain";

/** The subtask takes its records from channels, and not from a source of its own. */
export interface GateBounds {
  readonly channels: number;
  /** The last channel leads back to the subtask, and what is on it at a barrier is kept. */
  readonly feedback?: true;
  /** Barriers overtake the records in front of them. */
  readonly unaligned?: true;
}

export interface Bounds {
  /** Coordinators that may lead, in the order of their tokens. Each but the first takes over at any time or never. */
  readonly coordinators: readonly string[];
  /** The workers that each subtask may be placed on: with two of them an old generation runs on beside a new one. */
  readonly subtasks: Readonly<Record<string, readonly string[]>>;
  /** Default: one region of all subtasks. */
  readonly regions?: readonly (readonly string[])[];
  /** Other numbers of subtasks that a user gives the running job; it is one region then. */
  readonly rescaled?: {
    readonly subtasks: Readonly<Record<string, readonly string[]>>;
    /** The subtask before it that one goes on from. One without is idle. */
    readonly heirs: Readonly<Record<string, string>>;
  };
  /** Rescales that leaders carry out, all together. */
  readonly rescales?: number;
  /** Then `records` are those of each channel from outside. */
  readonly gate?: GateBounds;
  /** Records of each subtask's input. */
  readonly records: number;
  /** The input ends after the last record; else it goes on for ever, in silence. */
  readonly bounded: boolean;
  /** Checkpoints that the interval triggers, over all generations. */
  readonly triggers: number;
  /** Periodic checkpoints at all. */
  readonly periodic: boolean;
  /** Workers that a leader believes lost: they may live on. */
  readonly losses?: number;
  readonly expiries?: number;
  readonly declines?: number;
  /** Manifests whose write is refused, or whose outcome stays unknown. */
  readonly manifestFailures?: number;
  readonly commitFailures?: number;
  readonly deployTimeouts?: number;
  readonly cancels?: number;
  readonly suspends?: number;
  /** Checkpoints of a suspension that are given up. */
  readonly suspendTimeouts?: number;
  /** Asked for once of each leader that does not know them yet, as their clients do. */
  readonly requests?: readonly RequestKind[];
  /** Savepoints that cannot be written. */
  readonly savepointFailures?: number;
  /** Default 1. */
  readonly maxConcurrent?: number;
  /** Default: any number of failed checkpoints in a row. */
  readonly tolerableFailures?: number;
  /** Savepoints wait for a free place like other checkpoints; else they are forced. */
  readonly savepointsWait?: boolean;
  /** Savepoints that are under way at a time. Default 8. */
  readonly savepointsMax?: number;
  readonly crashes?: Readonly<Record<string, number>>;
  readonly restart?: RestartStrategy;
  /** Checkpoints that the record retains. Default 1. */
  readonly retained?: number;
  /** Ids that one reservation adds. Default 4. */
  readonly block?: number;
  /** Deletion of objects is modelled, and C6 checked. */
  readonly objects?: boolean;
  /** A checkpoint may rest on the one that its barriers name (P81). Default: its state is its own. */
  readonly incremental?: boolean;
  /** Recovery plans and free slots take their time. */
  readonly slowRecovery?: boolean;
  /** Uploads of snapshots and staging of transactions take their time. */
  readonly slowSnapshots?: boolean;
  /**
   * Teardown messages reach the workers; without them an old generation only ends when a newer one comes to its worker.
   */
  readonly teardown?: boolean;
  /** Reports of subtasks arrive exactly once, as they do when the leader's answer ends their repetition. */
  readonly reportsOnce?: boolean;
  /**
   * What must always stay within reach. `quiet`: ended, or running on with every request answered and no source held.
   * `clean`: nothing is stored that the record does not reach.
   */
  readonly goal?: "ended" | "quiet" | "clean";
}
