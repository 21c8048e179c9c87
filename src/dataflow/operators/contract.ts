/**
 * What an operator is to the engine: the facts that can be known before it runs, and how it is opened in one subtask.
 *
 * Owns: the contract between an operator (one file each in this folder) and the chain that wires it. Does not own:
 * which kinds there are (kinds.ts), how operators are joined (graph.ts), the way of a record between them (chain.ts).
 *
 * - OP1 The way of a record is a closure: `OpenOperator.inputs` are called for each record, and emit by calling
 *   `Outputs`.
 * - OP2 All else that the engine knows of an operator stands in its `OperatorDetails`. No other file asks for a kind by
 *   name.
 * - OP3 What an operator throws for a record is named after it (failure.ts), and what an output throws passes
 *   unchanged.
 */
import type { ActorPlan, MigrateWindows, WindowsPlan } from "../../../machines/protocol.ts";
import type { Clock } from "../../clock.ts";
import type { StateDescriptors } from "../../state/descriptor.ts";
import type { KeyedState } from "../../state/keyed-state.ts";
import type { AnyOperatorStateDescriptors, OperatorState } from "../../state/operator-state.ts";
import type { Sink, SinkWriter } from "../sink.ts";
import type { Collect, Source } from "../source.ts";
import type { EventTime } from "../time/event-time.ts";
import type { Lateness } from "../time/lateness.ts";
import type { ProcessingTime } from "../time/processing-time.ts";
import type { SourceEventTime } from "../time/source-time.ts";
import type { TroubleWatcher } from "../trouble.ts";
import type { Combine } from "./keyed/combine.ts";

/** The facts of one operator that planner, fingerprint, restore plan, graph, draft and commands ask for. */
export interface OperatorDetails {
  /** The source, if the operator has one: it begins a vertex, and the subtask polls a reader for it. */
  readonly source?: Source<unknown>;
  /**
   * The event time of that source's records, or the one that the operator gives to those of others. undefined: the
   * source's have none, or the operator leaves it as it is.
   */
  readonly eventTime?: SourceEventTime;
  /** The sink, if the operator has one: it ends a chain, and the subtask opens a writer for it. */
  readonly sink?: Sink<unknown>;
  /**
   * Set for an operator that begins a loop: what the loop's tail feeds back comes in at port 0, and at most so many
   * records may wait there.
   */
  readonly loop?: { readonly waitingMax: number };
  /**
   * The keyed states, by name. An operator that has some takes records of one key in one subtask, and plain values
   * only.
   */
  readonly states?: StateDescriptors;
  /** How records of one key may become one in front of the exchange before the operator. Default: not at all. */
  readonly combine?: Combine;
  /** true: it could have `combine`, and has not. Default false. */
  readonly mayCombine?: boolean;
  /** The states that belong to no key, by name. */
  readonly operatorStates?: AnyOperatorStateDescriptors;
  /** The states are the operator's own and not of the user's naming. Default false. */
  readonly ownStates?: boolean;
  /**
   * Where its windows lie and how long they stay, or the interval of its pairs, in words: state of others means nothing
   * in these.
   */
  readonly windows?: string;
  /**
   * How much event time its state spans when input comes in order, in ms: the length of its windows, the gap of its
   * sessions, the width of its interval. Default: none, or it is not known before it runs.
   */
  readonly spanMs?: number;
  /** How long windows of event time stay behind their end and fire again, in ms. Default: records are late at once. */
  readonly allowedLatenessMs?: number;
  /** Its windows as data, if a job with others can finish them. */
  readonly windowsPlan?: WindowsPlan;
  /** What becomes of windows that are open where the job has others now. Default: their state is refused. */
  readonly migrateWindows?: MigrateWindows;
  /** The user's machine whose actors its keyed state holds. */
  readonly actors?: ActorPlan;
  /** true: each record must have a timestamp. Default false. */
  readonly needsTimestamps?: boolean;
  /**
   * Which records leave with a timestamp. "all": each of them, whatever came in. Default: those that come of a record
   * with one, which are all where the operator `needsTimestamps`.
   */
  readonly timestamps?: "all" | MissingTimestamps;
  /** true: without watermarks the operator never comes to anything, or never lets go of anything. Default false. */
  readonly needsWatermarks?: boolean;
  /**
   * After a restore its processing time goes on from the checkpoint and catches up with event time. Default: it is the
   * clock of the worker.
   */
  readonly replayClock?: "resume";
  /** true: the operator may emit when its input has ended. Default false. */
  readonly emitsAtEnd?: boolean;
  /** true: the operator is never chained to the one in front of it, as one with several ports is not. Default false. */
  readonly beginsVertex?: boolean;
  /**
   * true: the operator holds records back and sends them out later, in turns of its own (`OpenOperator.held`). Event
   * time and the end of input wait behind them, so it has a vertex to itself, and cannot lie inside a loop. The same
   * holds for one that makes event time of its own. Default false.
   */
  readonly holdsRecords?: boolean;
  /** The names of the inputs, at least one; a port is an index into them. Default: one input, "in". */
  readonly ports?: readonly string[];
  /**
   * The port whose records all subtasks must get in one order, so one subtask sends them. Default: there is none.
   */
  readonly oneSenderPort?: number;
  /** A port that is held back at first. Default: none is. */
  readonly waits?: PortWaitDetails;
  /** The tags of the outputs besides the main one. Default: none. */
  readonly tags?: readonly string[];
}

