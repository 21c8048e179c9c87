/**
 * A set of 64-bit fingerprints that numbers its members in the order of their arrival.
 *
 * Open addressing over typed arrays: about 16 bytes a member instead of a string in a Map. Two different states share
 * a fingerprint with a probability of about n^2 / 2^65: 3e-8 at 10^6 states, 3e-6 at 10^7.
 */
import { Column } from "./column.ts";

const LOAD = 0.7;

export class FingerprintSet {
  readonly low = new Column();
  readonly high = new Column();
  /** Member number plus one; 0 is a free slot. */
  private slots = new Uint32Array(1 << 12);
  /** Set by `add`: whether the member was new. */
  added = false;

  get size(): number {
    return this.low.length;
  }

  /** The number of the member. Both words must be unsigned. */
  add(low: number, high: number): number {
    const mask = this.slots.length - 1;
    const lows = this.low.values;
    const highs = this.high.values;
    let slot = low & mask;
    for (;;) {
      const member = this.slots[slot]!;
      if (member === 0) break;
      if (lows[member - 1] === low && highs[member - 1] === high) {
        this.added = false;
        return member - 1;
      }
      slot = (slot + 1) & mask;
    }
    this.low.push(low);
    this.high.push(high);
    this.slots[slot] = this.size;
    this.added = true;
    if (this.size > this.slots.length * LOAD) this.rehash();
    return this.size - 1;
  }

  private rehash(): void {
    const slots = new Uint32Array(this.slots.length * 2);
    const mask = slots.length - 1;
    for (let member = 0; member < this.size; member++) {
      let slot = this.low.at(member) & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = member + 1;
    }
    this.slots = slots;
  }
}
