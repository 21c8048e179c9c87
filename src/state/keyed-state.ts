/**
 * The keyed states of one operator in one subtask: the handles that its function works with, over the tables of a
 * backend.
 *
 * Owns: which handle a descriptor asks for. Does not own: where the tables lie (contract.ts), which key a record has
 * (chain.ts).
 */
import type {
  KeyedBackend,
  KeyedBackendOptions,
  NamedCursor,
  SnapshotBytes,
  StateRestorer,
} from "./contract.ts";
import type { Key, StateDescriptors, StateHandles } from "./descriptor.ts";
import { ValueHandle } from "./handles/value.ts";

/** Opens the state of one operator in one subtask. */
export type OpenBackend = (options: KeyedBackendOptions) => KeyedBackend;

export interface KeyedStateOptions extends Omit<KeyedBackendOptions, "keepsObjects"> {
  readonly descriptors: StateDescriptors;
  /** What is set is looked at closely, and frozen; so `get` answers that very object. Default false. */
  readonly checks?: boolean;
}

export class KeyedState {
  /** They are about the values of the current key. */
  readonly handles: StateHandles<StateDescriptors>;
  private readonly backend: KeyedBackend;
  private readonly valueHandles: readonly (readonly [name: string, handle: ValueHandle<unknown>])[];

  constructor(openBackend: OpenBackend, { descriptors, checks = false, ...options }: KeyedStateOptions) {
    const backend = openBackend({ ...options, keepsObjects: checks });
    this.backend = backend;
    this.valueHandles = Object.entries(descriptors).map(([name, { initial }]) => [
      name,
      new ValueHandle(backend.openTable(name), initial, checks),
    ]);
    // No prototype: a state may be named "constructor".
    this.handles = Object.assign(Object.create(null), Object.fromEntries(this.valueHandles));
  }

  get stateNames(): readonly string[] {
    return this.backend.tableNames;
  }

  /** The states that were read or set for the current key, and hold an object. For messages. */
  get statesInUse(): string[] {
    return this.valueHandles.filter(([, handle]) => handle.holdsObject).map(([name]) => name);
  }

  /** @throws ConfigurationError for a key of a type that cannot be one, OperatorError for one of another subtask */
  setCurrentKey(key: Key): void {
    this.backend.setCurrentKey(key);
  }

  /** One cursor for each state, all of the same moment. */
  snapshot(): NamedCursor[] {
    return this.backend.snapshot();
  }

  restorer(state: string, source: SnapshotBytes): StateRestorer {
    return this.backend.restorer(state, source);
  }

  /**
   * Each key that holds a value in any state, once. The caller may set and clear the values of a key that it was given.
   */
  keys(): Generator<Key, void, undefined> {
    return this.backend.keys();
  }

  /** Lets the state go; nothing may be called afterwards. */
  close(): void {
    this.backend.close();
  }
}
