/** The store under a disk backend in memory: for tests and the simulation, where no file is to be written. */
import type { RowStore } from "../state/disk/store/row-store.ts";

export class MemoryRowStore implements RowStore {
  private readonly rows = new Map<string, Uint8Array>();
  /** Keys in order: all but those that are new, and some that were removed. */
  private sorted: string[] = [];
  private fresh = new Set<string>();

  get(key: Uint8Array): Uint8Array | undefined {
    return this.rows.get(textOf(key));
  }

  range(
    from: Uint8Array,
    to: Uint8Array,
    limit: number,
    take: (key: Uint8Array, value: Uint8Array) => void,
  ): void {
    const sorted = this.inOrder();
    const end = textOf(to);
    for (let at = placeOf(textOf(from), sorted), left = limit; at < sorted.length && left > 0; at++) {
      const key = sorted[at]!;
      if (key >= end) return;
      const value = this.rows.get(key);
      if (value === undefined) continue;
      take(Buffer.from(key, "latin1"), value);
      left--;
    }
  }

  transaction(act: () => void): void {
    act();
  }

  put(key: Uint8Array, value: Uint8Array): void {
    const text = textOf(key);
    if (!this.rows.has(text)) this.fresh.add(text);
    this.rows.set(text, Uint8Array.from(value));
  }

  remove(key: Uint8Array): void {
    this.rows.delete(textOf(key));
  }

  close(): void {
    this.rows.clear();
    this.fresh.clear();
    this.sorted = [];
  }

  private inOrder(): string[] {
    const { fresh, rows } = this;
    if (fresh.size === 0 && this.sorted.length <= 2 * rows.size + REMOVED_MAX) return this.sorted;
    const merged: string[] = [];
    const added = [...fresh].filter((key) => rows.has(key)).sort();
    let next = 0;
    for (const key of this.sorted) {
      if (!rows.has(key) || fresh.has(key)) continue;
      while (next < added.length && added[next]! < key) merged.push(added[next++]!);
      merged.push(key);
    }
    while (next < added.length) merged.push(added[next++]!);
    this.sorted = merged;
    fresh.clear();
    return merged;
  }
}

/** So many removed keys may be left. */
const REMOVED_MAX = 64;

function textOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString("latin1");
}

/** The place of the first one that does not come before `key`. */
function placeOf(key: string, sorted: readonly string[]): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
