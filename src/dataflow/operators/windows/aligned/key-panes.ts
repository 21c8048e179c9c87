/**
 * The panes that one key holds in windows that share panes, and what its current window comes to.
 *
 * Owns: which panes are merged how often. Does not own: the panes (contents.ts), the windows (paned.ts).
 *
 * A queue with an aggregate over two stacks: the panes in front are merged from the newest to the oldest, once for each
 * time that the queue has turned over, those behind one by one as they come. So a window costs one merge for each pane
 * that is new, one for each that leaves, and one for the result, however many panes it has, and needs no inverse.
 */
import { ABSENT } from "../../../../state/contract.ts";
import type { Contents } from "../contents.ts";

/** No pane is merged: all are read again. */
const UNKNOWN = -1;
/** Places in front that are empty before those behind move up. */
const EMPTY_MAX = 64;

export class KeyPanes {
  /** Starts of panes, from the oldest; those in front of `head` are gone. */
  private panes: number[] = [];
  private head = 0;
  /** The panes from here on are behind. */
  private split = UNKNOWN;
  /** For each pane in front: what it and those behind it up to `split` come to. */
  private front: unknown[] = [];
  /** What the panes behind come to, up to `merged`; ABSENT: none was merged. */
  private back: unknown = ABSENT;
  private merged = 0;

  get isEmpty(): boolean {
    return this.head === this.panes.length;
  }

  get oldest(): number {
    return this.panes[this.head]!;
  }

  /** The key holds a pane that it did not hold. */
  add(pane: number): void {
    const { panes } = this;
    if (this.isEmpty || pane > panes[panes.length - 1]!) {
      panes.push(pane);
      return;
    }
    let at = panes.length;
    while (at > this.head && panes[at - 1]! > pane) at--;
    panes.splice(at, 0, pane);
    this.forget();
  }

  /** What a pane holds has changed: nothing that was merged counts any more. */
  forget(): void {
    this.split = UNKNOWN;
    this.front = [];
    this.back = ABSENT;
  }

  dropOldest(): void {
    this.head++;
    if (this.head < EMPTY_MAX || this.head * 2 < this.panes.length) return;
    const { head } = this;
    this.panes = this.panes.slice(head);
    this.front = this.front.slice(head);
    this.merged -= head;
    this.split = Math.max(UNKNOWN, this.split - head);
    this.head = 0;
  }

  /** What all panes come to together; there is one at least. The current key is this one. */
  read(contents: Contents): unknown {
    return contents.isIncremental ? this.readMerged(contents) : this.readAll(contents);
  }

  private readMerged(contents: Contents): unknown {
    if (this.head >= this.split) this.turnOver(contents);
    const { panes } = this;
    for (; this.merged < panes.length; this.merged++) {
      contents.enter(panes[this.merged]!);
      const held = contents.read();
      this.back = this.back === ABSENT ? held : contents.merge(this.back, held);
    }
    const front = this.front[this.head];
    return this.back === ABSENT ? front : contents.merge(front, this.back);
  }

  private turnOver(contents: Contents): void {
    const { panes, head } = this;
    const front: unknown[] = new Array(panes.length);
    let held: unknown = ABSENT;
    for (let at = panes.length - 1; at >= head; at--) {
      contents.enter(panes[at]!);
      const older = contents.read();
      held = held === ABSENT ? older : contents.merge(older, held);
      front[at] = held;
    }
    this.front = front;
    this.split = panes.length;
    this.merged = panes.length;
    this.back = ABSENT;
  }

  private readAll(contents: Contents): unknown {
    const { panes } = this;
    let held: unknown = ABSENT;
    for (let at = this.head; at < panes.length; at++) {
      contents.enter(panes[at]!);
      const later = contents.read();
      held = held === ABSENT ? later : contents.merge(held, later);
    }
    return held;
  }
}
