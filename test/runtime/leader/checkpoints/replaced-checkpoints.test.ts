/** A restore from the latest checkpoint of a job that runs, and replaces it meanwhile. */
import { expect, test } from "vitest";
import type { JobRecord } from "../../../../machines/protocol.ts";
import { RequestRefusedError } from "../../../../src/errors.ts";
import { encodeManifest } from "../../../../src/formats/manifest.ts";
import { MemoryStorage } from "../../../../src/memory/storage.ts";
import { readRestorable } from "../../../../src/runtime/leader/submissions/fork.ts";
import { completedCheckpoint, jobRecord, manifestOf } from "../../../support/job-record.ts";

/** A job with one checkpoint, which it replaces so many times when that is about to be read. */
async function jobThatRuns(replaces: number) {
  const storage = new MemoryStorage();
  let latest = 1;
  const stored = new Map<number, JobRecord["checkpoints"][number]>();
  const complete = async (id: number) => {
    const manifest = await storage.put(`manifest-${id}`, [encodeManifest(manifestOf(id))]);
    stored.set(id, { ...completedCheckpoint(id), manifest });
    latest = id;
  };
  await complete(1);
  const get = storage.get.bind(storage);
  let replaced = 0;
  storage.get = async (handle) => {
    if (replaced < replaces) {
      replaced++;
      await complete(latest + 1);
      await storage.delete(handle.name);
    }
    return await get(handle);
  };
  const sources = {
    findStorage: async () => storage,
    openStorage: async () => storage,
    recordOf: async (job: string) => jobRecord({ job, checkpoints: [stored.get(latest)!] }),
    host: "here",
  };
  return { storage, read: (location: string) => readRestorable(location, sources) };
}

test.each([0, 1, 3])("takes the one that there is by then: replaced %d times", async (replaces) => {
  const { read } = await jobThatRuns(replaces);
  expect((await read("checkpoint:word-count")).manifest.checkpointId).toBe(1 + replaces);
});

test("is refused with what helps where the job is always faster", async () => {
  const { read } = await jobThatRuns(Number.POSITIVE_INFINITY);
  const reading = read("checkpoint:word-count");
  await expect(reading).rejects.toThrow(RequestRefusedError);
  await expect(reading).rejects.toThrow(
    "cannot restore from checkpoint:word-count: the job has replaced each of 5 checkpoints before it was read: restore from a savepoint of it, or have it retain more (checkpointing.retained)",
  );
});

test("a checkpoint that is damaged, or named by its number, is not tried again", async () => {
  const { storage, read } = await jobThatRuns(0);
  await storage.delete("manifest-1");
  await expect(read("checkpoint:word-count")).rejects.toThrow(/manifest-1/);
  const other = await jobThatRuns(1);
  await expect(other.read("checkpoint:word-count/1")).rejects.toThrow(/manifest-1/);
});
