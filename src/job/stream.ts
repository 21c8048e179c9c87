import { checkMembers } from "../config/members.ts";
import { show } from "../config/quantity.ts";
import type { Partitioner } from "../dataflow/graph.ts";
import { defineOperator, type OperatorDefinition } from "../dataflow/operators/contract.ts";
import type { KeySelector } from "../dataflow/operators/keyed/key-selector.ts";
import { operatorKinds as kinds } from "../dataflow/operators/kinds.ts";
import type { FilterOperator } from "../dataflow/operators/stateless/filter.ts";
import type { FlatMapOperator } from "../dataflow/operators/stateless/flat-map.ts";
import type { MapOperator } from "../dataflow/operators/stateless/map.ts";
import type { Sink } from "../dataflow/sink.ts";
import { ConfigurationError } from "../errors.ts";
import type { Key } from "../state/descriptor.ts";
import type { OperatorStateDescriptors } from "../state/operator-state.ts";
import { type AsyncDefinition, type AsyncSideOutputs, asyncOf, type ResultOf } from "./async/definition.ts";
import {
  checkFunction,
  checkSink,
  customOf,
  type IterateOptions,
  type OperatorOptions,
} from "./definition.ts";
import type { JobDraft, OpenEnd } from "./draft.ts";
import {
  type FilterDefinition,
  type FlatMapDefinition,
  type FunctionOptions,
  functionOf,
  lifecycleOf,
  type MapDefinition,
} from "./functions/given.ts";
import type { Emitted, Nothing } from "./functions/process.ts";
import type { NoSideOutputs } from "./functions/side-outputs.ts";
import {
  type NoOperatorStates,
  type UnkeyedProcessDefinition,
  unkeyedFunctionOf,
} from "./functions/unkeyed-process.ts";
import type { OperatorInput } from "./job.ts";
import type { BroadcastOptions } from "./joins/broadcast-connected.ts";
import { KeyedStream } from "./keyed-stream.ts";
import { type AssignedTimestamps, assignedTimeOf } from "./time/source-options.ts";

/** What one round of a loop comes to. */
export interface Iteration<T, U> {
  /** The stream whose records go back to the beginning of the loop. */
  readonly feedback: Stream<T> | KeyedStream<T, Key>;
  /** The stream whose records leave the loop. */
  readonly output: Stream<U>;
}

const WAITING_MAX = 1_000_000;

/**
 * Records of type T. The same stream may be read by several operators: each gets every record. `Side`: the types of the
 * side outputs of the operator that it comes from, by tag.
 */
export class Stream<T, Side = NoSideOutputs> {
  readonly #draft: JobDraft;
  readonly #inputs: readonly OperatorInput[];
  readonly #end: OpenEnd;

  constructor(draft: JobDraft, inputs: readonly OperatorInput[], end: OpenEnd) {
    this.#draft = draft;
    this.#inputs = inputs;
    this.#end = end;
    draft.opened(this, { inputs, end, keyed: false });
  }

