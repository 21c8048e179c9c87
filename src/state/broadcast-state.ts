/**
 * State that is the same in every subtask of an operator: a map that only records which all of them get may change.
 *
 * Owns: what the user says about it, the handle, entries encoded and decoded. Does not own: the records and their order
 * (dataflow/operators/joins/broadcast-process.ts), cuts (operator-state.ts).
 *
 * - BM1 The map changes only while it is writable: in the function that every subtask calls with the same records in
 *   the same order. So all copies are equal.
 * - BM2 It is iterated in the order in which keys were first set, the same in all copies and after a restore.
 *
 * Flink: BroadcastState.
 */
import { ValueRefusedError } from "../errors.ts";
import { describeValue } from "./described.ts";
import type { MapKey } from "./descriptor.ts";
import { freezePlain } from "./frozen.ts";
import { isCarried, refuseValue } from "./plain-value.ts";
import { encodeEntry } from "./snapshot/codec.ts";
import { unkeyedOptionsOf, type VersionOptions, type WithVersion } from "./versions/state-version.ts";

declare const held: unique symbol;

export interface BroadcastStateDescriptor<K extends MapKey, V> extends WithVersion {
  readonly kind: "broadcast";
  readonly [held]?: readonly [K, V];
}

/**
 * A map that is the same in every subtask, empty at first. It lies in memory, once in each of them.
 *
 * @param options `{ version: "2", migrate: { "1": (value) => ... } }`: version 1 has stored the values of entries in
 *   another form
 * @throws ConfigurationError for options that mean nothing, and for further arguments
 */
export function broadcastState<K extends MapKey, V>(
  options?: VersionOptions,
  ...further: readonly never[]
): BroadcastStateDescriptor<K, V> {
  return { kind: "broadcast", ...unkeyedOptionsOf("broadcastState", options, further) };
}

export type BroadcastStateDescriptors = {
  readonly [name: string]: BroadcastStateDescriptor<MapKey, unknown>;
};

export interface ReadOnlyBroadcastState<K extends MapKey, V> extends Iterable<[K, V]> {
  get(key: K): V | undefined;
  has(key: K): boolean;
  keys(): IterableIterator<K>;
  values(): IterableIterator<V>;
  entries(): IterableIterator<[K, V]>;
  readonly size: number;
}

export interface BroadcastState<K extends MapKey, V> extends ReadOnlyBroadcastState<K, V> {
  /**
   * `value` belongs to the state from here on: it is not changed in place any more.
   * @throws ValueRefusedError for undefined, null, and what is no plain value
   */
  set(key: K, value: V): void;
  /** true: there was such an entry. */
  delete(key: K): boolean;
  clear(): void;
}

export type ReadOnlyBroadcastHandles<S extends BroadcastStateDescriptors> = {
  readonly [N in keyof S]: S[N] extends BroadcastStateDescriptor<infer K, infer V>
    ? ReadOnlyBroadcastState<K, V>
    : never;
};

export type BroadcastHandles<S extends BroadcastStateDescriptors> = {
  readonly [N in keyof S]: S[N] extends BroadcastStateDescriptor<infer K, infer V>
    ? BroadcastState<K, V>
    : never;
};

interface Entry {
  readonly value: unknown;
  /** undefined: no cut has held it yet. */
  encoded: Uint8Array | undefined;
}

export class BroadcastMap implements BroadcastState<MapKey, unknown> {
  /** Whether the function that may change it is running (BM1). */
  isWritable = false;
  readonly #name: string;
  readonly #checks: boolean;
  readonly #entries = new Map<MapKey, Entry>();

  /** @param checks values are frozen when they are set */
  constructor(name: string, checks: boolean) {
    this.#name = name;
    this.#checks = checks;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: MapKey): unknown {
    return this.#entries.get(key)?.value;
  }

  has(key: MapKey): boolean {
    return this.#entries.has(key);
  }

  keys(): IterableIterator<MapKey> {
    return this.#entries.keys();
  }

  *values(): IterableIterator<unknown> {
    for (const { value } of this.#entries.values()) yield value;
  }

  *entries(): IterableIterator<[MapKey, unknown]> {
    for (const [key, { value }] of this.#entries) yield [key, value];
  }

  [Symbol.iterator](): IterableIterator<[MapKey, unknown]> {
    return this.entries();
  }

  set(key: MapKey, value: unknown): void {
    this.#checkWritable("set");
    const what = `a value of broadcast state "${this.#name}"`;
    if (typeof key !== "string" && typeof key !== "number") {
      throw new ValueRefusedError(
        `a key of broadcast state "${this.#name}" is ${describeValue(key)}; keys are texts and numbers`,
      );
    }
    if (value === undefined || value === null)
      throw new ValueRefusedError(`${what} cannot be ${value}: that is no value; delete the entry instead`);
    if (!(this.#checks ? freezePlain(value) : isCarried(value))) refuseValue(value, what);
    this.#entries.set(key, { value, encoded: undefined });
  }

  delete(key: MapKey): boolean {
    this.#checkWritable("delete");
    return this.#entries.delete(key);
  }

  clear(): void {
    this.#checkWritable("clear");
    this.#entries.clear();
  }

  encoded(): readonly Uint8Array[] {
    const all: Uint8Array[] = [];
    for (const [key, entry] of this.#entries) {
      entry.encoded ??= encodeEntry([key, entry.value]);
      all.push(entry.encoded);
    }
    return all;
  }

  restore(held: unknown, encoded: Uint8Array, migrate: ((value: unknown) => unknown) | undefined): void {
    const [key, stored] = held as [MapKey, unknown];
    const value = migrate === undefined ? stored : migrate(stored);
    if (this.#checks) freezePlain(value);
    this.#entries.set(key, { value, encoded: migrate === undefined ? encoded : undefined });
  }

  #checkWritable(method: string): void {
    if (this.isWritable) return;
    throw new Error(
      `${method} was called on broadcast state "${this.#name}" outside of onBroadcast: only there may it change, so that ` +
        "every subtask holds the same",
    );
  }
}
