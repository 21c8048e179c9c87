/** What the user says about a piece of keyed state, and the handle that operators use. Plain data. */

import { checkMembers } from "../config/members.ts";
import { ConfigurationError } from "../errors.ts";
import type { StateTable, TableOptions } from "./contract.ts";
import { freeze } from "./frozen.ts";
import { type TtlOptions, ttlOf, type WithTtl } from "./ttl/time-to-live.ts";
import { type VersionOptions, versionOptionsOf, type WithVersion } from "./versions/state-version.ts";

/**
 * Keys of keyed streams. Other types are refused with a clear error when the first record arrives. NaN is one key, and
 * 0 and -0 are one; 1, "1", 1n and true are four.
 */
export type Key = string | number | boolean | bigint;

export interface StateOptions extends VersionOptions {
  /** How long values live. Default: until they are removed. */
  readonly ttl?: TtlOptions | undefined;
}

/** What a descriptor has of its options. */
interface WithOptions extends WithTtl, WithVersion {}

const OPTIONS = ["ttl", "version", "migrate"];

function optionsOf(maker: string, options: StateOptions | undefined): WithOptions {
  if (options === undefined) return {};
  checkMembers(options, OPTIONS, maker, "option", maker);
  return { ...ttlOf(maker, options.ttl), ...versionOptionsOf(maker, options) };
}

