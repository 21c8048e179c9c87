import type { AnyStateMachine, EmittedFrom } from "xstate";
import { show } from "../config/quantity.ts";
import { defineOperator } from "../dataflow/operators/contract.ts";
import type { KeySelector } from "../dataflow/operators/keyed/key-selector.ts";
import type { ReduceOperator } from "../dataflow/operators/keyed/reduce.ts";
import { operatorKinds as kinds } from "../dataflow/operators/kinds.ts";
import type { MachineEffect } from "../dataflow/operators/machines/definition.ts";
import { ConfigurationError } from "../errors.ts";
import type { Key, StateDescriptors } from "../state/descriptor.ts";
import { type AsyncDefinition, type AsyncSideOutputs, asyncOf, type ResultOf } from "./async/definition.ts";
import { checkProcess } from "./definition.ts";
import type { JobDraft, OpenEnd } from "./draft.ts";
import { type CombineOptions, refuseCombine, takeCombine } from "./functions/combine.ts";
import { type FunctionOptions, functionOf, lifecycleOf, type ReduceDefinition } from "./functions/given.ts";
import {
  type Emitted,
  emitReturned,
  type NoStates,
  type Nothing,
  type ProcessDefinition,
} from "./functions/process.ts";
import type { NoSideOutputs } from "./functions/side-outputs.ts";
import type { OperatorInput } from "./job.ts";
import type { BroadcastStreams } from "./joins/broadcast-connected.ts";
import type { JoinedStreams } from "./joins/interval-join.ts";
import { Joinable } from "./joins/joinable.ts";
import {
  type MachineDefinition,
  type MachineOptions,
  type MachineSideOutputs,
  machineOf,
  waysToActors,
} from "./machines/definition.ts";
import { checkName } from "./name.ts";
import type { Stream } from "./stream.ts";
import { countWindows, type WindowAssigner } from "./windows/assigners.ts";
import type { WindowOptions } from "./windows/options.ts";
import { WindowedStream } from "./windows/windowed-stream.ts";

/** Gives the stream of what an operator emits. It is handed in, because streams make keyed ones. */
export type StreamOf = <T, Side>(operator: string) => Stream<T, Side>;

/** Records of type T, those of one key in one subtask and in the order in which each sender sent them. */
export class KeyedStream<T, K extends Key> extends Joinable<T, K> {
  readonly #draft: JobDraft;
  readonly #key: KeySelector;
  readonly #end: OpenEnd;
  readonly #streamOf: StreamOf;

  constructor(draft: JobDraft, inputs: readonly OperatorInput[], end: OpenEnd, streamOf: StreamOf) {
    super();
    this.#draft = draft;
    this.#streamOf = streamOf;
    this.#key = keyOf(inputs);
    this.#end = end;
    draft.opened(this, { inputs, end, keyed: true });
  }

