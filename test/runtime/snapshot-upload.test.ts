import { afterEach, beforeEach, expect, test } from "vitest";
import type { CheckpointStorage } from "../../src/checkpoint/storage.ts";
import { StorageRefusedError } from "../../src/errors.ts";
import { MemoryStorage } from "../../src/memory/storage.ts";
import { type KeyedStateDetail, SnapshotUpload } from "../../src/runtime/worker/snapshot-upload.ts";
import type { EncodedChunk } from "../../src/state/snapshot.ts";

const unhandled: unknown[] = [];
const note = (reason: unknown) => void unhandled.push(reason);

beforeEach(() => {
  unhandled.length = 0;
  process.on("unhandledRejection", note);
});

afterEach(() => {
  process.off("unhandledRejection", note);
});

function cutOf(chunks: number) {
  let left = chunks;
  const chunk: EncodedChunk = { keyGroups: { first: 0, last: 0 }, entries: 1, bytes: new Uint8Array(100) };
  const cursor = { next: () => (left-- > 0 ? chunk : undefined), cancel() {} };
  return { operator: "count", state: "count", cursor };
}

test("an upload that is refused while slices are still encoded fails the snapshot, not the process", async () => {
  const storage = {
    put: async () => {
      throw new StorageRefusedError("the bucket is full");
    },
  } as unknown as CheckpointStorage;
  const upload = new SnapshotUpload({
    cuts: [cutOf(3), cutOf(3)],
    subtaskIndex: 0,
    storage,
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
      cuts: [cutOf(3)],
      subtaskIndex: 0,
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
      inline: (state.inline as KeyedStateDetail).bytes?.byteLength ?? 0,
      objects: state.objects.map(({ name }) => name),
    };
  };
  const { inline: bytes, objects } = await uploaded(1000);
  expect(bytes).toBeGreaterThanOrEqual(300);
  expect(objects).toEqual([]);
  expect(await uploaded(bytes)).toEqual({ inline: bytes, objects: [] });
  expect(await uploaded(bytes - 1)).toEqual({ inline: 0, objects: ["part-0"] });
});
