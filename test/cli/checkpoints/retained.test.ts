/** What is read of checkpoints while a running job lets them go. */
import { beforeEach, describe, expect, it } from "vitest";
import type { CompletedCheckpoint, JobRecord } from "../../../machines/protocol.ts";
import { objectNames } from "../../../src/checkpoint/storage.ts";
import { garbageOf } from "../../../src/cli/stored/garbage.ts";
import { whileRetained } from "../../../src/cli/stored/retained.ts";
import { describeVerification, verify } from "../../../src/cli/stored/verification.ts";
import { EnvironmentError } from "../../../src/errors.ts";
import { MemoryStorage } from "../../../src/memory/storage.ts";
import { jobRecord } from "../../support/job-record.ts";
import { storeCheckpoint } from "../stored-jobs.ts";

let storage: MemoryStorage;
const record = (checkpoints: readonly CompletedCheckpoint[], generation = 3): JobRecord =>
  jobRecord({ generation, checkpoints });
const checkpoint = (checkpointId: number) =>
  storeCheckpoint(storage, { ...jobRecord(), generation: 3 }, checkpointId);

beforeEach(() => {
  storage = new MemoryStorage();
});

describe("a checkpoint that is let go while it is read", () => {
  it("is no damage: the record is read again, and what it retains now is verified", async () => {
    const [one, two] = [await checkpoint(1), await checkpoint(2)];
    let now = record([one]);
    const found = await whileRetained(
      async () => now,
      async (seen) => {
        if (seen.checkpoints[0] === one) {
          now = record([two]);
          for (const name of one.objects) await storage.delete(name);
        }
        return verify(seen, storage, false);
      },
    );
    expect(found).toMatchObject({ damage: [], checkpoints: [{ checkpointId: 2, whole: true }] });
  });

  it("is damage while the record goes on naming it", async () => {
    const one = await checkpoint(1);
    await storage.delete(one.manifest.name);
    const found = await whileRetained(
      async () => record([one]),
      (seen) => verify(seen, storage, true),
    );
    expect(found.damage).toMatchObject([
      { kind: "missing", name: one.manifest.name, purpose: "manifest", checkpoints: [1] },
    ]);
  });

  it("is told when checkpoints go faster than a command can read them", async () => {
    let last = 0;
    const looking = whileRetained(
      async () => record([{ ...(await checkpoint(99)), checkpointId: ++last }]),
      async ({ checkpoints }) => ({ damagedCheckpoints: [checkpoints[0]!.checkpointId] }),
    );
    await expect(looking).rejects.toThrow(EnvironmentError);
    await expect(looking).rejects.toThrow("checkpointing.retained");
  });
});

describe("while a manifest cannot be read", () => {
  it("nothing counts as collectable: it may name it", async () => {
    const [one, two] = [await checkpoint(1), await checkpoint(2)];
    const old = objectNames.state({ ...record([]), generation: 1, checkpointId: 1, subtask: "a/0", part: 0 });
    await storage.put(old, [new Uint8Array(1)]);
    await storage.delete(one.manifest.name);
    const found = await verify(record([one, two]), storage, false);
    expect(found.unreachable).toContainEqual({
      name: old,
      bytes: 1,
      generation: 1,
      unfinished: false,
      standing: "unknown",
    });
    expect(describeVerification(found)).toContain("a manifest that cannot be read may name it: kept");
    expect((await garbageOf(record([one, two]), storage)).damage?.object).toBe(one.manifest.name);
    expect((await verify(record([two]), storage, false)).unreachable).toContainEqual({
      ...{ name: old, bytes: 1, generation: 1, unfinished: false },
      standing: "collectable",
    });
  });
});

it("says where else to look when nothing of the job is there", async () => {
  const one = await checkpoint(1);
  const elsewhere = await verify(record([one]), new MemoryStorage(), true);
  expect(describeVerification(elsewhere)).toContain("--checkpoint-dir");
  expect(describeVerification(await verify(record([one]), storage, true))).not.toContain("--checkpoint-dir");
});
