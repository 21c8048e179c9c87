/**
 * State on disk beside the heap: what a read-modify-write of a `{count, sum}` costs, by processor time, with the keys
 * in random order, the steps of a cut, and of one that gives what has changed since: a hundredth, and a quarter, of the
 * keys.
 *
 *     node dist/test/bench/micro/disk-state.js KEYS ROWS_IN_MEMORY [UPDATES]
 *
 * The page cache of the operating system is not limited: it holds the store's file.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadLmdb } from "../../../src/lmdb/lmdb.ts";
import { LmdbRowStore } from "../../../src/lmdb/row-store.ts";
import type { NamedCursor } from "../../../src/state/contract.ts";
import { valueState } from "../../../src/state/descriptor.ts";
import { DiskBackend } from "../../../src/state/disk/backend.ts";
import { RowCache } from "../../../src/state/disk/row-cache.ts";
import { HeapBackend } from "../../../src/state/heap/backend.ts";
import { KeyedState, type OpenBackend } from "../../../src/state/keyed-state.ts";
import { seeded } from "../jobs/workload.ts";

const [keys = 1e6, rowsMax = 2 * keys, updates = 1e6] = process.argv.slice(2).map(Number);
const ROUNDS = 3;

function run(kind: string, open: OpenBackend): void {
  const random = seeded(42);
  const state = new KeyedState(open, {
    operator: "bench",
    descriptors: { total: valueState({ count: 0, sum: 0.5 }) },
    keyGroups: { first: 0, last: 127 },
    maxParallelism: 128,
    keepsChanges: true,
  });
  const { total } = state.handles;
  const time = (what: string, count: number, act: () => void): void => {
    const cpu = process.cpuUsage();
    const startedMs = performance.now();
    act();
    const { user, system } = process.cpuUsage(cpu);
    const perSecond = Math.round((count / (performance.now() - startedMs)) * 1000);
    console.log(`${kind}: ${what}: ${((user + system) / count).toFixed(3)} us of CPU each, ${perSecond}/s`);
  };
  time("first write", keys, () => {
    for (let key = 0; key < keys; key++) {
      state.setCurrentKey(key);
      total.set({ count: 1, sum: key / 2 });
    }
  });
  for (let round = 0; round < ROUNDS; round++) {
    time("update", updates, () => {
      for (let i = 0; i < updates; i++) {
        state.setCurrentKey(Math.floor(random() * keys));
        const { count, sum } = total.get();
        total.set({ count: count + 1, sum: sum + 0.5 });
      }
    });
  }
  const read = (what: string, base?: number): number => {
    const startedMs = performance.now();
    const [{ cut, cursor }] = state.snapshot(() => base) as [NamedCursor];
    console.log(`${kind}: a cut takes ${(performance.now() - startedMs).toFixed(3)} ms`);
    const stepsMs: number[] = [];
    let rows = 0;
    time(what, keys, () => {
      for (let isOver = false; !isOver; ) {
        const before = performance.now();
        const chunk = cursor.seek() ? null : cursor.next();
        stepsMs.push(performance.now() - before);
        rows += chunk?.entries ?? 0;
        isOver = chunk === undefined;
      }
    });
    stepsMs.sort((a, b) => a - b);
    const p99 = stepsMs[Math.floor(stepsMs.length * 0.99)]!;
    console.log(
      `${kind}: ${rows} rows; a step takes ${p99.toFixed(2)} ms (p99), at most ${stepsMs.at(-1)!.toFixed(2)}`,
    );
    return cut;
  };
  let base = read("key, all rows of a cut");
  for (const part of [0.01, 0.25]) {
    for (let i = 0; i < keys * part; i++) {
      state.setCurrentKey(Math.floor(random() * keys));
      total.set({ count: 1, sum: i + 0.5 });
    }
    base = read(`key, of which ${part * 100} % have changed since the last cut`, base);
  }
  state.close();
}

const directory = mkdtempSync(join(tmpdir(), "tidemark-bench-"));
const lmdb = await loadLmdb();
const closing: Promise<void>[] = [];
run("heap", (options) => new HeapBackend(options));
run("disk", (options) => {
  const store = new LmdbRowStore(lmdb, join(directory, "store"), (done) => closing.push(done));
  return new DiskBackend(options, store, new RowCache({ rowsMax }));
});
await Promise.all(closing);
rmSync(directory, { recursive: true });