/** Records that leave an operator without a timestamp, whatever came in. */
export interface MissingTimestamps {
  /** Which records these are: "what onEnd emits". */
  readonly missing: string;
  /** What the author of the job can do, as an order. */
  readonly remedy: string;
}

/** One row of the table of kinds. `D` is what the operator's author says. */
export interface OperatorKind<D> {
  /** The kind's name in plans, fingerprints and messages. */
  readonly name: string;
  describe(definition: D): OperatorDetails;
  open(definition: D, services: OperatorServices, outputs: Outputs): OpenOperator;
}

/** One operator of a job, whatever its kind. Made by `defineOperator`. */
export interface OperatorDefinition {
  /** The user's stable name: state finds its way home by it. */
  readonly id: string;
  readonly kind: string;
  readonly details: OperatorDetails;
  open(services: OperatorServices, outputs: Outputs): OpenOperator;
}

/** What the chain gives to an operator that it opens. */
export interface OperatorServices {
  /** The operator's id. */
  readonly id: string;
  /** The job's option `checks`. */
  readonly checks: boolean;
  /** How far event time has come at this operator. */
  readonly time: EventTime;
  readonly processingTime: ProcessingTime;
  readonly former: FormerWindowsPlan;
  /** The late records of the operator are counted there. */
  readonly lateness: Lateness;
  /** Makes the operator's states, for the key groups of this subtask. Called at most once. */
  keyedState(): KeyedState;
  /** The opened writer of the operator's sink. */
  writer(): Pick<SinkWriter<unknown>, "write">;
}

/** The windows that an operator had when its state was cut, where it has others now: known before `restored`. */
export interface FormerWindowsPlan {
  windows: WindowsPlan | undefined;
}

/** The outputs that take an operator's records. An output without readers takes them, too. */
export interface Outputs {
  readonly main: Collect<unknown>;
  /** @param tag one of the operator's `tags` */
  tagged(tag: string): Collect<unknown>;
  /** Tells all outputs how far event time has come, for an operator that holds records back. */
  mark(watermark: number, isIdle: boolean): void;
}

/** What an operator is told when its subtask opens it. */
export interface Opening {
  readonly clock: Clock;
  readonly subtaskIndex: number;
  readonly parallelism: number;
  /** Aborts when the generation ends: nothing is waited for then. */
  readonly signal: AbortSignal;
  /** Told of what is tried again and again. */
  readonly troubles: TroubleWatcher;
}

