/**
 * Which row of a table a key and namespace have: hashes with open addressing.
 *
 * Owns: the places. Does not own: keys (they are in the rows), so the caller says whether a row that has the hash is
 * the one.
 *
 * A hash is a signed number of 32 bits (hashOfRow in rows.ts). Each place is a pair (hash, row + 1), (0, 0) where it is
 * empty; at most four of five are taken. A removed place is filled from behind, so there are no tombstones. The places
 * lie in segments that grow one by one: a table of 10^6 rows never moves more than 16,000 places at once.
 */

const SEGMENT_BITS = 6;
const SEGMENTS = 1 << SEGMENT_BITS;
const SEGMENT_SHIFT = 32 - SEGMENT_BITS;
const SPREAD = 0x9e3779b1;
const CAPACITY_FIRST = 4;
const NOTHING = new Int32Array(2);

export class KeyIndex {
  private readonly segments: Int32Array[] = new Array(SEGMENTS).fill(NOTHING);
  private readonly counts = new Int32Array(SEGMENTS);

  /** The row at the first place for `hash`; -1: there is none. Further ones by `next`. */
  first(hash: number): number {
    const bits = spread(hash);
    const places = this.segments[bits >>> SEGMENT_SHIFT]!;
    const last = places.length - 2;
    for (let at = ((bits << SEGMENT_BITS) >>> Math.clz32(last)) & last; ; at = (at + 2) & last) {
      const row = places[at + 1]!;
      if (row === 0 || places[at] === hash) return row - 1;
    }
  }

  /** The next row of the same hash behind `row`; -1: there is none. */
  next(hash: number, row: number): number {
    const places = this.segments[segmentOf(hash)]!;
    const last = places.length - 2;
    for (let at = (placeWith(places, hash, row) + 2) & last; ; at = (at + 2) & last) {
      const next = places[at + 1]!;
      if (next === 0 || places[at] === hash) return next - 1;
    }
  }

  add(hash: number, row: number): void {
    const segment = segmentOf(hash);
    let places = this.segments[segment]!;
    const count = this.counts[segment]!;
    // A pair takes two, and one of five pairs stays empty.
    if (count * 5 >= (places.length - 2) * 2) {
      places = grown(places);
      this.segments[segment] = places;
    }
    put(places, hash, row);
    this.counts[segment] = count + 1;
  }

  move(hash: number, from: number, to: number): void {
    const places = this.segments[segmentOf(hash)]!;
    places[placeWith(places, hash, from) + 1] = to + 1;
  }

  remove(hash: number, row: number): void {
    const segment = segmentOf(hash);
    const places = this.segments[segment]!;
    const last = places.length - 2;
    let hole = placeWith(places, hash, row);
    for (let at = (hole + 2) & last; places[at + 1] !== 0; at = (at + 2) & last) {
      const wanted = placeFor(places, places[at]!);
      // It may not move in front of the place that its hash asks for.
      if (((at - wanted) & last) < ((at - hole) & last)) continue;
      places[hole] = places[at]!;
      places[hole + 1] = places[at + 1]!;
      hole = at;
    }
    places[hole] = 0;
    places[hole + 1] = 0;
    this.counts[segment]!--;
  }
}

/** Its highest bits depend on all of the hash: they pick the segment, and the next ones the place. */
function spread(hash: number): number {
  return Math.imul(hash ^ (hash >>> 15), SPREAD);
}

function segmentOf(hash: number): number {
  return spread(hash) >>> SEGMENT_SHIFT;
}

function placeFor(places: Int32Array, hash: number): number {
  const last = places.length - 2;
  return ((spread(hash) << SEGMENT_BITS) >>> Math.clz32(last)) & last;
}

/** The place of `row`. */
function placeWith(places: Int32Array, hash: number, row: number): number {
  const last = places.length - 2;
  let at = placeFor(places, hash);
  while (places[at + 1] !== row + 1) at = (at + 2) & last;
  return at;
}

function put(places: Int32Array, hash: number, row: number): void {
  const last = places.length - 2;
  let at = placeFor(places, hash);
  while (places[at + 1] !== 0) at = (at + 2) & last;
  places[at] = hash;
  places[at + 1] = row + 1;
}

function grown(before: Int32Array): Int32Array {
  const places = new Int32Array(before === NOTHING ? CAPACITY_FIRST * 2 : before.length * 2);
  for (let at = 0; at < before.length; at += 2)
    if (before[at + 1] !== 0) put(places, before[at]!, before[at + 1]! - 1);
  return places;
}
