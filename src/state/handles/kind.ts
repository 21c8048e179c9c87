/** What a kind of state is to the engine: how its descriptors are checked, and how a handle over a table is opened. */
import type { StateTable, TableOptions } from "../contract.ts";

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
  readonly tableOptions?: TableOptions;
  /** undefined: nothing is wrong with the descriptor, whose members are known. Else the end of a sentence. */
  problemOf?(descriptor: D): string | undefined;
  /** `checks`: what is set is looked at closely, and frozen. */
  open(table: StateTable, descriptor: D, checks: boolean): StateHandle;
}
