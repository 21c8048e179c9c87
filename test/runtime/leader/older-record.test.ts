/** Workers that have seen newer generations than the record knows: the leader goes on above those (P2). */
import { afterEach, expect, test } from "vitest";
import { sealOf } from "../../../src/control/seal.ts";
import { encodeMessage, encodeSealed } from "../../../src/control/wire.ts";
import { jobKey } from "../../../src/formats/job-record.ts";
import { MemoryWorld } from "../../support/memory-world.ts";

let world: MemoryWorld;
afterEach(() => world.close());

test("a job whose record is older than its workers goes on with them, at its first try", async () => {
  world = new MemoryWorld({ bounded: false, interval: "1 h" });
  let worker = await world.begins(100);
  await world.runs();
  const copy = (await world.store.read(jobKey("words")))!.value;
  const kept = world.lastWorker;
  for (let restarts = 1; restarts <= 3; restarts++) {
    await world.replace(worker);
    worker = world.lastWorker;
    await world.comesTo(
      "the job runs again",
      ({ restarts: done, phase }) => done >= restarts && phase === "running.processing",
    );
  }
  const { generation: seen } = await world.record();
  await world.leader.stop();
  const { revision } = (await world.store.read(jobKey("words")))!;
  await world.store.compareAndSet(jobKey("words"), copy, revision);
  expect((await world.record()).generation).toBeLessThan(seen);
  world.startCoordinator();
  const report = await world.runs();
  expect(report).toMatchObject({ generation: seen + 1, failures: [], troubles: [] });
  expect(report.workers.map(({ worker: id }) => id).sort()).toContain(kept.identity.worker);
  world.fill(50);
  await world.allCommitted();
});

test("a number that no generation of the job can have is not gone above: its worker is avoided", async () => {
  world = new MemoryWorld({ bounded: false });
  const { identity } = await world.begins(100);
  await world.runs();
  await world.startWorker();
  const stranger = world.broker.connect();
  const subject = `tidemark.workers.${identity.worker}`;
  const generation = Number.MAX_SAFE_INTEGER - 1;
  for (const region of [0, 1, 2, 3]) {
    const content = encodeMessage({ type: "generation.teardown", job: "words", region, generation });
    stranger.publish(subject, encodeSealed({ content, seal: sealOf(identity.secret, subject, content) }));
  }
  await world.comesTo("its subtasks are lost", ({ restarts }) => restarts > 0);
  const report = await world.runs();
  expect(report.generation).toBeLessThan(100);
  expect(report.subtasks.map(({ worker }) => worker)).not.toContain(identity.worker);
  expect(report.troubles).toEqual([
    expect.objectContaining({ what: expect.stringContaining(identity.worker) }),
  ]);
});
