/**
 * The keys of one key group that hold something in panes.
 *
 * Owns: their order, and the columns that a firing window reads. Does not own: the panes of a key (key-panes.ts).
 *
 * A window that fires looks at each key, and most keys have nothing new for it. What it needs of those lies in columns,
 * one place for a key, so that it is read in the order in which it lies in memory; the panes of a key are elsewhere.
 */
import { ABSENT } from "../../../../state/contract.ts";
import type { Key } from "../../../../state/descriptor.ts";
import { compareNames } from "../../../../state/name-order.ts";
import type { Contents } from "../contents.ts";
import { KeyPanes } from "./key-panes.ts";

/** No pane is that late. */
export const NO_PANE = Number.POSITIVE_INFINITY;

export class PaneGroup {
  /** Keys with panes of windows which have not all fired, in order; changed by `take` and `compact` only. */
  readonly keys: Key[] = [];
  /** The oldest pane of each; NO_PANE: it holds none any more, and goes with the next `compact`. */
  readonly oldest: number[] = [];
  /** What all its panes come to; ABSENT: one has come, gone or changed since that was read. */
  readonly results: unknown[] = [];
  private readonly panes: KeyPanes[] = [];
  /** How many keys hold nothing any more. */
  private empty = 0;
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
    const place = this.placeOf(key, 0);
    if (!this.isAt(place, key)) return;
    this.panes[place]!.forget();
    this.results[place] = ABSENT;
  }

  /** Takes in what waits for a window that ends at `end`. */
  take(end: number): void {
    const waiting = [...this.waiting.keys()].filter((pane) => pane < end).sort((a, b) => a - b);
    for (const pane of waiting) {
      this.takePane(pane, this.waiting.get(pane)!.sort(compareNames));
      this.waiting.delete(pane);
    }
  }

  /** What all panes of the key at a place come to. The current key is this one. */
  read(place: number, contents: Contents): unknown {
    const result = this.panes[place]!.read(contents);
    if (contents.isIncremental) this.results[place] = result;
    return result;
  }

  dropOldest(place: number): void {
    const panes = this.panes[place]!;
    panes.dropOldest();
    this.results[place] = ABSENT;
    this.oldest[place] = panes.isEmpty ? NO_PANE : panes.oldest;
    if (panes.isEmpty) this.empty++;
  }

  /** Lets go of keys that hold nothing any more. */
  compact(): void {
    if (this.empty === 0) return;
    this.empty = 0;
    let left = 0;
    for (let place = 0; place < this.keys.length; place++) {
      if (this.oldest[place] !== NO_PANE) this.move(place, left++);
    }
    this.setLength(left);
  }

  /** `added`: keys in order, each once. */
  private takePane(pane: number, added: readonly Key[]): void {
    const fresh: Key[] = [];
    let place = 0;
    for (const key of added) {
      place = this.placeOf(key, place);
      if (this.isAt(place, key)) this.addTo(place, pane);
      else fresh.push(key);
    }
    if (fresh.length > 0) this.insert(fresh, pane);
  }

  /** The place of a key, or of the first one behind it; it is not in front of `from`. */
  private placeOf(key: Key, from: number): number {
    let [first, behind] = [from, this.keys.length];
    while (first < behind) {
      const middle = (first + behind) >> 1;
      if (compareNames(this.keys[middle]!, key) < 0) first = middle + 1;
      else behind = middle;
    }
    return first;
  }

  private isAt(place: number, key: Key): boolean {
    return place < this.keys.length && compareNames(this.keys[place]!, key) === 0;
  }

  private addTo(place: number, pane: number): void {
    const panes = this.panes[place]!;
    panes.add(pane);
    this.oldest[place] = panes.oldest;
    this.results[place] = ABSENT;
  }

  /** Keys in order, of which none has a place, and the pane that each holds. */
  private insert(fresh: readonly Key[], pane: number): void {
    let known = this.keys.length - 1;
    let to = known + fresh.length;
    for (let at = fresh.length - 1; at >= 0; to--) {
      const key = fresh[at]!;
      if (known >= 0 && compareNames(this.keys[known]!, key) > 0) this.move(known--, to);
      else {
        this.keys[to] = key;
        this.panes[to] = new KeyPanes();
        this.addTo(to, pane);
        at--;
      }
    }
  }

  private move(from: number, to: number): void {
    this.keys[to] = this.keys[from]!;
    this.oldest[to] = this.oldest[from]!;
    this.results[to] = this.results[from];
    this.panes[to] = this.panes[from]!;
  }

  private setLength(length: number): void {
    this.keys.length = length;
    this.oldest.length = length;
    this.results.length = length;
    this.panes.length = length;
  }
}
