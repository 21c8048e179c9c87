/**
 * The hot keys of a subtask behind keyBy: those that make up much of its records, found in a sample.
 *
 * Owns: which records are looked at, and what is certain of the keys found. Does not own: who may see a key (P91).
 *
 * - HK1 About one in 16 of the first records is looked at, then one in 256: that costs half a nanosecond a record. The
 *   distances have no pattern: else an input with one, such as keys that take turns, would show a key as hot that is
 *   not.
 * - HK2 Space saving: 16 keys have a count, and a new key takes the place of the least one, with its count as what is
 *   not certain. So a key with more than a 16th of the sample is among them, and none is told with more than it has.
 * - HK3 All counts are halved when the sample is large: what is told is of the latest records.
 */
import type { Key } from "../../../state/descriptor.ts";
import { keyGroupOf } from "../../../state/key-groups.ts";
import { ownKey } from "../../../state/snapshot/own-key.ts";
import type { KeySelector } from "./key-selector.ts";

const PLACES = 16;
/** The mean distance between two records of the sample, at first and later. */
const NEAR = 16;
const FAR = 256;
/** So large is the sample when distances become far. */
const SAMPLE_NEAR = 512;
const SAMPLE_MAX = 4096;
/** With less than that nothing can be said. */
const SAMPLE_MIN = 100;
const SHARE_MIN = 0.1;
const TOLD_MAX = 3;

export interface HotKey {
  readonly key: Key;
  readonly keyGroup: number;
  /** The part of the records that have this key, at least: 0.1 to 1. */
  readonly share: number;
}

export class HotKeys {
  /** By channel; undefined: its records come without a key. */
  private readonly selectors: readonly (KeySelector | undefined)[];
  private readonly maxParallelism: number;
  private readonly keys: Key[] = [];
  private readonly places = new Map<Key, number>();
  private readonly counts = new Float64Array(PLACES);
  /** The part of each count that the key may not have. */
  private readonly uncertain = new Float64Array(PLACES);
  private sample = 0;
  /** Records up to the next one that is looked at. */
  private left = 1;
  private bits = 1;

  constructor(selectors: readonly (KeySelector | undefined)[], maxParallelism: number) {
    this.selectors = selectors;
    this.maxParallelism = maxParallelism;
  }

  /** Records that the operator has taken, from `from` to before `to`. */
  took(channel: number, values: readonly unknown[], from: number, to: number): void {
    this.left -= to - from;
    while (this.left <= 0) {
      // The last one of them is at `to - 1`, when none is left.
      this.look(this.selectors[channel], values[to - 1 + this.left]);
      this.left += this.distance();
    }
  }

  /** The hottest keys of which more than a tenth of the records is certain, at most three. */
  figures(): HotKey[] {
    const { keys, counts, uncertain, sample, maxParallelism } = this;
    if (sample < SAMPLE_MIN) return [];
    return keys
      .map((key, at) => ({ key, share: (counts[at]! - uncertain[at]!) / sample }))
      .filter(({ share }) => share > SHARE_MIN)
      .sort((one, other) => other.share - one.share)
      .slice(0, TOLD_MAX)
      .map(({ key, share }) => ({ key, keyGroup: keyGroupOf(key, maxParallelism), share }));
  }

  private look(keyOf: KeySelector | undefined, value: unknown): void {
    if (keyOf === undefined) return;
    let key: Key;
    try {
      key = keyOf(value);
    } catch {
      // The operator has had the same record and its key, and says what is wrong with the selector.
      return;
    }
    this.count(key);
  }

  private count(key: Key): void {
    const { keys, places, counts, uncertain } = this;
    if (this.sample >= SAMPLE_MAX) this.halve();
    this.sample++;
    let at = places.get(key);
    if (at === undefined) {
      at = keys.length;
      if (at === PLACES) {
        at = this.least();
        places.delete(keys[at]!);
        uncertain[at] = counts[at]!;
      }
      // The record goes, and must not be kept by a piece of its text.
      const own = ownKey(key);
      keys[at] = own;
      places.set(own, at);
    }
    counts[at]!++;
  }

  private least(): number {
    const { counts } = this;
    let least = 0;
    for (let at = 1; at < PLACES; at++) if (counts[at]! < counts[least]!) least = at;
    return least;
  }

  private halve(): void {
    this.sample /= 2;
    for (let at = 0; at < PLACES; at++) {
      this.counts[at]! /= 2;
      this.uncertain[at]! /= 2;
    }
  }

  /** Up to twice the mean, each as often: the high bits of a linear congruence. */
  private distance(): number {
    this.bits = (Math.imul(this.bits, 1_664_525) + 1_013_904_223) | 0;
    const mean = this.sample < SAMPLE_NEAR ? NEAR : FAR;
    return 1 + ((this.bits >>> 16) % (2 * mean - 1));
  }
}
