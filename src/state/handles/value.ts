/** One value per key: what the user's function works with. */
import { ABSENT, type KeyRows } from "../contract.ts";
import type { ValueState, ValueStateDescriptor } from "../descriptor.ts";
import { holdsBytes } from "../frozen.ts";
import { refusalIn } from "../plain-value.ts";
import { checkGiven, refuseNothing } from "./given.ts";
import type { StateHandle, StateKind } from "./kind.ts";

export const valueKind: StateKind<ValueStateDescriptor<unknown>> = {
  maker: "valueState(initial)",
  members: ["kind", "initial", "ttl", "version", "migrate"],
  problemOf({ initial }) {
    const refusal = refusalIn(initial);
    return refusal && `its initial value cannot be stored: ${refusal}`;
  },
  open: (table, { initial }, checks) => new ValueHandle(table, initial, checks),
};

class ValueHandle<T> implements ValueState<T>, StateHandle {
  private readonly table: KeyRows;
  private readonly initial: T;
  private readonly initialIsCopied: boolean;
  private readonly checks: boolean;

  /** `checks`: what is set is looked at closely, and frozen. */
  constructor(table: KeyRows, initial: T, checks: boolean) {
    this.table = table;
    this.initial = initial;
    this.initialIsCopied = holdsBytes(initial);
    this.checks = checks;
  }

  /** It was read or set for the current key, and holds an object. */
  get holdsObject(): boolean {
    if (!this.table.isInUse) return false;
    const value: unknown = this.get();
    return typeof value === "object" && value !== null;
  }

  get(): T {
    const value = this.table.read();
    return value === ABSENT ? this.initialValue() : (value as T);
  }

  set(value: T): void {
    if (value === undefined || value === null) refuseNothing(this.table.name, value);
    if (this.checks) checkGiven(this.table.name, value);
    this.table.write(value);
  }

  clear(): void {
    this.table.remove();
  }

  private initialValue(): T {
    return this.initialIsCopied ? structuredClone(this.initial) : this.initial;
  }
}
