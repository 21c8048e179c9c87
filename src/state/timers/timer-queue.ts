/**
 * The timers of all key groups of a subtask in memory, the one that fires next in front.
 *
 * Owns: the order among key groups: ascending time, and at equal times the lower key group first. Does not own: the
 * order within a group (timer-heap.ts).
 *
 * A heap of the groups that have timers. Most changes of a group do not change its first timer, and cost nothing here.
 */
import type { Namespace } from "../contract.ts";
import type { Key } from "../descriptor.ts";
import type { TimeOrder } from "./time-order.ts";
import { TimerHeap } from "./timer-heap.ts";

const NOWHERE = -1;

export class TimerQueue implements TimeOrder {
  private readonly groups: TimerHeap[];
  /** The groups that have timers, as a heap. */
  private readonly order: number[] = [];
  /** The place of each group in `order`. */
  private readonly places: Int32Array;
  /** The time of each group's first timer: side by side, because they are compared often. */
  private readonly firstTimes: Float64Array;

  /** Groups are counted from 0. */
  constructor(groups: number) {
    this.groups = Array.from({ length: groups }, () => new TimerHeap());
    this.places = new Int32Array(groups).fill(NOWHERE);
    this.firstTimes = new Float64Array(groups);
  }

  get size(): number {
    return this.groups.reduce((sum, { size }) => sum + size, 0);
  }

  /** The group of the timer that fires next, if there is one. */
  get firstGroup(): number {
    return this.order[0]!;
  }

  get firstOrdinal(): number {
    return this.first.firstOrdinal;
  }

  get firstKey(): Key {
    return this.first.firstKey;
  }

  get firstNamespace(): Namespace {
    return this.first.firstNamespace;
  }

  /** The time of the timer that fires next; undefined: there is none. */
  get firstTime(): number | undefined {
    return this.order.length === 0 ? undefined : this.firstTimes[this.order[0]!]!;
  }

  add(group: number, time: number, ordinal: number, key: Key, namespace: Namespace): void {
    const heap = this.groups[group]!;
    heap.add(time, ordinal, key, namespace);
    if (heap.firstOrdinal === ordinal) this.settle(group);
  }

  removeFirst(): void {
    this.first.removeFirst();
    this.settle(this.order[0]!);
  }

  delete(group: number, ordinal: number): void {
    const heap = this.groups[group]!;
    const wasFirst = heap.firstOrdinal === ordinal;
    heap.delete(ordinal);
    if (wasFirst) this.settle(group);
  }

  /**
   * Calls `look` with timers that are due at `time`: with all of them, or with about one of so many as it answers where
   * the queue has more than `max`.
   */
  lookAtDue(time: number, max: number, look: (key: Key, namespace: Namespace) => void): number {
    const stride = Math.max(1, Math.ceil(this.size / max));
    let from = 0;
    for (const heap of this.groups) from = heap.lookAtDue(time, from, stride, look);
    return stride;
  }

  private get first(): TimerHeap {
    return this.groups[this.order[0]!]!;
  }

  /** Puts a group where it belongs, after its first timer has changed. */
  private settle(group: number): void {
    const { order, places } = this;
    const heap = this.groups[group]!;
    let at = places[group]!;
    if (heap.isEmpty) {
      if (at !== NOWHERE) this.leave(group, at);
      return;
    }
    this.firstTimes[group] = heap.firstTime;
    if (at === NOWHERE) {
      at = order.length;
      order.push(group);
    }
    this.sink(this.rise(at, group), group);
  }

  private leave(group: number, at: number): void {
    const last = this.order.pop()!;
    this.places[group] = NOWHERE;
    if (last !== group) this.sink(this.rise(at, last), last);
  }

  private rise(from: number, group: number): number {
    const { order } = this;
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.isBefore(group, order[parent]!)) break;
      this.put(at, order[parent]!);
      at = parent;
    }
    this.put(at, group);
    return at;
  }

  private sink(from: number, group: number): void {
    const { order } = this;
    let at = from;
    for (let child = at * 2 + 1; child < order.length; child = at * 2 + 1) {
      if (child + 1 < order.length && this.isBefore(order[child + 1]!, order[child]!)) child++;
      if (!this.isBefore(order[child]!, group)) break;
      this.put(at, order[child]!);
      at = child;
    }
    this.put(at, group);
  }

  private put(at: number, group: number): void {
    this.order[at] = group;
    this.places[group] = at;
  }

  private isBefore(group: number, other: number): boolean {
    const time = this.firstTimes[group]!;
    const otherTime = this.firstTimes[other]!;
    return time < otherTime || (time === otherTime && group < other);
  }
}
