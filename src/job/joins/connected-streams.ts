/** What a job says of two keyed streams that one operator reads: `connect`. */
import { defineOperator } from "../../dataflow/operators/contract.ts";
import type { ProcessContext } from "../../dataflow/operators/keyed/process.ts";
import { operatorKinds as kinds } from "../../dataflow/operators/kinds.ts";
import type { Key, StateDescriptors } from "../../state/descriptor.ts";
import { checkProcess } from "../definition.ts";
import { emitAnswer } from "../functions/emit-returned.ts";
import { type FunctionOptions, lifecycleOf } from "../functions/given.ts";
import {
  type Emitted,
  emitReturned,
  type KeyedContext,
  type NoStates,
  type Nothing,
  type ProcessDefinition,
} from "../functions/process.ts";
import type { NoSideOutputs } from "../functions/side-outputs.ts";
import { checkName } from "../name.ts";
import type { Stream } from "../stream.ts";
import type { JoinedStreams } from "./interval-join.ts";

/**
 * As of a keyed `process`, with a function for each stream. State and timers are those of the key, whichever stream a
 * record comes from. There is no order between the two streams.
 */
export interface CoProcessDefinition<
  First,
  Second,
  K extends Key,
  S extends StateDescriptors,
  Out,
  Returned,
  ReturnedBySecond,
  ReturnedAtEnd,
  Side = NoSideOutputs,
  Resource = undefined,
  ReturnedByTimer = Nothing,
> extends Omit<
    ProcessDefinition<never, K, S, Out, never, ReturnedAtEnd, Side, Resource, ReturnedByTimer>,
    "onRecord"
  > {
  /** Called for each record of the stream that `connect` was called on. */
  readonly onFirst: (value: First, context: KeyedContext<K, S, Out, Side, Resource>) => Returned;
  /** Called for each record of the stream that was given to `connect`. */
  readonly onSecond: (value: Second, context: KeyedContext<K, S, Out, Side, Resource>) => ReturnedBySecond;
}

/** Two streams, keyed by keys of one type, that one operator is to read. */
export class ConnectedStreams<First, Second, K extends Key> {
  readonly #streams: JoinedStreams;

  constructor(streams: JoinedStreams) {
    this.#streams = streams;
  }

  /** An operator with state and timers. The type of the stream it gives is found as at a keyed `process`. */
  process<
    S extends StateDescriptors = NoStates,
    // biome-ignore lint/suspicious/noExplicitAny: nothing was said about the output, so nothing is checked
    Out = any,
    Returned extends Out | Nothing = Nothing,
    ReturnedBySecond extends Out | Nothing = Nothing,
    ReturnedAtEnd extends Out | Nothing = Nothing,
    Side = NoSideOutputs,
    R = undefined,
    ReturnedByTimer extends Out | Nothing = Nothing,
  >(
    id: string,
    definition: CoProcessDefinition<
      First,
      Second,
      K,
      S,
      Out,
      Returned,
      ReturnedBySecond,
      ReturnedAtEnd,
      Side,
      R,
      ReturnedByTimer
    >,
    asked?: FunctionOptions,
  ): Stream<Emitted<Out, Returned | ReturnedBySecond | ReturnedAtEnd | ReturnedByTimer>, Side> {
    checkName(id, "operator id");
    checkProcess(id, definition, ["onFirst", "onSecond"]);
    const { leftKey, rightKey, add } = this.#streams;
    const { lifecycle, options } = lifecycleOf(id, definition, asked);
    const written = definition as unknown as Written;
    const side = (name: "onFirst" | "onSecond") => (value: unknown, context: ProcessContext) => {
      const returned = written[name](value, context);
      if (returned !== undefined) emitAnswer(id, name, returned, context.emit);
    };
    const operator = {
      first: { key: leftKey, onRecord: side("onFirst") },
      second: { key: rightKey, onRecord: side("onSecond") },
      // The functions for records are those of the sides.
      process: emitReturned(id, definition as never),
      lifecycle,
    };
    return add(defineOperator(kinds.coProcess, id, operator), options);
  }
}

type Written = CoProcessDefinition<
  unknown,
  unknown,
  Key,
  StateDescriptors,
  unknown,
  unknown,
  unknown,
  unknown,
  Readonly<Record<string, unknown>>,
  unknown,
  unknown
>;
