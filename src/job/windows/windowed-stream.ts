/** What a job says of windows: what becomes of the records in one. */
import { checkMembers } from "../../config/members.ts";
import { defineOperator, type OperatorDefinition } from "../../dataflow/operators/contract.ts";
import type { Joins } from "../../dataflow/operators/keyed/combine.ts";
import type { KeySelector } from "../../dataflow/operators/keyed/key-selector.ts";
import { operatorKinds as kinds } from "../../dataflow/operators/kinds.ts";
import type { Aggregation } from "../../dataflow/operators/windows/aggregation.ts";
import type { WindowDefinition } from "../../dataflow/operators/windows/definition.ts";
import type { LateRecord } from "../../dataflow/operators/windows/late-records.ts";
import {
  alignedPlacement,
  globalPlacement,
  type Placement,
  sessionPlacement,
} from "../../dataflow/operators/windows/triggered/placement.ts";
import type { Change } from "../../dataflow/operators/windows/triggered/retractions.ts";
import type { TriggeredWindowDefinition } from "../../dataflow/operators/windows/triggered/triggered-window.ts";
import type {
  WindowFunction as EngineWindowFunction,
  WindowContext,
} from "../../dataflow/operators/windows/window-output.ts";
import { ConfigurationError } from "../../errors.ts";
import type { AggregateFunction, Key, StateDescriptors } from "../../state/descriptor.ts";
import { checkFunction, type OperatorOptions } from "../definition.ts";
import { type CombineOptions, refuseCombine, takeCombine } from "../functions/combine.ts";
import type { Emitted, NoStates, Nothing } from "../functions/process.ts";
import { checkName } from "../name.ts";
import type { Stream } from "../stream.ts";
import { type ResolvedWindows, resolveWindows, type WindowAssigner } from "./assigners.ts";
import { resolveOptions, type WindowOptions } from "./options.ts";
import { spanOf } from "./span.ts";
import { factsOf } from "./triggers.ts";

/** What it returns is emitted, unless it is undefined; `context.emit` emits any number. */
export type WindowFunction<
  Contents,
  K extends Key,
  Out,
  Returned,
  WS extends StateDescriptors = NoStates,
  KS extends StateDescriptors = NoStates,
> = (contents: Contents, context: WindowContext<K, Out, WS, KS>) => Returned;

/** What windows emit: results, or changes where results are taken back. */
type Results<R, Retract extends boolean> = [Retract] extends [true] ? Change<R> : R;

type LateOutput<T, Tag extends string> = { readonly [N in Tag]: LateRecord<T> };

/** Adds an operator that reads the keyed stream, and answers what it emits. */
export type AddWindows = <Out, Side>(
  definition: OperatorDefinition,
  options: OperatorOptions | undefined,
) => Stream<Out, Side>;

/** A record lies in at most so many windows, where each of them keeps it. */
const WINDOWS_MAX = 10_000;

/** The records of each key, divided into windows. */
export class WindowedStream<
  T,
  K extends Key,
  Tag extends string = never,
  WS extends StateDescriptors = NoStates,
  KS extends StateDescriptors = NoStates,
  Retract extends boolean = false,
