/**
 * Which keys have fired with which window, as rows of keyed state: so a cut in the middle of a watermark is gone on
 * from exactly there (PN3 of paned.ts).
 *
 * Owns: the rows of the table "fired", and what they say after a restore. Does not own: when one is written.
 */
import { ABSENT, type StateRow, type StateTable } from "../../../../state/contract.ts";
import type { Key } from "../../../../state/descriptor.ts";
import type { KeyedState } from "../../../../state/keyed-state.ts";
import { compareNames } from "../../../../state/name-order.ts";

/** Table: key -> end of the last window that has fired for it and the keys in front of it. */
export const FIRED = "fired";

export class FiredMarks {
  private readonly state: KeyedState;
  private readonly table: StateTable;
  /** In the middle of the first watermark after a restore: the rows by key group. */
  private resuming: Map<number, StateRow[]> | undefined = undefined;

  constructor(state: KeyedState) {
    this.state = state;
    this.table = state.table(FIRED);
  }

  /** Restored in the middle of a watermark. */
  resume(): void {
    const groups = new Map<number, StateRow[]>();
    for (const row of this.table.rows()) {
      const rows = groups.get(row.keyGroup);
      if (rows === undefined) groups.set(row.keyGroup, [row]);
      else rows.push(row);
    }
    this.resuming = groups;
  }

  /** That watermark is over. */
  endResuming(): void {
    this.resuming = undefined;
  }

  /** How many of a group's keys, in order, have fired with the window that ends at `end` before the restore. */
  countFired(keyGroup: number, length: number, keyAt: (place: number) => Key, end: number): number {
    let fired = 0;
    for (const { key, value } of this.resuming?.get(keyGroup) ?? []) {
      if ((value as number) < end) continue;
      while (fired < length && compareNames(keyAt(fired), key) <= 0) fired++;
    }
    return fired;
  }

  /** The current key fires, and speaks for itself alone. false: it has fired before the restore. */
  fireOwn(end: number): boolean {
    if (this.resuming !== undefined) {
      const before = this.table.read();
      if (before !== ABSENT && (before as number) >= end) return false;
    }
    this.table.write(end);
    return true;
  }

  /** The current key, and all in front of it, have fired. */
  raise(end: number): void {
    const before = this.table.read();
    if (before !== ABSENT && (before as number) >= end) return;
    this.table.write(end);
    this.noteWhileResuming(end);
  }

  /** A row that is written before the restored rows have had their say counts beside them. */
  private noteWhileResuming(end: number): void {
    if (this.resuming === undefined) return;
    const { currentKey: key, currentKeyGroup: keyGroup } = this.state;
    const rows = this.resuming.get(keyGroup) ?? [];
    this.resuming.set(keyGroup, rows);
    rows.push({ key, keyGroup, namespace: undefined, value: end });
  }

  /** The current key holds nothing any more. */
  remove(): void {
    this.table.remove();
  }

  /** The same for these keys. */
  removeAll(keys: readonly Key[]): void {
    for (const key of keys) {
      this.state.setCurrentKey(key);
      this.table.remove();
    }
  }
}
