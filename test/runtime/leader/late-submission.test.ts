/** A submission that a coordinator stores when it leads no more. */
import { expect, test } from "vitest";
import { encodeRecord, jobKey } from "../../../src/formats/job-record.ts";
import { MemoryWorld } from "../../support/memory-world.ts";
import { until } from "../../support/until.ts";

test("a job whose record comes behind its leader's look at the records is led when its workers come", async () => {
  // Where it was submitted.
  const before = new MemoryWorld();
  before.fill(1000);
  before.startCoordinator();
  await before.submit();
  const record = await before.record();
  await before.close();

  const world = new MemoryWorld();
  world.fill(1000);
  world.startCoordinator();
  expect(await world.client().status("words")).toBeUndefined();
  await world.store.compareAndSet(jobKey("words"), encodeRecord(record), 0);
  await Promise.all([world.startWorker(), world.startWorker()]);
  // No client asks: a look at its status would make the leader look for it.
  await until("the job is finished", async () => (await world.record()).status === "finished", {
    everyMs: 5,
  });
  world.expectExact();
  await world.close();
});
