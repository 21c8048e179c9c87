/**
 * What windows hold, as rows of keyed state: (key, pane) -> accumulator, or the records themselves.
 *
 * Owns: the two ways to keep contents, and what a user's aggregate function may answer. Does not own: which panes there
 * are (aligned windows: assigner.ts), when they go.
 *
 * - WC1 All calls are about the current key of the state, and the pane that was entered last.
 * - WC2 A pane with contents has a row in the table "panes", and only such a pane.
 */
import { ABSENT, type StateTable } from "../../../state/contract.ts";
import { freezePlain } from "../../../state/frozen.ts";
import type { KeyedState } from "../../../state/keyed-state.ts";
import { refuseValue } from "../../../state/plain-value.ts";
import { isAnswer, refuseAnswer } from "../../guards/answers.ts";
import type { Aggregation } from "./aggregation.ts";

/** ABSENT. V8 takes a constant of the same module for known, and looks an imported one up at each use. */
const EMPTY = ABSENT;

/** Accumulators, or the number of records. */
export const PANES = "panes";
/** The records, where they are kept. */
export const RECORDS = "records";

/** What a pane holds: an accumulator, or an array of records. */
type Held = unknown;

export interface Contents {
  /** Two panes become one without a look at each record. */
  readonly isIncremental: boolean;
  /** The pane that the next calls are about. */
  enter(pane: number): void;
  /** true: it is the pane's first record. */
  add(value: unknown): boolean;
  /** ABSENT: the pane is empty. */
  read(): Held;
  remove(): void;
  /** What both hold; `later` is behind the other. An array of records may be the first one, with the others added. */
  merge(held: Held, later: Held): Held;
  /** What the window function gets of it. */
  result(held: Held): unknown;
}

export interface ContentsOptions {
  readonly operator: string;
  readonly state: KeyedState;
  readonly checks: boolean;
}

/** The user's functions, and what they may answer. */
export class CheckedAggregation {
  private readonly operator: string;
  private readonly checks: boolean;
  private readonly aggregation: Aggregation;

  constructor({ operator, checks }: ContentsOptions, aggregation: Aggregation) {
    this.operator = operator;
    this.checks = checks;
    this.aggregation = aggregation;
  }

  first(value: unknown): Held {
    return this.checked(this.aggregation.first(value), this.aggregation.addName);
  }

  add(held: Held, value: unknown): Held {
    return this.checked(this.aggregation.add(held, value), this.aggregation.addName);
  }

  merge(held: Held, later: Held): Held {
    return this.checked(this.aggregation.merge!(held, later), "merge");
  }

  result(held: Held): unknown {
    return this.aggregation.result(held);
  }

  private checked(held: Held, name: string): Held {
    if (held === undefined || !isAnswer(held)) {
      refuseAnswer(this.operator, `${name} answered`, held, "an accumulator");
    }
    if (this.checks) refuseUnlessPlain(held);
    return held;
  }
}

/** One accumulator for each pane. */
export class Accumulators implements Contents {
  readonly isIncremental = true;
  private readonly table: StateTable;
  private readonly aggregation: CheckedAggregation;

  constructor(options: ContentsOptions, aggregation: Aggregation) {
    this.table = options.state.table(PANES);
    this.aggregation = new CheckedAggregation(options, aggregation);
  }

  enter(pane: number): void {
    this.table.setCurrentNamespace(pane);
  }

  add(value: unknown): boolean {
    const { table, aggregation } = this;
    const before = table.read();
    const isFirst = before === EMPTY;
    table.write(isFirst ? aggregation.first(value) : aggregation.add(before, value));
    return isFirst;
  }

  read(): Held {
    return this.table.read();
  }

  remove(): void {
    this.table.remove();
  }

  merge(held: Held, later: Held): Held {
    return this.aggregation.merge(held, later);
  }

  result(held: Held): unknown {
    return this.aggregation.result(held);
  }
}

/** The records of each pane, in the order in which they came. */
export class Records implements Contents {
  readonly isIncremental = false;
  private readonly counts: StateTable;
  private readonly records: StateTable;
  private readonly checks: boolean;
  private readonly aggregation: Aggregation | undefined;
  private pane = 0;

  /** @param aggregation makes one value of them when the window fires */
  constructor({ state, checks }: ContentsOptions, aggregation?: Aggregation) {
    this.counts = state.table(PANES);
    this.records = state.table(RECORDS);
    this.checks = checks;
    this.aggregation = aggregation;
  }

  enter(pane: number): void {
    this.pane = pane;
    this.counts.setCurrentNamespace(pane);
  }

  add(value: unknown): boolean {
    if (this.checks) refuseUnlessPlain(value);
    const count = this.count();
    this.at(count).write(value);
    this.counts.write(count + 1);
    return count === 0;
  }

  read(): Held {
    const count = this.count();
    if (count === 0) return EMPTY;
    const records: unknown[] = [];
    for (let i = 0; i < count; i++) records.push(this.at(i).read());
    return records;
  }

  remove(): void {
    const count = this.count();
    for (let i = 0; i < count; i++) this.at(i).remove();
    this.counts.remove();
  }

  merge(held: Held, later: Held): Held {
    const all = held as unknown[];
    for (const record of later as readonly unknown[]) all.push(record);
    return all;
  }

  result(held: Held): unknown {
    return resultOf(held as readonly unknown[], this.aggregation);
  }

  private count(): number {
    const count = this.counts.read();
    return count === EMPTY ? 0 : (count as number);
  }

  private at(index: number): StateTable {
    this.records.setCurrentNamespace(`${this.pane}/${index}`);
    return this.records;
  }
}

/** The records as they are, or what they come to. */
export function resultOf(records: readonly unknown[], aggregation: Aggregation | undefined): unknown {
  if (aggregation === undefined) return records;
  const [first, ...others] = records;
  return aggregation.result(others.reduce(aggregation.add, aggregation.first(first)));
}

export function refuseUnlessPlain(value: unknown): void {
  if (!freezePlain(value)) refuseValue(value, "what a window is to hold");
}
