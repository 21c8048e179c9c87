/** The job graph as plain data: all that a coordinator knows of a job, whose code it never loads. */

import type { Distribution } from "../snapshot.ts";

/** An input of an operator: the records that it takes from another one, in its vertex or another. */
export interface InputPlan {
  /** Id of the operator that they come from. */
  readonly from: string;
  /** Tag of the output that they leave it by. Default: the main one. */
  readonly output?: string;
  /** Name of the port that they come in at, for operators that have several. */
  readonly port?: string;
}

/** What a coordinator knows of a user's machine whose actors are keyed state. */
export interface ActorPlan {
  /** The user's name for the present form of the machine. */
  readonly version: string;
  /** Its states, one line each, with what a stored actor depends on: parts, delays. */
  readonly machineStates: readonly string[];
  /** The versions whose stored actors it takes over. */
  readonly migrates: readonly string[];
}

/** How long the values of a state live. */
export interface TtlPlan {
  readonly afterMs: number;
  readonly time: "event" | "processing";
  readonly updateOn: "write" | "readAndWrite";
  readonly downtime: "count" | "pause";
}

/** The version of what a state holds, as its user calls it. */
export interface VersionPlan {
  readonly version: string;
  /** The versions whose stored values it takes over. */
  readonly migrates: readonly string[];
}

/** Where windows lie. Sessions tell that themselves, each for itself. */
export type WindowBounds =
  | { readonly kind: "tumbling"; readonly sizeMs: number; readonly offsetMs: number }
  | {
      readonly kind: "sliding";
      readonly sizeMs: number;
      readonly slideMs: number;
      readonly offsetMs: number;
    }
  | {
      readonly kind: "cumulating";
      readonly sizeMs: number;
      readonly stepMs: number;
      readonly offsetMs: number;
    }
  | { readonly kind: "calendar"; readonly every: "day" | "week" | "month"; readonly zone: string }
  | { readonly kind: "sessions" };

/** What must be known of windows so that a job with others can finish those that are open. */
export interface WindowsPlan {
  readonly bounds: WindowBounds;
  readonly time: "event" | "processing";
  /** They stay behind their end, for late records. */
  readonly staysForLate: boolean;
  /** Records become one value; otherwise the window function gets them all. */
  readonly aggregates: boolean;
  /** Their records are stored one by one. */
  readonly keepsRecords: boolean;
  /** Records become one in front of the exchange, by the windows that they lie in. */
  readonly combines: boolean;
}

/** What a restore does with windows that are open, where the job has others now. */
export type MigrateWindows = "finish-old" | "drop-old";

/**
 * What a coordinator knows of an operator. What an operator is to it follows from these facts, not from the name of its
 * kind.
 */
export interface OperatorPlan {
  readonly id: string;
  /** The kind's name, for users, and for telling one job from another. */
  readonly kind: string;
  readonly inputs: readonly InputPlan[];
  /** Ids of the operators whose records come back to it; only a loop has some. */
  readonly feedback?: readonly string[];
  /** Names of its keyed states, sorted: what a resume must find again. */
  readonly states?: readonly string[];
  /** Its states that belong to no key, by name: how their entries are dealt out. */
  readonly operatorStates?: Readonly<Record<string, Distribution>>;
  /** The kinds of states that the user has declared, of those that are no value states. */
  readonly stateKinds?: { readonly [state: string]: string };
  /** How long values of its states live, of those states where they do not stay. */
  readonly stateTtls?: { readonly [state: string]: TtlPlan };
  /** The versions of states, with and without key, of those that have had others than "1". */
  readonly stateVersions?: { readonly [state: string]: VersionPlan };
  /** true: the states are the operator's own, not named by the user. */
  readonly ownStates?: true;
  /** Its windows, or the interval of its pairs, in words: their state means nothing in others. */
  readonly windows?: string;
  /** The same as data, of windows that a job with others can finish. */
  readonly windowsPlan?: WindowsPlan;
  /** Default: state of other windows is refused. */
  readonly migrateWindows?: MigrateWindows;
  /** The machine whose actors its keyed state holds. */
  readonly actors?: ActorPlan;
  /** Kind of source or sink: "jetstream", "file", … */
  readonly connector?: string;
  /** Whether the source's input ends; only sources have it. */
  readonly bounded?: boolean;
  /** Whether the source's input can be read again; only sources have it. */
  readonly replayable?: boolean;
  /** What the sink promises by itself. */
  readonly guarantee?: "exactly-once" | "at-least-once" | "none";
  /** The sink's transactions wait for the decision. */
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
  /** true: the edge leads back to the beginning of a loop. */
  readonly feedback?: true;
  /** true: accumulators travel in the place of records. */
  readonly accumulators?: true;
}

export interface GraphPlan {
  readonly vertices: readonly VertexPlan[];
  readonly edges: readonly EdgePlan[];
  readonly maxParallelism: number;
}
