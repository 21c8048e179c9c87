/**
 * The keyed states of one operator in one subtask: the handles that its function works with, over the tables of a
 * backend.
 *
 * Owns: which handle a descriptor asks for. Does not own: where the tables lie (contract.ts), which key a record has
 * (chain.ts).
 */
import { invariant } from "../errors.ts";
import type {
  BaseOf,
  KeyedBackend,
  KeyedBackendOptions,
  NamedCursor,
  Namespace,
  SnapshotBytes,
  StateRestorer,
  StateTable,
} from "./contract.ts";
import type { Key, StateDescriptors, StateHandles } from "./descriptor.ts";
import { type ExpiringState, type OpenState, openState } from "./handles/kinds.ts";
import { isInPieces, type LiveValue, valuesOf } from "./handles/live-values.ts";
import { type KeyGroupRange, keyGroupOf } from "./key-groups.ts";
import type { TimeOrder } from "./timers/time-order.ts";
import { stateOfTimes } from "./ttl/time-to-live.ts";
import { type MigratedState, RowMigrations } from "./versions/row-migrations.ts";
import { FIRST_VERSION } from "./versions/state-version.ts";

/** Opens the state of one operator in one subtask. */
export type OpenBackend = (options: KeyedBackendOptions) => KeyedBackend;

export interface KeyedStateOptions<S extends StateDescriptors>
  extends Omit<KeyedBackendOptions, "keepsObjects"> {
  readonly descriptors: S;
  /** What is set is looked at closely, and frozen; so `get` answers that very object. Default false. */
  readonly checks?: boolean;
}

/** What stored rows of a state are. */
export interface StoredVersion {
  readonly version?: string | undefined;
  readonly keyGroups?: KeyGroupRange;
}

export class KeyedState<S extends StateDescriptors = StateDescriptors> {
  /** They are about the values of the current key. */
  readonly handles: StateHandles<S>;
  /** Those of the subtask. */
  readonly keyGroups: KeyGroupRange;
  /** The number of key groups of the job. */
  readonly maxParallelism: number;
  /** The states whose values have a time to live. The operator gives them their clocks. */
  readonly expiring: readonly ExpiringState[];
  /** Set by the operator, if values of it pause while the job does not run: cuts tell how late it is by that clock. */
  pausingClock: { now(): number; restore(time: number): void } | undefined;
  /** Set by an operator that puts off changes of its rows: makes those that a cut has to hold. */
  beforeCut: (() => void) | undefined;
  private readonly backend: KeyedBackend;
  private readonly states: readonly OpenState[];
  private readonly migrations: RowMigrations;
  /** The tables that were restored. */
  private readonly restored = new Set<string>();

  constructor(openBackend: OpenBackend, { descriptors, checks = false, ...options }: KeyedStateOptions<S>) {
    const backend = openBackend({ ...options, keepsObjects: checks });
    this.keyGroups = options.keyGroups;
    this.maxParallelism = options.maxParallelism;
    this.backend = backend;
    this.migrations = new RowMigrations({ operator: options.operator, backend, checks });
    this.states = Object.entries(descriptors).map(([name, descriptor]) =>
      openState(name, descriptor, { backend, keyGroups: options.keyGroups, checks }),
    );
    this.expiring = this.states.flatMap(({ expiring = [] }) => expiring);
    // No prototype: a state may be named "constructor".
    const handles = this.states.map(({ name, table, handle }) => [name, handle ?? table]);
    // Frozen: what is assigned to the name of a state would be lost in silence.
    this.handles = Object.freeze(Object.assign(Object.create(null), Object.fromEntries(handles)));
  }

  get stateNames(): readonly string[] {
    return this.backend.tableNames;
  }

  /** The states that were read or set for the current key, and hold an object. For messages. */
  get statesInUse(): string[] {
    return this.states.filter(({ handle }) => handle?.holdsObject === true).map(({ name }) => name);
  }

  /** The rows of a state that is declared by `stateTable`. */
  table(name: string): StateTable {
    const { table, handle } = this.state(name);
    invariant(handle === undefined, `state "${name}" is no table`);
    return table;
  }

  /** An order of times that needs not fit into memory; undefined: the backend has none. */
  openOrder(): TimeOrder | undefined {
    return this.backend.openOrder?.();
  }

  private state(name: string): OpenState {
    const state = this.states.find((one) => one.name === name);
    invariant(state !== undefined, `there is no state "${name}"`);
    return state;
  }

  /** The handle of a state of one value is about this namespace from here on. */
  setCurrentNamespace(name: string, namespace: Namespace): void {
    this.state(name).table.setCurrentNamespace(namespace);
  }

  /** Removes what the state holds for the current key, in its current namespace. */
  removeValue(name: string): void {
    this.state(name).table.remove();
  }

  /** @throws ConfigurationError for a key of a type that cannot be one, OperatorError for one of another subtask */
  setCurrentKey(key: Key): void {
    this.backend.setCurrentKey(key);
  }

  /** The key that was set last. */
  get currentKey(): Key {
    return this.backend.currentKey;
  }

