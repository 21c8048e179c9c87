/** The keys of one key group that hold something in panes. */
import type { Key } from "../../../../state/descriptor.ts";
import { compareNames } from "../../../../state/name-order.ts";
import { KeyPanes } from "./key-panes.ts";

export class PaneGroup {
  /** Those with panes of windows which have not all fired, in order; changed by `take` and `compact` only. */
  keys: KeyPanes[] = [];
  private readonly byKey = new Map<Key, KeyPanes>();
  /** Panes that no window has fired with, and the keys that hold something in them. */
  private readonly waiting = new Map<number, Key[]>();

  /** In how many panes a key holds something, where panes stay for late records. */
  private readonly held = new Map<Key, number>();

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

  /** `key` holds something in a pane in which it held nothing, and of which a window has not fired. */
  add(pane: number, key: Key): void {
    const keys = this.waiting.get(pane);
    if (keys === undefined) this.waiting.set(pane, [key]);
    else keys.push(key);
  }

  /** What a key holds in a pane has changed, which a window may have fired with. */
  forget(key: Key): void {
    this.byKey.get(key)?.forget();
  }

  /** Takes in what waits for a window that ends at `end`. */
  take(end: number): void {
    const panes = [...this.waiting.keys()].filter((pane) => pane < end).sort((a, b) => a - b);
    const known = this.keys.length;
    for (const pane of panes) {
      for (const key of this.waiting.get(pane)!) this.panesOf(key).add(pane);
      this.waiting.delete(pane);
    }
    if (this.keys.length > known) this.keys.sort((a, b) => compareNames(a.key, b.key));
  }

  /** Lets go of keys that hold nothing any more. */
  compact(): void {
    if (!this.keys.some(({ isEmpty }) => isEmpty)) return;
    for (const { isEmpty, key } of this.keys) if (isEmpty) this.byKey.delete(key);
    this.keys = this.keys.filter(({ isEmpty }) => !isEmpty);
  }

  private panesOf(key: Key): KeyPanes {
    const known = this.byKey.get(key);
    if (known !== undefined) return known;
    const panes = new KeyPanes(key);
    this.byKey.set(key, panes);
    this.keys.push(panes);
    return panes;
  }
}
