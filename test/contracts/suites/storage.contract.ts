/** What every checkpoint storage does (`src/checkpoint/storage.ts`). */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CheckpointStorage, StoredObject } from "../../../src/checkpoint/storage.ts";
import { ObjectCorruptError, ObjectMissingError, StorageRefusedError } from "../../../src/errors.ts";
import { latch } from "../../support/latch.ts";
import { eventually } from "../../support/until.ts";

export interface StorageUnderTest {
  readonly storage: CheckpointStorage;
  /** Changes the stored bytes of an object, not its name or size. */
  corrupt(name: string): Promise<void>;
  close(): Promise<void>;
  /** A put leaves nothing before it ends. */
  readonly putsAtOnce?: true;
}

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Content that no compression and no luck makes equal. */
export function noise(size: number, seed: number): Uint8Array {
  const result = new Uint8Array(size);
  let x = seed * 2654435761 + 1;
  for (let i = 0; i < size; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    result[i] = x >>> 24;
  }
  return result;
}

export async function all(objects: AsyncIterable<StoredObject>): Promise<StoredObject[]> {
  const result: StoredObject[] = [];
  for await (const object of objects) result.push(object);
  return result.sort((a, b) => (a.name < b.name ? -1 : 1));
}

export function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.from(a.buffer, a.byteOffset, a.length).equals(b);
}

