/**
 * The user's own function over keyed state.
 *
 * - PR1 `onEnd` runs once for each key that holds state when the input ends, a key to a slice (P19); `onFinish` once
 *   behind all of them.
 * - PR2 `onTimer` runs for each timer that is due, a timer to a slice (P78). What it emits has the timer's time as
 *   timestamp, that of a processing-time timer none, if the function gives no other.
 * - PR3 `onExpire` runs once for each value whose time to live is over, when it is gone (P84): a value to a slice, or
 *   within the function that comes to the value before that. What it emits has the time at which the value expired as
 *   timestamp, none by processing time, and within another function that function's.
 */
import { OperatorError } from "../../../errors.ts";
import type { Namespace } from "../../../state/contract.ts";
import type { Key, StateDescriptors, StateHandles } from "../../../state/descriptor.ts";
import type { KeyedState } from "../../../state/keyed-state.ts";
import { NO_TIMESTAMP } from "../../source.ts";
import type { OpenOperator, OperatorKind, OperatorServices, Outputs, Slices } from "../contract.ts";
import { leavingTimestamps, type RequiredTimestamps, type Surroundings } from "../emitting.ts";
import { type Lifecycle, resourceOf } from "../lifecycle.ts";
import { oneSlice } from "../slices.ts";
import type { ContextTimers } from "./context-timers.ts";
import { type KeySelector, stableKey } from "./key-selector.ts";
import { type ExpiredValue, OperatorExpiry } from "./operator-expiry.ts";
import { OperatorTimers, type TimerKind, type TimersAtEnd, timerStates } from "./operator-timers.ts";
import { RecordContext } from "./record-context.ts";

/** A timer that is due. Reused for every timer of an operator: read it, do not keep it. */
export interface Timer {
  /** What it was registered for, in ms since 1970; the watermark or the clock may be far beyond. */
  readonly time: number;
  readonly kind: TimerKind;
  readonly namespace: Namespace;
}

/** Reused for every record of an operator: read it, do not keep it. */
export interface ProcessContext<S extends StateDescriptors = StateDescriptors, Out = unknown> {
  readonly key: Key;
  /**
   * Event time of the record in ms, or NO_TIMESTAMP. In `onTimer` the time of an event timer, and NO_TIMESTAMP for a
   * processing-time timer.
   */
  readonly timestamp: number;
  readonly state: StateHandles<S>;
  /** Timers of the key, for an operator with `onTimer`. */
  readonly timers: ContextTimers;
  /**
   * The watermark that the operator has come to, in ms; -Infinity: none yet. In `onTimer` of an event timer the new one
   * already.
   */
  readonly currentWatermark: number;
  /** The clock of the worker, in ms since 1970. */
  readonly currentProcessingTime: number;
  /** @param timestamp event time of what is emitted, in ms. Default: that of the context */
  readonly emit: (value: Out, timestamp?: number) => void;
  /**
   * Emits to the side output of this tag, which the operator declares.
   * @param timestamp as of `emit`
   */
  readonly sideOutput: (tag: string, value: unknown, timestamp?: number) => void;
  /** The answer of `open`. */
  readonly resource: unknown;
}

/** The context of a subtask at its end, when there is no key any more. */
export type FinishContext<Out = unknown> = Omit<ProcessContext<StateDescriptors, Out>, "key" | "state">;

export interface ProcessFunction<In, Out, S extends StateDescriptors> {
  readonly state: S;
  /** The tags of the side outputs. */
  readonly sideOutputs?: readonly string[];
  readonly timestamps?: RequiredTimestamps | undefined;
  onRecord(value: In, context: ProcessContext<S, Out>): void;
  onTimer?(timer: Timer, context: ProcessContext<S, Out>): void;
  /** Called for each value of a state with a time to live that has expired; not for values that were removed. */
  onExpire?(expired: Readonly<ExpiredValue>, context: ProcessContext<S, Out>): void;
  /** What becomes of pending processing-time timers. Default: "drop", as in Flink. */
  readonly endOfInput?: TimersAtEnd | undefined;
  /** Processing time goes on from a restored checkpoint. Default: it is the clock of the worker. */
  readonly replayClock?: "resume" | undefined;
  /** Called at the end of bounded input, once for every key that holds state; runs once in a job's life (P19). */
  onEnd?(context: ProcessContext<S, Out>): void;
  /** Called once behind the last `onEnd`. */
  onFinish?(context: FinishContext<Out>): void;
}

export interface ProcessOperator {
  readonly key: KeySelector;
  readonly process: ProcessFunction<unknown, unknown, StateDescriptors>;
  readonly lifecycle?: Lifecycle | undefined;
}

export const processKind: OperatorKind<ProcessOperator> = {
  name: "process",
  describe: ({ process }) => ({
    states: process.onTimer === undefined ? process.state : { ...process.state, ...timerStates },
    needsWatermarks: Object.values(process.state).some(
      (descriptor) => descriptor.kind !== "table" && descriptor.ttl?.time === "event",
    ),
    emitsAtEnd: [process.onEnd, process.onTimer, process.onExpire, process.onFinish].some(
      (one) => one !== undefined,
    ),
    ...(process.sideOutputs && { tags: process.sideOutputs }),
    ...(process.replayClock && { replayClock: process.replayClock }),
    ...leavingTimestamps(process.timestamps, emittingWithout(process)),
  }),
  open: ({ lifecycle, ...operator }, services, outputs) =>
    openProcess(operator, services, outputs, { resource: resourceOf(services.id, lifecycle) }).opened,
};

