/** The next random number, from 0 on and below 1. */
export type Random = () => number;

/** mulberry32, started anew for every record: position-independent, cheap, good enough for test data. */
export class SeededRandom {
  #state = 0;

  /** The numbers of record `index` under `seed` come next: a function of both alone. */
  start(seed: number, index: number): void {
    const high = Math.floor(index / 0x1_0000_0000);
    this.#state = mixed(mixed(mixed(seed) ^ index) ^ high ^ Math.floor(seed / 0x1_0000_0000));
  }

  readonly next: Random = () => {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let bits = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}

/** The random numbers of record `index` under `seed`. */
export function randomOf(seed: number, index: number): Random {
  const random = new SeededRandom();
  random.start(seed, index);
  return random.next;
}

/** Neighbouring numbers become unrelated ones (the finalizer of murmur3). */
function mixed(value: number): number {
  let bits = value | 0;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return bits ^ (bits >>> 16);
}
