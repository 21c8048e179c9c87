/**
 * What the keys of one key group hold in the panes of windows that have not all fired, and what that comes to.
 *
 * Owns: which panes are merged how often, and the order of keys. Does not own: the rows (contents.ts), when a window
 * fires (paned.ts).
 *
 * - PG1 Each key has a slot: some cells side by side, with all that a window needs of it. A pane is a column of the
 *   slots that hold something in it. So a window reads memory once for each key, and changes it there.
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
import { KeySlots } from "./key-slots.ts";
import { addTo, emptyColumn, type PaneColumn, type PaneRows, SpareColumns } from "./pane-column.ts";

/** ABSENT. V8 takes a constant of the same module for known, and looks an imported one up at each use. */
const NOTHING = ABSENT;

/** The cells of a slot, counted from its number. */
const KEY = 0;
/** In how many columns it is. */
const COUNT = 1;
/** What the panes in front come to, and those behind; ABSENT: it holds nothing there. */
const FRONT = 2;
const BACK = 3;
/** Two slots fill a cache line. */
const WIDTH = 4;
/** How many cells a cache line has. */
const LINE = 8;
/** How many results that are objects are read ahead at a time: some 20 us, and they stay in the processor's cache. */
const OBJECTS_AHEAD = 256;
/** Reads what the current row of a key in a pane holds. */
export type ReadRow = (key: Key, pane: number) => unknown;

export class PaneGroup {
  /** Slots of the keys that hold something, in the order of keys; changed by `order` and `drop` only. */
  inOrder: readonly number[] = [];
  private readonly contents: Contents;
  private cells: unknown[] = [];
  /**
   * By the number of a slot, divided by WIDTH: what all panes come to; ABSENT: that has changed since it was read. A
   * window reads all of them, and little else, so they lie apart.
   */
  private results: unknown[] = [];
  private slots = new KeySlots(this.cells);
  private free: number[] = [];
  /** Slots that are not in order yet. */
  private fresh: number[] = [];
  /** How many slots have been given since their numbers went by the order of keys. */
  private given = 0;
  /** From the oldest pane. */
  private columns: PaneColumn[] = [];
  /** Those that were dropped since the last window: what their slots come to has changed. */
  private dropped: PaneColumn[] = [];
  private readonly spare = new SpareColumns();
  /** How many of them are in front. */
  private split = 0;
  /** The next column to turn over is in front of this place. */
  private turning = 0;
  /** Slots that are to be merged anew. */
  private readonly changed = new Set<number>();
  /** Where contents are not merged, while a window fires: the panes of each slot, from the oldest. */
  private readonly lists = new Map<number, number[]>();
  /** Results in front of this place have been read ahead for the window that fires. */
  private aheadTo = 0;
  /** What was read ahead comes to: V8 would leave reads out that are of no use. */
  private readonly seen = new Int32Array(1);

  /** The slot whose panes were merged last; -1: none were. */
  private merging = -1;

  constructor(contents: Contents) {
    this.contents = contents;
  }

  keyAt(slot: number): Key {
    return this.cells[slot + KEY] as Key;
  }

  /** The key whose panes were merged last, for the message of a failure. */
  get mergedKey(): Key | undefined {
    return this.merging < 0 ? undefined : this.keyAt(this.merging);
  }

  get isEmpty(): boolean {
    return this.slots.size === 0;
  }

  /** A late record: `key` holds something in a pane in which it held nothing when the pane was taken. */
  insert(pane: number, key: Key): void {
    const column = this.columnOf(pane);
    const slot = this.slotOf(key);
    addTo(column, slot, NOTHING);
    this.count(slot, 1);
    this.changed.add(slot);
  }

  /** What a key holds in a pane that was taken has changed. */
  change(key: Key): void {
    const slot = this.slots.get(key);
    if (slot >= 0) this.changed.add(slot);
  }

