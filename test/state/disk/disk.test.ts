/** What a disk backend does beside what every backend does (`test/contracts/suites/state`). */
import { describe, expect, it } from "vitest";
import { OperatorError } from "../../../src/errors.ts";
import { MemoryRowStore } from "../../../src/memory/row-store.ts";
import {
  ABSENT,
  type EncodedChunk,
  type KeyedBackend,
  type KeyedBackendOptions,
} from "../../../src/state/contract.ts";
import type { Key } from "../../../src/state/descriptor.ts";
import { DiskBackend } from "../../../src/state/disk/backend.ts";
import { RowCache } from "../../../src/state/disk/row-cache.ts";
import { HeapBackend } from "../../../src/state/heap/backend.ts";
import { bytesOf, drained } from "../../contracts/suites/state/backend.ts";

const OPTIONS: KeyedBackendOptions = {
  operator: "count",
  keyGroups: { first: 0, last: 7 },
  maxParallelism: 8,
};

/** A store that counts what is asked of it. */
class CountedStore extends MemoryRowStore {
  puts = 0;
  removes = 0;
  gets = 0;
  transactions = 0;

  override get(key: Uint8Array): Uint8Array | undefined {
    this.gets++;
    return super.get(key);
  }

  override transaction(act: () => void): void {
    this.transactions++;
    super.transaction(act);
  }

  override put(key: Uint8Array, value: Uint8Array): void {
    this.puts++;
    super.put(key, value);
  }

  override remove(key: Uint8Array): void {
    this.removes++;
    super.remove(key);
  }

  /** The most rows that were looked at since it was set to 0. */
  looked = 0;

  override range(...[from, to, limit, take]: Parameters<MemoryRowStore["range"]>): void {
    super.range(from, to, limit, (key, value) => {
      this.looked++;
      take(key, value);
    });
  }

  get size(): number {
    let rows = 0;
    this.range(new Uint8Array(0), new Uint8Array(20).fill(255), Number.POSITIVE_INFINITY, () => rows++);
    return rows;
  }
}

function opened(rowsMax: number, options: Partial<KeyedBackendOptions> = {}) {
  const store = new CountedStore();
  const cache = new RowCache({ rowsMax });
  const backend = new DiskBackend({ ...OPTIONS, ...options }, store, cache);
  return { store, cache, backend };
}

const byNumber = (a: unknown[], b: unknown[]): number =>
  (a[2] as { i: number }).i - (b[2] as { i: number }).i;

/** Restores all that one backend holds in another one, and lets the first go. */
function moved(from: KeyedBackend, to: KeyedBackend): void {
  for (const { state, cursor } of from.snapshot()) {
    const restorer = to.restorer(state, { object: state, bytes: bytesOf(drained(cursor)) });
    while (restorer.next());
  }
  from.close();
}

