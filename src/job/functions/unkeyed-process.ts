/** `process` without keyBy: what a user writes, what is checked of it, and the function that the engine runs. */
import { checkMembers } from "../../config/members.ts";
import { show } from "../../config/quantity.ts";
import type { RequiredTimestamps } from "../../dataflow/operators/emitting.ts";
import type { OpenContext } from "../../dataflow/operators/lifecycle.ts";
import type {
  UnkeyedProcessContext,
  UnkeyedProcessFunction,
} from "../../dataflow/operators/unkeyed/process.ts";
import { ConfigurationError } from "../../errors.ts";
import {
  isOperatorState,
  type OperatorStateDescriptors,
  type OperatorStateHandles,
} from "../../state/operator-state.ts";
import { checkFunction, checkTimestamps, twinOf } from "../definition.ts";
import { checkName } from "../name.ts";
import { emitAnswer } from "./emit-returned.ts";
import type { OpenAndClose } from "./given.ts";
import {
  checkSideOutputs,
  type NoSideOutputs,
  type SideOutput,
  type SideOutputWitnesses,
} from "./side-outputs.ts";
import type { TypeWitness } from "./type-witness.ts";

/** The states of a process that declares none. */
export type NoOperatorStates = Readonly<Record<never, never>>;

/** The context of a record, or at the end of input of the subtask. */
export interface UnkeyedContext<
  S extends OperatorStateDescriptors,
  Out,
  Side = NoSideOutputs,
  Resource = undefined,
> extends Omit<UnkeyedProcessContext<S, Out>, "sideOutput" | "resource" | "state"> {
  /** The states of this subtask. */
  readonly state: OperatorStateHandles<S>;
  /** Emits to a side output. */
  readonly sideOutput: SideOutput<Side>;
  /** The answer of `open`. */
  readonly resource: Resource;
}

/** What `open` is told. */
export interface UnkeyedOpenContext<S extends OperatorStateDescriptors> extends OpenContext {
  /**
   * The states of this subtask, restored: of a union the values of all subtasks, from which this one may keep its part.
   */
  readonly state: OperatorStateHandles<S>;
}

/**
 * An operator whose subtasks take records of any key. All functions but `open` and `close` are synchronous.
 *
 * What `onRecord` or `onEnd` returns is emitted, as one record, unless it is undefined; `emit` emits any number.
 */
export interface UnkeyedProcessDefinition<
  T,
  S extends OperatorStateDescriptors,
  Out,
  Returned,
  ReturnedAtEnd,
  Side = NoSideOutputs,
  Resource = undefined,
> extends OpenAndClose<Resource, UnkeyedOpenContext<S>> {
  /**
   * The states of the subtask by name, made by `operatorListState` or `operatorUnionState`. Names are stable, a
   * restored job finds its state by them. Default: none.
   */
  readonly state?: S;
  /** Type of what is emitted, see `type`. */
  readonly output?: TypeWitness<Out>;
  /** The side outputs by tag: `{ late: type<Reading>() }`. */
  readonly sideOutputs?: SideOutputWitnesses<Side>;
  /**
   * "required": all that the functions emit has a timestamp; what would leave without one fails the job, by the name of
   * the operator. Windows and joins by event time behind the operator need that where there is `onEnd`, which has no
   * timestamp but what it gives to `emit`. Default: what is emitted may have none, and such windows and joins are
   * refused.
   */
  readonly timestamps?: RequiredTimestamps;
  readonly onRecord: (value: T, context: UnkeyedContext<S, Out, Side, Resource>) => Returned;
  /**
   * Called once in each subtask at the end of bounded input, in front of the final checkpoint: what is buffered goes
   * out here. Afterwards the state is empty.
   */
  readonly onEnd?: (context: UnkeyedContext<S, Out, Side, Resource>) => ReturnedAtEnd;
}

const MEMBERS = ["state", "output", "sideOutputs", "timestamps", "open", "onRecord", "onEnd", "close"];

/** @throws ConfigurationError when the definition cannot work */
export function unkeyedFunctionOf(id: string, definition: unknown): UnkeyedProcessFunction {
  checkName(id, "operator id");
  const what = `operator "${id}"`;
  if (typeof (definition as { readonly onTimer?: unknown } | null)?.onTimer === "function") {
    throw new ConfigurationError(
      id,
      `${what}: has onTimer, and timers belong to keys: put keyBy in front of process`,
    );
  }
  checkMembers(definition, MEMBERS, what, "member", id);
  const written = definition as UnkeyedProcessDefinition<
    unknown,
    OperatorStateDescriptors,
    unknown,
    unknown,
    unknown,
    Readonly<Record<string, unknown>>,
    unknown
  >;
  const { state = {}, sideOutputs, timestamps, onEnd } = written;
  checkFunction(id, "onRecord", written.onRecord);
  if (onEnd !== undefined) checkFunction(id, "onEnd", onEnd);
  checkStates(id, state);
  checkSideOutputs(id, sideOutputs);
  checkTimestamps(id, timestamps);
  return {
    state,
    timestamps,
    ...(sideOutputs && { sideOutputs: Object.keys(sideOutputs) }),
    onRecord(value, context) {
      const returned = written.onRecord(value, context);
      if (returned !== undefined) emitAnswer(id, "onRecord", returned, context.emit);
    },
    ...(onEnd !== undefined && {
      onEnd: (context) => emitAnswer(id, "onEnd", written.onEnd?.(context), context.emit),
    }),
  };
}

const EXAMPLE = "{ buffer: operatorListState() }";

function checkStates(id: string, states: unknown): void {
  const prototype: unknown =
    typeof states === "object" && states !== null ? Object.getPrototypeOf(states) : undefined;
  if (prototype !== Object.prototype && prototype !== null) {
    throw new ConfigurationError(
      id,
      `operator "${id}": state must be a plain object like ${EXAMPLE}, got ${show(states)}`,
    );
  }
  const names = Object.entries(states as object);
  for (const [name, descriptor] of names) {
    checkName(name, `operator "${id}": state`);
    const what = `operator "${id}": state "${name}"`;
    if (isOperatorState(descriptor)) continue;
    const kind: unknown = (descriptor as { readonly kind?: unknown } | null)?.kind;
    throw new ConfigurationError(
      id,
      typeof kind === "string"
        ? `${what} is kept for each key, and this process has no key: put keyBy in front of it, or use operatorListState()`
        : `${what} must be made by operatorListState() or operatorUnionState(), got ${show(descriptor)}`,
    );
  }
  const alike = twinOf(names.map(([name]) => name));
  if (alike === undefined) return;
  throw new ConfigurationError(
    id,
    `operator "${id}": states "${alike[0]}" and "${alike[1]}" differ only in upper and lower case`,
  );
}