/** One operator, opened in one subtask. */
export interface OpenOperator {
  /** The collectors of the inputs, by port. */
  readonly inputs: readonly Collect<unknown>[];
  /** What a checkpoint cuts; the one that `services.keyedState` made. */
  readonly state?: KeyedState;
  /** What a checkpoint cuts of state that belongs to no key. */
  readonly operatorState?: Pick<OperatorState, "cut" | "restore">;
  /** Its state is restored: begins to make what lies over it. Called once, before all others, also for a new job. */
  restored?(): Slices;
  /**
   * Opens what the user's functions need. Called once, when the state is there and before the first record; not in a
   * subtask that has finished. A failure is named after the operator.
   */
  open?(opening: Opening): Promise<void>;
  /**
   * Event time has come to `time`: begins what is due up to there, timers and windows. `services.time` tells the new
   * watermark already. The watermark goes on to what is downstream when the slices are done; undefined: at once.
   * Barriers may pass between two slices, so a cut holds what is left; records do not. Called with rising times, and
   * once more with the same one after a restore from such a cut. Infinity comes before `finish`.
   */
  advance?(time: number): Slices | undefined;
  /**
   * Processing time has passed `timeMs`: begins what is due up to there. Called some time after the operator has asked
   * for it (`OperatorServices.processingTime`), between two records, and neither while event time is worked off nor at
   * the end of input. Barriers may pass between two slices, records do not. What a cut leaves is due after a restore.
   */
  advanceProcessingTime?(timeMs: number): Slices | undefined;
  /**
   * What the operator has counted since it was opened, by name: records that it did not take, and why; and how much it
   * holds that waits. For reports: asked some times a second.
   */
  figures?(): Readonly<Record<string, number>>;
  /** The windows that hold something and have not fired at their end. For reports, as `figures`. */
  openWindows?(): OpenWindows;
  /** What the operator holds back, if `holdsRecords`: records, or the event time behind them. */
  readonly held?: HeldRecords;
  /** The wait of a port, if the operator `waits`. */
  readonly wait?: OpenWait;
  /** What a record may leave to do that is too much for one turn. For the first operator of a vertex. */
  readonly work?: OpenWork;
  /** Begins the end of input. Called once, after the last record. No cut falls between two of its slices (P19). */
  finish?(): Slices;
  /**
   * Lets go of what it holds, after its last record or in the middle of a failure. Called once; its state is closed
   * after it.
   */
  close?(): void | Promise<void>;
}

export interface OpenWindows {
  readonly windows: number;
  /**
   * "keys": a window of two keys counts twice. "time": it counts once; where windows share panes, it is not known how
   * many keys they hold without reading them.
   */
  readonly of: "keys" | "time";
  /** End of the last one in ms. null: none is open, or they have no end. */
  readonly lastEndMs: number | null;
}

/** A port of which no record is taken before another port has brought something, and what that is. */
export interface PortWaitDetails {
  readonly heldPort: number;
  readonly awaitedPort: number;
  /** "first": a record. "caughtUp": all that its sources had; they are idle. The end of the port ends either. */
  readonly until: "first" | "caughtUp";
}

/** The wait in one subtask. That it is over is part of the operator's state. */
export interface OpenWait extends PortWaitDetails {
  readonly isOver: boolean;
  end(): void;
}

/** Work that records of one port leave to do. */
export interface OpenWork {
  readonly port: number;
  /**
   * Begins what the last record of the port has left; undefined: nothing. Asked behind each of its records. Neither a
   * record nor a cut nor time comes before it is done (P92).
   */
  take(): Slices | undefined;
}

/** What an operator holds back: records, and the event time behind them. */
export interface HeldRecords {
  /**
   * Sends out what has become ready, of one record, or begins what there is a place for. false: there is nothing to do
   * until `onReady` wakes. Called between two records while all outputs have room.
   */
  step(): boolean;
  /** false: no further record may be given to the operator now. */
  hasRoom(): boolean;
  /** All has gone out. The input may then end. */
  readonly isEmpty: boolean;
  /** Set once. `wake` only schedules. */
  onReady(wake: () => void): void;
  /** Event time has come to this behind what is held, and goes out behind it: `Outputs.mark`. Never Infinity. */
  mark(watermark: number, isIdle: boolean): void;
  /** How far event time has gone out, and what it waits for. For reports: asked some times a second. */
  report(): HeldReport;
}

export interface HeldReport {
  /** What the outputs were told last. */
  readonly watermark: number;
  readonly isIdle: boolean;
  /** The records that are held. */
  readonly records: number;
  /** Set where the operator makes event time of its own; else it follows that of its input. */
  readonly own?: {
    /** When its last record came, on the monotonic clock; undefined: none has come. */
    readonly lastRecordMs: number | undefined;
    readonly idleAfterMs: number | undefined;
  };
}

/** Work that is done in slices, so that a turn of the subtask can look at room and clock between two of them. */
export interface Slices {
  /** Does the next slice, far less than a millisecond of the engine's work. true: there is more. */
  step(): boolean;
  /**
   * Does the next slices in one go, at most `most`, which is 1 or more. Answers how many; 0: nothing is left. Default:
   * `step` does one.
   */
  several?(most: number): number;
}

export const DEFAULT_PORTS: readonly string[] = ["in"];

export function defineOperator<D>(kind: OperatorKind<D>, id: string, definition: D): OperatorDefinition {
  return {
    id,
    kind: kind.name,
    details: kind.describe(definition),
    open: (services, outputs) => kind.open(definition, services, outputs),
  };
}
