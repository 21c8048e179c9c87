/**
 * The state of one operator in one subtask that belongs to no key: lists, such as a buffer of what is not yet sent.
 *
 * Owns: what the user says about it, the handles, entries encoded and decoded. Does not own: which subtask gets which
 * entries (job/restore/assignment.ts), when it is cut (dataflow/chain.ts).
 *
 * - OT1 Each value is an entry of its own, encoded once and at the first cut behind its `add`, so that a cut tells
 *   neither what the user changes afterwards nor what is added.
 * - OT2 It is held in memory, and travels in acknowledgement and manifest: it is for thousands of values, not millions.
 *
 * Flink: OperatorStateStore, getListState and getUnionListState.
 */
import type { Distribution, OperatorStateHandle } from "../../machines/protocol.ts";
import { ObjectCorruptError, OperatorError, ValueRefusedError } from "../errors.ts";
import { BroadcastMap, type BroadcastStateDescriptor } from "./broadcast-state.ts";
import type { MapKey } from "./descriptor.ts";
import { freezePlain } from "./frozen.ts";
import { isCarried, refuseValue } from "./plain-value.ts";
import { decodeEntry, encodeEntry } from "./snapshot/codec.ts";
import { migrationFrom, unknownVersion } from "./versions/migration.ts";
import {
  FIRST_VERSION,
  unkeyedOptionsOf,
  type VersionOptions,
  type WithVersion,
} from "./versions/state-version.ts";

declare const held: unique symbol;

export interface OperatorListDescriptor<T> extends WithVersion {
  readonly kind: "operatorList";
  readonly [held]?: T;
}

export interface OperatorUnionDescriptor<T> extends WithVersion {
  readonly kind: "operatorUnion";
  readonly [held]?: T;
}

/**
 * A list in each subtask. With another parallelism its values are dealt out anew, each to one subtask.
 *
 * @param options `{ version: "2", migrate: { "1": (value) => ... } }`: version 1 has stored the values in another form
 * @throws ConfigurationError for options that mean nothing, and for further arguments
 */
export function operatorListState<T>(
  options?: VersionOptions,
  ...further: readonly never[]
): OperatorListDescriptor<T> {
  return { kind: "operatorList", ...unkeyedOptionsOf("operatorListState", options, further) };
}

/**
 * A list in each subtask. After each restore every subtask has the values of all of them, and picks. So no checkpoint
 * completes while only some subtasks of the operator have finished.
 *
 * @param options as of `operatorListState`
 * @throws ConfigurationError as `operatorListState` does
 */
export function operatorUnionState<T>(
  options?: VersionOptions,
  ...further: readonly never[]
): OperatorUnionDescriptor<T> {
  return { kind: "operatorUnion", ...unkeyedOptionsOf("operatorUnionState", options, further) };
}

export type OperatorStateDescriptor = OperatorListDescriptor<unknown> | OperatorUnionDescriptor<unknown>;

/** Broadcast state among them, which operators of its own have. */
type AnyDescriptor = OperatorStateDescriptor | BroadcastStateDescriptor<MapKey, unknown>;

export type AnyOperatorStateDescriptors = { readonly [name: string]: AnyDescriptor };

export type OperatorStateDescriptors = { readonly [name: string]: OperatorStateDescriptor };

/** How the values of each kind are dealt out at a restore. */
export const distributions = {
  operatorList: "list",
  operatorUnion: "union",
  broadcast: "broadcast",
} as const satisfies Record<AnyDescriptor["kind"], Distribution>;

/** Whether it describes state that belongs to no key. */
export function isOperatorState(descriptor: unknown): boolean {
  const kind: unknown = (descriptor as { readonly kind?: unknown } | null)?.kind;
  return typeof kind === "string" && Object.hasOwn(distributions, kind);
}

/** The values that this subtask holds, in the order in which they were added. */
export interface OperatorListState<T> extends Iterable<T> {
  /** The values, in an array of the caller's own. */
  get(): T[];
  /**
   * `value` belongs to the state from here on: it is not changed in place any more.
   * @throws ValueRefusedError for undefined, null, and what is no plain value
   */
  add(value: T): void;
  /** Adds them in order. If one is refused, none is added. */
  addAll(values: Iterable<T>): void;
  /** Puts these values in the place of all. */
  set(values: Iterable<T>): void;
  readonly size: number;
  readonly isEmpty: boolean;
  clear(): void;
}

export type OperatorStateHandles<S extends OperatorStateDescriptors> = {
  readonly [N in keyof S]: S[N] extends OperatorListDescriptor<infer T> | OperatorUnionDescriptor<infer T>
    ? OperatorListState<T>
    : never;
};

/** What a cut holds of one state. */
export interface OperatorStateCut {
  readonly state: string;
  readonly distribution: Distribution;
  /** Left out: the first one. */
  readonly version?: string;
  readonly entries: readonly Uint8Array[];
}

/** What a restore brings of one state. */
export type StoredEntries = Pick<OperatorStateHandle, "state" | "version" | "entries">;

