import { afterEach, beforeEach, expect, test } from "vitest";
import type { CheckpointStorage } from "../../../../src/checkpoint/storage.ts";
import { systemClock } from "../../../../src/clock.ts";
import { StorageRefusedError } from "../../../../src/errors.ts";
import { MemoryStorage } from "../../../../src/memory/storage.ts";
import { SnapshotUpload } from "../../../../src/runtime/worker/snapshots/upload.ts";
import type { EncodedChunk } from "../../../../src/state/contract.ts";

const unhandled: unknown[] = [];
const note = (reason: unknown) => void unhandled.push(reason);

beforeEach(() => {
  unhandled.length = 0;
  process.on("unhandledRejection", note);
});

afterEach(() => {
  process.off("unhandledRejection", note);
});

const keyGroups = { first: 0, last: 0 };

function cutOf(chunks: number, bytes = 100) {
  let left = chunks;
  const chunk: EncodedChunk = { keyGroups, entries: 1, bytes: new Uint8Array(bytes) };
  const next = () => (left-- > 0 ? chunk : undefined);
  const cursor = { base: undefined, seek: () => false, next, cancel() {} };
  return { operator: "count", state: "count", cut: 1, base: undefined, cursor };
}

const full = {
  put: async () => {
    throw new StorageRefusedError("the bucket is full");
  },
} as unknown as CheckpointStorage;

test("an upload that is refused while slices are still encoded fails the snapshot, not the process", async () => {
  const upload = new SnapshotUpload({
    clock: systemClock,
    cuts: [cutOf(3), cutOf(3)],
    storage: full,
    inlineBytesMax: 10,
    objectName: (part) => `part-${part}`,
    onRoom() {},
  });
  while (!upload.encoded) {
    upload.step(0);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await new Promise((resolve) => setTimeout(resolve, 5));
  expect(unhandled).toEqual([]);
  await expect(upload.stored()).rejects.toThrow("the bucket is full");
});

test("state up to the inline threshold stays in the handle, one byte more makes an object", async () => {
  const uploaded = async (inlineBytesMax: number) => {
    const storage = new MemoryStorage();
    const upload = new SnapshotUpload({
      clock: systemClock,
      cuts: [cutOf(3)],
      storage,
      inlineBytesMax,
      objectName: (part) => `part-${part}`,
      onRoom() {},
    });
    while (!upload.encoded) {
      upload.step(Number.POSITIVE_INFINITY);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    const state = (await upload.stored())[0]!;
    return {
      inline: state.pieces.reduce(
        (sum, { content }) => sum + (content instanceof Uint8Array ? content.length : 0),
        0,
      ),
      objects: state.pieces.flatMap(({ content }) => ("name" in content ? [content.name] : [])),
    };
  };
  const { inline: bytes, objects } = await uploaded(1000);
  expect(bytes).toBeGreaterThanOrEqual(300);
  expect(objects).toEqual([]);
  expect(await uploaded(bytes)).toEqual({ inline: bytes, objects: [] });
  expect(await uploaded(bytes - 1)).toEqual({ inline: 0, objects: ["part-0"] });
});

test("ten states wait for a storage that stands still with no more bytes than one does, and go on when it reads (UP2)", async () => {
  const MIB = 1024 * 1024;
  let taken = 0;
  let encoded = 0;
  let read: () => void = () => {};
  const reading = new Promise<void>((resolve) => {
    read = resolve;
  });
  const storage = {
    async put(name: string, content: AsyncIterable<Uint8Array>) {
      await reading;
      for await (const piece of content) taken += piece.length;
      return { name, bytes: 0, digest: "" };
    },
  } as unknown as CheckpointStorage;
  const counted = () => {
    const cut = cutOf(8, MIB / 2);
    const next = () => {
      const chunk = cut.cursor.next();
      encoded += chunk?.bytes.length ?? 0;
      return chunk;
    };
    return { ...cut, cursor: { ...cut.cursor, next } };
  };
  const upload = new SnapshotUpload({
    clock: systemClock,
    cuts: Array.from({ length: 10 }, counted),
    storage,
    inlineBytesMax: 10,
    objectName: (part) => `part-${part}`,
    onRoom() {},
  });
  let steps = 0;
  while (upload.step(Number.POSITIVE_INFINITY) && steps++ < 1000);
  expect(upload.encoded).toBe(false);
  expect(encoded).toBeLessThanOrEqual(4.5 * MIB);
  read();
  while (!upload.encoded) {
    upload.step(Number.POSITIVE_INFINITY);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  expect(await upload.stored()).toHaveLength(10);
  expect(taken).toBe(40 * MIB);
});

test("encoding does not wait for an upload that has failed", async () => {
  const upload = new SnapshotUpload({
    clock: systemClock,
    cuts: [cutOf(20, 1024 * 1024)],
    storage: full,
    inlineBytesMax: 10,
    objectName: (part) => `part-${part}`,
    onRoom() {},
  });
  for (let steps = 0; !upload.encoded && steps < 1000; steps++) {
    upload.step(0);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  expect(upload.encoded).toBe(true);
  await expect(upload.stored()).rejects.toThrow("the bucket is full");
});
