/** What a coordinator tells clients, and what it stores, that does not know yet that another one leads (P76). */
import { expect, test } from "vitest";
import { encodeRecord, jobKey } from "../../../../src/formats/job-record.ts";
import { leaseKey } from "../../../../src/runtime/leader/lease.ts";
import type { RecordStore } from "../../../../src/runtime/record-store.ts";
import { latch } from "../../../support/latch.ts";
import { MemoryWorld, snapshotRequest } from "../../../support/memory-world.ts";
import { until } from "../../../support/until.ts";

/** Leases are neither read nor written until the answer is called: each coordinator goes on with what it knows. */
function holdLeases(world: MemoryWorld): () => void {
  const { opened, open } = latch();
  const store: RecordStore = world.store;
  const { read, compareAndSet } = store;
  const due = (key: string) => (key === leaseKey() ? opened : undefined);
  store.read = async (key) => {
    await due(key);
    return read.call(store, key);
  };
  store.compareAndSet = async (key, ...rest) => {
    await due(key);
    return compareAndSet.call(store, key, ...rest);
  };
  return open;
}

test("a leader that was cut off refuses nothing that the one that leads now would take", async () => {
  const world = new MemoryWorld({ bounded: false });
  world.fill(200);
  const former = world.startCoordinator();
  await world.submit();
  // Its job waits for workers.
  world.cutOff(former);
  const leader = world.startCoordinator();
  await Promise.all([world.startWorker(), world.startWorker()]);
  await world.runs();
  const release = holdLeases(world);
  world.cutOff(leader);
  world.reconnect(former);
  let taken = false;
  let refusal: unknown;
  const drain = snapshotRequest({
    request: "drain",
    kind: "savepoint",
    directory: "/to",
    followedBy: "drain",
  });
  const onTaken = () => {
    taken = true;
  };
  const stopped = world
    .client()
    .snapshot(drain, undefined, { onTaken })
    .catch((error: unknown) => {
      refusal = error;
    });
  world.reconnect(leader);
  await until("the drain is taken or refused", () => taken || refusal !== undefined, { everyMs: 5 });
  release();
  await stopped;
  expect(refusal).toBeUndefined();
  await world.ends("stopped");
  world.expectExact();
  await world.close();
});

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
