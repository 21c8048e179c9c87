/**
 * The contract of a keyed state backend: where the keyed state of one operator in one subtask lies.
 *
 * State is tables. A table is one named state; its rows are found by (key, namespace), and each holds one value.
 * Handles (handles/) are thin: they say what the value means to the user. Does not own: which key a record has
 * (chain.ts), the bytes of a snapshot (snapshot/chunk.ts).
 *
 * - KS1 All calls of a table are about the current key and the table's current namespace; without a key they are
 *   refused with an OperatorError that names the state.
 * - KS2 What `read` answers does not change when the row does, and values that were written belong to the table.
 * - KS3 All tables are cut at the same moment, and taking a cut does not depend on the number of rows.
 * - KS4 A cursor gives exactly the rows of its cut, each once, whatever happens meanwhile. Any number of cuts may be
 *   open. One with a base gives those that have changed since the base was cut, behind the removals of the same time:
 *   restored behind a snapshot of the base, they make a table that is equal to the one that was cut.
 * - KS5 A restored table is equal to the one that was cut: rows of key groups that are not the subtask's are left out.
 * - KS6 What cannot be stored is refused by the cursor at the latest, with the operator's and the state's name
 *   (plain-value.ts).
 * - KS7 Rows, keys and namespaces are listed in an order that follows from what is there alone. So it is the same after
 *   a restore, however the rows came to be there.
 */
import type { Key } from "./descriptor.ts";
import type { KeyGroupRange } from "./key-groups.ts";
import type { TimeOrder } from "./timers/time-order.ts";

/**
 * The part of a row's address beside its key: a window, a timer. Texts and numbers that a Map takes for equal are one
 * namespace. undefined: the fixed namespace, which costs nothing.
 */
export type Namespace = string | number | undefined;

/** What `read` answers where there is no row: each value of the user's is possible as a value. */
export const ABSENT: unique symbol = Symbol("absent");

/** The rows of the current key: what handles work with. */
export interface KeyRows {
  readonly name: string;
  /** It was read or written since the current key was set. */
  readonly isInUse: boolean;
  /** Another number each time that a key is set. */
  readonly keyTurn: number;
  /** Stays until it is set again, for all keys; the fixed namespace at the beginning. */
  setCurrentNamespace(namespace: Namespace): void;
  /** ABSENT: there is no row. */
  read(): unknown;
  write(value: unknown): void;
  /** Afterwards there is no row, and it takes no space. */
  remove(): void;
  /**
   * The namespaces in which the current key has a row: the fixed one, then numbers from the smallest, then texts by
   * their UTF-16 code units. The array stays as it is, whatever is written or removed later. Only for tables that were
   * opened with `listsNamespaces`.
   */
  namespaces(): readonly Namespace[];
  /** How many there are, without listing them. */
  countNamespaces(): number;
  /**
   * Removes the rows that the current key has, in all namespaces. Only for tables that were opened with
   * `listsNamespaces`.
   */
  removeKey(): void;
}

export interface StateTable extends KeyRows {
  /** The mean size of a row in the last cut that was read or restored; undefined: there was none, or an empty one. */
  readonly bytesPerRow: number | undefined;
  /**
   * All rows, of all keys, key group by key group (KS7). The caller may write and remove rows meanwhile: a row that
   * stays is given once, one that is removed before its turn is not given, and one that is new may be given or not.
   * Each step costs well under a millisecond. The current key and namespace stay as they are.
   */
  rows(): Generator<StateRow, void, undefined>;
  /** The number of its rows, in all key groups. Costs a look at each key group. */
  readonly rowCount: number;
  /** The namespaces that have rows, in their order (KS7). Only where `namespacesApart`, as the two that follow. */
  openNamespaces(): readonly Namespace[];
  /**
   * Puts the keys that have rows in the current namespace into a column, those of one key group, in no order, and their
   * values into another one at the same places. They lie side by side, so this costs a few nanoseconds a row. Answers
   * how many they are: what the columns hold behind that stays, so that they can be used again.
   */
  readGroup(keyGroup: number, keys: Key[], values?: unknown[]): number;
  /** Removes these rows, at a cost that does not depend on their number. */
  dropGroup(keyGroup: number): void;
}

export interface StateRow {
  readonly keyGroup: number;
  readonly key: Key;
  readonly namespace: Namespace;
  readonly value: unknown;
}

