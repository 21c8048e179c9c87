/**
 * What the keys of one key group hold in the panes of windows that have not all fired, and what that comes to.
 *
 * Owns: which panes are merged how often, and the order of keys. Does not own: the rows (contents.ts), when a window
 * fires (paned.ts).
 *
 * - PG1 Each key has a slot, and what a window needs of it lies in columns by slot. A pane is a column of the slots
 *   that hold something in it. So a window that fires reads and changes memory that lies together.
 * - PG2 The panes are a queue of two stacks. Those in front are merged from the newest to the oldest, and each keeps
 *   what its slots came to without it; when a pane goes, that is put back. Those behind are merged one by one as they
 *   come. When the front has gone, what is behind turns over. So a row costs two merges and nothing for windows in
 *   which it does not change, however many panes a window has, and needs no inverse.
 * - PG3 What changes in a pane that was taken, because a record was late, is merged anew for its key before the next
 *   window.
 */
import { ABSENT } from "../../../../state/contract.ts";
import type { Key } from "../../../../state/descriptor.ts";
import { compareNames } from "../../../../state/name-order.ts";
import type { Contents } from "../contents.ts";

/** What the group holds in one pane: at the same places the slots, and what they hold where contents are merged. */
interface PaneColumn {
  readonly pane: number;
  readonly slots: number[];
  readonly values: unknown[];
  /** In front: what the newer panes in front come to for the slot; ABSENT: it holds nothing in them. */
  saved: unknown[];
}

/** Reads what the current row of a key in a pane holds. */
export type ReadRow = (key: Key, pane: number) => unknown;

export class PaneGroup {
  /** Slots of the keys that hold something, in the order of keys; changed by `order` and `drop` only. */
  inOrder: readonly number[] = [];
  /** By slot. */
  readonly keys: Key[] = [];
  private readonly contents: Contents;
  private readonly slots = new Map<Key, number>();
  private free: number[] = [];
  /** Slots that are not in order yet. */
  private fresh: number[] = [];
  /** By slot: in how many columns it is. */
  private readonly counts: number[] = [];
  /** By slot: what all panes come to; ABSENT: that has changed since it was read. */
  private readonly results: unknown[] = [];
  /** By slot: what the panes in front come to, and those behind; ABSENT: it holds nothing there. */
  private readonly front: unknown[] = [];
  private readonly back: unknown[] = [];
  /** From the oldest pane. */
  private columns: PaneColumn[] = [];
  /** How many of them are in front. */
  private split = 0;
  /** The next column to turn over is in front of this place. */
  private turning = 0;
  /** Slots that are to be merged anew. */
  private readonly changed = new Set<number>();
  /** By slot, where contents are not merged, while a window fires: its panes, from the oldest. */
  private lists: number[][] = [];
  /** In how many panes a key holds something, where panes stay for late records. */
  private readonly held = new Map<Key, number>();

  constructor(contents: Contents) {
    this.contents = contents;
  }

  get isEmpty(): boolean {
    return this.slots.size === 0 && this.held.size === 0;
  }

  /** A key holds something in one more pane, which may stay for late records. */
  hold(key: Key): void {
    this.held.set(key, (this.held.get(key) ?? 0) + 1);
  }

  /** A pane of the key that was held has gone. true: it was the last one. */
  release(key: Key): boolean {
    const left = this.held.get(key)! - 1;
    if (left > 0) this.held.set(key, left);
    else this.held.delete(key);
    return left === 0;
  }

  /** A late record: `key` holds something in a pane in which it held nothing when the pane was taken. */
  insert(pane: number, key: Key): void {
    const column = this.columnOf(pane);
    const slot = this.slotOf(key);
    column.slots.push(slot);
    column.values.push(ABSENT);
    column.saved.push(ABSENT);
    this.counts[slot]!++;
    this.changed.add(slot);
  }