/** The functions that are called when no record with a timestamp is in hand. */
function emittingWithout({
  state,
  onTimer,
  onExpire,
  onEnd,
  onFinish,
}: ProcessOperator["process"]): string[] {
  const byClock = Object.values(state).some(
    (descriptor) =>
      descriptor.kind !== "table" && descriptor.ttl !== undefined && descriptor.ttl.time !== "event",
  );
  return [
    ...(onTimer === undefined ? [] : ["onTimer for a timer by the clock"]),
    ...(onExpire !== undefined && byClock ? ["onExpire for a value by the clock"] : []),
    ...(onEnd === undefined ? [] : ["onEnd"]),
    ...(onFinish === undefined ? [] : ["onFinish"]),
  ];
}

/** What an operator that is more than a keyed process builds on. */
export interface OpenProcess {
  readonly opened: OpenOperator;
  readonly state: KeyedState;
  /** What the functions for a key have in their hands. */
  readonly context: RecordContext;
}

/** @param around what the functions have besides what the operator declares */
export function openProcess(
  { key, process }: Pick<ProcessOperator, "key" | "process">,
  services: OperatorServices,
  outputs: Outputs,
  around: Omit<Surroundings, "tags">,
): OpenProcess {
  const { id, checks, keyedState, processingTime } = services;
  const { endOfInput: atEnd = "drop" } = process;
  const keyOf = stableKey(id, key, checks);
  const state = keyedState();
  const timer = { time: 0, kind: "event" as TimerKind, namespace: undefined as Namespace };
  const onTimer = (kind: TimerKind, key: Key, time: number, namespace: Namespace): void => {
    timer.kind = kind;
    timer.time = time;
    timer.namespace = namespace;
    try {
      context.begin(key, kind === "event" ? time : NO_TIMESTAMP);
      context.finish(process.onTimer!(timer, context));
    } catch (error) {
      throw atTimer(context.failureOf(error), kind);
    }
  };
  const timers = process.onTimer && new OperatorTimers({ state, processingTime, atEnd, onTimer });
  const surroundings = { ...around, tags: process.sideOutputs, timestamps: process.timestamps };
  const context = new RecordContext({ services, state, outputs, surroundings, timers });
  const onExpire = (expired: ExpiredValue, isOfEventTime: boolean, isWithin: boolean): void => {
    if (process.onExpire === undefined) return;
    // A function that has failed may still be asked what it had in its hands.
    if (isWithin && !context.isInFunction) return;
    try {
      if (isWithin) {
        context.checkReturned(process.onExpire(expired, context));
      } else {
        context.begin(state.currentKey, isOfEventTime ? expired.time : NO_TIMESTAMP);
        context.finish(process.onExpire(expired, context));
      }
    } catch (error) {
      if (isWithin) throw error;
      const failure = context.failureOf(error);
      throw failure instanceof OperatorError
        ? failure.at(`the expiry of a value of state "${expired.state}"`)
        : failure;
    }
  };
  const driven =
    state.expiring.length === 0
      ? timers
      : new OperatorExpiry({ state, services, timers, current: context, onExpire });
  const onEnd = (key: Key): void => {
    try {
      state.setCurrentKey(key);
      context.begin(key, NO_TIMESTAMP);
      context.finish(process.onEnd!(context));
    } catch (error) {
      throw context.failureOf(error);
    }
  };
  const onFinish = (): void => {
    try {
      context.beginAtLast();
      context.finish(process.onFinish!(context));
    } catch (error) {
      throw context.failureOf(error);
    }
  };
  const opened: OpenOperator = {
    ...around.resource?.hooks,
    state,
    inputs: [
      (value, timestamp) => {
        try {
          const key = keyOf(value);
          state.setCurrentKey(key);
          context.begin(key, timestamp);
          context.finish(process.onRecord(value, context));
        } catch (error) {
          throw context.failureOf(error);
        }
      },
    ],
    ...(driven && callsOf(driven)),
    ...(timers && { figures: () => timers.figures() }),
    finish() {
      const lastTimers = driven?.finish();
      const keys = process.onEnd && keyByKey(state.keys(), onEnd);
      const last = process.onFinish && oneSlice(onFinish);
      return {
        step() {
          if (lastTimers?.step() === true) return true;
          context.timersHaveFired();
          return keys?.step() === true || last?.step() === true;
        },
      };
    },
  };
  return { opened, state, context };
}

function callsOf(
  driven: OperatorTimers | OperatorExpiry,
): Pick<OpenOperator, "restored" | "advance" | "advanceProcessingTime"> {
  return {
    restored: () => driven.restored(),
    advance: (time) => driven.advance(time),
    advanceProcessingTime: (timeMs) => driven.advanceProcessingTime(timeMs),
  };
}

/** Whatever has failed, it did so because of this timer. */
function atTimer(error: unknown, kind: TimerKind): unknown {
  const timer = kind === "event" ? "an event timer" : "a processing-time timer";
  return error instanceof OperatorError ? error.at(timer) : error;
}

function keyByKey(keys: Iterator<Key>, act: (key: Key) => void): Slices {
  return {
    step() {
      const next = keys.next();
      if (next.done === true) return false;
      act(next.value);
      return true;
    },
  };
}
