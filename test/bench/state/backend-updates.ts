/**
 * `backend-updates.js BACKEND KEYS ROWS`: what a read-modify-write of keyed state costs on a backend, `heap` or `disk`;
 * ROWS is how many the disk backend keeps in memory. Prints one line of JSON.
 *
 * A `{count, sum}` for each key, keys in random order, no snapshot. One backend a process, as in a worker: V8's code
 * for two of them is slower than for one. The page cache of the operating system is not limited, and holds the store's
 * file.
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
import { type BackendUpdates, printBackendUpdates } from "./backend-updates-report.ts";

const UPDATES = 1_000_000;
const WARM_UP_ROUNDS = 1;
const ROUNDS = 5;

function updatesOn(open: OpenBackend, keys: number): BackendUpdates {
  const state = new KeyedState(open, {
    operator: "bench",
    descriptors: { total: valueState({ count: 0, sum: 0 }) },
    keyGroups: { first: 0, last: 127 },
    maxParallelism: 128,
  });
  const { total } = state.handles;
  const random = seeded(42);
  for (let key = 0; key < keys; key++) {
    state.setCurrentKey(key);
    total.set({ count: 1, sum: key / 2 });
  }
  const cpuUs: number[] = [];
  const perSecond: number[] = [];
  for (let round = 0; round < WARM_UP_ROUNDS + ROUNDS; round++) {
    const before = process.cpuUsage();
    const startedMs = performance.now();
    for (let i = 0; i < UPDATES; i++) {
      state.setCurrentKey(Math.floor(random() * keys));
      const { count, sum } = total.get();
      total.set({ count: count + 1, sum: sum + 0.5 });
    }
    if (round < WARM_UP_ROUNDS) continue;
    const { user, system } = process.cpuUsage(before);
    cpuUs.push((user + system) / UPDATES);
    perSecond.push((UPDATES * 1000) / (performance.now() - startedMs));
  }
  state.close();
  return { cpuUs, perSecond };
}

const [backend, keys, rowsMax] = process.argv.slice(2);
if (backend === "heap") {
  printBackendUpdates(updatesOn((options) => new HeapBackend(options), Number(keys)));
} else {
  const directory = mkdtempSync(join(tmpdir(), "tidemark-bench-"));
  const lmdb = await loadLmdb();
  const cache = new RowCache({ rowsMax: Number(rowsMax) });
  const closing: Promise<void>[] = [];
  const open: OpenBackend = (options) =>
    new DiskBackend(
      options,
      new LmdbRowStore(lmdb, join(directory, "store"), (done) => closing.push(done)),
      cache,
    );
  printBackendUpdates(updatesOn(open, Number(keys)));
  await Promise.all(closing);
  rmSync(directory, { recursive: true });
}
