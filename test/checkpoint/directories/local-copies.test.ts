/** LB1 to LB3: copies of state on a worker's machine. */
import { existsSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { LocalCopies } from "../../../src/checkpoint/local-copies.ts";
import { EnvironmentError } from "../../../src/errors.ts";
import { MemoryStorage } from "../../../src/memory/storage.ts";
import { ManualClock } from "../../support/manual-clock.ts";

const NAME = "count/i1/1/checkpoint-4/count-0.0";
const bytes = (fill: number, length = 1000) => new Uint8Array(length).fill(fill);

let root: string;
let warnings: string[];
const clock = new ManualClock();
const open = () =>
  LocalCopies.open({ root, job: "count", clock, warn: (_, message) => void warnings.push(message) });
const owner = (number: number) => join(root, `count-${number}`, "owner.json");

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "tidemark-copies-"));
  warnings = [];
});
afterEach(() => rmSync(root, { recursive: true }));

async function putWithCopy(copies: LocalCopies, storage: MemoryStorage, content = [bytes(1), bytes(2)]) {
  const handle = await storage.put(NAME, copies.copying(NAME, content));
  await expect.poll(() => copies.names.has(NAME)).toBe(true);
  return handle;
}

test("what was copied is read without the storage, also by the next process; another object of the name is not", async () => {
  const storage = new MemoryStorage();
  const handle = await putWithCopy(await open(), storage);
  // The process is gone: this one has its id.
  const copies = await open();
  const read = { local: 0, stored: 0 };
  const never = () => Promise.reject(new Error("the storage was read"));
  expect(await copies.read(handle, read, never)).toEqual(Buffer.concat([bytes(1), bytes(2)]));
  expect(read).toEqual({ local: 2000, stored: 0 });
  const other = { ...handle, digest: `sha256:${"0".repeat(64)}` };
  await expect(copies.read(other, read, never)).rejects.toThrow("the storage was read");
  expect(warnings).toEqual(["a local copy of state cannot be used; it is read from the storage"]);
  expect(copies.names).toEqual(new Set());
});

test("an object that was read from the storage has a copy from then on", async () => {
  const storage = new MemoryStorage();
  const handle = await storage.put(NAME, [bytes(3)]);
  const copies = await open();
  const read = { local: 0, stored: 0 };
  await copies.read(handle, read, (one) => storage.get(one));
  await expect.poll(() => copies.names.has(NAME)).toBe(true);
  await copies.read(handle, read, () => Promise.reject(new Error("the storage was read")));
  expect(read).toEqual({ local: 1000, stored: 1000 });
});

test("an object that does not come to its end has no copy, and says nothing", async () => {
  const copies = await open();
  async function* broken() {
    yield bytes(1);
    throw new Error("canceled");
  }
  await expect(new MemoryStorage().put(NAME, copies.copying(NAME, broken()))).rejects.toThrow("canceled");
  expect(copies.names).toEqual(new Set());
  expect(warnings).toEqual([]);
});

test("a copy that cannot be written is given up with a warning, and the object is stored (LB2)", async () => {
  const copies = await open();
  rmSync(join(root, "count-0", "objects"), { recursive: true });
  writeFileSync(join(root, "count-0", "objects"), "a file");
  const storage = new MemoryStorage();
  const handle = await storage.put(NAME, copies.copying(NAME, [bytes(1)]));
  await expect
    .poll(() => warnings)
    .toEqual(["state has no local copy: a restore would read it from the storage"]);
  expect(await storage.get(handle)).toEqual(bytes(1));
});

test("each process has a directory of its own, and takes one whose process is gone (LB3)", async () => {
  const first = await open();
  expect(first.directory).toBe(join(root, "count-0"));
  const writeOwner = (pid: number, host = hostname()) =>
    writeFileSync(owner(0), JSON.stringify({ pid, host }));
  writeOwner(process.ppid);
  expect((await open()).directory).toBe(join(root, "count-1"));
  // No process has this id.
  writeOwner(2 ** 22 + 1);
  expect((await open()).directory).toBe(join(root, "count-0"));
  writeOwner(1, "another-machine");
  rmSync(owner(1));
  expect((await open()).directory).toBe(join(root, "count-1"));
  const longAgo = new Date(clock.nowMs() - 130_000);
  utimesSync(owner(0), longAgo, longAgo);
  expect((await open()).directory).toBe(join(root, "count-0"));
});

test("a closed one is free", async () => {
  const copies = await open();
  copies.close();
  expect(existsSync(owner(0))).toBe(false);
});

test("a root that is no directory is refused with what to do", async () => {
  rmSync(root, { recursive: true });
  writeFileSync(root, "a file");
  await expect(open()).rejects.toThrow(EnvironmentError);
  await expect(open()).rejects.toThrow(/directory of local copies .* cannot be used: .*localDirectory/);
});
