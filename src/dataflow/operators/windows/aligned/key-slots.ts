/**
 * Which slot a key has in its group.
 *
 * Owns: the index. Does not own: the slots, and the keys that stand there (pane-group.ts).
 *
 * Keys that are whole numbers of 32 bits are found by open addressing in one array of slots: a Map takes five times the
 * memory, and a window asks for keys in no order, so each of its reads would have to wait for memory. All others lie in
 * a Map.
 */
import type { Key } from "../../../../state/descriptor.ts";

const PLACES_MIN = 8;
/** How many places a cache line has. */
const LINE = 16;
/** It is odd, and has its bits all over. */
const SPREAD = 0x9e3779b1;

export class KeySlots {
  /** Where keys stand, each at its slot. */
  private readonly keys: readonly unknown[];
  /** Slots, from 1; 0: the place is empty. At most half of the places are taken. */
  private places = new Int32Array(PLACES_MIN);
  /** How far a hash is shifted to be a place. */
  private shift = 32 - 3;
  private count = 0;
  private readonly others = new Map<Key, number>();

  constructor(keys: readonly unknown[]) {
    this.keys = keys;
  }

  get size(): number {
    return this.count + this.others.size;
  }

  /** Reads a place of each cache line, in order. Answers something that depends on them. */
  readAhead(): number {
    const { places } = this;
    let all = 0;
    for (let at = 0; at < places.length; at += LINE) all |= places[at]!;
    return all;
  }

  /** -1: it has none. */
  get(key: Key): number {
    if (typeof key !== "number" || (key | 0) !== key) return this.others.get(key) ?? -1;
    const { places, keys } = this;
    const last = places.length - 1;
    for (let at = Math.imul(key, SPREAD) >>> this.shift; ; at = (at + 1) & last) {
      const slot = places[at]! - 1;
      if (slot < 0 || keys[slot] === key) return slot;
    }
  }

  /** `key` stands at the slot, and had none. */
  add(key: Key, slot: number): void {
    if (!isWhole(key)) {
      this.others.set(key, slot);
      return;
    }
    this.count++;
    if (this.count * 2 > this.places.length) this.grow();
    this.put(key, slot);
  }

  /** `key` still stands at its slot, and has one. */
  delete(key: Key): void {
    if (!isWhole(key)) {
      this.others.delete(key);
      return;
    }
    this.count--;
    const { places, keys } = this;
    const last = places.length - 1;
    let hole = this.placeOf(key);
    while (keys[places[hole]! - 1] !== key) hole = (hole + 1) & last;
    for (let next = (hole + 1) & last; places[next] !== 0; next = (next + 1) & last) {
      const wanted = this.placeOf(keys[places[next]! - 1] as number);
      // It may not move in front of the place that its hash asks for.
      if (((next - wanted) & last) < ((next - hole) & last)) continue;
      places[hole] = places[next]!;
      hole = next;
    }
    places[hole] = 0;
  }

  private placeOf(key: number): number {
    return Math.imul(key, SPREAD) >>> this.shift;
  }

  private put(key: number, slot: number): void {
    const { places } = this;
    let at = this.placeOf(key);
    while (places[at] !== 0) at = (at + 1) & (places.length - 1);
    places[at] = slot + 1;
  }

  private grow(): void {
    const before = this.places;
    this.places = new Int32Array(before.length * 2);
    this.shift--;
    for (const taken of before) if (taken !== 0) this.put(this.keys[taken - 1] as number, taken - 1);
  }
}

function isWhole(key: Key): key is number {
  return typeof key === "number" && (key | 0) === key;
}
