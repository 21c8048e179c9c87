/**
 * Which row a key and namespace have: a table of hashes with open addressing.
 *
 * Owns: the places. Does not own: keys (they are in the rows), so the caller says whether a row that has the hash is the one.
 *
 * The hash is there already, since it decides the key group. Each place is a pair (hash, row + 1), (0, 0) where it is empty; at most
 * three of four are taken. A removed place is filled from behind, so there are no tombstones.
 */

/** All bits of the hash count: those that pick the key group are the same in all of a group. */
const SPREAD = 0x9e3779b1;
const CAPACITY_FIRST = 4;
const NOTHING = new Int32Array(2);

export class KeyIndex {
  private places = NOTHING;
  /** Minus one: a power of two. */
  private mask = 0;
  /** For the highest bits. */
  private shift = 0;
  private count = 0;

  /** The row at the first place for `hash`; -1: there is none. Further ones by `next`. */
  first(hash: number): number {
    return this.rowFrom(this.placeOf(hash), hash);
  }

  /** The next row of the same hash behind `row`; -1: there is none. */
  next(hash: number, row: number): number {
    return this.rowFrom((this.find(hash, row) + 1) & this.mask, hash);
  }

  add(hash: number, row: number): void {
    if (this.count * 4 >= this.mask * 3) this.grow();
    this.put(hash, row);
    this.count++;
  }

  move(hash: number, from: number, to: number): void {
    this.places[this.find(hash, from) * 2 + 1] = to + 1;
  }

  remove(hash: number, row: number): void {
    const { places, mask } = this;
    let hole = this.find(hash, row);
    for (let at = (hole + 1) & mask; places[at * 2 + 1] !== 0; at = (at + 1) & mask) {
      const wanted = this.placeOf(places[at * 2]!);
      // It may not move in front of the place that its hash asks for.
      if (((at - wanted) & mask) < ((at - hole) & mask)) continue;
      places[hole * 2] = places[at * 2]!;
      places[hole * 2 + 1] = places[at * 2 + 1]!;
      hole = at;
    }
    places[hole * 2] = 0;
    places[hole * 2 + 1] = 0;
    this.count--;
  }

  private rowFrom(place: number, hash: number): number {
    const { places, mask } = this;
    for (let at = place; ; at = (at + 1) & mask) {
      const row = places[at * 2 + 1]!;
      if (row === 0) return -1;
      if (places[at * 2] === (hash | 0)) return row - 1;
    }
  }

  /** Where `row` is. */
  private find(hash: number, row: number): number {
    const { places, mask } = this;
    let at = this.placeOf(hash);
    while (places[at * 2 + 1] !== row + 1) at = (at + 1) & mask;
    return at;
  }

  private placeOf(hash: number): number {
    return (Math.imul(hash, SPREAD) >>> this.shift) & this.mask;
  }

  private put(hash: number, row: number): void {
    const { places, mask } = this;
    let at = this.placeOf(hash);
    while (places[at * 2 + 1] !== 0) at = (at + 1) & mask;
    places[at * 2] = hash;
    places[at * 2 + 1] = row + 1;
  }

  private grow(): void {
    const before = this.places;
    const capacity = this.mask === 0 ? CAPACITY_FIRST : (this.mask + 1) * 2;
    this.places = new Int32Array(capacity * 2);
    this.mask = capacity - 1;
    this.shift = Math.clz32(this.mask);
    for (let at = 0; at < before.length; at += 2)
      if (before[at + 1] !== 0) this.put(before[at]!, before[at + 1]! - 1);
  }
}
