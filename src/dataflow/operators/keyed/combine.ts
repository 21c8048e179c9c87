/**
 * The first stage of an aggregation in two stages: records of one key become one while they wait for their frame, in
 * front of the exchange. So a hot key costs its subtask one record a frame.
 *
 * Owns: which records are joined, and what the user's function may answer. Does not own: where they wait
 * (dataflow/output.ts), the second stage, which takes a joined record like any other.
 *
 * - CB1 Records are joined only within one frame, between two marks of event time, and within one pane of the windows
 *   behind the exchange. A frame leaves in front of every barrier (OU1), so no cut has to hold anything of this.
 * - CB2 A joined record still has its key. One that has another is refused: it would be added to what is another key's.
 * - CB3 A joined record has the latest of the timestamps. It is late where each of its records would have been.
 */
import { OperatorError } from "../../../errors.ts";
import { describeValue } from "../../../state/described.ts";
import type { Key } from "../../../state/descriptor.ts";
import { isAnswer, refuseAnswer } from "../../guards/answers.ts";
import { failureOf } from "../failure.ts";
import type { KeySelector } from "./key-selector.ts";

/** What an operator says of records that may become one in front of the exchange before it. */
export interface Combine {
  /** Associative. Answers a record of the same key. */
  readonly reduce: (aggregate: unknown, value: unknown) => unknown;
  /** Only records of one pane are joined. Default: any. */
  readonly panes?: Panes;
}

/** The stretches of time that lie in the same windows as a whole, by their start. */
interface Panes {
  paneOf(time: number): number;
  paneEnd(pane: number): number;
}

export class Combiner {
  readonly keyOf: KeySelector;
  private readonly operator: string;
  private readonly reduce: Combine["reduce"];
  private readonly panes: Panes | undefined;
  /** The pane that was asked for last. */
  private start = Number.NaN;
  private end = Number.NaN;

  /** @param operator the one behind the exchange, which the functions belong to */
  constructor(operator: string, keyOf: KeySelector, { reduce, panes }: Combine) {
    this.operator = operator;
    this.keyOf = keyOf;
    this.reduce = reduce;
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

  join(key: Key, aggregate: unknown, value: unknown): unknown {
    const { operator } = this;
    let reduced: unknown;
    let now: Key;
    try {
      reduced = this.reduce(aggregate, value);
      if (!isAnswer(reduced)) refuseAnswer(operator, "reduce answered", reduced);
      now = this.keyOf(reduced);
    } catch (error) {
      throw failureOf(operator, error);
    }
    if (!isSameKey(now, key)) refuseKey(operator, now, key);
    return reduced;
  }
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
