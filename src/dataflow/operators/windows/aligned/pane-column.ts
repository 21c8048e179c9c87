/**
 * What the keys of one key group hold in one pane, by their slots.
 *
 * Owns: the memory of columns. Does not own: which columns there are, what the slots are (pane-group.ts).
 *
 * A column lives as long as a window, which makes it the worst kind of garbage: the young generation's collections copy
 * it twice. So the memory of one that was dropped is that of the next one.
 */

import type { Key } from "../../../../state/descriptor.ts";

/** Places in a column that begins with a late record. */
const SLOTS_FIRST = 4;
/** One goes when the next one comes; a few are left where several go at once. */
const SPARE_MAX = 2;

/** Rows of a pane that are on their way into a group: so many places of the arrays are used. */
export interface PaneRows {
  readonly keys: readonly Key[];
  /** What the keys hold, where contents are merged. */
  readonly values: readonly unknown[];
  readonly count: number;
}

export interface PaneColumn {
  pane: number;
  /** How many slots hold something in it: so many places of the arrays are used. */
  count: number;
  slots: Int32Array;
  /**
   * For each slot what it holds, where contents are merged. In front that is not needed any more, and what the newer
   * panes in front come to for the slot is there instead; ABSENT: it holds nothing in them.
   */
  readonly values: unknown[];
}

/** A column that begins with a late record. */
export function emptyColumn(pane: number): PaneColumn {
  return { pane, count: 0, slots: new Int32Array(SLOTS_FIRST), values: [] };
}

export function addTo(column: PaneColumn, slot: number, value: unknown): void {
  if (column.count === column.slots.length) {
    const more = new Int32Array(column.count * 2);
    more.set(column.slots);
    column.slots = more;
  }
  column.slots[column.count] = slot;
  column.values[column.count++] = value;
}

/** Columns that were dropped. */
export class SpareColumns {
  private readonly columns: PaneColumn[] = [];

  /** A column whose slots and values are to be written. */
  take(pane: number, count: number): PaneColumn {
    const column = this.columns.pop();
    if (column === undefined) return { pane, count, slots: new Int32Array(count), values: [] };
    column.pane = pane;
    column.count = count;
    // A quarter more: a little more in each next one would ask for memory each time.
    if (column.slots.length < count) column.slots = new Int32Array(count + (count >> 2));
    return column;
  }

  give(column: PaneColumn): void {
    if (this.columns.length === SPARE_MAX) return;
    column.values.fill(undefined);
    this.columns.push(column);
  }
}
