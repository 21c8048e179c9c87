import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { EnvironmentError } from "../../src/errors.ts";
import { openDiskBackends } from "../../src/lmdb/disk-backends.ts";
import { loadLmdb } from "../../src/lmdb/lmdb.ts";
import { LmdbRowStore } from "../../src/lmdb/row-store.ts";
import { WorkingDirectory } from "../../src/lmdb/working-directory.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "tidemark-working-"));
});
afterEach(() => rmSync(root, { recursive: true }));

const claim = (name: string, job = "orders") =>
  WorkingDirectory.claim({ root, job, name, clock: systemClock });

/** No process has this number: the largest that Linux gives is smaller. */
const NO_PROCESS = 2 ** 22 + 1;

/** What a worker has left, which said so long ago that it lives. */
function left(name: string, { pid = NO_PROCESS, host = hostname(), agoMs = 200_000 } = {}): void {
  mkdirSync(join(root, name));
  const owner = join(root, name, "owner.json");
  writeFileSync(owner, JSON.stringify({ job: "orders", pid, host }));
  const said = new Date(Date.now() - agoMs);
  utimesSync(owner, said, said);
}

test("workers share a root, and a directory that another one has is refused by name (WD1)", async () => {
  const first = await claim("one");
  const second = await claim("two", "payments");
  await expect(claim("one", "payments")).rejects.toThrow(
    new RegExp(`state directory .*one on host .* belongs to the process ${process.pid} on .* job "orders"`),
  );
  await expect(claim("one")).rejects.toBeInstanceOf(EnvironmentError);
  first.make("g1-1");
  expect(() => first.make("g1-1")).toThrow(/state directory .*g1-1 on host .* cannot be made/);
  await first.close();
  expect(readdirSync(root)).toEqual(["two"]);
  await second.close();
});

test("what a killed process has left goes when it is surely gone, and nothing else does (WD2)", async () => {
  left("gone");
  left("said lately", { agoMs: 1000 });
  left("of another host", { host: "elsewhere" });
  left("alive", { pid: process.pid });
  mkdirSync(join(root, "no worker's"));
  const mine = await claim("mine");
  expect(readdirSync(root).sort()).toEqual(
    ["alive", "mine", "no worker's", "of another host", "said lately"].sort(),
  );
  await mine.close();
});

test("stores have a directory each, which goes with them, and the rest with the worker", async () => {
  const options = { root, job: "orders", name: "one", cacheBytes: 100_000, clock: systemClock };
  const backends = await openDiskBackends(options);
  const open = backends.of(3);
  const keyed = { operator: "a/b ..", keyGroups: { first: 0, last: 3 }, maxParallelism: 4 };
  const [a, b] = [open(keyed), open(keyed)];
  expect(readdirSync(join(root, "one")).sort()).toEqual(["g3-1", "g3-2", "owner.json"]);
  a.close();
  await expect.poll(() => existsSync(join(root, "one", "g3-1"))).toBe(false);
  b.close();
  await backends.close();
  expect(readdirSync(root)).toEqual([]);
});

test("a store whose files cannot be written says which and what to do", async () => {
  const lmdb = await loadLmdb();
  writeFileSync(join(root, "file"), "");
  const open = () => new LmdbRowStore(lmdb, join(root, "file", "below"), () => {});
  expect(open).toThrow(/state directory .*below cannot be opened: .*; make room there, or give another one/);
});

test.each([
  ["zeros", 0],
  ["something else", 0xa5],
])("a store whose file becomes %s while it is open says which directory it is", async (_, byte) => {
  const backends = await openDiskBackends({
    root,
    job: "orders",
    name: "one",
    cacheBytes: 20_000,
    clock: systemClock,
  });
  const backend = backends.of(1)({ operator: "a", keyGroups: { first: 0, last: 3 }, maxParallelism: 4 });
  const table = backend.openTable("rows");
  for (let key = 0; key < 10_000; key++) {
    backend.setCurrentKey(key);
    table.write({ key });
  }
  const file = join(root, "one", "g1-1", "data.mdb");
  // The first two pages say where the others lie.
  const damaged = Buffer.alloc(statSync(file).size - 8192, byte);
  const opened = openSync(file, "r+");
  writeSync(opened, damaged, 0, damaged.length, 8192);
  closeSync(opened);
  const read = (): void => {
    for (let key = 0; key < 10_000; key++) {
      backend.setCurrentKey(key);
      expect(table.read()).toEqual({ key });
    }
  };
  expect(read).toThrow(EnvironmentError);
  expect(read).toThrow(
    /state directory .*g1-1 cannot be read: .*its files are damaged.*\(state\.directory\)/,
  );
  const [cut] = backend.snapshot();
  expect(() => {
    while (cut!.cursor.next() !== undefined);
  }).toThrow(/state directory .*g1-1 cannot be read/);
  backend.close();
  await backends.close();
  expect(readdirSync(root)).toEqual([]);
});

test("a store whose disk is full says which directory it is, by the error of the disk", () => {
  const full = (): never => {
    throw new Error("Input/output error");
  };
  const database = {
    getBinaryFast: () => undefined,
    getRange: () => [],
    putSync: () => {},
    removeSync: () => {},
    transactionSync: (act: () => void) => {
      act();
      full();
    },
    close: async () => {},
  };
  const store = new LmdbRowStore({ open: () => database }, join(root, "store"), () => {});
  const write = () => store.transaction(() => store.put(Uint8Array.of(1), Uint8Array.of(2)));
  expect(write).toThrow(EnvironmentError);
  expect(write).toThrow(
    /state directory .*store does not take what is written: Input\/output error; make room there/,
  );
});
