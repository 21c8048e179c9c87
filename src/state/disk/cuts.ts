/**
 * The cuts of one table on disk that are open, and what is known of changes for later ones.
 *
 * Owns: which cursors are told of a change, and the removals that cuts with a base have to give. Does not own: the walk
 * of a cursor (cursor.ts), for how long removals are kept (heap/removals.ts).
 */
import type { Namespace } from "../contract.ts";
import type { Key } from "../descriptor.ts";
import { NO_REMOVALS, RemovalHistory, Removals } from "../heap/removals.ts";
import { DiskCursor, type DiskCursorOptions } from "./cursor.ts";
import type { Depot } from "./depot.ts";
import type { Row } from "./row.ts";
import type { Shelf } from "./shelf.ts";

export interface CutsHome {
  /** How many key groups the subtask has. */
  readonly groups: number;
  readonly keepsChanges: boolean;
  rowCount(): number;
}

export class Cuts {
  private cursors: readonly DiskCursor[] = [];
  /** By key group. */
  private readonly removed: { removals: Removals }[];
  private readonly history: RemovalHistory;
  private readonly depot: Depot;

  constructor({ groups, keepsChanges, rowCount }: CutsHome, depot: Depot) {
    this.depot = depot;
    this.removed = Array.from({ length: groups }, () => ({ removals: NO_REMOVALS }));
    const home = {
      groups: this.removed,
      get rowCount(): number {
        // Removals are in memory, where not all rows have to be.
        return Math.min(rowCount(), depot.cache.besideMax);
      },
    };
    this.history = new RemovalHistory(home, keepsChanges);
  }

  /** @param base the cut since which changes are asked for; if they are not known, all rows are given */
  open(
    options: Omit<DiskCursorOptions, "base" | "removals" | "place" | "closed">,
    base: number | undefined,
    closed: (cursor: DiskCursor) => void,
  ): DiskCursor {
    const isRead = this.cursors.some((one) => one.base !== undefined);
    const cursor = new DiskCursor({
      ...options,
      place: this.depot.place,
      base: this.history.baseFor(base, options.cut, isRead),
      removals: this.removed.map(({ removals }) => ({ removals, count: removals.count })),
      closed: (one) => {
        this.cursors = this.cursors.filter((other) => other !== one);
        closed(one);
      },
    });
    this.cursors = [...this.cursors, cursor];
    return cursor;
  }

  /** The row is about to change. */
  keep(shelf: Shelf, row: Row): void {
    const { cursors } = this;
    for (let i = 0; i < cursors.length; i++) cursors[i]!.keep(shelf, row);
  }

  /** The shelf is dropped. Answers how many cursors need it. */
  keepShelf(shelf: Shelf): number {
    return this.cursors.filter((cursor) => cursor.keepShelf(shelf)).length;
  }

  /**
   * What is removed was seen by a cut.
   * @param key undefined: all rows of the namespace
   * @param cut the latest one
   */
  tellRemoval(group: number, key: Key | undefined, namespace: Namespace, cut: number): void {
    if (!this.history.keepsNext(cut)) return;
    const home = this.removed[group]!;
    if (home.removals === NO_REMOVALS) home.removals = new Removals();
    home.removals.add(key, namespace, cut);
  }

  /** What was restored counts as a cut. */
  restored(cut: number): void {
    this.history.restored(cut);
  }

  /** Gives all up. */
  close(): void {
    for (const cursor of this.cursors) cursor.cancel();
  }
}
