import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { loadLmdb } from "../../src/lmdb/lmdb.ts";
import { LmdbRowStore } from "../../src/lmdb/row-store.ts";
import { MemoryRowStore } from "../../src/memory/row-store.ts";
import { describeRowStoreContract } from "./suites/row-store.contract.ts";

const lmdb = await loadLmdb();
const directory = mkdtempSync(join(tmpdir(), "tidemark-stores-"));
const closing: Promise<void>[] = [];
afterAll(async () => {
  await Promise.all(closing);
  rmSync(directory, { recursive: true });
});

describeRowStoreContract("in memory", () => new MemoryRowStore());
describeRowStoreContract(
  "of lmdb",
  () => new LmdbRowStore(lmdb, mkdtempSync(join(directory, "store-")), (done) => closing.push(done)),
);
