/** What a job says of an interval join: the interval, and what becomes of a pair. */
import { checkMembers } from "../../config/members.ts";
import { type Duration, formatDuration, readDuration, show } from "../../config/quantity.ts";
import { defineOperator, type OperatorDefinition } from "../../dataflow/operators/contract.ts";
import type { IntervalJoinDefinition } from "../../dataflow/operators/joins/interval-join.ts";
import type { JoinContext, JoinFunction } from "../../dataflow/operators/joins/pair-context.ts";
import type { KeySelector } from "../../dataflow/operators/keyed/key-selector.ts";
import { operatorKinds as kinds } from "../../dataflow/operators/kinds.ts";
import type { LateRecord } from "../../dataflow/operators/windows/late-records.ts";
import { ConfigurationError } from "../../errors.ts";
import type { Key } from "../../state/descriptor.ts";
import { checkFunction, type OperatorOptions } from "../definition.ts";
import type { Emitted, Nothing } from "../functions/process.ts";
import { checkName } from "../name.ts";
import type { Stream } from "../stream.ts";

export interface IntervalOptions<LeftTag extends string = never, RightTag extends string = never> {
  /** A record that lies at the lower bound exactly is no partner. Default: false. */
  readonly lowerExclusive?: boolean | undefined;
  /** A record that lies at the upper bound exactly is no partner. Default: false. */
  readonly upperExclusive?: boolean | undefined;
  /** Tag of the side output for late records of the left stream, as `LateRecord`. Default: they are only counted. */
  readonly lateLeftOutput?: LeftTag | undefined;
  /** The same of the right stream; another tag. */
  readonly lateRightOutput?: RightTag | undefined;
}

type LateOutputs<Left, Right, LeftTag extends string, RightTag extends string> = {
  readonly [Tag in LeftTag]: LateRecord<Left>;
} & { readonly [Tag in RightTag]: LateRecord<Right> };

/** Adds an operator that reads both streams, and answers what it emits. */
export type AddJoin = <Out, Side>(
  definition: OperatorDefinition,
  options: OperatorOptions | undefined,
) => Stream<Out, Side>;

/** The two keyed streams of a job that are to be joined. */
export interface JoinedStreams {
  readonly leftKey: KeySelector;
  readonly rightKey: KeySelector;
  readonly add: AddJoin;
}

/** Two keyed streams; `between` says how far apart in event time two records of one key may be. */
export class IntervalJoin<Left, Right, K extends Key> {
  readonly #streams: JoinedStreams;

  constructor(streams: JoinedStreams) {
    this.#streams = streams;
  }

  /**
   * `left.time + lower <= right.time <= left.time + upper`. Both bounds are durations such as "5 min" or "-5 min", and
   * `lower` is not above `upper`.
   */
  between<LeftTag extends string = never, RightTag extends string = never>(
    lower: Duration,
    upper: Duration,
    options: IntervalOptions<LeftTag, RightTag> = {},
  ): BoundedJoin<Left, Right, K, LeftTag, RightTag> {
    return new BoundedJoin(this.#streams, lower, upper, options);
  }
}

/** An interval join of which only the function is missing. */
export class BoundedJoin<Left, Right, K extends Key, LeftTag extends string, RightTag extends string> {
  readonly #streams: JoinedStreams;
  readonly #lower: Duration;
  readonly #upper: Duration;
  readonly #options: IntervalOptions<LeftTag, RightTag>;

  constructor(
    streams: JoinedStreams,
    lower: Duration,
    upper: Duration,
    options: IntervalOptions<LeftTag, RightTag>,
  ) {
    this.#streams = streams;
    this.#lower = lower;
    this.#upper = upper;
    this.#options = options;
  }

  /**
   * Calls `join` once for each pair. What it returns is emitted, unless it is undefined; `context.emit` emits any
   * number. The timestamp of a pair is that of its later record. Late records of both sides meet none.
   */
  // biome-ignore lint/suspicious/noExplicitAny: nothing was said about the output, so nothing is checked
  process<Out = any, Returned extends Out | Nothing = Nothing>(
    id: string,
    join: (left: Left, right: Right, context: JoinContext<K, Out>) => Returned,
    options?: OperatorOptions,
  ): Stream<Emitted<Out, Returned>, LateOutputs<Left, Right, LeftTag, RightTag>> {
    checkFunction(id, "process", join);
    const { leftKey, rightKey, add } = this.#streams;
    const { lateLeftOutput, lateRightOutput } = this.#options;
    const definition: IntervalJoinDefinition = {
      ...boundsOf(id, this.#lower, this.#upper, this.#options),
      left: { key: leftKey, lateTag: lateLeftOutput },
      right: { key: rightKey, lateTag: lateRightOutput },
      join: join as JoinFunction,
    };
    return add(defineOperator(kinds.intervalJoin, id, definition), options);
  }
}

const OPTIONS = ["lowerExclusive", "upperExclusive", "lateLeftOutput", "lateRightOutput"];

function boundsOf(
  id: string,
  lower: Duration,
  upper: Duration,
  options: IntervalOptions<string, string>,
): Pick<IntervalJoinDefinition, "lowerMs" | "upperMs" | "description"> {
  checkMembers(options, OPTIONS, `operator "${id}"`, "option", id);
  const { lowerExclusive = false, upperExclusive = false, lateLeftOutput, lateRightOutput } = options;
  const wrong = (what: string): never => {
    throw new ConfigurationError(id, `operator "${id}": ${what}`);
  };
  for (const [name, given] of Object.entries({ lowerExclusive, upperExclusive }))
    if (typeof given !== "boolean") wrong(`${name} must be true or false, got ${show(given)}`);
  for (const tag of [lateLeftOutput, lateRightOutput])
    if (tag !== undefined) checkName(tag, `operator "${id}": side output`);
  if (lateLeftOutput !== undefined && lateLeftOutput === lateRightOutput)
    wrong(`side output ${show(lateLeftOutput)} cannot be that of both sides: give each a tag of its own`);
  // Times are whole numbers of ms, so an exclusive bound is an inclusive one that lies 1 ms further in.
  const lowerMs = boundOf(id, "lower", lower) + (lowerExclusive ? 1 : 0);
  const upperMs = boundOf(id, "upper", upper) - (upperExclusive ? 1 : 0);
  if (lowerMs > upperMs)
    wrong(
      `no time lies between ${show(lower)}${lowerExclusive ? " (exclusive)" : ""} and ${show(upper)}` +
        `${upperExclusive ? " (exclusive)" : ""}: the lower bound comes first`,
    );
  const description = `an interval from ${offset(lowerMs)} to ${offset(upperMs)}`;
  return { lowerMs, upperMs, description };
}

const offset = (ms: number) => (ms < 0 ? `-${formatDuration(-ms)}` : formatDuration(ms));

function boundOf(id: string, which: string, bound: unknown): number {
  const text = typeof bound === "string" ? bound.trim() : bound;
  const isNegative = typeof text === "number" ? text < 0 : typeof text === "string" && text.startsWith("-");
  const reading = readDuration(isNegative ? unsigned(text as number | string) : text);
  if ("value" in reading) return isNegative ? 0 - reading.value : reading.value;
  throw new ConfigurationError(id, `operator "${id}": the ${which} bound of between ${reading.problem}`);
}

function unsigned(bound: number | string): number | string {
  return typeof bound === "number" ? -bound : bound.slice(1);
}
