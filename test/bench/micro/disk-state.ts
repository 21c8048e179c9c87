/**
 * State on disk beside the heap: what a read-modify-write of a `{count, sum}` costs, by processor time, with the keys
 * in random order, and the longest step of a cut.
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
  const startedMs = performance.now();
  const [cut] = state.snapshot();
  console.log(`${kind}: a cut takes ${(performance.now() - startedMs).toFixed(3)} ms`);
  const stepsMs: number[] = [];
  time("row of a cut", keys, () => {
    for (;;) {
      const before = performance.now();
      const chunk = cut!.cursor.next();
      stepsMs.push(performance.now() - before);
      if (chunk === undefined) return;
    }
  });
  stepsMs.sort((a, b) => a - b);
  console.log(
    `${kind}: a step of it takes ${stepsMs[Math.floor(stepsMs.length * 0.99)]!.toFixed(2)} ms (p99)`,
  );
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