  /**
   * The records of a side output. One that is not read is dropped.
   * @throws ConfigurationError when the operator declares none of this tag
   */
  sideOutput<Tag extends keyof Side & string>(tag: Tag): Stream<Side[Tag]> {
    return streamOf(this.#draft, this.#draft.sideOutputOf(this, tag), tag);
  }

  /** One record for each: what `map` answers. */
  map<U>(id: string, map: (value: T) => U, options?: OperatorOptions): Stream<U>;
  map<U, R>(id: string, definition: MapDefinition<T, U, R>, options?: FunctionOptions): Stream<U>;
  map<U>(id: string, given: unknown, asked?: FunctionOptions): Stream<U> {
    const { call, lifecycle, options } = functionOf<MapOperator["map"]>(id, "map", given, asked);
    this.#add(defineOperator(kinds.map, id, { map: call, lifecycle }), options);
    return streamOf<U>(this.#draft, id);
  }

  /** Keeps the records for which `filter` answers true. */
  filter<U extends T>(id: string, filter: (value: T) => value is U, options?: OperatorOptions): Stream<U>;
  filter(id: string, filter: (value: T) => boolean, options?: OperatorOptions): Stream<T>;
  filter<R>(id: string, definition: FilterDefinition<T, R>, options?: FunctionOptions): Stream<T>;
  filter(id: string, given: unknown, asked?: FunctionOptions): Stream<T> {
    const { call, lifecycle, options } = functionOf<FilterOperator["filter"]>(id, "filter", given, asked);
    this.#add(defineOperator(kinds.filter, id, { filter: call, lifecycle }), options);
    return streamOf<T>(this.#draft, id);
  }

  /** Any number of records for one: all that `flatMap` answers, in order. */
  flatMap<U>(id: string, flatMap: (value: T) => Iterable<U>, options?: OperatorOptions): Stream<U>;
  flatMap<U, R>(id: string, definition: FlatMapDefinition<T, U, R>, options?: FunctionOptions): Stream<U>;
  flatMap<U>(id: string, given: unknown, asked?: FunctionOptions): Stream<U> {
    const { call, lifecycle, options } = functionOf<FlatMapOperator["flatMap"]>(id, "flatMap", given, asked);
    this.#add(defineOperator(kinds.flatMap, id, { flatMap: call, lifecycle }), options);
    return streamOf<U>(this.#draft, id);
  }

  /**
   * Asks the outside world for each record, many at a time; the results go on. After keyBy they keep the order of each
   * key. `sideOutput("failed")`: what `onFailure: "sideOutput"` leads there.
   */
  async<Answer, R = undefined>(
    id: string,
    definition: AsyncDefinition<T, undefined, Answer, R>,
    asked?: FunctionOptions,
  ): Stream<ResultOf<Answer>, AsyncSideOutputs<T>> {
    const request = asyncOf(id, definition, undefined);
    const { lifecycle, options } = lifecycleOf(id, definition, asked);
    this.#add(defineOperator(kinds.async, id, { ...request, lifecycle }), options);
    return streamOf(this.#draft, id);
  }

  /**
   * The same records, with other timestamps, and watermarks that are made here. Those from upstream end here. What
   * comes with a timestamp behind the new watermark is late for the operators behind this one.
   */
  assignTimestamps(id: string, definition: AssignedTimestamps<T>, options?: OperatorOptions): Stream<T> {
    const eventTime = assignedTimeOf(id, definition);
    this.#add(defineOperator(kinds.assignTimestamps, id, { eventTime }), options);
    return streamOf<T>(this.#draft, id);
  }

  /**
   * An operator whose subtasks take records of any key, with state of the subtask. The type of the stream it gives is
   * found as behind keyBy.
   */
  process<
    S extends OperatorStateDescriptors = NoOperatorStates,
    // biome-ignore lint/suspicious/noExplicitAny: nothing was said about the output, so nothing is checked
    Out = any,
    Returned extends Out | Nothing = Nothing,
    ReturnedAtEnd extends Out | Nothing = Nothing,
    AtTags = NoSideOutputs,
    R = undefined,
  >(
    id: string,
    definition: UnkeyedProcessDefinition<T, S, Out, Returned, ReturnedAtEnd, AtTags, R>,
    asked?: FunctionOptions,
  ): Stream<Emitted<Out, Returned | ReturnedAtEnd>, AtTags> {
    const process = unkeyedFunctionOf(id, definition);
    const { lifecycle, options } = lifecycleOf(id, definition, asked);
    this.#add(defineOperator(kinds.unkeyedProcess, id, { process, lifecycle }), options);
    return streamOf(this.#draft, id);
  }

  /** Brings the records of one key together, in one subtask. `key` answers a string, number, boolean or bigint. */
  keyBy<K extends Key>(key: (value: T) => K): KeyedStream<T, K> {
    if (typeof key !== "function") {
      throw new ConfigurationError(
        this.#end.key,
        `keyBy after ${this.#name}: a function is needed, got ${show(key)}`,
      );
    }
    this.#end.used = true;
    const exchange = { kind: "hash", key: key as KeySelector } as const;
    return new KeyedStream<T, K>(
      this.#draft,
      this.#inputs.map((input) => ({ ...input, exchange })),
      { key: this.#end.key, what: `keyBy after ${this.#name}`, needs: "process or reduce", used: false },
      (operator) => streamOf(this.#draft, operator),
    );
  }

  /** The records of all these streams, in no particular order between them. */
  union<Others extends readonly [unknown, ...unknown[]]>(
    ...others: { [I in keyof Others]: Stream<Others[I]> }
  ): Stream<T | Others[number]> {
    const streams: readonly Stream<unknown>[] = [this as Stream<unknown>, ...others];
    const inputs: OperatorInput[] = [];
    if (others.length === 0) {
      throw new ConfigurationError(
        this.#end.key,
        `union after ${this.#name}: needs at least one other stream`,
      );
    }
    for (const stream of streams) {
      if (!(stream instanceof Stream) || stream.#draft !== this.#draft) {
        throw new ConfigurationError(
          this.#end.key,
          `union after ${this.#name}: takes streams of the same job, got ${show(stream)}`,
        );
      }
      for (const input of stream.#inputs) {
        if (inputs.some((known) => known.from === input.from && known.output === input.output)) {
          throw new ConfigurationError(
            input.from,
            `union after ${this.#name}: the records of operator "${input.from}" would come twice`,
          );
        }
        inputs.push(input);
      }
    }
    for (const stream of streams) stream.#end.used = true;
    return new Stream<T | Others[number]>(this.#draft, inputs, {
      key: this.#end.key,
      what: `union after ${this.#name}`,
      needs: "an operator or a sink",
      used: false,
    });
  }

  /** Deals the records out evenly: the next operator runs in subtasks of its own. */
  rebalance(): Stream<T> {
    return this.#exchangedBy({ kind: "rebalance" });
  }

  /**
   * Deals the records of each subtask out evenly among some subtasks of the next operator, which runs in subtasks of
   * its own: from 2 to 6, three each; from 6 to 2, three share one. Fewer channels than `rebalance` has, and smaller
   * regions; where neither number is a multiple of the other one, some subtasks get more.
   */
  rescale(): Stream<T> {
    return this.#exchangedBy({ kind: "rescale" });
  }

  /** Gives each record to every subtask of the next operator, which runs in subtasks of its own. */
  broadcast(options: BroadcastOptions = {}): Stream<T> {
    checkMembers(options, ["waitFor"], `broadcast after ${this.#name}`, "option", this.#end.key);
    const { waitFor } = options;
    if (waitFor !== undefined && waitFor !== "first" && waitFor !== "caughtUp")
      throw new ConfigurationError(
        this.#end.key,
        `broadcast after ${this.#name}: waitFor must be "first" or "caughtUp", got ${show(waitFor)}`,
      );
    return this.#exchangedBy({ kind: "broadcast", ...(waitFor && { waitFor }) });
  }

  /** Each record goes to the subtask of the next operator whose index `partition` answers, 0 to `count` - 1. */
  partitionCustom(partition: (value: T, count: number) => number): Stream<T> {
    return this.#exchangedBy(customOf(this.#end.key, partition));
  }

  #exchangedBy(exchange: Partitioner): Stream<T> {
    this.#end.used = true;
    return new Stream<T>(
      this.#draft,
      this.#inputs.map((input) => ({ ...input, exchange })),
      {
        key: this.#end.key,
        what: `${exchange.kind === "custom" ? "partitionCustom" : exchange.kind} after ${this.#name}`,
        needs: "an operator or a sink",
        used: false,
      },
    );
  }

  /**
   * A loop. `step` describes one round of it: what happens to the records of `loop`, which of the results come back as
   * records of `loop` (`feedback`, also by `keyBy` or `rebalance`), and which leave it (`output`). A bounded job ends
   * when nothing is in the loop any more. Checkpoints need `checkpointing.iterations`.
   */
  iterate<U>(id: string, step: (loop: Stream<T>) => Iteration<T, U>, options?: IterateOptions): Stream<U> {
    checkFunction(id, "iterate", step);
    const waitingMax = options?.waitingMax ?? WAITING_MAX;
    this.#add(defineOperator(kinds.iterate, id, { waitingMax }), options, ["waitingMax"]);
    const loop = streamOf<T>(this.#draft, id);
    const iteration = this.#draft.inLoop(id, () => step(loop));
    this.#draft.feedBack(id, iteration);
    return iteration.output;
  }

  /** Writes the records to `sink`. `id`: the operator's stable name; a restored job finds its transactions by it. */
  sink(id: string, sink: Sink<T>, options?: OperatorOptions): void {
    checkSink(id, sink);
    this.#add(defineOperator(kinds.sink, id, { sink: sink as Sink<unknown> }), options);
  }

  get #name(): string {
    return `"${this.#end.key}"`;
  }

  /** @param more options that this kind has besides those of all operators */
  #add(
    definition: OperatorDefinition,
    options: OperatorOptions | undefined,
    more: readonly string[] = [],
  ): void {
    this.#draft.apply(definition, [this], options, more);
  }
}

/** The records of an operator. @param output tag of one of its outputs; default: the main one */
export function streamOf<T, Side = NoSideOutputs>(
  draft: JobDraft,
  id: string,
  output?: string,
): Stream<T, Side> {
  const input = { from: id, ...(output !== undefined && { output }), exchange: { kind: "forward" } } as const;
  return new Stream<T, Side>(draft, [input], {
    key: id,
    what: `${output === undefined ? "the stream" : `side output "${output}"`} of operator "${id}"`,
    needs: "an operator or a sink",
    used: false,
  });
}
