/** What every record store does (`src/runtime/record-store.ts`). */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { InvariantError } from "../../../src/errors.ts";
import type { RecordStore } from "../../../src/runtime/record-store.ts";

export interface RecordStoreUnderTest {
  readonly store: RecordStore;
  close(): Promise<void>;
}

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const text = (body: Uint8Array): string => new TextDecoder().decode(body);

/** Makes the write and says its revision; it must be accepted. */
export async function stored(
  store: RecordStore,
  key: string,
  value: string,
  expected: number,
): Promise<number> {
  const result = await store.compareAndSet(key, bytes(value), expected);
  if (result.outcome !== "stored") throw new Error(`write of ${key} at ${expected} was refused`);
  return result.revision;
}

export function describeRecordStoreContract(name: string, open: () => Promise<RecordStoreUnderTest>): void {
  describe(`record store: ${name}`, () => {
    let opened: RecordStoreUnderTest;
    let store: RecordStore;
    beforeAll(async () => {
      opened = await open();
      store = opened.store;
    });
    afterAll(() => opened.close());

    it("has nothing under a new key", async () => {
      expect(await store.read("absent")).toBeUndefined();
    });

    it("creates at revision 0 and changes only at the present revision", async () => {
      const first = await stored(store, "job.a", "1", 0);
      expect(first).toBeGreaterThan(0);
      expect(await store.compareAndSet("job.a", bytes("x"), 0)).toEqual({ outcome: "refused" });
      const second = await stored(store, "job.a", "2", first);
      expect(second).toBeGreaterThan(first);
      expect(await store.compareAndSet("job.a", bytes("x"), first)).toEqual({ outcome: "refused" });
      expect(await store.compareAndSet("job.a", bytes("x"), second + 1)).toEqual({ outcome: "refused" });
      const record = await store.read("job.a");
      expect(record?.revision).toBe(second);
      expect(text(record?.value ?? bytes(""))).toBe("2");
    });

    it("refuses a change of a record that does not exist", async () => {
      expect(await store.compareAndSet("job.none", bytes("x"), 7)).toEqual({ outcome: "refused" });
      expect(await store.read("job.none")).toBeUndefined();
    });

    it("lets exactly one of many writers win", async () => {
      const revision = await stored(store, "race", "start", 0);
      const results = await Promise.all(
        Array.from({ length: 20 }, (_, i) => store.compareAndSet("race", bytes(String(i)), revision)),
      );
      const winners = results.flatMap((result, i) => (result.outcome === "stored" ? [i] : []));
      expect(winners).toHaveLength(1);
      expect(text((await store.read("race"))?.value ?? bytes(""))).toBe(String(winners[0]));
    });

    it("keeps revisions of one key apart from writes to others", async () => {
      const revision = await stored(store, "apart.a", "1", 0);
      await stored(store, "apart.b", "1", 0);
      expect((await store.read("apart.a"))?.revision).toBe(revision);
      await stored(store, "apart.a", "2", revision);
    });

    it("keeps bytes as they are, and shares none with the caller", async () => {
      const value = Uint8Array.from({ length: 256 }, (_, i) => i);
      const given = value.slice();
      await store.compareAndSet("bytes", given, 0);
      given.fill(0);
      const read = await store.read("bytes");
      expect(Buffer.from(read?.value ?? []).equals(value)).toBe(true);
      await store.compareAndSet("empty", new Uint8Array(0), 0);
      expect((await store.read("empty"))?.value.length).toBe(0);
    });

    it("lists keys by prefix", async () => {
      expect(await store.keys("list.")).toEqual([]);
      for (const key of ["list.word-count", "list.words.x", "list.a", "listing"]) {
        await stored(store, key, "", 0);
      }
      expect(await store.keys("list.")).toEqual(["list.a", "list.word-count", "list.words.x"]);
      expect(await store.keys("list.word")).toEqual(["list.word-count", "list.words.x"]);
      expect(await store.keys("list")).toContain("listing");
      expect(await store.keys("")).toContain("list.a");
    });

    it.each(["", "a b", "a.", ".a", "a..b", "a.*", "a.>"])("refuses the key %j as a bug", async (key) => {
      await expect(store.read(key)).rejects.toThrow(InvariantError);
      await expect(store.compareAndSet(key, bytes(""), 0)).rejects.toThrow(InvariantError);
    });
  });
}