  /**
   * Takes a pane in, which is newer than all others.
   * @param isLast the window that fires next has no newer one
   */
  take(pane: number, { keys, values, count }: PaneRows, isLast: boolean): void {
    this.readAhead();
    const column = this.spare.take(pane, count);
    const { slots } = column;
    // A loop of its own: the processor looks for several keys at a time.
    for (let i = 0; i < count; i++) slots[i] = this.slots.get(keys[i]!);
    for (let i = 0; i < count; i++) if (slots[i]! < 0) slots[i] = this.newSlot(keys[i]!);
    if (this.contents.isIncremental) this.mergeTaken(column, values, isLast);
    else for (let i = 0; i < count; i++) this.count(slots[i]!, 1);
    this.columns.push(column);
  }

  /** All panes of the window that fires next are taken. `read`: reads the rows that have changed. */
  order(read: ReadRow): void {
    if (this.fresh.length > 0) this.orderFresh();
    if (!this.contents.isIncremental) this.list();
    else {
      if (this.changed.size > 0) this.mergeChanged(read);
      this.mergeDropped();
    }
    this.changed.clear();
    this.aheadTo = 0;
  }

  /** What all panes come to, where contents are merged. ABSENT: `read` has to merge it. */
  known(slot: number): unknown {
    return this.results[slot >> 2];
  }

  /**
   * The results from the place `from` to `to` are asked for next. Those that are objects lie all over memory, each
   * since it was merged. To ask for their types reads many of them at a time; what asks for their fields does not.
   */
  lookAhead(from: number, to: number): void {
    if (to <= this.aheadTo) return;
    const { results, inOrder } = this;
    if (typeof results[inOrder[from]! >> 2] === "number") {
      this.aheadTo = inOrder.length;
      return;
    }
    this.aheadTo = Math.min(inOrder.length, from + OBJECTS_AHEAD);
    let objects = 0;
    for (let place = from; place < this.aheadTo; place++)
      if (typeof results[inOrder[place]! >> 2] === "object") objects++;
    this.seen[0] = objects;
  }

  /** What all panes come to, where contents are merged. */
  read(slot: number): unknown {
    const known = this.known(slot);
    return known === NOTHING ? this.merge(slot) : known;
  }

  /** All that the current key holds in its panes, where contents are not merged. */
  readAll(slot: number): unknown {
    const { contents } = this;
    let held: unknown = NOTHING;
    for (const pane of this.lists.get(slot)!) {
      contents.enter(pane);
      const later = contents.read();
      held = held === NOTHING ? later : contents.merge(held, later);
    }
    return held;
  }

  /** Removes the current key's rows in panes before `start`, where contents are not merged. true: it has none left. */
  removeBefore(slot: number, start: number): boolean {
    const panes = this.lists.get(slot)!;
    while (panes.length > 0 && panes[0]! < start) {
      this.contents.enter(panes.shift()!);
      this.contents.remove();
    }
    return panes.length === 0;
  }

  /** While a window fires: does it still have a row? Where contents are merged they go with the group. */
  hasRows(slot: number): boolean {
    const panes = this.lists.get(slot);
    return panes === undefined || panes.length > 0;
  }

  /** Calls `each` with the panes that start before `start`, and the keys that hold something in them. */
  forPanesBefore(start: number, each: (pane: number, keys: () => readonly Key[]) => void): void {
    for (const { pane, slots, count } of this.columns) {
      if (pane >= start) return;
      each(pane, () => Array.from(slots.subarray(0, count), (slot) => this.keyAt(slot)));
    }
  }

  /** Lets go of the panes that start before `start`. Answers the keys that hold nothing any more. */
  drop(start: number): readonly Key[] {
    this.lists.clear();
    let gone = 0;
    while (gone < this.columns.length && this.columns[gone]!.pane < start) gone++;
    const emptied = gone > 0 && this.dropColumns(gone) ? this.releaseEmpty() : [];
    if (this.given * 2 > this.inOrder.length) this.renumber();
    return emptied;
  }

