/** NQ1 to NQ3: an order of which most lies in the store, against a list that is sorted. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { loadLmdb } from "../../../../src/lmdb/lmdb.ts";
import { LmdbRowStore } from "../../../../src/lmdb/row-store.ts";
import { MemoryRowStore } from "../../../../src/memory/row-store.ts";
import type { Namespace } from "../../../../src/state/contract.ts";
import type { Key } from "../../../../src/state/descriptor.ts";
import { Depot } from "../../../../src/state/disk/depot.ts";
import { RowCache } from "../../../../src/state/disk/row-cache.ts";
import type { RowStore } from "../../../../src/state/disk/store/row-store.ts";
import type { TimeOrder } from "../../../../src/state/timers/time-order.ts";
import { seeded } from "../../../bench/jobs/workload.ts";

const lmdb = await loadLmdb();
const directory = mkdtempSync(join(tmpdir(), "tidemark-orders-"));
const closing: Promise<void>[] = [];
afterAll(async () => {
  await Promise.all(closing);
  rmSync(directory, { recursive: true });
});
const openLmdb = (): RowStore =>
  new LmdbRowStore(lmdb, mkdtempSync(join(directory, "store-")), (done) => closing.push(done));

class CountedStore extends MemoryRowStore {
  puts = 0;
  size = 0;

  override put(key: Uint8Array, value: Uint8Array): void {
    this.puts++;
    this.size++;
    super.put(key, value);
  }

  override remove(key: Uint8Array): void {
    this.size--;
    super.remove(key);
  }
}

interface Entry {
  readonly group: number;
  readonly time: number;
  readonly ordinal: number;
  readonly key: Key;
  readonly namespace: Namespace;
}

const inOrder = (a: Entry, b: Entry): number =>
  a.time === b.time ? a.group - b.group || a.ordinal - b.ordinal : a.time < b.time ? -1 : 1;

const KEYS: readonly Key[] = ["", "k", "€", "y".repeat(3000), 0, -1.5, true, 12n];
const NAMES: readonly Namespace[] = [undefined, "", "w 1", 7, "x".repeat(2500)];
const TIMES = [Number.NEGATIVE_INFINITY, -1e12, -1.5, -0, 0, 1, 1.5, 255, 256, 1.7e12, Infinity];

/** The order beside a list of what should be in it. */
class Compared {
  readonly model: Entry[] = [];
  private readonly order: TimeOrder;
  private readonly random: () => number;
  private ordinal = 0;

  constructor(order: TimeOrder, random: () => number) {
    this.order = order;
    this.random = random;
  }

  pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.random() * list.length)]!;
  }

  add(time: number): void {
    const entry = {
      group: Math.floor(this.random() * 4),
      time,
      ordinal: this.ordinal++,
      key: this.pick(KEYS),
      namespace: this.pick(NAMES),
    };
    this.order.add(entry.group, entry.time, entry.ordinal, entry.key, entry.namespace);
    this.model.push(entry);
    this.model.sort(inOrder);
  }

  takeFirst(): void {
    const { order } = this;
    const expected = this.model.shift();
    if (expected === undefined) {
      expect([order.firstTime, order.size]).toEqual([undefined, 0]);
      return;
    }
    expect({
      group: order.firstGroup,
      time: order.firstTime,
      ordinal: order.firstOrdinal,
      key: order.firstKey,
      namespace: order.firstNamespace,
    }).toEqual({ ...expected, time: expected.time + 0 });
    order.removeFirst();
  }

  delete(): void {
    const at = Math.floor(this.random() * this.model.length);
    const [entry] = this.model.splice(at, 1);
    if (entry !== undefined) this.order.delete(entry.group, entry.ordinal, entry.time);
  }
}

const opened = (rowsMax: number, store: RowStore) => {
  const depot = new Depot(store, new RowCache({ rowsMax }));
  return { depot, order: depot.openOrder() };
};

describe.each([
  ["in memory", () => new MemoryRowStore()],
  ["of lmdb", openLmdb],
] as const)("an order in a store %s", (_, openStore) => {
  it.each([1, 8, 60, 300])("is that of a list, with %i entries in memory", (rowsMax) => {
    for (let seed = 1; seed <= 3; seed++) {
      const random = seeded(seed);
      const { order, depot } = opened(rowsMax, openStore());
      const compared = new Compared(order, random);
      for (let round = 0; round < 30; round++) {
        const adds = Math.floor(random() * 120);
        // Some rounds go on in time, as timers do, and others come anywhere.
        for (let i = 0; i < adds; i++) {
          const anywhere = Math.floor(random() * 1000);
          compared.add(random() < 0.1 ? compared.pick(TIMES) : round % 2 === 0 ? anywhere : round * 50 + i);
        }
        const deletes = Math.floor(random() * 60);
        for (let i = 0; i < deletes; i++) compared.delete();
        expect(order.size).toBe(compared.model.length);
        const taken = Math.floor(random() * 60);
        for (let i = 0; i < taken; i++) compared.takeFirst();
      }
      while (compared.model.length > 0) compared.takeFirst();
      compared.takeFirst();
      compared.add(5);
      compared.takeFirst();
      depot.close();
    }
  });
});

describe("an order that does not fit into memory", () => {
  it("has as much of it there as it may, and leaves nothing in the store (NQ2)", () => {
    const store = new CountedStore();
    const { order, depot } = opened(400, store);
    const random = seeded(7);
    for (let i = 0; i < 5000; i++) order.add(i % 4, random(), i, i, undefined);
    expect(store.size).toBeGreaterThan(4500);
    let before = -1;
    for (let i = 0; i < 5000; i++) {
      expect(order.firstTime).toBeGreaterThanOrEqual(before);
      before = order.firstTime!;
      order.removeFirst();
    }
    expect([order.size, store.size]).toEqual([0, 0]);
    depot.close();
  });

  it("shows what is due in the store as well, as many as are asked for", () => {
    const { order, depot } = opened(40, new MemoryRowStore());
    for (let i = 0; i < 1000; i++) order.add(0, i, i, i, undefined);
    const due = (time: number, max: number): Key[] => {
      const seen: Key[] = [];
      expect(order.lookAtDue(time, max, (key) => seen.push(key))).toBe(1);
      return seen;
    };
    expect(due(-1, 500)).toEqual([]);
    expect(new Set(due(299, 500))).toEqual(new Set(Array.from({ length: 300 }, (_, i) => i)));
    expect(due(999, 500)).toHaveLength(500);
    depot.close();
  });

  it("writes nothing while all fits, and nothing for what is deleted at once (NQ2, NQ3)", () => {
    const store = new CountedStore();
    const { order, depot } = opened(1000, store);
    for (let i = 0; i < 500; i++) order.add(0, i, i, i, undefined);
    expect(store.puts).toBe(0);
    for (let i = 500; i < 2000; i++) order.add(0, i, i, i, undefined);
    const { puts } = store;
    expect(puts).toBeGreaterThan(1000);
    for (let i = 2000; i < 4000; i++) {
      order.add(0, i, i, i, undefined);
      order.delete(0, i, i);
    }
    expect(store.puts - puts).toBeLessThan(130);
    depot.close();
  });
});
