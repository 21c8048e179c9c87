/** What a job says of a keyed stream and one that every subtask gets whole: `connect(rules.broadcast())`. */
import { show } from "../../config/quantity.ts";
import { defineOperator } from "../../dataflow/operators/contract.ts";
import type { BroadcastContext as EngineContext } from "../../dataflow/operators/joins/broadcast-process.ts";
import { operatorKinds as kinds } from "../../dataflow/operators/kinds.ts";
import type { OpenContext } from "../../dataflow/operators/lifecycle.ts";
import { ConfigurationError } from "../../errors.ts";
import type {
  BroadcastHandles,
  BroadcastStateDescriptors,
  ReadOnlyBroadcastHandles,
} from "../../state/broadcast-state.ts";
import type { Key, StateDescriptors, StateHandles } from "../../state/descriptor.ts";
import { checkProcess, twinOf } from "../definition.ts";
import { emitAnswer } from "../functions/emit-returned.ts";
import { type FunctionOptions, lifecycleOf, type OpenAndClose } from "../functions/given.ts";
import {
  type Emitted,
  type Expired,
  emitReturned,
  type KeyedContext,
  type NoStates,
  type Nothing,
  type ProcessDefinition,
} from "../functions/process.ts";
import type { NoSideOutputs, SideOutput } from "../functions/side-outputs.ts";
import { checkName } from "../name.ts";
import type { Stream } from "../stream.ts";
import type { JoinedStreams } from "./interval-join.ts";

/** The context of a record or timer of the keyed stream, with broadcast state to read. */
export interface KeyedBroadcastContext<
  K extends Key,
  S extends StateDescriptors,
  B extends BroadcastStateDescriptors,
  Out,
  Side,
  Resource,
> extends Omit<KeyedContext<K, S, Out, Side, Resource>, "broadcast"> {
  readonly broadcast: ReadOnlyBroadcastHandles<B>;
}

/** The context of a broadcast record, which has no key. */
export interface BroadcastRecordContext<
  K extends Key,
  S extends StateDescriptors,
  B extends BroadcastStateDescriptors,
  Out,
  Side,
  Resource,
> extends Omit<EngineContext, "broadcast" | "emit" | "sideOutput" | "forEachKey" | "resource"> {
  readonly broadcast: BroadcastHandles<B>;
  /** Each subtask emits. @param timestamp event time of what is emitted, in ms. Default: that of the record */
  readonly emit: (value: Out, timestamp?: number) => void;
  readonly sideOutput: SideOutput<Side>;
  /**
   * Has the function called for each key of the subtask that holds a value in this keyed state, with the handle of that
   * state to read, change or clear; values that have expired do not count. The calls come behind `onBroadcast` and
   * before the next record. The function may emit by this context. It returns nothing and does not wait. The event loop
   * lives between two keys; records and barriers wait for all of them. Broadcast state cannot change there, because
   * each subtask has other keys. Flink: applyToKeyedState, which calls it at once.
   *
   * @throws OperatorError for a name that is no keyed state of the operator, and within another `forEachKey`
   */
  readonly forEachKey: <N extends keyof S & string>(
    state: N,
    apply: (key: K, state: StateHandles<S>[N]) => void,
  ) => void;
  readonly resource: Resource;
}

/** What `open` is told. */
export interface BroadcastOpenContext<B extends BroadcastStateDescriptors> extends OpenContext {
  /** The broadcast states, restored, to read. */
  readonly broadcast: ReadOnlyBroadcastHandles<B>;
}

/** As of a keyed `process`, and what becomes of the broadcast records. */
export interface BroadcastProcessDefinition<
  T,
  Broadcast,
  K extends Key,
  S extends StateDescriptors,
  B extends BroadcastStateDescriptors,
  Out,
  Returned,
  Side = NoSideOutputs,
  Resource = undefined,
