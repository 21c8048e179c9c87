/**
 * A list per key: what the user's function works with.
 *
 * - LH1 The row of the fixed namespace is an array: how many full pieces there are, and behind it the values that came
 *   last. The full pieces are rows of their own, their namespaces are 0, 1, 2, ... So a short list is one row, and to
 *   add a value copies PIECE of them at most.
 */
import { ABSENT, type KeyRows } from "../contract.ts";
import type { ListState, ListStateDescriptor } from "../descriptor.ts";
import { ExpiringList } from "./expiring-list.ts";
import { checkGiven, refuseNothing } from "./given.ts";
import type { StateHandle, StateKind } from "./kind.ts";

export const listKind: StateKind<ListStateDescriptor<unknown>> = {
  maker: "listState()",
  members: ["kind", "ttl", "version", "migrate"],
  open: (table, _, checks) => new ListHandle(table, checks),
  openAppending: (rows, checks) => new ExpiringList(rows, checks),
  migrateRow(value, namespace, migrate) {
    const row = value as readonly unknown[];
    return namespace === undefined ? [row[0], ...row.slice(1).map(migrate)] : row.map(migrate);
  },
};

const PIECE = 32;

type Last = readonly [pieces: number, ...values: unknown[]];

class ListHandle<T> implements ListState<T>, StateHandle {
  private readonly table: KeyRows;
  private readonly checks: boolean;

  constructor(table: KeyRows, checks: boolean) {
    this.table = table;
    this.checks = checks;
  }

  get holdsObject(): boolean {
    return this.table.isInUse && this.get().some((value) => typeof value === "object");
  }

  get size(): number {
    const last = this.read();
    return last === undefined ? 0 : last[0] * PIECE + last.length - 1;
  }

  get isEmpty(): boolean {
    return this.table.read() === ABSENT;
  }

  get(): T[] {
    const last = this.read();
    if (last === undefined) return [];
    const [pieces, ...values] = last;
    if (pieces === 0) return values as T[];
    const all: T[] = [];
    for (let piece = 0; piece < pieces; piece++) all.push(...(this.readPiece(piece) as T[]));
    this.table.setCurrentNamespace(undefined);
    all.push(...(values as T[]));
    return all;
  }

  [Symbol.iterator](): Iterator<T> {
    return this.get().values();
  }

  add(value: T): void {
    this.check(value);
    this.append(value);
  }

  addAll(values: Iterable<T>): void {
    const all = [...values];
    for (const value of all) this.check(value);
    for (const value of all) this.append(value);
  }

  set(values: Iterable<T>): void {
    const all = [...values];
    for (const value of all) this.check(value);
    this.clear();
    for (const value of all) this.append(value);
  }

  clear(): void {
    const { table } = this;
    const last = this.read();
    if (last === undefined) return;
    for (let piece = 0; piece < last[0]; piece++) {
      table.setCurrentNamespace(piece);
      table.remove();
    }
    if (last[0] > 0) table.setCurrentNamespace(undefined);
    table.remove();
  }

  /** undefined: the list is empty. */
  private read(): Last | undefined {
    const last = this.table.read();
    return last === ABSENT ? undefined : (last as Last);
  }

  private readPiece(piece: number): unknown {
    this.table.setCurrentNamespace(piece);
    return this.table.read();
  }

  private append(value: T): void {
    const { table } = this;
    const last = this.read();
    if (last === undefined) table.write([0, value]);
    else if (last.length <= PIECE) table.write([...last, value]);
    else {
      const [pieces, ...values] = last;
      table.setCurrentNamespace(pieces);
      table.write(values);
      table.setCurrentNamespace(undefined);
      table.write([pieces + 1, value]);
    }
  }

  private check(value: T): void {
    if (value === undefined || value === null) refuseNothing(this.table.name, value);
    if (this.checks) checkGiven(this.table.name, value);
  }
}