describe("rows of a disk backend", () => {
  it("are never written while they fit in memory, also by cuts, and are written when they leave it (MQ1)", () => {
    const { backend, store, cache } = opened(1000);
    const table = backend.openTable("t");
    const set = (from: number, to: number): void => {
      for (let key = from; key < to; key++) {
        backend.setCurrentKey(key);
        table.write(key);
      }
    };
    set(0, 1000);
    drained(backend.snapshot()[0]!.cursor);
    set(0, 1000);
    expect([store.puts, store.gets]).toEqual([0, 0]);
    set(1000, 3000);
    expect(cache.rows).toBeLessThanOrEqual(1000);
    expect(store.puts).toBeGreaterThanOrEqual(2000);
    // Each transaction is shared by the rows that leave together.
    expect(store.transactions).toBeLessThan(store.puts / 10);
    for (let key = 0; key < 3000; key++) {
      backend.setCurrentKey(key);
      expect(table.read()).toBe(key);
    }
    backend.close();
  });

  it("stay in memory while they are used again and again (MQ2)", () => {
    const { backend, store } = opened(1000);
    const table = backend.openTable("t");
    const hot = Array.from({ length: 50 }, (_, i) => i);
    for (let cold = 50; cold < 20_050; cold++) {
      for (const key of [cold, hot[cold % 50]!]) {
        backend.setCurrentKey(key);
        table.read();
        table.write(key);
      }
    }
    // A new key is asked for once; the others are too few to be worth a word.
    expect(store.gets - 20_000).toBeLessThan(2000);
    backend.close();
  });

  it("keep what a table has in hand, whatever other tables bring into memory meanwhile (MQ3)", () => {
    const { backend } = opened(1);
    const [a, b] = [backend.openTable("a"), backend.openTable("b")];
    for (let key = 0; key < 200; key++) {
      backend.setCurrentKey(key);
      a.write(1);
      for (let n = 0; n < 100; n++) {
        b.setCurrentNamespace(n);
        b.write(n);
      }
      a.write((a.read() as number) + 1);
    }
    for (let key = 0; key < 200; key++) {
      backend.setCurrentKey(key);
      expect(a.read()).toBe(2);
    }
    backend.close();
  });

  it("are listed in the order of the heap, and go from one backend to the other and back", () => {
    const fill = (backend: KeyedBackend) => {
      const plain = backend.openTable("plain");
      const listing = backend.openTable("listing", { listsNamespaces: true });
      const apart = backend.openTable("apart", { namespacesApart: true });
      return { backend, plain, listing, apart, tables: [plain, listing, apart] };
    };
    const heap = fill(new HeapBackend(OPTIONS));
    const names = ["", "w", 1, -1, Number.NaN, undefined, "€", "x".repeat(3000)] as const;
    const keys: Key[] = [true, false, 12n, -5n, "\ud800", 0.5, Number.NaN, "y".repeat(2500)];
    for (let i = 0; i < 2000; i++) keys.push(i % 3 === 0 ? `key ${i}` : i);
    for (const [i, key] of keys.entries()) {
      heap.backend.setCurrentKey(key);
      for (const table of heap.tables) {
        table.setCurrentNamespace(names[i % names.length]);
        table.write(i % 2 === 0 ? { count: i, name: `n${i}`, big: BigInt(i) } : i / 2);
      }
    }
    const rows = heap.tables.map((table) => [...table.rows()]);
    const listed = [...heap.backend.keys()];
    expect(rows[0]).toHaveLength(keys.length);
    const disk = fill(opened(50).backend);
    moved(heap.backend, disk.backend);
    expect(disk.tables.map((table) => [...table.rows()])).toEqual(rows);
    expect([...disk.backend.keys()]).toEqual(listed);
    expect(disk.tables.map(({ rowCount }) => rowCount)).toEqual(rows.map(({ length }) => length));
    const back = fill(new HeapBackend(OPTIONS));
    moved(disk.backend, back.backend);
    expect(back.tables.map((table) => [...table.rows()])).toEqual(rows);
    back.backend.close();
  });

  it("go from the store when their namespace is dropped, once no cut reads it", () => {
    const { backend, store } = opened(100);
    const table = backend.openTable("panes", { namespacesApart: true });
    const set = (pane: number): void => {
      table.setCurrentNamespace(pane);
      for (let key = 0; key < 3000; key++) {
        backend.setCurrentKey(key);
        table.write(key);
      }
    };
    set(1);
    expect(store.size).toBeGreaterThan(2800);
    const [cut] = backend.snapshot();
    for (let group = 0; group < 8; group++) table.dropGroup(group);
    expect(table.openNamespaces()).toEqual([]);
    expect(drained(cut!.cursor).reduce((sum, { entries }) => sum + entries, 0)).toBe(3000);
    set(2);
    set(3);
    expect(store.size).toBeLessThan(6100);
    backend.close();
  });

  it.each([false, true])(
    "are in a cut as they were, wherever that is kept (KV1); apart: %s",
    (namespacesApart) => {
      const { backend, store, cache } = opened(100);
      const table = backend.openTable("t", { namespacesApart });
      const keys: Key[] = Array.from({ length: 3000 }, (_, i) => (i % 7 === 0 ? `${i} ${"k".repeat(i)}` : i));
      const at = (i: number, namespace: number) => {
        backend.setCurrentKey(keys[i]!);
        table.setCurrentNamespace(namespace);
        return table;
      };
      const fill = (round: number): void => {
        for (let i = 0; i < keys.length; i++) at(i, i % 3).write({ round, i });
      };
      fill(1);
      const [first] = backend.snapshot();
      fill(2);
      const [second] = backend.snapshot();
      const early = [first!.cursor.next()!, first!.cursor.next()!];
      for (let i = 0; i < keys.length; i += 2) at(i, i % 3).remove();
      fill(3);
      expect(cache.rows).toBeLessThanOrEqual(100);
      const read = (chunks: readonly EncodedChunk[]): unknown[] => {
        const to = opened(1_000_000).backend;
        const rows = to.openTable("t", { namespacesApart });
        const restorer = to.restorer("t", { object: "t", bytes: bytesOf(chunks) });
        while (restorer.next());
        return [...rows.rows()].map(({ key, namespace, value }) => [key, namespace, value]).sort(byNumber);
      };
      const as = (round: number): unknown[] => keys.map((key, i) => [key, i % 3, { round, i }]);
      expect(read(drained(second!.cursor))).toEqual(as(2));
      expect(read([...early, ...drained(first!.cursor)])).toEqual(as(1));
      for (const { cursor } of backend.snapshot()) expect(read(drained(cursor))).toEqual(as(3));
      // What was kept goes from the store.
      for (let round = 4; round < 10; round++) fill(round);
      expect(store.size).toBeLessThanOrEqual(3000);
      backend.close();
      expect(cache.rows).toBe(0);
    },
  );

  it("are looked through some hundred at a time for the few that have changed since a base", () => {
    const { backend, store } = opened(100, { keepsChanges: true });
    const table = backend.openTable("t");
    const set = (key: number): void => {
      backend.setCurrentKey(key);
      table.write({ key });
    };
    for (let key = 0; key < 20_000; key++) set(key);
    const [whole] = backend.snapshot();
    drained(whole!.cursor);
    for (let key = 0; key < 20_000; key += 100) set(key);
    const [changes] = backend.snapshot(() => whole!.cut);
    const { cursor } = changes!;
    const looked: number[] = [];
    const chunks: EncodedChunk[] = [];
    for (let chunk: EncodedChunk | undefined, isOver = false; !isOver; ) {
      store.looked = 0;
      if (!cursor.seek()) {
        chunk = cursor.next();
        isOver = chunk === undefined;
        if (chunk !== undefined) chunks.push(chunk);
      }
      looked.push(store.looked);
    }
    expect(chunks.reduce((sum, { entries }) => sum + entries, 0)).toBe(200);
    expect(chunks.length).toBeLessThan(10);
    expect(looked.reduce((sum, one) => sum + one)).toBeGreaterThan(10_000);
    expect(Math.max(...looked)).toBeLessThan(1200);
    backend.close();
  });

  it("are refused when they leave memory and cannot be stored, with operator and state", () => {
    const { backend } = opened(64);
    const table = backend.openTable("t");
    backend.setCurrentKey("hides");
    table.write({ count: 1, [Symbol("hidden")]: 1 });
    expect(() => {
      for (let key = 0; key < 1000; key++) {
        backend.setCurrentKey(key);
        table.write(key);
      }
    }).toThrow(OperatorError);
    expect(() => {
      for (let key = 0; key < 1000; key++) {
        backend.setCurrentKey(key);
        table.write(key);
      }
    }).toThrow(/state "t" holds a value that cannot be stored: the value of a key .* Symbol\(hidden\)/);
    backend.close();
  });

  it("come out of the store frozen, where what was set is frozen", () => {
    const { backend } = opened(1, { keepsObjects: true });
    const table = backend.openTable("t");
    for (let key = 0; key < 200; key++) {
      backend.setCurrentKey(key);
      table.write(Object.freeze({ list: Object.freeze([key]) }));
    }
    for (let key = 0; key < 200; key++) {
      backend.setCurrentKey(key);
      const held = table.read() as { list: number[] };
      expect([held, Object.isFrozen(held), Object.isFrozen(held.list)]).toEqual([
        { list: [key] },
        true,
        true,
      ]);
    }
    backend.close();
  });

  it("take about as much memory as was asked for, whatever their size is", () => {
    const cache = new RowCache({ bytesMax: 4_000_000 });
    const backend = new DiskBackend(OPTIONS, new MemoryRowStore(), cache);
    const table = backend.openTable("t");
    const text = "x".repeat(2000);
    for (let key = 0; key < 20_000; key++) {
      backend.setCurrentKey(key);
      table.write(text + key);
    }
    expect(cache.rows * 2000).toBeGreaterThan(2_000_000);
    expect(cache.rows * 2000).toBeLessThan(6_000_000);
    backend.close();
    expect(cache.rows).toBe(0);
  });

  it("of two backends share one memory, and those of one that is closed make room", () => {
    const cache = new RowCache({ rowsMax: 500 });
    const backends = [1, 2].map(() => new DiskBackend(OPTIONS, new MemoryRowStore(), cache));
    const tables = backends.map((backend) => backend.openTable("t"));
    const write = (which: number, count: number): void => {
      for (let key = 0; key < count; key++) {
        backends[which]!.setCurrentKey(key);
        tables[which]!.write(key + which);
      }
    };
    write(0, 400);
    write(1, 400);
    expect(cache.rows).toBeLessThanOrEqual(500);
    backends[0]!.close();
    write(1, 450);
    for (let key = 0; key < 450; key++) {
      backends[1]!.setCurrentKey(key);
      expect(tables[1]!.read()).toBe(key + 1);
    }
    backends[1]!.setCurrentKey("none");
    expect(tables[1]!.read()).toBe(ABSENT);
    backends[1]!.close();
    expect(cache.rows).toBe(0);
  });
});
