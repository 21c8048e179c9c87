/**
 * The types of `process`: what a user writes, and what type the resulting stream has.
 *
 * TypeScript cannot infer what a function emits from its calls of `emit`. So there are two ways to a typed result, and
 * one without: declare it (`output: type<Count>()`, then `emit` is checked), or return it from `onRecord` (inferred). A
 * function that only calls `emit` and declares nothing gives a stream of `any`.
 */
import type { RequiredTimestamps } from "../../dataflow/operators/emitting.ts";
import type { TimersAtEnd } from "../../dataflow/operators/keyed/operator-timers.ts";
import type { ProcessContext, ProcessFunction, Timer } from "../../dataflow/operators/keyed/process.ts";
import type {
  AggregatingStateDescriptor,
  Key,
  ListStateDescriptor,
  MapStateDescriptor,
  ReducingStateDescriptor,
  StateDescriptors,
  ValueStateDescriptor,
} from "../../state/descriptor.ts";
import { emitAnswer } from "./emit-returned.ts";
import type { OpenAndClose } from "./given.ts";
import type { NoSideOutputs, SideOutput, SideOutputWitnesses } from "./side-outputs.ts";
import type { TypeWitness } from "./type-witness.ts";

/** The states of a process that declares none. */
export type NoStates = Readonly<Record<never, never>>;

/** `ProcessContext` that knows the types of the key, of the side outputs and of what `open` answers. */
export interface KeyedContext<
  K extends Key,
  S extends StateDescriptors,
  Out,
  Side = NoSideOutputs,
  Resource = undefined,
> extends Omit<ProcessContext<S, Out>, "sideOutput" | "resource"> {
  /** The key of the record or the timer, or at the end of input the key that `onEnd` is called for. */
  readonly key: K;
  /** Emits to a side output. */
  readonly sideOutput: SideOutput<Side>;
  /** The answer of `open`. */
  readonly resource: Resource;
}

interface ExpiredFrom<N, Value, Entry = undefined> {
  /** Name of the state: it tells which type `value` has. */
  readonly state: N;
  /** What was there; of a list one value, of a map the value of one entry, of aggregating state the result. */
  readonly value: Value;
  /** The key of the entry, of a map. */
  readonly entry: Entry;
  /** When it expired, in ms since 1970. */
  readonly time: number;
}

type ExpiredOf<N, D> =
  D extends ValueStateDescriptor<infer T>
    ? ExpiredFrom<N, T>
    : D extends ListStateDescriptor<infer T>
      ? ExpiredFrom<N, T>
      : D extends MapStateDescriptor<infer K, infer V>
        ? ExpiredFrom<N, V, K>
        : D extends ReducingStateDescriptor<infer T>
          ? ExpiredFrom<N, T>
          : D extends AggregatingStateDescriptor<infer _, infer __, infer R>
            ? ExpiredFrom<N, R>
            : never;

/** A value that has expired, of one of the states. Reused for every one of an operator: read it, do not keep it. */
export type Expired<S extends StateDescriptors> = { [N in keyof S]: ExpiredOf<N, S[N]> }[keyof S];

/**
 * A keyed operator with state. All functions are synchronous; for each key they run one after the other.
 *
 * What `onRecord`, `onTimer`, `onExpire` or `onEnd` returns is emitted, as one record, unless it is undefined; `emit`
 * emits any number.
 */
export interface ProcessDefinition<
  T,
  K extends Key,
  S extends StateDescriptors,
  Out,
  Returned,
  ReturnedAtEnd,
  Side = NoSideOutputs,
  Resource = undefined,
  ReturnedByTimer = Nothing,
