/**
 * A list per key whose values have a time to live each.
 *
 * - LX1 Each value is a row. Its namespace is a number that rises as values are added, so their order is that of the
 *   namespaces, and one that expires is one row that goes.
 */
import { ABSENT } from "../contract.ts";
import type { ListState } from "../descriptor.ts";
import type { ExpiringRows } from "../ttl/expiring-rows.ts";
import { checkGiven, refuseNothing } from "./given.ts";
import type { StateHandle } from "./kind.ts";

export class ExpiringList<T> implements ListState<T>, StateHandle {
  private readonly rows: ExpiringRows;
  private readonly checks: boolean;

  constructor(rows: ExpiringRows, checks: boolean) {
    this.rows = rows;
    this.checks = checks;
  }

  get holdsObject(): boolean {
    return this.rows.isInUse && this.get().some((value) => typeof value === "object");
  }

  get size(): number {
    return this.rows.countNamespaces();
  }

  get isEmpty(): boolean {
    return this.size === 0;
  }

  get(): T[] {
    const { rows } = this;
    const values: T[] = [];
    for (const namespace of rows.namespaces()) {
      rows.setCurrentNamespace(namespace);
      const value = rows.read();
      if (value !== ABSENT) values.push(value as T);
    }
    return values;
  }

  [Symbol.iterator](): Iterator<T> {
    return this.get().values();
  }

  add(value: T): void {
    this.check(value);
    this.rows.append(value);
  }

  addAll(values: Iterable<T>): void {
    const all = [...values];
    for (const value of all) this.check(value);
    for (const value of all) this.rows.append(value);
  }

  set(values: Iterable<T>): void {
    const all = [...values];
    for (const value of all) this.check(value);
    this.clear();
    for (const value of all) this.rows.append(value);
  }

  clear(): void {
    this.rows.removeKey();
  }

  private check(value: T): void {
    if (value === undefined || value === null) refuseNothing(this.rows.name, value);
    if (this.checks) checkGiven(this.rows.name, value);
  }
}