  /** The key group of the current key; there is one. */
  get currentKeyGroup(): number {
    return this.backend.currentKeyGroup;
  }

  /** No state can be used until a key is set. */
  leaveCurrentKey(): void {
    this.backend.leaveCurrentKey();
  }

  /** The version of what a state holds, as its user calls it. */
  versionOf(state: string): string {
    return this.states.find(({ name }) => name === state)?.version ?? FIRST_VERSION;
  }

  /** One cursor for each state, all of the same moment (KeyedBackend). */
  snapshot(baseOf?: BaseOf): NamedCursor[] {
    this.beforeCut?.();
    return this.backend.snapshot(baseOf);
  }

  /** All restorers are done: what is there counts as a cut (KeyedBackend). */
  isRestored(): void {
    this.backend.restored();
  }

  /** It can be restored here. */
  takes(state: string): boolean {
    return this.stateNames.includes(stateOfTimes(state) ?? state);
  }

  /**
   * Times of values that have no time to live any more, or one by another clock, are passed over.
   *
   * @param stored the version of the values, and the key groups that they may be of. Default: version "1", all
   */
  restorer(
    state: string,
    source: SnapshotBytes,
    { version = FIRST_VERSION, keyGroups = this.keyGroups }: StoredVersion = {},
  ): StateRestorer {
    if (!this.stateNames.includes(state) && this.takes(state)) return { next: () => false };
    this.restored.add(state);
    if (version !== this.versionOf(state))
      this.migrations.add(state, this.migratedState(state), { version, keyGroups });
    return this.backend.restorer(state, source);
  }

  private migratedState(state: string): MigratedState | undefined {
    return this.states.find(({ name }) => name === state)?.migrated;
  }

  /** All is restored: begins to migrate values that an older version of their state has stored. */
  migrate(): { step(): boolean } {
    return this.migrations.begin();
  }

  /** The expiring states are restored: puts them in order. Values that came without times begin to live now. */
  orderExpiring(): { step(): boolean } {
    const orders = this.expiring.map(({ name, rows, timesTable }) =>
      this.restored.has(name) && !this.restored.has(timesTable) ? rows.begin() : rows.order(),
    );
    return {
      step: () => {
        if (orders.length > 0 && !orders[0]!.step()) orders.shift();
        return orders.length > 0;
      },
    };
  }

  /**
   * Each key that holds a value in this state, or in any if none is named, once. The caller may set and clear the
   * values of a key that it was given. The values of a key may all have expired (`holdsValue`).
   */
  keys(name?: string): Generator<Key, void, undefined> {
    return this.backend.keys(name);
  }

  /** The current key, which has rows in the state, holds a value: not all have expired. Those that have are removed. */
  holdsValue(name: string): boolean {
    return this.state(name).expiring?.rows.holdsAny() ?? true;
  }

  /** The states that users have named, with the rows that they have. Lists without a time to live are in pieces. */
  live(): { readonly name: string; readonly rows: number | undefined }[] {
    const named = this.states.filter(({ kind }) => kind !== "table");
    return named.map((one) => ({ name: one.name, rows: isInPieces(one) ? undefined : one.table.rowCount }));
  }

  /**
   * What a key holds in a state that its user has named, all of it at this moment, expired values included; none where
   * the key has nothing. undefined: there is no such state here, or the key is another subtask's. Called between two
   * records: what they have as their current key stays.
   */
  peek(name: string, key: Key): readonly LiveValue[] | undefined {
    const state = this.peekable(name, keyGroupOf(key, this.maxParallelism));
    if (state === undefined) return undefined;
    return this.beside(() => {
      this.backend.setCurrentKey(key);
      return valuesOf(state);
    });
  }

  /**
   * Likewise what all keys of a key group hold, key by key, as long as `take` answers true. undefined: as of `peek`.
   */
  peekGroup(
    name: string,
    keyGroup: number,
    take: (key: Key, values: readonly LiveValue[]) => boolean,
  ): true | undefined {
    const state = this.peekable(name, keyGroup);
    if (state === undefined) return undefined;
    return this.beside(() => {
      for (const key of this.backend.keys(name, keyGroup)) {
        if (keyGroupOf(key, this.maxParallelism) !== keyGroup) continue;
        this.backend.setCurrentKey(key);
        if (!take(key, valuesOf(state))) break;
      }
      return true;
    });
  }

  private peekable(name: string, keyGroup: number): OpenState | undefined {
    const { first, last } = this.keyGroups;
    if (keyGroup < first || keyGroup > last) return undefined;
    return this.states.find((one) => one.name === name && one.kind !== "table");
  }

  /** Does what makes other keys the current one. */
  private beside<T>(look: () => T): T {
    const { backend } = this;
    const { currentKey, currentKeyGroup } = backend;
    try {
      return look();
    } finally {
      if (currentKeyGroup < this.keyGroups.first) backend.leaveCurrentKey();
      else backend.setCurrentKey(currentKey);
    }
  }

  /** Lets the state go; nothing may be called afterwards. */
  close(): void {
    this.backend.close();
  }
}
