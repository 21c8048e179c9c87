/** A checkpoint that is decided while its job recovers: the one that recovery had begun with is deleted by then. */
import { afterEach, expect, test } from "vitest";
import { latch } from "../../../support/latch.ts";
import { MemoryWorld, snapshotRequest } from "../../../support/memory-world.ts";
import { until } from "../../../support/until.ts";

let world: MemoryWorld;

afterEach(() => world.close());

test("a job recovers from the newer one", async () => {
  world = new MemoryWorld({ bounded: false, interval: "1 h" });
  await world.begins(1000);
  await world.runs();
  const client = world.client();
  const first = await client.snapshot(snapshotRequest({ request: "first", kind: "checkpoint" }));
  const manifest = `checkpoint-${first.checkpointId}/manifest`;

  const isThere = async () => {
    for await (const { name } of world.storage.list("")) if (name.endsWith(manifest)) return true;
    return false;
  };
  const [persisting, persisted, reading, deleted] = [latch(), latch(), latch(), latch()];
  world.beforePut = async (name) => {
    if (!name.endsWith("manifest")) return;
    persisting.open();
    await persisted.opened;
  };
  world.beforeGet = async (name) => {
    if (!name.endsWith(manifest)) return;
    reading.open();
    await deleted.opened;
  };
  const second = client.snapshot(snapshotRequest({ request: "second", kind: "checkpoint" }));
  await persisting.opened;
  world.cutOff(world.lastWorker);
  await reading.opened;
  persisted.open();
  await until("the first one is deleted", async () => !(await isThere()) || undefined, { everyMs: 5 });
  deleted.open();
  await world.startWorker();
  await world.runs();

  expect((await second).checkpointId).toBeGreaterThan(first.checkpointId);
  await world.allCommitted();
});
