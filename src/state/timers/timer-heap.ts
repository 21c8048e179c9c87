/**
 * The timers of one key group in memory, the one that fires next in front.
 *
 * Owns: their order: ascending time, then registration. Does not own: the order among key groups (timer-queue.ts),
 * which timers are stored (timer-set.ts).
 *
 * - TH1 The first timer is always one that is still registered.
 * - TH2 A deleted timer that is not the first one stays in its place until it comes to the front, or until there are
 *   more deleted timers than others: then all of them go at once. So deleting costs little, and a timer that is moved
 *   on again and again does not fill the memory.
 *
 * A heap with four children for each timer, in columns: half as deep as one with two, and no object for each timer.
 */
import type { Namespace } from "../contract.ts";
import type { Key } from "../descriptor.ts";

/** So few deleted timers are not worth the work. */
const DELETED_MIN = 64;

export class TimerHeap {
  private readonly times: number[] = [];
  private readonly ordinals: number[] = [];
  private readonly keys: Key[] = [];
  /** undefined: no timer has had a namespace. */
  private namespaces: Namespace[] | undefined;
  /** The ordinals of deleted timers that are still here. */
  private deleted: Set<number> | undefined;

  /** Without the deleted ones. */
  get size(): number {
    return this.times.length - (this.deleted?.size ?? 0);
  }

  get isEmpty(): boolean {
    return this.times.length === 0;
  }

  get firstTime(): number {
    return this.times[0]!;
  }

  get firstOrdinal(): number {
    return this.ordinals[0]!;
  }

  get firstKey(): Key {
    return this.keys[0]!;
  }

  get firstNamespace(): Namespace {
    return this.namespaces?.[0];
  }

  /** @param ordinal no other timer has it */
  add(time: number, ordinal: number, key: Key, namespace: Namespace): void {
    this.times.push(time);
    this.ordinals.push(ordinal);
    this.keys.push(key);
    if (namespace !== undefined && this.namespaces === undefined) {
      this.namespaces = new Array<Namespace>(this.times.length - 1).fill(undefined);
    }
    this.namespaces?.push(namespace);
    this.rise(this.times.length - 1);
  }

  removeFirst(): void {
    do this.dropFirst();
    while (!this.isEmpty && this.deleted?.delete(this.firstOrdinal) === true);
  }

  /** @param ordinal of a timer that is here */
  delete(ordinal: number): void {
    if (this.firstOrdinal === ordinal) {
      this.removeFirst();
      return;
    }
    this.deleted ??= new Set();
    this.deleted.add(ordinal);
    if (this.deleted.size > DELETED_MIN && this.deleted.size * 2 > this.times.length) this.dropDeleted();
  }

  /**
   * Calls `look` with those of each `stride`th timer, from place `from` on, that are due at `time`. Answers where the
   * next one would be, counted from the end.
   */
  lookAtDue(
    time: number,
    from: number,
    stride: number,
    look: (key: Key, namespace: Namespace) => void,
  ): number {
    const { times, ordinals, keys, namespaces, deleted } = this;
    let at = from;
    for (; at < times.length; at += stride) {
      if (times[at]! <= time && deleted?.has(ordinals[at]!) !== true) look(keys[at]!, namespaces?.[at]);
    }
    return at - times.length;
  }

  private dropFirst(): void {
    const last = this.times.length - 1;
    if (last > 0) this.copy(0, last);
    this.times.pop();
    this.ordinals.pop();
    this.keys.pop();
    this.namespaces?.pop();
    if (last > 1) this.sink(0);
  }

  private dropDeleted(): void {
    const { deleted, ordinals } = this;
    let kept = 0;
    for (let at = 0; at < ordinals.length; at++) {
      if (deleted!.has(ordinals[at]!)) continue;
      this.copy(kept, at);
      kept++;
    }
    this.times.length = kept;
    this.ordinals.length = kept;
    this.keys.length = kept;
    if (this.namespaces !== undefined) this.namespaces.length = kept;
    deleted!.clear();
    for (let at = (kept - 2) >> 2; at >= 0; at--) this.sink(at);
  }

  private rise(from: number): void {
    const { times, ordinals } = this;
    const time = times[from]!;
    const ordinal = ordinals[from]!;
    let parent = (from - 1) >> 2;
    if (from === 0 || !isBefore(time, ordinal, times[parent]!, ordinals[parent]!)) return;
    const key = this.keys[from]!;
    const namespace = this.namespaces?.[from];
    let at = from;
    while (at > 0 && isBefore(time, ordinal, times[parent]!, ordinals[parent]!)) {
      this.copy(at, parent);
      at = parent;
      parent = (at - 1) >> 2;
    }
    this.put(at, time, ordinal, key, namespace);
  }

  private sink(from: number): void {
    const { times, ordinals } = this;
    const { length } = times;
    const time = times[from]!;
    const ordinal = ordinals[from]!;
    const key = this.keys[from]!;
    const namespace = this.namespaces?.[from];
    let at = from;
    for (let child = at * 4 + 1; child < length; child = at * 4 + 1) {
      let least = child;
      const end = Math.min(child + 4, length);
      for (let other = child + 1; other < end; other++) {
        if (isBefore(times[other]!, ordinals[other]!, times[least]!, ordinals[least]!)) least = other;
      }
      if (!isBefore(times[least]!, ordinals[least]!, time, ordinal)) break;
      this.copy(at, least);
      at = least;
    }
    if (at !== from) this.put(at, time, ordinal, key, namespace);
  }

  private copy(to: number, from: number): void {
    this.times[to] = this.times[from]!;
    this.ordinals[to] = this.ordinals[from]!;
    this.keys[to] = this.keys[from]!;
    if (this.namespaces !== undefined) this.namespaces[to] = this.namespaces[from];
  }

  private put(at: number, time: number, ordinal: number, key: Key, namespace: Namespace): void {
    this.times[at] = time;
    this.ordinals[at] = ordinal;
    this.keys[at] = key;
    if (this.namespaces !== undefined) this.namespaces[at] = namespace;
  }
}

function isBefore(time: number, ordinal: number, otherTime: number, otherOrdinal: number): boolean {
  return time < otherTime || (time === otherTime && ordinal < otherOrdinal);
}
