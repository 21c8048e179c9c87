/** Checkpoints are not taken faster than old ones can be deleted (Flink's CheckpointsCleaner). */
import { afterEach, expect, test } from "vitest";
import { latch } from "../../support/latch.ts";
import { MemoryWorld } from "../../support/memory-world.ts";

let world: MemoryWorld;
afterEach(() => world.close());

const triggered = () => world.events.filter(({ effects }) => effects.includes("start.checkpoint")).length;

test("while deletions hang none begins, and why is said; when they are through checkpoints go on", async () => {
  world = new MemoryWorld({ interval: "20 ms", bounded: false });
  await world.begins(2000);
  await world.runs();
  await world.comesTo("checkpoints complete", ({ checkpoints }) => checkpoints.completed > 2);

  const deletions = latch();
  world.beforeDelete = () => deletions.opened;
  const { checkpoints } = await world.comesTo(
    "checkpoints are held back",
    (report) => report.checkpoints.hold !== "" && report.checkpoints.pending.length === 0,
  );
  expect(checkpoints.hold).toMatch(/still being deleted/);
  const before = triggered();
  // A pause of ten intervals: silence cannot be waited for.
  await new Promise((resolve) => setTimeout(resolve, 200));
  expect(triggered()).toBe(before);

  deletions.open();
  await world.comesTo(
    "they go on",
    ({ checkpoints: { completed } }) => completed > checkpoints.completed + 2,
  );
  await world.allCommitted();
});
