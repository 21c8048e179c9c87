/** What a kind of state is to the engine: how its descriptors are checked, and how a handle over a table is opened. */
import type { KeyRows, Namespace, TableOptions } from "../contract.ts";
import type { ExpiringRows } from "../ttl/expiring-rows.ts";

/** What all handles have, beside what the user's function works with. */
export interface StateHandle {
  /** It was used for the current key, and gave an object away or took one. For messages about changes in place. */
  readonly holdsObject: boolean;
}

/** One row of the table of kinds. `D`: the descriptor. */
export interface StateKind<D> {
  /** How a user makes a descriptor, for messages: "valueState(initial)". */
  readonly maker: string;
  /** The members of a descriptor. */
  readonly members: readonly string[];
  /** The options of its table. */
  readonly tableOptions?: TableOptions;
  /** undefined: nothing is wrong with the descriptor, whose members are known. Else the end of a sentence. */
  problemOf?(descriptor: D): string | undefined;
  /** `checks`: what is set is looked at closely, and frozen. */
  open(table: KeyRows, descriptor: D, checks: boolean): StateHandle;
  /** Where values have a time to live, if that takes another handle: one whose rows are all made by `append`. */
  openAppending?(rows: ExpiringRows, checks: boolean): StateHandle;
  /** Migrates what a row holds, where `open` was called. Default: it holds one value. `migrate` takes one argument. */
  migrateRow?(value: unknown, namespace: Namespace, migrate: (value: unknown) => unknown): unknown;
  /** What the user is told of a row that has expired. Default: its value, for the key alone. */
  expired?(descriptor: D, namespace: Namespace, value: unknown): ExpiredRow;
}

export interface ExpiredRow {
  readonly value: unknown;
  /** The key of an entry of a map. */
  readonly entry?: Namespace;
}