> extends OpenAndClose<Resource> {
  /** The states by name: names are stable, a restored job finds its state by them. Default: none. */
  readonly state?: S;
  /** Type of what is emitted, see `type`. */
  readonly output?: TypeWitness<Out>;
  /** The side outputs by tag: `{ late: type<Reading>() }`. */
  readonly sideOutputs?: SideOutputWitnesses<Side>;
  /**
   * "required": all that the functions emit has a timestamp; what would leave without one fails the job, by the name of
   * the operator. Windows and joins by event time behind the operator need that where there is `onTimer`, `onEnd`,
   * `onFinish`, or `onExpire` by the clock: these have no timestamp but what they give to `emit`, except for event
   * timers. Default: what is emitted may have none, and such windows and joins are refused.
   */
  readonly timestamps?: RequiredTimestamps;
  readonly onRecord: (value: T, context: KeyedContext<K, S, Out, Side, Resource>) => Returned;
  /**
   * Called for each timer that is due; timers are registered by `context.timers`. Ascending in time, one key after the
   * other where times are equal. For a key, records and timers come one after the other.
   */
  readonly onTimer?: (timer: Timer, context: KeyedContext<K, S, Out, Side, Resource>) => ReturnedByTimer;
  /**
   * Called once for each value of a state with a time to live that has expired; by then it is gone from the state. Not
   * for values that were removed or replaced before.
   */
  readonly onExpire?: (
    expired: Expired<S>,
    context: KeyedContext<K, S, Out, Side, Resource>,
  ) => ReturnedByTimer;
  /**
   * What becomes of processing-time timers that are pending when the input ends: they fire at once, each with its own
   * time, or are dropped. Default: "drop". Event timers fire, whatever their time.
   */
  readonly endOfInput?: TimersAtEnd;
  /**
   * What processing time is after a restore. "resume": it goes on from the checkpoint, and catches up with event time
   * while records are read again, so timers fire among the records they fired among before. It needs watermarks in
   * front of the operator. Default: the clock of the worker, and what has become due meanwhile fires at once.
   */
  readonly replayClock?: "resume";
  /** Called at the end of bounded input, once for every key that holds state; runs once in a job's life. */
  readonly onEnd?: (context: KeyedContext<K, S, Out, Side, Resource>) => ReturnedAtEnd;
  /**
   * Called once in each subtask at the end of bounded input, behind `onEnd` of its last key and in front of the final
   * checkpoint: the documents' `finish`. It has no key, so it has no state.
   */
  readonly onFinish?: (
    context: Omit<KeyedContext<K, S, Out, Side, Resource>, "key" | "state">,
  ) => ReturnedAtEnd;
}

type IsAny<T> = 0 extends 1 & T ? true : false;

// biome-ignore lint/suspicious/noConfusingVoidType: what a function without return statement is inferred to return
export type Nothing = void | undefined;

/** Type of the records that leave a `process`: what is declared, else what is returned, else unknown to us. */
export type Emitted<Out, Returned> =
  IsAny<Out> extends false
    ? Out
    : [Exclude<Returned, Nothing>] extends [never]
      ? Out
      : Exclude<Returned, Nothing>;

/**
 * The function that the engine runs: returned values are emitted, and a promise is caught before it becomes a record.
 */
export function emitReturned<
  T,
  K extends Key,
  S extends StateDescriptors,
  Out,
  Returned,
  ReturnedAtEnd,
  Side,
  Resource,
  ReturnedByTimer,
>(
  id: string,
  definition: ProcessDefinition<T, K, S, Out, Returned, ReturnedAtEnd, Side, Resource, ReturnedByTimer>,
): ProcessFunction<unknown, unknown, StateDescriptors> {
  const written = definition as unknown as ProcessDefinition<
    unknown,
    Key,
    StateDescriptors,
    unknown,
    unknown,
    unknown,
    Readonly<Record<string, unknown>>,
    unknown
  >;
  const { state = {}, sideOutputs, timestamps, endOfInput, replayClock } = written;
  return {
    state,
    timestamps,
    ...(sideOutputs && { sideOutputs: Object.keys(sideOutputs) }),
    replayClock,
    onRecord(value, context) {
      const returned = written.onRecord(value, context);
      if (returned !== undefined) emitAnswer(id, "onRecord", returned, context.emit);
    },
    ...(written.onTimer !== undefined && {
      endOfInput,
      onTimer(timer, context) {
        const returned = written.onTimer?.(timer, context);
        if (returned !== undefined) emitAnswer(id, "onTimer", returned, context.emit);
      },
    }),
    ...(written.onExpire !== undefined && {
      onExpire(expired, context) {
        const returned = written.onExpire?.(expired as never, context);
        if (returned !== undefined) emitAnswer(id, "onExpire", returned, context.emit);
      },
    }),
    ...(written.onEnd !== undefined && {
      onEnd: (context) => emitAnswer(id, "onEnd", written.onEnd?.(context), context.emit),
    }),
    ...(written.onFinish !== undefined && {
      onFinish: (context) => emitAnswer(id, "onFinish", written.onFinish?.(context), context.emit),
    }),
  };
}