export function describeStorageContract(name: string, open: () => Promise<StorageUnderTest>): void {
  describe(`storage: ${name}`, () => {
    let opened: StorageUnderTest;
    let storage: CheckpointStorage;
    beforeAll(async () => {
      opened = await open();
      storage = opened.storage;
    });
    afterAll(() => opened.close());

    it("counts nothing as unfinished that was put whole", async () => {
      const handle = await storage.put("kept/whole", [bytes("whole")]);
      expect(await all(storage.listUnfinished(""))).toEqual([]);
      expect(same(await storage.get(handle), bytes("whole"))).toBe(true);
    });

    it("gives back what was put, with size and digest in the handle", async () => {
      const content = noise(1_000, 1);
      const handle = await storage.put("job/inc/1/checkpoint-1/manifest", [content]);
      expect(handle).toEqual({
        name: "job/inc/1/checkpoint-1/manifest",
        bytes: 1_000,
        digest: `sha256:${createHash("sha256").update(content).digest("hex")}`,
      });
      const back = await storage.get(handle);
      expect(same(back, content)).toBe(true);
      back.fill(0);
      expect(same(await storage.get(handle), content)).toBe(true);
    });

    it.each([0, 1, 512 * 1024 - 1, 512 * 1024, 512 * 1024 + 1, 3_000_000])("keeps %d bytes", async (size) => {
      const content = noise(size, size);
      const handle = await storage.put(`sizes/${size}`, [content]);
      expect(handle.bytes).toBe(size);
      expect(same(await storage.get(handle), content)).toBe(true);
    });

    it("takes content in pieces of any size, also from an asynchronous producer", async () => {
      const content = noise(1_500_000, 3);
      async function* pieces() {
        for (let at = 0, step = 1; at < content.length; at += step, step = (step * 7 + 1) % 90_000) {
          if (step % 5 === 0) await sleep(0);
          yield content.subarray(at, at + step);
        }
      }
      const handle = await storage.put("pieces", pieces());
      expect(same(await storage.get(handle), content)).toBe(true);
    });

    it("puts and gets many at once", async () => {
      const contents = Array.from({ length: 40 }, (_, i) => noise(i * 5_000, i));
      const handles = await Promise.all(contents.map((content, i) => storage.put(`many/${i}`, [content])));
      const back = await Promise.all(handles.map((handle) => storage.get(handle)));
      expect(back.every((content, i) => same(content, contents[i] as Uint8Array))).toBe(true);
    });

    it("allows the same name with the same content, and refuses other content", async () => {
      const first = await storage.put("twice", [bytes("same")]);
      expect(await storage.put("twice", [bytes("sa"), bytes("me")])).toEqual(first);
      await expect(storage.put("twice", [bytes("other")])).rejects.toThrow(StorageRefusedError);
      expect(same(await storage.get(first), bytes("same"))).toBe(true);
      expect(await all(storage.list("twice"))).toHaveLength(1);
    });

    it("names an object that is not there", async () => {
      const handle = await storage.put("missing", [bytes("x")]);
      await storage.delete("missing");
      const failure = await storage.get(handle).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(ObjectMissingError);
      expect(failure).toMatchObject({ object: "missing", message: expect.stringContaining("missing") });
    });

    it("finds what is there without reading it, and names what is missing or another one", async () => {
      for (const size of [0, 10, 1_200_000]) {
        const name = `present/${size}`;
        const handle = await storage.put(name, [noise(size, 4)]);
        await storage.assertPresent(handle);
        const shorter = await storage
          .assertPresent({ ...handle, bytes: size + 1 })
          .catch((error: unknown) => error);
        expect(shorter).toBeInstanceOf(ObjectCorruptError);
        expect(shorter).toMatchObject({ object: name });
        await storage.delete(name);
        const missing = await storage.assertPresent(handle).catch((error: unknown) => error);
        expect(missing).toBeInstanceOf(ObjectMissingError);
        expect(missing).toMatchObject({ object: name });
      }
    });

    it("takes a name again after its object was deleted", async () => {
      await storage.put("again", [bytes("old")]);
      await storage.delete("again");
      const handle = await storage.put("again", [bytes("new")]);
      expect(same(await storage.get(handle), bytes("new"))).toBe(true);
    });

    it("deletes what is not there without complaint", async () => {
      await storage.delete("never/was/there");
    });

    it("names an object whose bytes have changed", async () => {
      for (const size of [10, 1_200_000]) {
        const handle = await storage.put(`corrupt/${size}`, [noise(size, 9)]);
        await opened.corrupt(handle.name);
        const failure = await storage.get(handle).catch((error: unknown) => error);
        expect(failure).toBeInstanceOf(ObjectCorruptError);
        expect(failure).toMatchObject({ object: handle.name });
      }
    });

    it("tells the object of a handle from another one of that name", async () => {
      const handle = await storage.put("swap", [bytes("one")]);
      await storage.delete("swap");
      await storage.put("swap", [bytes("two")]);
      await expect(storage.get(handle)).rejects.toThrow(ObjectCorruptError);
    });

    it("lists by prefix, with sizes", async () => {
      for (const name of ["list/a/1", "list/a/2", "list/ab/1", "list/b"])
        await storage.put(name, [bytes(name)]);
      const names = async (prefix: string) => (await all(storage.list(prefix))).map((object) => object.name);
      expect(await names("list/")).toEqual(["list/a/1", "list/a/2", "list/ab/1", "list/b"]);
      expect(await names("list/a")).toEqual(["list/a/1", "list/a/2", "list/ab/1"]);
      expect(await names("list/a/")).toEqual(["list/a/1", "list/a/2"]);
      expect(await names("list/c/")).toEqual([]);
      expect(await names("")).toContain("list/b");
      expect(await all(storage.list("list/b"))).toEqual([{ name: "list/b", bytes: 6 }]);
      await storage.delete("list/a/1");
      expect(await names("list/a/")).toEqual(["list/a/2"]);
    });

    it("stops at an abort with its reason, and leaves nothing behind", async () => {
      const reason = new Error("checkpoint 7 was aborted");
      const already = AbortSignal.abort(reason);
      await expect(storage.put("aborted/0", [bytes("x")], already)).rejects.toBe(reason);

      const controller = new AbortController();
      let returned = false;
      async function* endless() {
        try {
          for (let i = 0; ; i++) {
            if (i === 20) controller.abort(reason);
            yield noise(100_000, i);
          }
        } finally {
          returned = true;
        }
      }
      await expect(storage.put("aborted/1", endless(), controller.signal)).rejects.toBe(reason);
      await expect.poll(() => returned).toBe(true);

      const silent = new AbortController();
      const never: AsyncIterable<Uint8Array> = {
        [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }),
      };
      const waiting = storage.put("aborted/2", never, silent.signal);
      setTimeout(() => silent.abort(reason), 20);
      await expect(waiting).rejects.toBe(reason);
      expect(await all(storage.list("aborted/"))).toEqual([]);
      expect(await all(storage.listUnfinished(""))).toEqual([]);
    });

    it("passes on the error of a producer, and leaves nothing behind", async () => {
      async function* failing() {
        yield noise(700_000, 1);
        throw new RangeError("state broke");
      }
      await expect(storage.put("failing", failing())).rejects.toThrow(RangeError);
      expect(await all(storage.list("failing"))).toEqual([]);
      expect(await all(storage.listUnfinished(""))).toEqual([]);
    });

    it("finds what a put under way has left by its name, and a delete frees it", async (context) => {
      if (opened.putsAtOnce) context.skip("a put is one step");
      const halfway = latch();
      const goOn = latch();
      async function* slow() {
        yield noise(700_000, 1);
        yield noise(700_000, 2);
        halfway.open();
        await goOn.opened;
      }
      const whole = await storage.put("halves/1/whole", [noise(700_000, 4)]);
      const putting = storage.put("halves/1/half", slow());
      putting.catch(() => {});
      await halfway.opened;
      await eventually(async () => {
        const left = await all(storage.listUnfinished("halves/1/"));
        expect(left).toEqual([{ name: "halves/1/half", bytes: expect.any(Number) }]);
        expect(left[0]!.bytes).toBeGreaterThan(500_000);
      });
      expect(await all(storage.listUnfinished("halves/2/"))).toEqual([]);
      expect((await all(storage.list("halves/"))).map(({ name }) => name)).toEqual(["halves/1/whole"]);
      await storage.delete("halves/1/half");
      expect(await all(storage.listUnfinished(""))).toEqual([]);
      expect((await storage.get(whole)).length).toBe(700_000);
      goOn.open();
      await putting.catch(() => {});
      await storage.delete("halves/1/half");
      expect(
        (await all(storage.list("halves/1/half"))).concat(await all(storage.listUnfinished(""))),
      ).toEqual([]);
    });
  });
}
