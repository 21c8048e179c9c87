import { afterEach, beforeEach, expect, test } from "vitest";
import type { CheckpointStorage } from "../../src/checkpoint/storage.ts";
import { StorageRefusedError } from "../../src/errors.ts";
import { SnapshotUpload } from "../../src/runtime/worker/snapshot-upload.ts";
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