> {
  /** A `WindowAssigner<T>`; the type is not in a field, so that a stream of T is a stream of all that T is. */
  readonly #assigner: unknown;
  readonly #options: object;
  readonly #key: KeySelector;
  readonly #add: AddWindows;

  constructor(
    assigner: WindowAssigner<T>,
    options: WindowOptions<Tag, WS, KS, Retract> | undefined,
    key: KeySelector,
    add: AddWindows,
  ) {
    this.#assigner = assigner;
    this.#options = options ?? {};
    this.#key = key;
    this.#add = add;
  }

  /**
   * One record for each key and window: the first one, then what `reduce` answers; or what `process` makes of that.
   * `reduce` is associative: where windows overlap, it also joins what it has answered.
   */
  reduce(
    id: string,
    reduce: (aggregate: T, value: T) => T,
    process?: undefined,
    options?: CombineOptions,
  ): Stream<Results<T, Retract>, LateOutput<T, Tag>>;
  // biome-ignore lint/suspicious/noExplicitAny: nothing was said about the output, so nothing is checked
  reduce<Out = any, Returned extends Out | Nothing = Nothing>(
    id: string,
    reduce: (aggregate: T, value: T) => T,
    process: WindowFunction<T, K, Out, Returned, WS, KS>,
    options?: CombineOptions,
  ): Stream<Results<Emitted<Out, Returned>, Retract>, LateOutput<T, Tag>>;
  // biome-ignore lint/suspicious/noExplicitAny: the types are those of the signatures above
  reduce(id: string, reduce: unknown, process?: unknown, options?: CombineOptions): Stream<any, any> {
    checkFunction(id, "reduce", reduce);
    const { combine, others } = takeCombine(id, options);
    const both = reduce as Aggregation["add"];
    const same = (value: unknown): unknown => value;
    return this.#run(
      id,
      { first: same, add: both, merge: both, result: same, addName: "reduce" },
      process,
      others,
      combine ? "records" : undefined,
    );
  }

  /**
   * One record for each key and window: the result of `aggregate`, or what `process` makes of that. With `merge`,
   * windows that overlap keep one accumulator for each piece of time; without it, they keep the records.
   */
  aggregate<A, R>(
    id: string,
    aggregate: AggregateFunction<T, A, R>,
    process?: undefined,
    options?: CombineOptions,
  ): Stream<Results<R, Retract>, LateOutput<T, Tag>>;
  // biome-ignore lint/suspicious/noExplicitAny: nothing was said about the output, so nothing is checked
  aggregate<A, R, Out = any, Returned extends Out | Nothing = Nothing>(
    id: string,
    aggregate: AggregateFunction<T, A, R>,
    process: WindowFunction<R, K, Out, Returned, WS, KS>,
    options?: CombineOptions,
  ): Stream<Results<Emitted<Out, Returned>, Retract>, LateOutput<T, Tag>>;
  // biome-ignore lint/suspicious/noExplicitAny: the types are those of the signatures above
  aggregate(id: string, aggregate: unknown, process?: unknown, options?: CombineOptions): Stream<any, any> {
    const { combine, others } = takeCombine(id, options);
    const aggregation = aggregationOf(id, aggregate);
    if (combine && aggregation.merge === undefined)
      refuseCombine(id, "sends accumulators, which merge joins: give the aggregate a merge");
    return this.#run(id, aggregation, process, others, combine ? "accumulators" : undefined);
  }

  /** Keeps all records of a window, and calls `process` with them, in the order in which they came. */
  // biome-ignore lint/suspicious/noExplicitAny: nothing was said about the output, so nothing is checked
  process<Out = any, Returned extends Out | Nothing = Nothing>(
    id: string,
    process: WindowFunction<readonly T[], K, Out, Returned, WS, KS>,
    options?: OperatorOptions,
  ): Stream<Results<Emitted<Out, Returned>, Retract>, LateOutput<T, Tag>> {
    checkFunction(id, "process", process);
    return this.#run(id, undefined, process, options);
  }

  #run<Out, Side>(
    id: string,
    aggregation: Aggregation | undefined,
    process: unknown,
    options: OperatorOptions | undefined,
    combine?: Joins["kind"],
  ): Stream<Out, Side> {
    checkName(id, "operator id");
    if (process !== undefined) checkFunction(id, "process", process);
    const resolved = resolveWindows(id, this.#assigner);
    const { allowedLateness, lateTag, endOfInput, replayClock, migrateWindows, triggered, words } =
      resolveOptions(id, this.#options, resolved);
    const windowsPerRecord = resolved.kind === "aligned" ? resolved.windows.windowsPerPane : 1;
    const keepsOfEach = aggregation?.merge === undefined || triggered !== undefined;
    if (windowsPerRecord > WINDOWS_MAX && keepsOfEach) {
      throw new ConfigurationError(
        id,
        `operator "${id}": each record lies in ${windowsPerRecord} windows, at most ${WINDOWS_MAX} are allowed ` +
          "where windows hold records, or have a trigger or states; use reduce, or aggregate with merge, or a longer " +
          "slide or step",
      );
    }
    if (combine !== undefined && resolved.kind !== "aligned") {
      refuseCombine(
        id,
        "is for tumbling, sliding, cumulating and calendar windows: others follow from single records",
      );
    }
    if (combine !== undefined && lateTag !== undefined) {
      refuseCombine(id, "joins records, and lateOutput gives single ones: leave out one of the two");
    }
    if (combine !== undefined && triggered !== undefined) {
      refuseCombine(
        id,
        "joins records, and trigger, retract and states are about single ones: leave out one of the two",
      );
    }
    const spanMs = spanOf(resolved);
    const definition = {
      key: this.#key,
      description: `${resolved.description}${words}`,
      time: resolved.kind === "counted" ? ("event" as const) : resolved.time,
      allowedLateness,
      ...(spanMs !== undefined && { spanMs }),
      endOfInput,
      ...(migrateWindows && { migrateWindows }),
      ...(replayClock && { replayClock }),
      ...(aggregation !== undefined && { aggregation }),
      ...(process !== undefined && { process: process as EngineWindowFunction }),
      ...(lateTag !== undefined && { lateTag }),
    };
    const operator =
      triggered === undefined
        ? operatorOf(id, definition, resolved, combine)
        : triggeredOperatorOf(id, { ...definition, ...triggered }, resolved);
    return this.#add(operator, options);
  }
}

function operatorOf(
  id: string,
  definition: WindowDefinition,
  resolved: ResolvedWindows,
  combine: Joins["kind"] | undefined,
): OperatorDefinition {
  switch (resolved.kind) {
    case "aligned":
      return defineOperator(kinds.alignedWindow, id, {
        ...{ ...definition, bounds: resolved.bounds, windows: resolved.windows, combine },
      });
    case "sessions": {
      const { gapOf, longest } = resolved;
      const bounds = { kind: "sessions" } as const;
      return defineOperator(kinds.sessionWindow, id, { ...definition, bounds, gapOf, longest });
    }
    case "counted":
      return defineOperator(kinds.countWindow, id, { ...definition, size: resolved.size });
  }
}

function triggeredOperatorOf(
  id: string,
  definition: Omit<TriggeredWindowDefinition, "placement" | "needsWatermarks">,
  resolved: ResolvedWindows,
): OperatorDefinition {
  const isTimed = resolved.kind !== "counted" && resolved.time === "event";
  const needsWatermarks = isTimed || factsOf(definition.trigger).needsEventTime === true;
  return defineOperator(kinds.triggeredWindow, id, {
    ...definition,
    needsWatermarks,
    placement: placementOf(resolved),
  });
}

function placementOf(resolved: ResolvedWindows): Placement {
  switch (resolved.kind) {
    case "aligned":
      return alignedPlacement(resolved.windows);
    case "sessions":
      return sessionPlacement(resolved.gapOf, resolved.longest);
    case "counted":
      return globalPlacement;
  }
}

const AGGREGATE_MEMBERS = ["createAccumulator", "add", "getResult", "merge"];

function aggregationOf(id: string, aggregate: unknown): Aggregation {
  checkName(id, "operator id");
  const what = `operator "${id}": aggregate`;
  checkMembers(aggregate, AGGREGATE_MEMBERS, what, "member", id);
  const asked = aggregate as AggregateFunction<unknown, unknown, unknown>;
  for (const member of ["createAccumulator", "add", "getResult"] as const) {
    checkFunction(id, `${member} of aggregate`, asked[member]);
  }
  if (asked.merge !== undefined) checkFunction(id, "merge of aggregate", asked.merge);
  return {
    first: (value) => asked.add(asked.createAccumulator(), value),
    add: (accumulator, value) => asked.add(accumulator, value),
    result: (accumulator) => asked.getResult(accumulator),
    addName: "add",
    ...(asked.merge !== undefined && {
      merge: (accumulator: unknown, later: unknown) => asked.merge!(accumulator, later),
    }),
  };
}
