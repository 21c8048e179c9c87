/** A storage that breaks a rule fails the case of that rule, and the cases say so to any test runner. */
import { expect, it, test } from "vitest";
import type { CheckpointStorage } from "../../src/checkpoint/storage.ts";
import { StorageStalledError } from "../../src/errors.ts";
import { MemoryStorage } from "../../src/memory/storage.ts";
import { listed } from "../../src/testing/storage-content.ts";
import { type StorageSuiteOptions, storageCases } from "../../src/testing/storage-suite.ts";

type Broken = (sound: CheckpointStorage) => Partial<CheckpointStorage>;

function suiteOf(broken: Broken): StorageSuiteOptions {
  return {
    unfinishedFromBytes: "none",
    async open() {
      const sound = new MemoryStorage();
      const storage: CheckpointStorage = Object.assign(Object.create(sound), {
        put: sound.put.bind(sound),
        get: sound.get.bind(sound),
        assertPresent: sound.assertPresent.bind(sound),
        delete: sound.delete.bind(sound),
        list: sound.list.bind(sound),
        listUnfinished: sound.listUnfinished.bind(sound),
        ...broken(sound),
      });
      return {
        storage,
        async corrupt(name) {
          const [object] = await listed(sound.list(name));
          await sound.delete(name);
          await sound.put(name, [new Uint8Array(object?.bytes ?? 0)]);
        },
      };
    },
  };
}

async function failing(broken: Broken): Promise<string[]> {
  const failed: string[] = [];
  for (const { name, run } of storageCases(suiteOf(broken)))
    await run().catch(() => {
      failed.push(name);
    });
  return failed;
}

const rows: readonly (readonly [string, Broken])[] = [
  ["says which storage it is", () => ({ description: "" })],
  [
    "gives back what was put, with size and digest in the handle",
    (sound) => ({ get: async (handle) => (await sound.get(handle)).subarray(1) }),
  ],
  [
    "keeps objects of any size, also an empty one",
    (sound) => ({
      async put(name, content, signal) {
        const handle = await sound.put(name, content, signal);
        if (handle.bytes === 0) await sound.delete(name);
        return handle;
      },
    }),
  ],
  [
    "takes content in pieces of any size, also from an asynchronous producer",
    (sound) => ({
      put: (name, content, signal) =>
        Symbol.asyncIterator in content
          ? sound.put(name, [new Uint8Array(1)], signal)
          : sound.put(name, content, signal),
    }),
  ],
  [
    "allows the same name with the same content, and refuses other content",
    (sound) => ({
      async put(name, content, signal) {
        await sound.delete(name);
        return await sound.put(name, content, signal);
      },
    }),
  ],
  [
    "stops at an abort with its reason, and leaves nothing behind",
    (sound) => ({
      put: (name, content, signal) =>
        sound.put(name, content, signal).catch(() => Promise.reject(new Error("aborted"))),
    }),
  ],
  [
    "passes on the error of a producer, and leaves nothing behind",
    (sound) => ({
      put: (name, content, signal) =>
        sound.put(name, content, signal).catch((cause: unknown) => {
          if (signal?.aborted) throw cause;
          throw new StorageStalledError("writing", { cause });
        }),
    }),
  ],
  [
    "names an object that is not there",
    (sound) => ({
      get: (handle) => sound.get(handle).catch(() => Promise.reject(new Error("not found"))),
    }),
  ],
  [
    "finds what is there without reading it, and names what is missing or another one",
    () => ({ assertPresent: async () => {} }),
  ],
  [
    "names an object whose bytes have changed",
    (sound) => ({
      async get(handle) {
        const [object] = await listed(sound.list(handle.name));
        if (object === undefined) return await sound.get(handle);
        return new Uint8Array(object.bytes);
      },
    }),
  ],
  ["takes a name again after its object was deleted", () => ({ delete: async () => {} })],
  [
    "deletes what is not there without complaint",
    (sound) => ({
      async delete(name) {
        if ((await listed(sound.list(name))).length === 0) throw new Error(`no ${name}`);
        await sound.delete(name);
      },
    }),
  ],
  ["lists by prefix, with sizes", (sound) => ({ list: () => sound.list("") })],
];

it.each(rows)("%s", async (name, broken) => {
  expect(await failing(broken)).toContain(name);
});

test("a sound storage passes each case, and the case of unfinished puts is there unless a put is one step", async () => {
  expect(await failing(() => ({}))).toEqual([]);
  const { open } = suiteOf(() => ({}));
  const all = storageCases({ open }).map(({ name }) => name);
  const without = storageCases({ open, unfinishedFromBytes: "none" }).map(({ name }) => name);
  expect(all.filter((name) => !without.includes(name))).toEqual([
    "finds what a put under way has left by its name, and a delete frees it",
  ]);
});
