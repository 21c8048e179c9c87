/** What is added for a key, reduced to one value or to an accumulator: what the user's function works with. */
import { ABSENT, type KeyRows } from "../contract.ts";
import { describeOption } from "../described.ts";
import type {
  AggregateFunction,
  AggregatingState,
  AggregatingStateDescriptor,
  ReducingState,
  ReducingStateDescriptor,
} from "../descriptor.ts";
import { checkGiven, refuseAnswered, refuseNothing } from "./given.ts";
import type { StateHandle, StateKind } from "./kind.ts";

export const reducingKind: StateKind<ReducingStateDescriptor<unknown>> = {
  maker: "reducingState(reduce)",
  members: ["kind", "reduce", "ttl", "version", "migrate"],
  problemOf: ({ reduce }) => problemOfFunction("reduce", reduce),
  open: (table, { reduce }, checks) => new ReducingHandle(table, reduce, checks),
};

export const aggregatingKind: StateKind<AggregatingStateDescriptor<unknown, unknown, unknown>> = {
  maker: "aggregatingState({ createAccumulator, add, getResult })",
  members: ["kind", "aggregate", "ttl", "version", "migrate"],
  problemOf({ aggregate }) {
    if (typeof aggregate !== "object" || aggregate === null)
      return `aggregatingState takes an object of functions, got ${describeOption(aggregate)}`;
    const { createAccumulator, add, getResult, merge } = aggregate;
    return (
      problemOfFunction("createAccumulator", createAccumulator) ??
      problemOfFunction("add", add) ??
      problemOfFunction("getResult", getResult) ??
      (merge === undefined ? undefined : problemOfFunction("merge", merge))
    );
  },
  open: (table, { aggregate }, checks) => new AggregatingHandle(table, aggregate, checks),
  expired: ({ aggregate }, _, accumulator) => ({ value: aggregate.getResult(accumulator) }),
};

function problemOfFunction(name: string, given: unknown): string | undefined {
  return typeof given === "function" ? undefined : `${name} must be a function, got ${describeOption(given)}`;
}

/** The one row of a key: what was added comes to one value. */
class Accumulated {
  private readonly table: KeyRows;
  private readonly checks: boolean;

  constructor(table: KeyRows, checks: boolean) {
    this.table = table;
    this.checks = checks;
  }

  get holdsObject(): boolean {
    return this.table.isInUse && typeof this.table.read() === "object";
  }

  get isEmpty(): boolean {
    return this.table.read() === ABSENT;
  }

  clear(): void {
    this.table.remove();
  }

  protected read(): unknown {
    return this.table.read();
  }

  protected refuseNothing(value: undefined | null): never {
    refuseNothing(this.table.name, value);
  }

  /** @param by the user's function that has made the value */
  protected write(value: unknown, by: string): void {
    const state = this.table.name;
    if (value === undefined || value === null) refuseAnswered(state, by, value);
    if (this.checks) checkGiven(state, value);
    this.table.write(value);
  }
}

class ReducingHandle extends Accumulated implements ReducingState<unknown>, StateHandle {
  private readonly reduce: (reduced: unknown, value: unknown) => unknown;

  constructor(table: KeyRows, reduce: ReducingHandle["reduce"], checks: boolean) {
    super(table, checks);
    this.reduce = reduce;
  }

  get(): unknown {
    const value = this.read();
    return value === ABSENT ? undefined : value;
  }

  add(value: unknown): void {
    if (value === undefined || value === null) this.refuseNothing(value);
    const { reduce } = this;
    const before = this.read();
    this.write(before === ABSENT ? value : reduce(before, value), "reduce");
  }
}

class AggregatingHandle extends Accumulated implements AggregatingState<unknown, unknown>, StateHandle {
  private readonly aggregate: AggregateFunction<unknown, unknown, unknown>;

  constructor(table: KeyRows, aggregate: AggregatingHandle["aggregate"], checks: boolean) {
    super(table, checks);
    this.aggregate = aggregate;
  }

  get(): unknown {
    const accumulator = this.read();
    return accumulator === ABSENT ? undefined : this.aggregate.getResult(accumulator);
  }

  add(value: unknown): void {
    if (value === undefined || value === null) this.refuseNothing(value);
    const before = this.read();
    this.write(
      this.aggregate.add(before === ABSENT ? this.aggregate.createAccumulator() : before, value),
      "add",
    );
  }
}