> extends Omit<
      ProcessDefinition<T, K, S, Out, never, never, Side, Resource, never>,
      "open" | "close" | "onRecord" | "onTimer" | "onExpire" | "onEnd" | "onFinish"
    >,
    OpenAndClose<Resource, BroadcastOpenContext<B>> {
  /** The broadcast states by name: `{ rules: broadcastState<string, Rule>() }`. */
  readonly broadcast: B;
  readonly onRecord: (value: T, context: KeyedBroadcastContext<K, S, B, Out, Side, Resource>) => Returned;
  /**
   * Called in every subtask for each broadcast record, in one order. Only here may broadcast state change. What it does
   * must follow from the record and the broadcast state alone, so that all subtasks come to the same.
   */
  readonly onBroadcast: (
    value: Broadcast,
    context: BroadcastRecordContext<K, S, B, Out, Side, Resource>,
  ) => void;
  readonly onTimer?: (
    timer: Parameters<NonNullable<ProcessDefinition<T, K, S, Out, never, never>["onTimer"]>>[0],
    context: KeyedBroadcastContext<K, S, B, Out, Side, Resource>,
  ) => Returned;
  readonly onExpire?: (
    expired: Expired<S>,
    context: KeyedBroadcastContext<K, S, B, Out, Side, Resource>,
  ) => Returned;
  readonly onEnd?: (context: KeyedBroadcastContext<K, S, B, Out, Side, Resource>) => Returned;
}

/** What is said at `broadcast()`. */
export interface BroadcastOptions {
  /**
   * Holds the keyed stream back, without keeping it in the state, until the rules are there: "first": a subtask has had
   * its first broadcast record. "caughtUp": the sources of the broadcast stream have read all that there was; they need
   * `idleAfter`, or an end. Default: it is not held back.
   */
  readonly waitFor?: "first" | "caughtUp" | undefined;
}

export interface BroadcastStreams extends Omit<JoinedStreams, "rightKey"> {
  readonly waitFor: BroadcastOptions["waitFor"];
}

/** A keyed stream, and one of which every subtask gets all records. */
export class BroadcastConnectedStream<T, Broadcast, K extends Key> {
  readonly #streams: BroadcastStreams;

  constructor(streams: BroadcastStreams) {
    this.#streams = streams;
  }

  /** An operator with keyed state, timers, and state that the broadcast records keep the same in every subtask. */
  process<
    S extends StateDescriptors = NoStates,
    B extends BroadcastStateDescriptors = NoStates,
    // biome-ignore lint/suspicious/noExplicitAny: nothing was said about the output, so nothing is checked
    Out = any,
    Returned extends Out | Nothing = Nothing,
    Side = NoSideOutputs,
    R = undefined,
  >(
    id: string,
    definition: BroadcastProcessDefinition<T, Broadcast, K, S, B, Out, Returned, Side, R>,
    asked?: FunctionOptions,
  ): Stream<Emitted<Out, Returned>, Side> {
    checkName(id, "operator id");
    checkProcess(id, definition, ["onRecord", "onBroadcast"], ["broadcast"]);
    checkBroadcast(id, definition);
    const { leftKey, add, waitFor } = this.#streams;
    const { lifecycle, options } = lifecycleOf(id, definition, asked);
    const written = definition as unknown as {
      readonly broadcast: BroadcastStateDescriptors;
      onBroadcast(value: unknown, context: EngineContext): unknown;
    };
    const operator = {
      key: leftKey,
      process: emitReturned(id, definition as never),
      broadcast: written.broadcast,
      onBroadcast: (value: unknown, context: EngineContext) =>
        emitAnswer(id, "onBroadcast", written.onBroadcast(value, context), context.emit),
      lifecycle,
      waitFor,
    };
    return add(defineOperator(kinds.broadcastProcess, id, operator), options);
  }
}

function checkBroadcast(
  id: string,
  { broadcast, state = {} }: { readonly broadcast: unknown; readonly state?: object },
): void {
  const wrong = (what: string): never => {
    throw new ConfigurationError(id, `operator "${id}": ${what}`);
  };
  if (typeof broadcast !== "object" || broadcast === null || Array.isArray(broadcast))
    wrong(`broadcast must be an object like { rules: broadcastState() }, got ${show(broadcast)}`);
  const declared = Object.entries(broadcast as object);
  for (const [name, descriptor] of declared) {
    checkName(name, `operator "${id}": broadcast state`);
    if ((descriptor as { readonly kind?: unknown } | null)?.kind !== "broadcast")
      wrong(`broadcast state "${name}" must be made by broadcastState(), got ${show(descriptor)}`);
  }
  const alike = twinOf([...declared.map(([name]) => name), ...Object.keys(state)]);
  const same = declared.find(([name]) => Object.hasOwn(state, name))?.[0];
  if (same !== undefined) wrong(`state "${same}" is declared both as keyed and as broadcast state`);
  if (alike !== undefined)
    wrong(`states "${alike[0]}" and "${alike[1]}" differ only in upper and lower case`);
}
