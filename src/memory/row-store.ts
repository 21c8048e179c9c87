/** The store under a disk backend in memory: for tests and the simulation, where no file is to be written. */
import type { RowStore } from "../state/disk/store/row-store.ts";

export class MemoryRowStore implements RowStore {
  private readonly rows = new Map<string, Uint8Array>();
  /** All keys in order; undefined: they have changed. */
  private sorted: string[] | undefined = [];

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
    for (let at = placeOf(textOf(from), sorted), left = limit; at < sorted.length && left > 0; at++, left--) {
      const key = sorted[at]!;
      if (key >= end) return;
      take(Buffer.from(key, "latin1"), this.rows.get(key)!);
    }
  }

  transaction(act: () => void): void {
    act();
  }

  put(key: Uint8Array, value: Uint8Array): void {
    const text = textOf(key);
    if (!this.rows.has(text)) this.sorted = undefined;
    this.rows.set(text, Uint8Array.from(value));
  }

  remove(key: Uint8Array): void {
    if (this.rows.delete(textOf(key))) this.sorted = undefined;
  }

  close(): void {
    this.rows.clear();
    this.sorted = [];
  }

  private inOrder(): string[] {
    this.sorted ??= [...this.rows.keys()].sort();
    return this.sorted;
  }
}

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
