/**
 * A map per key: what the user's function works with.
 *
 * - MH1 Each entry is a row, and its namespace is the entry's key. So one entry that changes is one row that changes.
 */
import { ValueRefusedError } from "../../errors.ts";
import { ABSENT, type KeyRows } from "../contract.ts";
import { describeValue } from "../described.ts";
import type { MapKey, MapState, MapStateDescriptor } from "../descriptor.ts";
import { checkGiven, refuseNothing } from "./given.ts";
import type { StateHandle, StateKind } from "./kind.ts";

export const mapKind: StateKind<MapStateDescriptor<MapKey, unknown>> = {
  maker: "mapState()",
  members: ["kind", "ttl", "version", "migrate"],
  tableOptions: { listsNamespaces: true },
  open: (table, _, checks) => new MapHandle(table, checks),
  expired: (_, namespace, value) => ({ value, entry: namespace }),
};

class MapHandle<K extends MapKey, V> implements MapState<K, V>, StateHandle {
  private readonly table: KeyRows;
  private readonly checks: boolean;

  constructor(table: KeyRows, checks: boolean) {
    this.table = table;
    this.checks = checks;
  }

  get holdsObject(): boolean {
    if (!this.table.isInUse) return false;
    const value = this.table.read();
    return typeof value === "object" && value !== null;
  }

  get size(): number {
    return this.table.countNamespaces();
  }

  get isEmpty(): boolean {
    return this.table.countNamespaces() === 0;
  }

  get(key: K): V | undefined {
    const value = this.at(key).read();
    return value === ABSENT ? undefined : (value as V);
  }

  has(key: K): boolean {
    return this.at(key).read() !== ABSENT;
  }

  set(key: K, value: V): void {
    if (value === undefined || value === null) refuseNothing(this.table.name, value);
    if (this.checks) checkGiven(this.table.name, value);
    this.at(key).write(value);
  }

  delete(key: K): boolean {
    const table = this.at(key);
    if (table.read() === ABSENT) return false;
    table.remove();
    return true;
  }

  *keys(): IterableIterator<K> {
    for (const [key] of this.entries()) yield key;
  }

  *values(): IterableIterator<V> {
    for (const [, value] of this.entries()) yield value;
  }

  *entries(): IterableIterator<[K, V]> {
    const { table } = this;
    const { keyTurn } = table;
    for (const key of table.namespaces() as readonly K[]) {
      if (table.keyTurn !== keyTurn) refuseLate(table.name);
      table.setCurrentNamespace(key);
      const value = table.read();
      if (value !== ABSENT) yield [key, value as V];
    }
  }

  [Symbol.iterator](): IterableIterator<[K, V]> {
    return this.entries();
  }

  clear(): void {
    this.table.removeKey();
  }

  private at(key: K): KeyRows {
    const { table } = this;
    if (typeof key === "number") table.setCurrentNamespace(key + 0);
    else if (typeof key === "string") table.setCurrentNamespace(key);
    else refuseKey(table.name, key);
    return table;
  }
}

function refuseKey(state: string, key: unknown): never {
  throw new ValueRefusedError(
    `a key of map state "${state}" is ${describeValue(key)}; keys are texts and numbers: use a field, or join several into one text`,
  );
}

function refuseLate(state: string): never {
  throw new Error(
    `an iterator over state "${state}" was used after the record for which it was made; copy what is needed later ([...entries()])`,
  );
}