/** What all kinds of state without key have in common. */
interface Entries {
  clear(): void;
  encoded(): readonly Uint8Array[];
  /**
   * Adds a stored entry. @param encoded `held`, as it lies in the cut. @param migrate for the value in it, where an
   * older version has stored it
   */
  restore(held: unknown, encoded: Uint8Array, migrate: Migrate | undefined): void;
}

type Migrate = (value: unknown) => unknown;

export class OperatorState {
  readonly handles: { readonly [name: string]: OperatorListState<unknown> };
  /** The handles of broadcast state, by name. */
  readonly broadcast: { readonly [name: string]: BroadcastMap };
  readonly #operator: string;
  readonly #descriptors: AnyOperatorStateDescriptors;
  readonly #checks: boolean;
  readonly #states: ReadonlyMap<string, Entries>;

  /** @param checks values are frozen when they are added */
  constructor(operator: string, descriptors: AnyOperatorStateDescriptors, checks: boolean) {
    this.#operator = operator;
    this.#descriptors = descriptors;
    this.#checks = checks;
    const named = Object.entries(descriptors);
    const lists = named
      .filter(([, { kind }]) => kind !== "broadcast")
      .map(([name]) => [name, new EntryList(`a value of state "${name}"`, checks)] as const);
    const maps = named
      .filter(([, { kind }]) => kind === "broadcast")
      .map(([name]) => [name, new BroadcastMap(name, checks)] as const);
    // Frozen: what is assigned to the name of a state would be lost in silence.
    this.handles = Object.freeze(Object.fromEntries(lists));
    this.broadcast = Object.freeze(Object.fromEntries(maps));
    this.#states = new Map<string, Entries>([...lists, ...maps]);
  }

  get names(): readonly string[] {
    return [...this.#states.keys()];
  }

  cut(): OperatorStateCut[] {
    return [...this.#states].map(([state, entries]) => {
      const { kind, version } = this.#descriptors[state]!;
      return {
        state,
        distribution: distributions[kind],
        ...(version !== undefined && { version }),
        entries: entries.encoded(),
      };
    });
  }

  /**
   * Adds entries of a cut; called before the first record. A state that is not declared any more is left out.
   * @throws OperatorError where values of an older version cannot be migrated, ObjectCorruptError
   */
  restore({ state, version = FIRST_VERSION, entries }: StoredEntries): void {
    const restored = this.#states.get(state);
    if (restored === undefined) return;
    const migrate = this.#migrationOf(state, version);
    for (const encoded of entries)
      try {
        restored.restore(decodeEntry(encoded), encoded, migrate);
      } catch (cause) {
        if (cause instanceof OperatorError) throw cause;
        const place = `state "${state}" of operator "${this.#operator}"`;
        throw new ObjectCorruptError(place, `${place} cannot be read: its entries are no values`, { cause });
      }
  }

  /** undefined: the version is the present one. */
  #migrationOf(name: string, from: string): Migrate | undefined {
    const { version = FIRST_VERSION, migrate = {} } = this.#descriptors[name]!;
    if (from === version) return undefined;
    if (!Object.hasOwn(migrate, from)) throw new OperatorError(this.#operator, unknownVersion(name, from));
    const migrated = migrationFrom(from, { name, migrate }, this.#checks);
    return (value) => {
      try {
        return migrated(value);
      } catch (error) {
        throw new OperatorError(this.#operator, error);
      }
    };
  }

  clear(): void {
    for (const state of this.#states.values()) state.clear();
  }
}

class EntryList implements OperatorListState<unknown> {
  readonly #what: string;
  readonly #checks: boolean;
  #values: unknown[] = [];
  /** The entries of the first values (OT1); the others are not encoded yet. */
  #entries: Uint8Array[] = [];

  constructor(what: string, checks: boolean) {
    this.#what = what;
    this.#checks = checks;
  }

  get size(): number {
    return this.#values.length;
  }

  get isEmpty(): boolean {
    return this.#values.length === 0;
  }

  [Symbol.iterator](): Iterator<unknown> {
    return this.get()[Symbol.iterator]();
  }

  get(): unknown[] {
    return this.#values.slice();
  }

  add(value: unknown): void {
    this.#check(value);
    this.#values.push(value);
  }

  addAll(values: Iterable<unknown>): void {
    const added = [...values];
    for (const value of added) this.#check(value);
    for (const value of added) this.#values.push(value);
  }

  set(values: Iterable<unknown>): void {
    const all = [...values];
    for (const value of all) this.#check(value);
    this.#values = all;
    this.#entries = [];
  }

  clear(): void {
    this.#values = [];
    this.#entries = [];
  }

  encoded(): readonly Uint8Array[] {
    for (let i = this.#entries.length; i < this.#values.length; i++)
      this.#entries.push(encodeEntry(this.#values[i]));
    return this.#entries.slice();
  }

  restore(held: unknown, _encoded: Uint8Array, migrate: Migrate | undefined): void {
    const value = migrate === undefined ? held : migrate(held);
    if (this.#checks) freezePlain(value);
    this.#values.push(value);
  }

  #check(value: unknown): void {
    if (value === undefined || value === null)
      throw new ValueRefusedError(`${this.#what} cannot be ${value}: that is no value`);
    if (!(this.#checks ? freezePlain(value) : isCarried(value))) refuseValue(value, this.#what);
  }
}
