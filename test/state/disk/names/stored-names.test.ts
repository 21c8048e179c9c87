/** IQ1, IQ2: the names that a store has, beside those of the heap. */
import { expect, test } from "vitest";
import { MemoryRowStore } from "../../../../src/memory/row-store.ts";
import type { Namespace } from "../../../../src/state/contract.ts";
import type { Key } from "../../../../src/state/descriptor.ts";
import { Depot } from "../../../../src/state/disk/depot.ts";
import { RowCache } from "../../../../src/state/disk/row-cache.ts";
import { NamespaceIndex } from "../../../../src/state/heap/namespace-index.ts";
import { seeded } from "../../../bench/jobs/workload.ts";

class CountedStore extends MemoryRowStore {
  size = 0;
  puts = 0;
  ranges = 0;

  override put(key: Uint8Array, value: Uint8Array): void {
    this.size++;
    this.puts++;
    super.put(key, value);
  }

  override remove(key: Uint8Array): void {
    this.size--;
    super.remove(key);
  }

  override range(...given: Parameters<MemoryRowStore["range"]>): void {
    this.ranges++;
    super.range(...given);
  }
}

const opened = (rowsMax: number) => {
  const store = new CountedStore();
  const depot = new Depot(store, new RowCache({ rowsMax }));
  return { store, depot, names: depot.openNames() };
};

const KEYS: readonly Key[] = ["", "k", "€", "y".repeat(3000), 0, Number.NaN, -1.5, true, false, 12n];
const keyOf = (i: number): Key => (i < KEYS.length ? KEYS[i]! : i);
const nameOf = (i: number): Namespace =>
  i === 0 ? undefined : i % 3 === 0 ? i : `${i} ${"n".repeat(i * 5)}`;

test.each([1, 200, 2000, 1_000_000])("names are those of the heap, with %i rows in memory", (rowsMax) => {
  const random = seeded(3);
  const { depot, names, store } = opened(rowsMax);
  const heap = new NamespaceIndex();
  const there = new Set<number>();
  for (let round = 0; round < 6000; round++) {
    // A few keys have many names, and most have few.
    const key = Math.floor(random() ** 3 * 400);
    const name = Math.floor(random() * 400);
    const id = key * 1000 + name;
    if (there.delete(id)) {
      for (const index of [names, heap]) index.remove(keyOf(key), nameOf(name));
    } else {
      there.add(id);
      for (const index of [names, heap]) index.add(keyOf(key), nameOf(name));
    }
    if (round % 50 === 0) {
      const other = keyOf(Math.floor(random() ** 3 * 400));
      expect(names.namespacesOf(other)).toEqual(heap.namespacesOf(other));
      expect(names.countOf(other)).toBe(heap.countOf(other));
    }
  }
  if (rowsMax < 2000) expect(store.size).toBeGreaterThan(1000);
  else if (rowsMax > 10_000) expect(store.puts).toBe(0);
  for (let key = 0; key < 400; key++) {
    expect(names.namespacesOf(keyOf(key))).toEqual(heap.namespacesOf(keyOf(key)));
  }
  for (const id of there) names.remove(keyOf(Math.floor(id / 1000)), nameOf(id % 1000));
  for (let key = 0; key < 400; key++) expect(names.countOf(keyOf(key))).toBe(0);
  if (rowsMax === 1) expect(store.size).toBeLessThan(100);
  depot.close();
});

test("a name that is new reads nothing, however many the key has", () => {
  const { depot, names, store } = opened(100);
  for (let i = 0; i < 5000; i++) names.add("k", i);
  for (let i = 0; i < 5000; i += 2) names.remove("k", i);
  expect(store.ranges).toBe(0);
  expect(names.countOf("k")).toBe(2500);
  depot.close();
});
