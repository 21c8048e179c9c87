/** What the user says about a piece of keyed state, and the handle that operators use. Plain data. */

import { ConfigurationError } from "../errors.ts";
import type { StateTable, TableOptions } from "./contract.ts";
import { freeze } from "./frozen.ts";

/**
 * Keys of keyed streams. Other types are refused with a clear error when the first record arrives. NaN is one key, and
 * 0 and -0 are one; 1, "1", 1n and true are four.
 */
export type Key = string | number | boolean | bigint;

export interface ValueStateDescriptor<T> {
  readonly kind: "value";
  /**
   * What `get` answers for a key that was never set. It is frozen, because it is one for all keys; where it holds
   * bytes, which cannot be frozen, each `get` answers a copy.
   */
  readonly initial: T;
}

/**
 * One value per key. `initial` is answered until the first `set`; it is frozen, in depth.
 *
 * Values are plain: undefined, null, booleans, numbers, bigints, texts, plain objects, arrays, Map, Set, Date, RegExp,
 * bytes. Anything else (an instance of a class, a function, a promise) is refused, at `set` with the option `checks`,
 * else by the next checkpoint.
 *
 * @throws ConfigurationError for further arguments: there are no options yet
 */
export function valueState<T>(initial: T, ...further: readonly never[]): ValueStateDescriptor<T> {
  if (further.length > 0) {
    throw new ConfigurationError(
      "valueState",
      "valueState(initial): takes the initial value and nothing else; there are no options yet, such as a time to live",
    );
  }
  freeze(initial);
  return { kind: "value", initial };
}

/** Bare rows, for operators of the engine that keep their own order in them: windows, timers. Not for users. */
export interface TableDescriptor extends TableOptions {
  readonly kind: "table";
}

/** The rows of a table as they are: its handle is the StateTable. */
export function stateTable(options: TableOptions = {}): TableDescriptor {
  return { kind: "table", ...options };
}

/** What a user can declare; the table of kinds is handles/kinds.ts. */
export type UserStateDescriptor = ValueStateDescriptor<unknown>;

export type StateDescriptor = UserStateDescriptor | TableDescriptor;

/** The value of the key that is being processed. */
export interface ValueState<T> {
  /** The value that was set last, or `initial`. Do not change it in place: change a copy and give that to `set`. */
  get(): T;
  /**
   * `value` belongs to the state from here on: replace it, do not change it in place. With the option `checks` it is
   * frozen.
   *
   * @throws ValueRefusedError with the option `checks`, for what is no plain value
   */
  set(value: T): void;
  /** The key answers `initial` again and takes no space. */
  clear(): void;
}

export type StateDescriptors = { readonly [name: string]: StateDescriptor };

export type StateHandles<S extends StateDescriptors> = {
  readonly [N in keyof S]: HandleOf<S[N]>;
};

type HandleOf<D extends StateDescriptor> =
  D extends ValueStateDescriptor<infer T> ? ValueState<T> : D extends TableDescriptor ? StateTable : never;