export interface TableOptions {
  /**
   * The table knows the namespaces of each key. That costs time for each row that is new or removed, and memory: some
   * 40 bytes for a key of one row, 300 for one of four, 500 for one of twenty. Default false.
   */
  readonly listsNamespaces?: boolean;
  /**
   * The rows of each namespace lie apart from those of others: for namespaces that hold many keys and are read and
   * removed as a whole, such as panes of windows. A row then is found as fast as in the fixed namespace. It costs
   * memory where they hold few keys: 8 bytes for a namespace and key group, 400 for each key group in which it has a
   * row. Not together with `listsNamespaces`. Default false.
   */
  readonly namespacesApart?: boolean;
}

export interface KeyedBackend {
  readonly tableNames: readonly string[];
  /** Opens a table that is empty until it is restored. Each name once, and before the first record. */
  openTable(name: string, options?: TableOptions): StateTable;
  /**
   * Opens an order of times that is empty, also behind a restore: what the tables hold is put in order again. Left out:
   * orders lie in memory.
   */
  openOrder?(): TimeOrder;
  /** @throws ConfigurationError for a key of a type that cannot be one, OperatorError for one of another subtask */
  setCurrentKey(key: Key): void;
  /** Until a key is set, there is none. */
  leaveCurrentKey(): void;
  /** The key that was set last. */
  readonly currentKey: Key;
  /** The key group of the current key; below all of the subtask where there is none. */
  readonly currentKeyGroup: number;
  /**
   * One cursor for each table, all of the same moment (KS3).
   * @param baseOf for a table by its name: an earlier cut of it that the caller can restore. The cursor then gives only
   * what has changed since, if the backend knows it. undefined: the cursor gives all rows
   */
  snapshot(baseOf?: BaseOf): NamedCursor[];
  /**
   * What has been restored is there, and counts as a cut of all tables: the one with the number RESTORED_CUT. Called at
   * most once, in front of all that changes the restored rows and of all other cuts.
   */
  restored(): void;
  /** Called before the first cut. Several restorers of one table follow each other: the pieces of a rescaled state. */
  restorer(table: string, source: SnapshotBytes): StateRestorer;
  /**
   * Each key that has a row in this table, or in any if none is named, once, key group by key group (KS7). The caller
   * may write and remove rows of a key that it was given.
   * @param keyGroup only its keys are needed; a backend may give all all the same. Default: all groups
   */
  keys(table?: string, keyGroup?: number): Generator<Key, void, undefined>;
  /** Cancels what is open and lets everything go; nothing may be called afterwards. */
  close(): void;
}

export interface KeyedBackendOptions {
  /** The operator's name, for error messages. */
  readonly operator: string;
  readonly keyGroups: KeyGroupRange;
  readonly maxParallelism: number;
  /**
   * `read` answers the very object that was written, with whatever has been done to it: it may be frozen. Default
   * false.
   */
  readonly keepsObjects?: boolean;
  /**
   * Cuts may have bases. It costs the memory of the rows that were removed since the oldest one; when there are more of
   * them than rows, they are forgotten, and the next cuts give all rows. Default false.
   */
  readonly keepsChanges?: boolean;
}

/** The number of the cut that a restore stands for. */
export const RESTORED_CUT = 1;

export type BaseOf = (table: string) => number | undefined;

export interface NamedCursor {
  readonly state: string;
  /** The number of the cut: a later one may have it as its base. Numbers grow. */
  readonly cut: number;
  readonly cursor: SnapshotCursor;
}

/** Reads the values of a cut while the live state goes on changing. */
export interface SnapshotCursor {
  /** The cut since which what it gives has changed; undefined: it gives all rows. */
  readonly base: number | undefined;
  /**
   * Looks for rows to be given, well under a millisecond of work. true: they are not enough for `next` yet, and it is
   * to be called again. Where `next` is called without it, `next` takes as long as the search does.
   */
  seek(): boolean;
  /**
   * Encodes the next few hundred rows, well under a millisecond of work, so that the caller can stop at its budget.
   * undefined: all of the cut was given.
   * @throws OperatorError when a value cannot be encoded; the caller then cancels
   */
  next(): EncodedChunk | undefined;
  /** The cut is given up. Allowed at any time, also after the end. */
  cancel(): void;
}

export interface EncodedChunk {
  readonly keyGroups: KeyGroupRange;
  readonly entries: number;
  readonly bytes: Uint8Array;
}

/** Puts a snapshot's rows into a table that processes nothing yet. */
export interface StateRestorer {
  /**
   * Takes one chunk. true: there is more.
   * @throws ObjectCorruptError
   */
  next(): boolean;
}

/** Bytes of a snapshot to restore from, whole chunks; `object` is their name in error messages. */
export interface SnapshotBytes {
  readonly object: string;
  readonly bytes: Uint8Array;
}
