/** What a leader is told of subtasks that the job does not have, or that another generation has, changes nothing. */

import { afterEach, expect, it } from "vitest";
import type { SubtaskSnapshot } from "../../machines/protocol.ts";
import { systemClock } from "../../src/clock.ts";
import { ControlLink } from "../../src/control/link.ts";
import { generationSecret } from "../../src/control/seal.ts";
import { shapes } from "../../src/control/shapes.ts";
import { createSubjects } from "../../src/dataflow/channel/subjects.ts";
import { readManifest } from "../../src/runtime/manifest.ts";
import { subtaskSnapshot } from "../support/job-record.ts";
import { latch } from "../support/latch.ts";
import { MemoryWorld, snapshotRequest } from "../support/memory-world.ts";

const STRANGERS = ["ghost/0", "log/2", "log", "", "toString"];

let world: MemoryWorld;
afterEach(() => world.close());

it("is answered with unknown, and is never in a manifest", async () => {
  world = new MemoryWorld({ interval: "1 h", bounded: false });
  world.startCoordinator();
  await Promise.all([world.startWorker(), world.startWorker()]);
  await world.submit();
  const { generations } = await world.runs();
  const secret = generationSecret(await world.record());
  const generation = generations[0]!;
  const subject = createSubjects().coordinator("words", generation);
  const link = new ControlLink({ bus: world.broker.connect(), id: "stranger", clock: systemClock });
  const tell = async (type: string, subtask: string, more: object = {}) =>
    (await link.ask(subject, { type, generation, subtask, ...more }, shapes.shortAnswer, 10_000, { secret }))
      .answer;
  const acknowledge = (checkpointId: number, subtask: string, snapshot: SubtaskSnapshot) =>
    tell("subtask.acknowledged", subtask, { checkpointId, snapshot });

  // A checkpoint is under way for as long as its ids are not reserved, then until its decision is stored.
  const deciding = latch();
  const go = latch();
  let checkpointId = 0;
  world.beforeStore = async ({ checkpoints }) => {
    if (checkpoints.length === 0) return;
    checkpointId = checkpoints.at(-1)!.checkpointId;
    deciding.open();
    await go.opened;
  };
  const taken = world.client().snapshot(snapshotRequest({ request: "one", kind: "checkpoint" }));
  await deciding.opened;
  for (const subtask of STRANGERS) {
    expect(await acknowledge(checkpointId, subtask, subtaskSnapshot({ subtask }))).toBe("unknown");
    const declined = { checkpointId, reason: "declined", detail: "a stranger's" };
    expect(await tell("subtask.declined", subtask, declined)).toBe("unknown");
    for (const type of ["subtask.restored", "subtask.ended"])
      expect(await tell(type, subtask)).toBe("unknown");
    expect(await tell("subtask.committed", subtask, { upTo: checkpointId })).toBe("unknown");
    const failed = { reason: "a stranger's", retry: "never" };
    expect(await tell("subtask.failed", subtask, failed)).toBe("unknown");
  }
  go.open();
  await taken;
  const report = await world.comesTo("all of it is committed", ({ phase }) => phase === "running.processing");
  expect(report.failures).toEqual([]);
  const manifest = await readManifest(world.storage, (await world.record()).checkpoints[0]!.manifest);
  const names = manifest.subtasks.map(({ subtask }) => subtask);
  expect(names).toEqual(["count/0", "count/1", "log/0", "log/1"]);
});
