/** What decides when a window fires: the engine's triggers and the user's own have this shape. */
import type { Key } from "../../../../state/descriptor.ts";
import type { TimerKind } from "../../keyed/operator-timers.ts";
import type { Window } from "../window-output.ts";

/**
 * "fire": the window emits what it holds, if it holds anything; "purge": it is empty then; "fireAndPurge": both, in
 * this order.
 */
export type TriggerResult = "continue" | "fire" | "purge" | "fireAndPurge";

export const TRIGGER_RESULTS: readonly TriggerResult[] = ["continue", "fire", "purge", "fireAndPurge"];

/** One value for each key and window, which goes with the window. Plain data. */
export interface TriggerState<S = unknown> {
  /** undefined: none was set. */
  get(): S | undefined;
  set(value: S): void;
  clear(): void;
}

/** Reused for every call of an operator: read it, do not keep it. */
export interface TriggerContext<S = unknown> {
  readonly key: Key;
  readonly window: Window;
  /** Event time of the record, or what the timer was registered for; -Infinity: the record has none. */
  readonly timestamp: number;
  /** A record has come into the window since it fired last. */
  readonly hasChanged: boolean;
  /** The time of the windows. */
  readonly time: TimerKind;
  /**
   * How far the time of the windows has come, in ms; -Infinity: not known yet. In `onTimer` what the timer was
   * registered for, if that is the time of the windows.
   */
  readonly currentTime: number;
  /** In ms; -Infinity: none yet. */
  readonly currentWatermark: number;
  /** The clock of the worker, in ms since 1970; Infinity: windows of processing time fire at the end of input. */
  readonly currentProcessingTime: number;
  readonly state: TriggerState<S>;
  /**
   * `onTimer` is called when the time has come to `time`, in ms; registering it again changes nothing. Infinity does
   * nothing. Timers go with the window. When two sessions become one, those of both are gone, and `onMerge` registers
   * what is needed.
   * @param kind default: the time of the windows
   */
  readonly registerTimer: (time: number, kind?: TimerKind) => void;
  /** Does nothing if there is no such timer. */
  readonly deleteTimer: (time: number, kind?: TimerKind) => void;
}

export interface TriggerTimer {
  readonly time: number;
  readonly kind: TimerKind;
}

/** Decides for each key and window when it fires. All functions are synchronous. */
export interface WindowTrigger<T = unknown, S = unknown> {
  /** Part of the job's plan: a job does not go on with windows of another trigger. */
  readonly name: string;
  /** Called when a record is in the window. */
  onRecord(value: T, context: TriggerContext<S>): TriggerResult;
  /** Called for each timer that is due. */
  onTimer?(timer: TriggerTimer, context: TriggerContext<S>): TriggerResult;
  /**
   * A session has grown, or several have become one: in front of the `onRecord` of the record that did it. The state is
   * empty, and there are no timers. Session windows need it.
   * @param states what the sessions had as state, those that had one
   */
  onMerge?(context: TriggerContext<S>, states: readonly S[]): void;
}