  /** Asks the outside world for each record, those of one key one after the other by default. */
  async<Answer, R = undefined>(
    id: string,
    definition: AsyncDefinition<T, K, Answer, R>,
    asked?: FunctionOptions,
  ): Stream<ResultOf<Answer>, AsyncSideOutputs<T>> {
    const request = asyncOf(id, definition, this.#key);
    const { lifecycle, options } = lifecycleOf(id, definition, asked);
    this.#draft.apply(defineOperator(kinds.async, id, { ...request, lifecycle }), [this], options);
    return this.#streamOf(id);
  }

  /**
   * An operator with state. The type of the stream it gives: `output`, else what `onRecord`, `onTimer` and `onEnd`
   * return, else `any` (see `process.ts`).
   */
  process<
    S extends StateDescriptors = NoStates,
    // biome-ignore lint/suspicious/noExplicitAny: nothing was said about the output, so nothing is checked
    Out = any,
    Returned extends Out | Nothing = Nothing,
    ReturnedAtEnd extends Out | Nothing = Nothing,
    Side = NoSideOutputs,
    R = undefined,
    ReturnedByTimer extends Out | Nothing = Nothing,
  >(
    id: string,
    definition: ProcessDefinition<T, K, S, Out, Returned, ReturnedAtEnd, Side, R, ReturnedByTimer>,
    asked?: FunctionOptions,
  ): Stream<Emitted<Out, Returned | ReturnedAtEnd | ReturnedByTimer>, Side> {
    checkName(id, "operator id");
    checkProcess(id, definition);
    const process = emitReturned(id, definition);
    const { lifecycle, options } = lifecycleOf(id, definition, asked);
    const operator = defineOperator(kinds.process, id, { key: this.#key, process, lifecycle });
    this.#draft.apply(operator, [this], options);
    return this.#streamOf(id);
  }

  /**
   * One actor of an XState machine for each key. The stream that it gives: emitted events, named actions, and what
   * `done` and `expired` answer. Events that no actor took: `sideOutput("refused")`.
   */
  machine<M extends AnyStateMachine, E = EmittedFrom<M>, F = MachineEffect, D = undefined, I = undefined>(
    id: string,
    definition: MachineDefinition<T, K, M, E, F, D, I>,
    options: MachineOptions = {},
  ): Stream<Exclude<E | F | D | I, Nothing>, MachineSideOutputs<K, M>> {
    const operator = machineOf(id, definition, this.#key, options.waitingMax);
    this.#draft.apply(defineOperator(kinds.machine, id, operator), [this], options, ["waitingMax"]);
    if (operator.addressee !== undefined) this.#draft.feedToItself(id, waysToActors(id));
    return this.#streamOf(id);
  }

  /** Divides the records of each key into windows of event time; what follows says what becomes of a window. */
  window<
    Tag extends string = never,
    WS extends StateDescriptors = NoStates,
    KS extends StateDescriptors = NoStates,
    Retract extends boolean = false,
  >(
    assigner: WindowAssigner<T>,
    options?: WindowOptions<Tag, WS, KS, Retract, T>,
  ): WindowedStream<T, K, Tag, WS, KS, Retract> {
    return new WindowedStream(assigner, options, this.#key, (definition, options) => {
      this.#draft.apply(definition, [this], options);
      return this.#streamOf(definition.id);
    });
  }

  /** Windows of so many records of a key each. What is left at the end of input is one, too. */
  countWindow(size: number): WindowedStream<T, K> {
    return this.window(countWindows({ size }));
  }

  /**
   * One value per key: the key's first record, then what `reduce` answers. Emits the new value for each record, or,
   * with `combine`, for some that came together.
   */
  reduce(id: string, reduce: (aggregate: T, value: T) => T, options?: CombineOptions): Stream<T>;
  reduce<R>(id: string, definition: ReduceDefinition<T, R>, options?: FunctionOptions): Stream<T>;
  reduce(id: string, given: unknown, asked?: FunctionOptions & CombineOptions): Stream<T> {
    const { combine, others } = takeCombine(id, asked);
    const { call, lifecycle, options } = functionOf<ReduceOperator["reduce"]>(id, "reduce", given, others);
    if (combine && lifecycle !== undefined) {
      refuseCombine(
        id,
        "runs reduce in front of keyBy, too, where open has not run: leave out one of the two",
      );
    }
    const operator = defineOperator(kinds.reduce, id, { key: this.#key, reduce: call, lifecycle, combine });
    this.#draft.apply(operator, [this], options);
    return this.#streamOf(id);
  }

  protected override joinedWith(method: string, other: KeyedStream<unknown, K>): JoinedStreams {
    if (!(other instanceof KeyedStream) || other.#draft !== this.#draft) {
      const after = this.#end.key;
      throw new ConfigurationError(
        after,
        `${method} after "${after}": takes a stream of the same job behind keyBy, got ${show(other)}`,
      );
    }
    return { ...this.#readWith(other), rightKey: other.#key };
  }

  protected override connectedTo(other: Stream<unknown>): BroadcastStreams {
    const { waitFor } = this.#draft.broadcastOf(this.#end.key, other);
    return { ...this.#readWith(other), waitFor };
  }

  #readWith(other: object): Omit<JoinedStreams, "rightKey"> {
    return {
      leftKey: this.#key,
      add: (definition, options) => {
        this.#draft.apply(definition, [this, other], options);
        return this.#streamOf(definition.id);
      },
    };
  }
}

function keyOf(inputs: readonly OperatorInput[]): KeySelector {
  const exchange = inputs[0]!.exchange;
  if (exchange.kind !== "hash") throw new TypeError("a keyed stream without key");
  return exchange.key;
}
