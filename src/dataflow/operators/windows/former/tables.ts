/** The states of windows that a job has no more, and that it finishes. */
import { type StateDescriptors, stateTable } from "../../../../state/descriptor.ts";
import type { Part } from "../sessions/session-contents.ts";

/** Table: key -> its former windows that have not fired. */
export const FORMER = "former windows";
/** Their records, where they are kept. */
export const FORMER_RECORDS = "former records";

/** The tables in which state of any other windows lies, by the names that these have. */
export const TABLES_OF_OTHERS: readonly string[] = ["panes", "records", "fired", "firings", "sessions"];

/** What an operator declares that finishes other windows: what was theirs is read at a restore. */
export const formerStates: StateDescriptors = Object.fromEntries(
  [FORMER, FORMER_RECORDS, ...TABLES_OF_OTHERS].map((name) => [name, stateTable()]),
);

/** A window that the job has no more. Plain data. */
export interface FormerWindow {
  readonly start: number;
  readonly end: number;
  /** How often it has fired. */
  readonly firings: number;
  /** What it holds; null: records. */
  readonly held: unknown;
  /** null: it holds one value. */
  readonly records: readonly Part[] | null;
}