  /** Turns the next column over. false: none is left. */
  turnSome(): boolean {
    if (this.turning === 0) return false;
    const { cells, contents } = this;
    const { slots, values, count } = this.columns[--this.turning]!;
    for (let i = 0; i < count; i++) {
      const slot = slots[i]!;
      const newer = cells[slot + FRONT];
      this.merging = slot;
      cells[slot + FRONT] = newer === NOTHING ? values[i] : contents.merge(values[i], newer);
      values[i] = newer;
    }
    return true;
  }

  /** Lets go of the oldest columns. true: slots have become empty. */
  private dropColumns(gone: number): boolean {
    const { cells, results } = this;
    const isFront = gone <= this.split;
    let emptied = false;
    for (const column of this.columns.splice(0, gone)) {
      const { slots, values, count } = column;
      for (let i = 0; i < count; i++) {
        const slot = slots[i]!;
        if (this.count(slot, -1) === 0) emptied = true;
        results[slot >> 2] = NOTHING;
        if (isFront) cells[slot + FRONT] = values[i];
      }
      this.dropped.push(column);
    }
    if (isFront) this.split -= gone;
    else this.beginTurn();
    return emptied;
  }

  private mergeTaken(
    { slots, count, values: kept }: PaneColumn,
    values: readonly unknown[],
    isLast: boolean,
  ): void {
    const { cells, results, contents } = this;
    for (let i = 0; i < count; i++) {
      const slot = slots[i]!;
      const value = values[i];
      kept[i] = value;
      this.merging = slot;
      cells[slot + COUNT] = (cells[slot + COUNT] as number) + 1;
      const before = cells[slot + BACK];
      const back = before === NOTHING ? value : contents.merge(before, value);
      cells[slot + BACK] = back;
      const front = cells[slot + FRONT];
      results[slot >> 2] = !isLast ? NOTHING : front === NOTHING ? back : contents.merge(front, back);
    }
  }

  /** A loop of its own, so that the one in which keys fire finds what it needs in its order. */
  private mergeDropped(): void {
    const { cells, results } = this;
    for (const column of this.dropped) {
      const { slots, count } = column;
      for (let i = 0; i < count; i++) {
        const slot = slots[i]!;
        if (results[slot >> 2] === NOTHING && cells[slot + KEY] !== undefined) this.merge(slot);
      }
      this.spare.give(column);
    }
    this.dropped = [];
  }

  /** What front and back come to. */
  private merge(slot: number): unknown {
    const { cells } = this;
    this.merging = slot;
    const front = cells[slot + FRONT];
    const back = cells[slot + BACK];
    const merged = front === NOTHING ? back : back === NOTHING ? front : this.contents.merge(front, back);
    this.results[slot >> 2] = merged;
    return merged;
  }

  private beginTurn(): void {
    for (const slot of this.inOrder) {
      this.cells[slot + FRONT] = NOTHING;
      this.cells[slot + BACK] = NOTHING;
    }
    this.split = this.contents.isIncremental ? this.columns.length : 0;
    this.turning = this.split;
  }

  private releaseEmpty(): readonly Key[] {
    const keys: Key[] = [];
    const left: number[] = [];
    for (const slot of this.inOrder) {
      if ((this.cells[slot + COUNT] as number) > 0) {
        left.push(slot);
        continue;
      }
      const key = this.keyAt(slot);
      keys.push(key);
      this.slots.delete(key);
      this.cells.fill(undefined, slot, slot + WIDTH);
      this.results[slot >> 2] = NOTHING;
      this.free.push(slot);
    }
    this.inOrder = left;
    return keys;
  }

  /**
   * Reads a cell of each cache line, in order, which costs next to nothing: the processor sees that coming. Rows come
   * in no order, and would wait for memory one by one.
   */
  private readAhead(): void {
    const { cells } = this;
    let kept = this.slots.readAhead();
    for (let at = 0; at < cells.length; at += LINE) if (cells[at] === NOTHING) kept++;
    this.seen[0] = kept;
  }

  private slotOf(key: Key): number {
    const slot = this.slots.get(key);
    return slot >= 0 ? slot : this.newSlot(key);
  }

