/** A user's own storage, as the engine takes it (US1, US2): it may throw and answer whatever it likes. */
import { describe, expect, it, test } from "vitest";
import { GuardedStorage } from "../../src/checkpoint/guarded-storage.ts";
import type { CheckpointStorage } from "../../src/checkpoint/storage.ts";
import {
  ObjectCorruptError,
  ObjectMissingError,
  StorageRefusedError,
  StorageStalledError,
} from "../../src/errors.ts";
import { MemoryStorage } from "../../src/memory/storage.ts";
import { bytes, listed, rejection } from "../../src/testing/storage-content.ts";
import { describeStorageContract } from "../contracts/suites/storage.contract.ts";

describeStorageContract("a user's own, guarded", {
  async open() {
    const storage = new MemoryStorage();
    return {
      storage: new GuardedStorage(storage),
      async corrupt(name) {
        const [object] = await listed(storage.list(name));
        await storage.delete(name);
        await storage.put(name, [new Uint8Array(object?.bytes ?? 0)]);
      },
    };
  },
  unfinishedFromBytes: "none",
});

const guarded = (broken: Partial<Record<keyof CheckpointStorage, unknown>>) =>
  new GuardedStorage({ description: "own storage", ...broken } as CheckpointStorage);
const handle = { name: "a/b", bytes: 3, digest: "sha256:0" };

describe("what it throws", () => {
  const refused = async () => {
    throw Object.assign(new Error("429 slow down"), { code: "SlowDown" });
  };
  const list = async function* () {
    yield { name: "a/b", bytes: 1 };
    throw new Error("page 2 is gone");
  };
  const storage = guarded({ put: refused, get: refused, assertPresent: refused, delete: refused, list });

  it.each<[string, () => Promise<unknown>, unknown, string]>([
    [
      "writing",
      () => storage.put("a/b", [bytes("abc")]),
      StorageRefusedError,
      'writing "a/b" to own storage: 429',
    ],
    [
      "reading",
      () => storage.get(handle),
      StorageStalledError,
      'reading "a/b" from own storage: 429 slow down',
    ],
    [
      "looking",
      () => storage.assertPresent(handle),
      StorageStalledError,
      'looking for "a/b" in own storage: 429',
    ],
    ["deleting", () => storage.delete("a/b"), StorageRefusedError, 'deleting "a/b" from own storage: 429'],
    ["listing", () => listed(storage.list("a/")), StorageStalledError, "listing own storage: page 2 is gone"],
  ])("%s: it is tried again, and the reason is told", async (_, act, kind, says) => {
    const error = await rejection(act());
    expect(error).toBeInstanceOf(kind);
    expect(error).toMatchObject({ retry: "now", message: expect.stringContaining(says) });
    expect((error as StorageRefusedError).reason).not.toContain("a/b");
  });

  test("an error of another copy of this package is what its name says", async () => {
    class Copy extends Error {
      override name = "ObjectMissingError";
    }
    const missing = guarded({
      async get() {
        throw new Copy("a/b is not there");
      },
    });
    const error = await rejection(missing.get(handle));
    expect(error).toBeInstanceOf(ObjectMissingError);
    expect(error).toMatchObject({ object: "a/b", message: "a/b is not there" });
  });
});

describe("what it answers", () => {
  it.each<[string, unknown, string]>([
    ["other bytes", bytes("abd"), "3 bytes, sha256:"],
    ["fewer bytes", bytes("ab"), "2 bytes, sha256:"],
    ["no bytes", "abc", "is corrupt: string"],
  ])("%s of a get are a corrupt object, by its name", async (_, content, says) => {
    const { put } = new MemoryStorage();
    const written = await put.call(new MemoryStorage(), "a/b", [bytes("abc")]);
    const error = await rejection(guarded({ get: async () => content }).get(written));
    expect(error).toBeInstanceOf(ObjectCorruptError);
    expect(error).toMatchObject({ object: "a/b", message: expect.stringContaining(says) });
  });

  it.each<[string, unknown]>([
    ["nothing", undefined],
    ["another name", { name: "a/c", bytes: 3, digest: "sha256:0" }],
    ["another size", { name: "a/b", bytes: 2, digest: "sha256:0" }],
    ["no digest", { name: "a/b", bytes: 3 }],
  ])("%s is no handle of a put", async (_, answer) => {
    const storage = guarded({
      async put(_name: string, content: AsyncIterable<Uint8Array>) {
        for await (const _piece of content);
        return answer;
      },
    });
    const error = await rejection(storage.put("a/b", [bytes("abc")]));
    expect(error).toBeInstanceOf(StorageRefusedError);
    expect((error as Error).message).toContain("which is no handle of the 3 bytes given");
  });

  test("a listing without names or sizes is a fault of the storage", async () => {
    const list = async function* () {
      yield { name: "a" };
    };
    await expect(listed(guarded({ list }).list(""))).rejects.toThrow("which has no name or no size");
  });
});
