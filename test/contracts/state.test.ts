import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { loadLmdb } from "../../src/lmdb/lmdb.ts";
import { LmdbRowStore } from "../../src/lmdb/row-store.ts";
import { MemoryRowStore } from "../../src/memory/row-store.ts";
import type { StateTable, TableOptions } from "../../src/state/contract.ts";
import { DiskBackend } from "../../src/state/disk/backend.ts";
import { RowCache, type RowCacheLimit } from "../../src/state/disk/row-cache.ts";
import type { RowStore } from "../../src/state/disk/store/row-store.ts";
import { HeapBackend } from "../../src/state/heap/backend.ts";
import { describeApartContract } from "./suites/state/apart.contract.ts";
import type { OpenBackendUnderTest } from "./suites/state/backend.ts";
import { describeChangesContract } from "./suites/state/changes.contract.ts";
import { describeHandlesContract } from "./suites/state/handles.contract.ts";
import { describeListingContract } from "./suites/state/listing.contract.ts";
import { describeStateContract } from "./suites/state/state.contract.ts";
import { describeTtlContract } from "./suites/state/ttl.contract.ts";

for (const keepsObjects of [false, true]) {
  const name = keepsObjects ? "heap, objects as they came" : "heap";
  const open: OpenBackendUnderTest = (options) => {
    const backend = new HeapBackend({ ...options, keepsObjects });
    return { backend, close: () => backend.close() };
  };
  describeStateContract(name, open);
  describeListingContract(name, open);
}

/** Namespaces lie apart in all tables that list none. */
class ApartBackend extends HeapBackend {
  override openTable(name: string, options?: TableOptions): StateTable {
    return super.openTable(name, { namespacesApart: options?.listsNamespaces !== true, ...options });
  }
}

const openApart: OpenBackendUnderTest = (options) => {
  const backend = new ApartBackend(options);
  return { backend, close: () => backend.close() };
};
describeStateContract("heap, namespaces apart", openApart);
describeListingContract("heap, namespaces apart", openApart);

const openHeap: OpenBackendUnderTest = (options) => {
  const backend = new HeapBackend(options);
  return { backend, close: () => backend.close() };
};
describeHandlesContract("heap", openHeap);
describeApartContract("heap", openHeap);
describeTtlContract("heap", openHeap);
describeChangesContract("heap", openHeap);

function diskOpener(
  limit: RowCacheLimit,
  make = DiskBackend,
  openStore: () => RowStore = () => new MemoryRowStore(),
): OpenBackendUnderTest {
  return (options) => {
    const backend = new make(options, openStore(), new RowCache(limit));
    return { backend, close: () => backend.close() };
  };
}

/** Namespaces lie apart in all tables that list none. */
class ApartDiskBackend extends DiskBackend {
  override openTable(name: string, options?: TableOptions): StateTable {
    return super.openTable(name, { namespacesApart: options?.listsNamespaces !== true, ...options });
  }
}

/** Few values: how many have expired is not told of more than about a thousand that do not lie in memory. */
const FEW = 20;

// Most rows of the suites leave memory with the first limit, and none with the last.
for (const rowsMax of [1, 100, 1_000_000]) {
  const name = `disk, ${rowsMax} rows in memory`;
  const openDisk = diskOpener({ rowsMax });
  describeStateContract(name, openDisk);
  describeStateContract(`${name}, namespaces apart`, diskOpener({ rowsMax }, ApartDiskBackend));
  describeListingContract(name, openDisk);
  describeHandlesContract(name, openDisk);
  describeApartContract(name, openDisk);
  describeTtlContract(name, openDisk, FEW);
  describeChangesContract(name, openDisk);
}

const lmdb = await loadLmdb();
const directory = mkdtempSync(join(tmpdir(), "tidemark-rows-"));
const closing: Promise<void>[] = [];
afterAll(async () => {
  await Promise.all(closing);
  rmSync(directory, { recursive: true });
});

const openLmdb = diskOpener(
  { rowsMax: 100 },
  DiskBackend,
  () => new LmdbRowStore(lmdb, mkdtempSync(join(directory, "store-")), (done) => closing.push(done)),
);
describeStateContract("disk, by lmdb", openLmdb);
describeListingContract("disk, by lmdb", openLmdb);
describeHandlesContract("disk, by lmdb", openLmdb);
describeApartContract("disk, by lmdb", openLmdb);
describeTtlContract("disk, by lmdb", openLmdb, FEW);
describeChangesContract("disk, by lmdb", openLmdb);