  private newSlot(key: Key): number {
    const { cells } = this;
    const slot = this.free.pop() ?? cells.length;
    this.fresh.push(slot);
    this.given++;
    cells[slot + KEY] = key;
    cells[slot + COUNT] = 0;
    cells[slot + FRONT] = NOTHING;
    cells[slot + BACK] = NOTHING;
    this.results[slot >> 2] = NOTHING;
    this.slots.add(key, slot);
    return slot;
  }

  /** Answers in how many columns the slot is now. */
  private count(slot: number, more: number): number {
    const count = (this.cells[slot + COUNT] as number) + more;
    this.cells[slot + COUNT] = count;
    return count;
  }

  /** The column of a pane that is not newer than all others. */
  private columnOf(pane: number): PaneColumn {
    const { columns } = this;
    let at = columns.length;
    while (at > 0 && columns[at - 1]!.pane > pane) at--;
    if (at > 0 && columns[at - 1]!.pane === pane) return columns[at - 1]!;
    const column = emptyColumn(pane);
    columns.splice(at, 0, column);
    if (at < this.split) this.split++;
    return column;
  }

  private orderFresh(): void {
    const { inOrder } = this;
    const fresh = this.fresh.sort((a, b) => compareNames(this.keyAt(a), this.keyAt(b)));
    this.fresh = [];
    const merged: number[] = [];
    let known = 0;
    for (const slot of fresh) {
      while (known < inOrder.length && compareNames(this.keyAt(inOrder[known]!), this.keyAt(slot)) < 0) {
        merged.push(inOrder[known++]!);
      }
      merged.push(slot);
    }
    while (known < inOrder.length) merged.push(inOrder[known++]!);
    this.inOrder = merged;
  }

  /** Slots lie in the order of keys: what a window reads in that order, the processor has then read ahead. */
  private renumber(): void {
    const { cells, results, columns, inOrder } = this;
    this.dropped = [];
    this.cells = [];
    this.results = [];
    this.slots = new KeySlots(this.cells);
    this.free = [];
    this.given = 0;
    const numbers = new Map<number, number>();
    for (const slot of inOrder) {
      numbers.set(slot, this.cells.length);
      for (let cell = slot; cell < slot + WIDTH; cell++) this.cells.push(cells[cell]);
      this.results.push(results[slot >> 2]);
      this.slots.add(this.keyAt(numbers.get(slot)!), numbers.get(slot)!);
    }
    this.inOrder = inOrder.map((slot) => numbers.get(slot)!);
    for (const { slots, count } of columns)
      for (let i = 0; i < count; i++) slots[i] = numbers.get(slots[i]!)!;
  }

  private list(): void {
    const { lists } = this;
    for (const slot of this.inOrder) lists.set(slot, []);
    for (const { pane, slots, count } of this.columns)
      for (let i = 0; i < count; i++) lists.get(slots[i]!)!.push(pane);
  }

  private mergeChanged(read: ReadRow): void {
    const { changed, columns, contents, cells, results, split } = this;
    for (const slot of changed) {
      cells[slot + FRONT] = NOTHING;
      cells[slot + BACK] = NOTHING;
      results[slot >> 2] = NOTHING;
    }
    for (let at = split - 1; at >= 0; at--) {
      this.readChanged(columns[at]!, read, (slot, held, i) => {
        const newer = cells[slot + FRONT];
        columns[at]!.values[i] = newer;
        cells[slot + FRONT] = newer === NOTHING ? held : contents.merge(held, newer);
      });
    }
    for (let at = split; at < columns.length; at++) {
      this.readChanged(columns[at]!, read, (slot, held) => {
        const older = cells[slot + BACK];
        cells[slot + BACK] = older === NOTHING ? held : contents.merge(older, held);
      });
    }
  }

  private readChanged(
    { pane, slots, values, count }: PaneColumn,
    read: ReadRow,
    merge: (slot: number, held: unknown, i: number) => void,
  ): void {
    for (let i = 0; i < count; i++) {
      const slot = slots[i]!;
      if (!this.changed.has(slot)) continue;
      this.merging = slot;
      values[i] = read(this.keyAt(slot), pane);
      merge(slot, values[i], i);
    }
  }
}