  /** What a key holds in a pane that was taken has changed. */
  change(key: Key): void {
    const slot = this.slots.get(key);
    if (slot !== undefined) this.changed.add(slot);
  }

  /** Takes a pane in, which is newer than all others. `values`: what the keys hold, where contents are merged. */
  take(pane: number, keys: readonly Key[], values: unknown[]): void {
    const { contents, back, results, counts } = this;
    const slots: number[] = new Array(keys.length);
    for (let i = 0; i < keys.length; i++) {
      const slot = this.slotOf(keys[i]!);
      slots[i] = slot;
      counts[slot]!++;
      if (!contents.isIncremental) continue;
      const before = back[slot];
      back[slot] = before === ABSENT ? values[i] : contents.merge(before, values[i]);
      results[slot] = ABSENT;
    }
    this.columns.push({ pane, slots, values, saved: [] });
  }

  /** All panes of the window that fires next are taken. `read`: reads the rows that have changed. */
  order(read: ReadRow): void {
    if (this.fresh.length > 0) this.orderFresh();
    if (!this.contents.isIncremental) this.list();
    else if (this.changed.size > 0) this.mergeChanged(read);
    this.changed.clear();
  }

  /** What all panes come to, where contents are merged. */
  read(slot: number): unknown {
    const known = this.results[slot];
    if (known !== ABSENT) return known;
    const front = this.front[slot];
    const back = this.back[slot];
    const merged = front === ABSENT ? back : back === ABSENT ? front : this.contents.merge(front, back);
    this.results[slot] = merged;
    return merged;
  }

  /** All that the current key holds in its panes, where contents are not merged. */
  readAll(slot: number): unknown {
    const { contents } = this;
    let held: unknown = ABSENT;
    for (const pane of this.lists[slot]!) {
      contents.enter(pane);
      const later = contents.read();
      held = held === ABSENT ? later : contents.merge(held, later);
    }
    return held;
  }

  /** Removes the current key's rows in panes before `start`, where contents are not merged. true: it has none left. */
  removeBefore(slot: number, start: number): boolean {
    const panes = this.lists[slot]!;
    while (panes.length > 0 && panes[0]! < start) {
      this.contents.enter(panes.shift()!);
      this.contents.remove();
    }
    return panes.length === 0;
  }

  /** While a window fires: does it still have a row? Where contents are merged they go with the group. */
  hasRows(slot: number): boolean {
    return this.lists.length === 0 || this.lists[slot]!.length > 0;
  }

  /** Calls `each` with the panes that start before `start`, and the keys that hold something in them. */
  forPanesBefore(start: number, each: (pane: number, keys: () => readonly Key[]) => void): void {
    for (const { pane, slots } of this.columns) {
      if (pane >= start) return;
      each(pane, () => slots.map((slot) => this.keys[slot]!));
    }
  }

  /** Lets go of the panes that start before `start`. Answers the keys that hold nothing any more. */
  drop(start: number): readonly Key[] {
    this.lists = [];
    let gone = 0;
    while (gone < this.columns.length && this.columns[gone]!.pane < start) gone++;
    if (gone === 0) return [];
    const isFront = gone <= this.split;
    let emptied = false;
    for (const { slots, saved } of this.columns.splice(0, gone)) {
      for (let i = 0; i < slots.length; i++) {
        const slot = slots[i]!;
        if (--this.counts[slot]! === 0) emptied = true;
        this.results[slot] = ABSENT;
        if (isFront) this.front[slot] = saved[i];
      }
    }
    if (isFront) this.split -= gone;
    else this.beginTurn();
    return emptied ? this.releaseEmpty() : [];
  }

  /** Turns the next column over. false: none is left. */
  turnSome(): boolean {
    if (this.turning === 0) return false;
    const { front, contents } = this;
    const column = this.columns[--this.turning]!;
    const { slots, values } = column;
    const saved: unknown[] = new Array(slots.length);
    for (let i = 0; i < slots.length; i++) {
      const slot = slots[i]!;
      const newer = front[slot];
      saved[i] = newer;
      front[slot] = newer === ABSENT ? values[i] : contents.merge(values[i], newer);
    }
    column.saved = saved;
    return true;
  }

