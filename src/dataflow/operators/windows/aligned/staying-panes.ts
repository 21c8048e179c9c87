/**
 * What stays of windows that have fired, for records that come late but in time: panes, and how often windows fired.
 *
 * Owns: the rows of the table "firings", and when panes and rows whose time for late records is over go. Does not own:
 * when a window fires (paned.ts), the rows of panes (contents.ts).
 */
import { ABSENT, type StateTable } from "../../../../state/contract.ts";
import type { Key } from "../../../../state/descriptor.ts";
import type { KeyedState } from "../../../../state/keyed-state.ts";
import type { Slices } from "../../contract.ts";
import type { Contents } from "../contents.ts";
import { KEYS_PER_SLICE, rowByRow } from "../definition.ts";
import { type DueKeys, dueKeysOf } from "../due-keys.ts";
import type { AlignedWindows } from "./assigner.ts";
import { isDue } from "./pane-times.ts";

/** Table: (key, end of a window) -> how often it has fired. */
export const FIRINGS = "firings";

export interface StayingParts {
  readonly windows: AlignedWindows;
  readonly state: KeyedState;
  readonly contents: Contents;
  /** In ms, also Infinity. */
  readonly allowedLateness: number;
}

export class StayingPanes {
  private readonly parts: StayingParts;
  private readonly firings: StateTable;
  /** Panes whose windows have all fired. */
  private readonly panes: DueKeys;
  /** The rows of `firings`, by the end of their window. */
  private readonly counted: DueKeys;

  /** In how many panes each key of a key group holds something. */
  private readonly held = new Map<number, Map<Key, number>>();

  constructor(parts: StayingParts) {
    this.parts = parts;
    this.firings = parts.state.table(FIRINGS);
    this.panes = dueKeysOf(parts.state);
    this.counted = dueKeysOf(parts.state);
  }

  restored(): Slices {
    return rowByRow(this.firings, ({ key, keyGroup, namespace }) => {
      this.counted.add(namespace as number, keyGroup, key);
    });
  }

  /** The key holds something in one more pane. */
  hold(keyGroup: number, key: Key): void {
    let held = this.held.get(keyGroup);
    if (held === undefined) {
      held = new Map();
      this.held.set(keyGroup, held);
    }
    held.set(key, (held.get(key) ?? 0) + 1);
  }

  /** All windows of the pane have fired for the key, which holds something in it. */
  add(pane: number, keyGroup: number, key: Key): void {
    this.panes.add(pane, keyGroup, key);
  }

  /** The window fires for the current key. Answers how often it has before. */
  countFiring(key: Key, end: number): number {
    const { firings } = this;
    firings.setCurrentNamespace(end);
    const before = firings.read();
    if (before === ABSENT) this.counted.add(end, this.parts.state.currentKeyGroup, key);
    const index = before === ABSENT ? 0 : (before as number);
    firings.write(index + 1);
    return index;
  }

  /** Is there something whose time for late records is over? */
  isLeaving(time: number): boolean {
    const limit = time - this.parts.allowedLateness;
    return isDue(this.nextPaneEnd, limit) || isDue(this.counted.earliest, limit);
  }

  /**
   * Removes the next few rows whose time for late records is over.
   * @param emptied is called when the current key holds nothing in any pane any more
   */
  removeSome(time: number, emptied: () => void): void {
    const { state, contents, allowedLateness } = this.parts;
    const limit = time - allowedLateness;
    for (let rows = 0; rows < KEYS_PER_SLICE && this.counted.next(limit + 1); rows++) {
      state.setCurrentKey(this.counted.key);
      this.firings.setCurrentNamespace(this.counted.time);
      this.firings.remove();
    }
    if (!isDue(this.nextPaneEnd, limit)) return;
    const { earliest } = this.panes;
    for (let rows = 0; rows < KEYS_PER_SLICE && this.panes.next(earliest); rows++) {
      state.setCurrentKey(this.panes.key);
      contents.enter(this.panes.time);
      contents.remove();
      if (this.release(state.currentKeyGroup, this.panes.key)) emptied();
    }
  }

  /** A pane of the key has gone. true: it was the last one. */
  private release(keyGroup: number, key: Key): boolean {
    const held = this.held.get(keyGroup)!;
    const left = held.get(key)! - 1;
    if (left > 0) held.set(key, left);
    else held.delete(key);
    if (held.size === 0) this.held.delete(keyGroup);
    return left === 0;
  }

  /** End of the last window of the earliest pane. Infinity: there is no pane. */
  private get nextPaneEnd(): number {
    const { earliest } = this.panes;
    return earliest === Number.POSITIVE_INFINITY ? earliest : this.parts.windows.lastEnd(earliest);
  }
}
