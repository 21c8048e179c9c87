/**
 * Which keys have something to do at which time: an index over the rows of one operator.
 *
 * Owns: the order in which what is due is done. Does not own: the rows (state), which are the truth: the index is made
 * again from them after a restore.
 *
 * - DK1 Earlier times come first. Keys of one time come by key group, then in their own order. That depends on nothing
 *   else, so it is the same after a restore.
 */
import type { Key } from "../../../state/descriptor.ts";
import type { KeyedState } from "../../../state/keyed-state.ts";
import { compareNames } from "../../../state/name-order.ts";
import { ownKey } from "../../../state/snapshot/own-key.ts";
import type { TimeOrder } from "../../../state/timers/time-order.ts";

export interface DueKeys {
  /** The key that `next` has gone to, and its time. */
  readonly key: Key;
  readonly time: number;
  /** A key has something to do at `time`; said once for each time. */
  add(time: number, group: number, key: Key): void;
  /** The earliest time of keys that are left. Infinity: none is. */
  readonly earliest: number;
  /** Goes to the next key whose time is not behind `limit`, and takes it out. false: there is none. */
  next(limit: number): boolean;
}

/** Where the state may be larger than memory, so may the index. */
export function dueKeysOf(state: KeyedState): DueKeys {
  const order = state.openOrder();
  return order === undefined ? new DueKeysInMemory() : new OrderedDueKeys(order);
}

/** Those of one time and key group are in memory together, when they are due. */
class OrderedDueKeys implements DueKeys {
  key: Key = "";
  time = Number.NaN;
  private readonly order: TimeOrder;
  private nextOrdinal = 0;
  private current: Key[] = [];
  private at = 0;

  constructor(order: TimeOrder) {
    this.order = order;
  }

  add(time: number, group: number, key: Key): void {
    this.order.add(group, time, this.nextOrdinal++, ownKey(key), undefined);
  }

  get earliest(): number {
    return this.at < this.current.length ? this.time : (this.order.firstTime ?? Number.POSITIVE_INFINITY);
  }

  next(limit: number): boolean {
    if (this.at === this.current.length && !this.takeGroup(limit)) return false;
    this.key = this.current[this.at++]!;
    return true;
  }

  private takeGroup(limit: number): boolean {
    const { order } = this;
    this.current = [];
    this.at = 0;
    const time = order.firstTime;
    if (time === undefined || time > limit) return false;
    this.time = time;
    for (const group = order.firstGroup; order.firstTime === time && order.firstGroup === group; ) {
      this.current.push(order.firstKey);
      order.removeFirst();
    }
    this.current.sort(compareNames);
    return true;
  }
}

/** The keys of one time, by key group. */
type KeysByGroup = Map<number, Key[]>;

const NONE: readonly Key[] = [];

class DueKeysInMemory implements DueKeys {
  key: Key = "";
  time = Number.NaN;
  private readonly keys = new Map<number, KeysByGroup>();
  /** The times, as a binary heap: the earliest one is the first. */
  private readonly times: number[] = [];
  /** The key groups of the earliest time that are left, in order; undefined: none was taken yet. */
  private groups: number[] | undefined = undefined;
  /** The keys of the group that is gone through, in order, and the place of the next one. */
  private current = NONE;
  private at = 0;
  private lastTime = Number.NaN;
  private lastKeys: KeysByGroup | undefined = undefined;

  add(time: number, group: number, key: Key): void {
    let ofTime = this.lastKeys;
    if (time !== this.lastTime || ofTime === undefined) {
      ofTime = this.keys.get(time) ?? this.open(time);
      this.lastTime = time;
      this.lastKeys = ofTime;
    }
    const ofGroup = ofTime.get(group);
    if (ofGroup !== undefined) ofGroup.push(key);
    else {
      ofTime.set(group, [key]);
      if (time === this.times[0]) this.groups = undefined;
    }
  }

  get earliest(): number {
    if (this.at < this.current.length) return this.time;
    return this.times.length === 0 ? Number.POSITIVE_INFINITY : this.times[0]!;
  }

  next(limit: number): boolean {
    if (this.at === this.current.length && !this.takeGroup(limit)) return false;
    this.key = this.current[this.at++]!;
    return true;
  }

  private takeGroup(limit: number): boolean {
    this.current = NONE;
    this.at = 0;
    if (this.times.length === 0) return false;
    const time = this.times[0]!;
    if (time > limit) return false;
    const ofTime = this.keys.get(time)!;
    this.groups ??= [...ofTime.keys()].sort((a, b) => b - a);
    const group = this.groups.pop()!;
    this.current = ofTime.get(group)!.sort(compareNames);
    this.time = time;
    ofTime.delete(group);
    if (this.groups.length === 0) this.close(time);
    return true;
  }

  private open(time: number): KeysByGroup {
    const ofTime: KeysByGroup = new Map();
    this.keys.set(time, ofTime);
    this.groups = undefined;
    const { times } = this;
    let at = times.push(time) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (times[parent]! <= time) break;
      times[at] = times[parent]!;
      at = parent;
    }
    times[at] = time;
    return ofTime;
  }

  private close(time: number): void {
    this.keys.delete(time);
    this.groups = undefined;
    this.lastTime = Number.NaN;
    const { times } = this;
    const last = times.pop()!;
    const { length } = times;
    if (length === 0) return;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= length) break;
      if (child + 1 < length && times[child + 1]! < times[child]!) child++;
      if (times[child]! >= last) break;
      times[at] = times[child]!;
      at = child;
    }
    times[at] = last;
  }
}