  private beginTurn(): void {
    this.front.fill(ABSENT);
    this.back.fill(ABSENT);
    this.split = this.contents.isIncremental ? this.columns.length : 0;
    this.turning = this.split;
  }

  private releaseEmpty(): readonly Key[] {
    const keys: Key[] = [];
    const left: number[] = [];
    for (const slot of this.inOrder) {
      if (this.counts[slot]! > 0) {
        left.push(slot);
        continue;
      }
      keys.push(this.keys[slot]!);
      this.slots.delete(this.keys[slot]!);
      this.keys[slot] = "";
      this.free.push(slot);
    }
    this.inOrder = left;
    return keys;
  }

  private slotOf(key: Key): number {
    return this.slots.get(key) ?? this.newSlot(key);
  }

  private newSlot(key: Key): number {
    const slot = this.free.pop() ?? this.keys.length;
    this.slots.set(key, slot);
    this.fresh.push(slot);
    this.keys[slot] = key;
    this.counts[slot] = 0;
    this.results[slot] = ABSENT;
    this.front[slot] = ABSENT;
    this.back[slot] = ABSENT;
    return slot;
  }

  /** The column of a pane that is not newer than all others. */
  private columnOf(pane: number): PaneColumn {
    const { columns } = this;
    let at = columns.length;
    while (at > 0 && columns[at - 1]!.pane > pane) at--;
    if (at > 0 && columns[at - 1]!.pane === pane) return columns[at - 1]!;
    const column: PaneColumn = { pane, slots: [], values: [], saved: [] };
    columns.splice(at, 0, column);
    if (at < this.split) this.split++;
    return column;
  }

  private orderFresh(): void {
    const { keys, inOrder } = this;
    const fresh = this.fresh.sort((a, b) => compareNames(keys[a]!, keys[b]!));
    this.fresh = [];
    const merged: number[] = [];
    let known = 0;
    for (const slot of fresh) {
      while (known < inOrder.length && compareNames(keys[inOrder[known]!]!, keys[slot]!) < 0) {
        merged.push(inOrder[known++]!);
      }
      merged.push(slot);
    }
    while (known < inOrder.length) merged.push(inOrder[known++]!);
    this.inOrder = merged;
  }

  private list(): void {
    const lists: number[][] = this.keys.map(() => []);
    for (const { pane, slots } of this.columns) for (const slot of slots) lists[slot]!.push(pane);
    this.lists = lists;
  }

  private mergeChanged(read: ReadRow): void {
    const { changed, columns, contents, front, back, split } = this;
    for (const slot of changed) {
      front[slot] = ABSENT;
      back[slot] = ABSENT;
      this.results[slot] = ABSENT;
    }
    for (let at = split - 1; at >= 0; at--) {
      this.readChanged(columns[at]!, read, (slot, held, i) => {
        const newer = front[slot];
        columns[at]!.saved[i] = newer;
        front[slot] = newer === ABSENT ? held : contents.merge(held, newer);
      });
    }
    for (let at = split; at < columns.length; at++) {
      this.readChanged(columns[at]!, read, (slot, held) => {
        const older = back[slot];
        back[slot] = older === ABSENT ? held : contents.merge(older, held);
      });
    }
  }

  private readChanged(
    { pane, slots, values }: PaneColumn,
    read: ReadRow,
    merge: (slot: number, held: unknown, i: number) => void,
  ): void {
    for (let i = 0; i < slots.length; i++) {
      const slot = slots[i]!;
      if (!this.changed.has(slot)) continue;
      values[i] = read(this.keys[slot]!, pane);
      merge(slot, values[i], i);
    }
  }
}
