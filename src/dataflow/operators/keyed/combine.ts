/**
 * The first stage of an aggregation in two stages: records of one key become one while they wait for their frame, in
 * front of the exchange. So a hot key costs its subtask one record a frame.
 *
 * Owns: which records are joined, and what the user's function may answer. Does not own: where they wait
 * (dataflow/output.ts), the second stage: it takes a joined record like any other, and merges accumulators.
 *
 * - CB1 Records are joined only within one frame, between two marks of event time, and within one pane of the windows
 *   behind the exchange. A frame leaves in front of every barrier (OU1), so no cut has to hold anything of this.
 * - CB2 A joined record still has its key. One that has another is refused: it would be added to what is another key's.
 *   An accumulator tells no key, so it travels with it; and where accumulators travel, nothing else does.
 * - CB3 A joined record has the latest of the timestamps. It is late where each of its records would have been.
 */
import { invariant, OperatorError } from "../../../errors.ts";
import { describeValue } from "../../../state/described.ts";
import type { Key } from "../../../state/descriptor.ts";
import { isAnswer, refuseAnswer } from "../../guards/answers.ts";
import { failureAtKey, failureOf } from "../failure.ts";
import type { Aggregation } from "../windows/aggregation.ts";
import type { KeySelector } from "./key-selector.ts";

/** What an operator says of records that may become one in front of the exchange before it. */
export interface Combine {
  /** "records": two records make a record. "accumulators": records make an accumulator, the first one alone, too. */
  readonly joins: Joins;
  /** Only records of one pane are joined. Default: any. */
  readonly panes?: Panes;
}

export type Joins =
  | {
      readonly kind: "records";
      /** Associative. Answers a record of the same key. */
      readonly reduce: (aggregate: unknown, value: unknown) => unknown;
    }
  | { readonly kind: "accumulators"; readonly aggregation: Pick<Aggregation, "first" | "add"> };

/** An accumulator on its way, with the key of its records. */
export type KeyedAccumulator = readonly [key: Key, accumulator: unknown];

export const keyOfAccumulator: KeySelector = (pair) => (pair as KeyedAccumulator)[0];

/** The selector of the keys of what travels on an exchange by key: of records, or of accumulators. */
export function keyOfTravelling({
  key,
  combine,
}: {
  readonly key: KeySelector;
  readonly combine?: Combine;
}): KeySelector {
  return combine?.joins.kind === "accumulators" ? keyOfAccumulator : key;
}

/** How the operator behind the exchange takes accumulators: as records that it merges. */
export function mergingOf({ merge, result }: Aggregation): Aggregation {
  invariant(merge !== undefined, "accumulators that travel are merged");
  return {
    first: (pair) => (pair as KeyedAccumulator)[1],
    add: (accumulator, pair) => merge(accumulator, (pair as KeyedAccumulator)[1]),
    merge,
    result,
    addName: "merge",
  };
}

/** The stretches of time that lie in the same windows as a whole, by their start. */
interface Panes {
  paneOf(time: number): number;
  paneEnd(pane: number): number;
}

export class Combiner {
  readonly keyOf: KeySelector;
  private readonly operator: string;
  private readonly joins: Joins;
  private readonly groups: { readonly maxParallelism: number };
  private readonly panes: Panes | undefined;
  /** The pane that was asked for last. */
  private start = Number.NaN;
  private end = Number.NaN;

  /** @param operator the one behind the exchange, which the functions belong to */
  constructor(operator: string, keyOf: KeySelector, { joins, panes }: Combine, maxParallelism: number) {
    this.operator = operator;
    this.keyOf = keyOf;
    this.joins = joins;
    this.groups = { maxParallelism };
    this.panes = panes;
  }

  /** Whether records with these timestamps may become one. */
  isTogether(one: number, other: number): boolean {
    const { panes } = this;
    if (panes === undefined) return true;
    if (!(other >= this.start && other < this.end)) {
      // The operator itself refuses it, and says what it needs.
      if (!Number.isFinite(other)) return false;
      this.start = panes.paneOf(other);
      this.end = panes.paneEnd(this.start);
    }
    return one >= this.start && one < this.end;
  }

  /** What travels for a record that is joined to no other one. */
  alone(value: unknown): unknown {
    if (this.joins.kind === "records") return value;
    let key: Key;
    try {
      key = this.keyOf(value);
    } catch (error) {
      throw failureOf(this.operator, error);
    }
    return this.begin(key, value);
  }

  /** What waits in the buffer for the first record of a key. */
  begin(key: Key, value: unknown): unknown {
    const { operator, joins } = this;
    if (joins.kind === "records") return value;
    try {
      return [key, checkedAccumulator(operator, joins.aggregation.first(value))];
    } catch (error) {
      throw failureAtKey(operator, error, this.groups, key);
    }
  }

  /** What waits in the place of `waiting`, when the record has come, too. */
  join(key: Key, waiting: unknown, value: unknown): unknown {
    const { operator, joins } = this;
    try {
      if (joins.kind === "accumulators") {
        // The pair is the buffer's alone until the frame leaves.
        const pair = waiting as [key: Key, accumulator: unknown];
        pair[1] = checkedAccumulator(operator, joins.aggregation.add(pair[1], value));
        return pair;
      }
      const reduced = joins.reduce(waiting, value);
      if (!isAnswer(reduced)) refuseAnswer(operator, "reduce answered", reduced);
      const now = this.keyOf(reduced);
      if (!isSameKey(now, key)) refuseKey(operator, now, key);
      return reduced;
    } catch (error) {
      throw failureAtKey(operator, error, this.groups, key);
    }
  }
}

function checkedAccumulator(operator: string, accumulator: unknown): unknown {
  if (accumulator === undefined || !isAnswer(accumulator))
    refuseAnswer(operator, "add answered", accumulator, "an accumulator");
  return accumulator;
}

/** As a Map has it. */
function isSameKey(one: Key, other: Key): boolean {
  return one === other || (Number.isNaN(one) && Number.isNaN(other));
}

function refuseKey(operator: string, now: Key, key: Key): never {
  const [has, had] = [describeValue(now), describeValue(key)];
  throw new OperatorError(
    operator,
    new Error(
      `reduce answered a record whose key is ${has === had ? "another one" : `${has}, not ${had}`}: with combine, what it answers goes through keyBy, so ` +
        "let it keep the fields that the key is made of, or leave combine out",
    ),
  );
}