export interface ValueStateDescriptor<T> extends WithOptions {
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
 * Values of all kinds of state are plain: booleans, numbers, bigints, texts, plain objects, arrays, Map, Set, Date,
 * RegExp, bytes, and in them also undefined and null. Anything else (an instance of a class, a function, a promise) is
 * refused, when it is given with the option `checks`, else by the next checkpoint. undefined and null themselves are no
 * values: `initial` may be one of them, and then says that there is no value.
 *
 * @param options of all kinds of state: `{ ttl: { after: "1 h" } }` lets values expire. Default: they stay.
 *   `{ version: "2", migrate: { "1": (value) => ... } }` says that version 1 has stored them in another form
 * @throws ConfigurationError for options that mean nothing, and for further arguments
 */
export function valueState<T>(
  initial: T,
  options?: StateOptions,
  ...further: readonly never[]
): ValueStateDescriptor<T> {
  refuseFurther("valueState(initial, options)", "the initial value and options", further);
  const given = optionsOf("valueState", options);
  freeze(initial);
  return { kind: "value", initial, ...given };
}

function refuseFurther(call: string, takes: string, further: readonly unknown[]): void {
  if (further.length === 0) return;
  throw new ConfigurationError(call.slice(0, call.indexOf("(")), `${call}: takes ${takes}, and nothing else`);
}

/** Carries types that nothing else of a descriptor has. */
declare const held: unique symbol;

export interface ListStateDescriptor<T> extends WithOptions {
  readonly kind: "list";
  readonly [held]?: T;
}

/**
 * A list of values per key, empty at first: Flink's ListState. To add one does not copy those that are there. With a
 * time to live each value of the list has its own.
 */
export function listState<T>(options?: StateOptions, ...further: readonly never[]): ListStateDescriptor<T> {
  refuseFurther("listState(options)", "options", further);
  return { kind: "list", ...optionsOf("listState", options) };
}

/** Keys of a map state. 1 and "1" are two; 0 and -0 are one, and NaN is one. */
export type MapKey = string | number;

export interface MapStateDescriptor<K extends MapKey, V> extends WithOptions {
  readonly kind: "map";
  readonly [held]?: readonly [K, V];
}

/**
 * A map per key, empty at first: Flink's MapState. Each entry is stored for itself: to read or change one costs the
 * same however many there are. With a time to live each entry has its own.
 */
export function mapState<K extends MapKey, V>(
  options?: StateOptions,
  ...further: readonly never[]
): MapStateDescriptor<K, V> {
  refuseFurther("mapState(options)", "options", further);
  return { kind: "map", ...optionsOf("mapState", options) };
}

export interface ReducingStateDescriptor<T> extends WithOptions {
  readonly kind: "reducing";
  reduce(reduced: T, value: T): T;
}

/**
 * One value per key, to which others are added: Flink's ReducingState. The first value is kept as it comes; then it is
 * what `reduce` answers. `reduce` changes neither of its arguments. With a time to live each `add` renews the value,
 * and the first one behind its end begins anew.
 */
export function reducingState<T>(
  reduce: (reduced: T, value: T) => T,
  options?: StateOptions,
  ...further: readonly never[]
): ReducingStateDescriptor<T> {
  refuseFurther("reducingState(reduce, options)", "the function and options", further);
  return { kind: "reducing", reduce, ...optionsOf("reducingState", options) };
}

/** How values become a result by way of an accumulator. No function changes its arguments. */
export interface AggregateFunction<T, A, R> {
  createAccumulator(): A;
  add(accumulator: A, value: T): A;
  getResult(accumulator: A): R;
  /** The accumulator of what is in both. Only windows that merge ask for it. */
  merge?(a: A, b: A): A;
}

export interface AggregatingStateDescriptor<T, A, R> extends WithOptions {
  readonly kind: "aggregating";
  readonly aggregate: AggregateFunction<T, A, R>;
}

/**
 * One accumulator per key, to which values are added: Flink's AggregatingState. The accumulator is what is stored.
 * With a time to live each `add` renews it, and the first one behind its end begins anew.
 */
export function aggregatingState<T, A, R>(
  aggregate: AggregateFunction<T, A, R>,
  options?: StateOptions,
  ...further: readonly never[]
): AggregatingStateDescriptor<T, A, R> {
  refuseFurther("aggregatingState(aggregate, options)", "the functions and options", further);
  return { kind: "aggregating", aggregate, ...optionsOf("aggregatingState", options) };
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
export type UserStateDescriptor =
  | ValueStateDescriptor<unknown>
  | ListStateDescriptor<unknown>
  | MapStateDescriptor<MapKey, unknown>
  | ReducingStateDescriptor<unknown>
  | AggregatingStateDescriptor<unknown, unknown, unknown>;

export type StateDescriptor = UserStateDescriptor | TableDescriptor;

/** The value of the key that is being processed. */
export interface ValueState<T> {
  /** The value that was set last, or `initial`. Do not change it in place: change a copy and give that to `set`. */
  get(): T;
  /**
   * `value` belongs to the state from here on: replace it, do not change it in place. With the option `checks` it is
   * frozen. To remove what is there, use `clear`.
   *
   * @throws ValueRefusedError for undefined and null, and with the option `checks` for what is no plain value
   */
  set(value: NonNullable<T>): void;
  /** The key answers `initial` again and takes no space. */
  clear(): void;
}

/**
 * The list of the key that is being processed. What is given to it belongs to the state, as at `ValueState.set`, and is
 * refused in the same way.
 */
export interface ListState<T> extends Iterable<T> {
  /** The values, in the order in which they were added, in an array of the caller's own. */
  get(): T[];
  add(value: T): void;
  /** Adds them in order. If one is refused, none is added. */
  addAll(values: Iterable<T>): void;
  /** Puts these values in the place of all. */
  set(values: Iterable<T>): void;
  readonly size: number;
  readonly isEmpty: boolean;
  /** The list is empty again and takes no space. */
  clear(): void;
}

/**
 * The map of the key that is being processed. What is given to it belongs to the state, as at `ValueState.set`, and is
 * refused in the same way; keys that are neither text nor number are, too.
 *
 * Iteration goes by the order of the keys, numbers from the smallest and then texts by their UTF-16 code units: the
 * same after each restore. Entries may be set and deleted meanwhile; one that is deleted before its turn does not come,
 * and one that is new does not come either. An iterator ends with the record for which it was made.
 */
export interface MapState<K extends MapKey, V> extends Iterable<[K, V]> {
  get(key: K): V | undefined;
  set(key: K, value: V): void;
  has(key: K): boolean;
  /** true: there was such an entry. */
  delete(key: K): boolean;
  keys(): IterableIterator<K>;
  values(): IterableIterator<V>;
  entries(): IterableIterator<[K, V]>;
  readonly size: number;
  readonly isEmpty: boolean;
  /** The map is empty again and takes no space. */
  clear(): void;
}

/** What has been added for the key that is being processed, reduced to one value. */
export interface ReducingState<T> {
  /** undefined: nothing was added. */
  get(): T | undefined;
  /** @throws ValueRefusedError for what `ValueState.set` refuses, also when `reduce` answers it */
  add(value: T): void;
  readonly isEmpty: boolean;
  /** Nothing was added, and takes no space. */
  clear(): void;
}

/** The result of what has been added for the key that is being processed. */
export interface AggregatingState<T, R> {
  /** undefined: nothing was added. */
  get(): R | undefined;
  /** @throws ValueRefusedError for undefined and null, and for accumulators that `ValueState.set` would refuse */
  add(value: T): void;
  readonly isEmpty: boolean;
  /** Nothing was added, and takes no space. */
  clear(): void;
}

export type StateDescriptors = { readonly [name: string]: StateDescriptor };

export type StateHandles<S extends StateDescriptors> = {
  readonly [N in keyof S]: HandleOf<S[N]>;
};

type HandleOf<D extends StateDescriptor> =
  D extends ValueStateDescriptor<infer T>
    ? ValueState<T>
    : D extends ListStateDescriptor<infer T>
      ? ListState<T>
      : D extends MapStateDescriptor<infer K, infer V>
        ? MapState<K, V>
        : D extends ReducingStateDescriptor<infer T>
          ? ReducingState<T>
          : D extends AggregatingStateDescriptor<infer T, infer _, infer R>
            ? AggregatingState<T, R>
            : D extends TableDescriptor
              ? StateTable
              : never;
