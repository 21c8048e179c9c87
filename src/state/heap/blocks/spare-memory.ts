/**
 * The memory of blocks that are not read any more: those that were kept for a cut and have been read, and those of
 * rows that were dropped as a whole. It is that of the next blocks that are copied or begin.
 *
 * Owns: which memory is spare, and for how long. Does not own: when a block is read no more (table.ts), what of
 * its memory is no other block's (block.ts).
 *
 * - XM1 A copy that lives as long as a snapshot is the worst kind of garbage. The young generation's collections copy
 *   it twice, and memory outside of the heap makes V8 mark the old generation in steps of 5 to 10 ms, one for each
 *   further piece. With many changes under each snapshot that was most of what stopped the event loop.
 * - XM2 As much stays as was asked for since the last time that a cut was done with: a table that does not change
 *   under its snapshots has none, and there is never more than the copies of one snapshot.
 * - XM3 What is spare holds no key and no value.
 * - XM4 Dropped blocks are kept up to a number for each size: those of a pane go when those of another one begin, so
 *   few are enough. They are as bad a garbage as copies (XM1), and without cuts nothing would trim them.
 */
const DROPPED_KEPT_MAX = 128;

export class SpareMemory {
  private readonly words = new SpareArrays<Int32Array>();
  private readonly slots = new SpareArrays<unknown[]>();

  copyOfWords(from: Int32Array): Int32Array {
    const spare = this.words.take(from.length);
    if (spare === undefined) return from.slice();
    spare.set(from);
    return spare;
  }

  copyOfSlots<T>(from: readonly T[]): T[] {
    const spare = this.slots.take(from.length) as T[] | undefined;
    if (spare === undefined) return from.slice();
    for (let at = 0; at < spare.length; at++) spare[at] = from[at]!;
    return spare;
  }

  emptyWords(length: number): Int32Array {
    const spare = this.words.take(length);
    return spare === undefined ? new Int32Array(length) : spare.fill(0);
  }

  emptySlots<T>(length: number): (T | undefined)[] {
    const spare = length === 0 ? [] : this.slots.take(length);
    return (spare as (T | undefined)[] | undefined) ?? new Array<T | undefined>(length).fill(undefined);
  }

  /** May one of rows that were dropped be given? */
  isWanted({ length }: Int32Array): boolean {
    return this.words.count(length) < DROPPED_KEPT_MAX;
  }

  giveWords(words: Int32Array): void {
    this.words.give(words);
  }

  giveSlots(slots: unknown[]): void {
    if (slots.length > 0) this.slots.give(slots.fill(undefined));
  }

  /** A cut is done with (XM2). */
  trim(): void {
    this.words.trim();
    this.slots.trim();
  }
}

class SpareArrays<A extends { readonly length: number }> {
  /** By length. */
  private readonly spares = new Map<number, A[]>();
  /** How many were asked for, by length. */
  private readonly asked = new Map<number, number>();

  /** How many are spare. */
  count(length: number): number {
    return this.spares.get(length)?.length ?? 0;
  }

  take(length: number): A | undefined {
    this.asked.set(length, (this.asked.get(length) ?? 0) + 1);
    return this.spares.get(length)?.pop();
  }

  give(array: A): void {
    const known = this.spares.get(array.length);
    if (known === undefined) this.spares.set(array.length, [array]);
    else known.push(array);
  }

  trim(): void {
    for (const [length, spares] of this.spares) {
      const asked = this.asked.get(length) ?? 0;
      if (asked === 0) this.spares.delete(length);
      else if (spares.length > asked) spares.length = asked;
    }
    this.asked.clear();
  }
}
