/** Copies of state on the worker's machine as a user knows them: real processes that are killed, real files (P102). */
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createClient } from "../../../src/cli/assembly.ts";
import { countingJob, wrongCounts } from "../jobs.ts";
import { SharedServer } from "../servers/shared-server.ts";
import { type Command, until } from "../workspace.ts";

const COUNT = 20_000;

const shared = new SharedServer("local-recovery");

interface Restored {
  readonly subtask: string;
  readonly localBytes: number;
  readonly storedBytes: number;
}

/** What a worker's log says of its last restore. */
function restoredBy({ stderr }: Command): Restored[] {
  return stderr
    .split("\n")
    .filter((line) => line.includes("state restored: local copies"))
    .map((line) => JSON.parse(line));
}

/** All files below a directory. */
function filesIn(directory: string): string[] {
  return readdirSync(directory).flatMap((name) => {
    const path = join(directory, name);
    return statSync(path).isDirectory() ? filesIn(path) : [path];
  });
}

test("workers that are killed get their subtasks again and read nothing of them from the storage; a damaged copy is passed over", async () => {
  const { workspace, cluster, here, asks } = shared;
  const client = createClient(cluster);
  const coordinator = workspace.start(here("coordinator"));
  const start = () => workspace.start(here("worker", "job.mjs", "--slots", "1"));
  const comesTo = async (wanted: "running" | "finished", checkpoints: number) => {
    const from = (await client.status("counting"))?.checkpoints.completed ?? 0;
    await until(
      async () => {
        const now = await client.status("counting");
        if (wanted === "finished") return now?.status === "finished";
        return now?.phase === "running.processing" && now.checkpoints.completed >= from + checkpoints;
      },
      () =>
        `${wanted} and ${checkpoints} more checkpoints; ${workers.map(({ stderr }) => stderr).join("\n")}`,
    );
  };
  const kill = async (killed: readonly Command[]) => {
    for (const worker of killed) worker.kill("SIGKILL");
    await Promise.all(killed.map(({ ended }) => ended));
  };

  const copies = workspace.path("copies");
  const checkpointing = `inlineThreshold: 0, localRecovery: true, localDirectory: ${JSON.stringify(copies)}`;
  const options = 'restart: { initialBackoff: "100ms" }';
  workspace.write(
    "job.mjs",
    countingJob({ count: COUNT, ratePerSecond: 2_000, held: true, checkpointing, options }),
  );
  expect(await asks("submit", "job.mjs")).toMatchObject({ code: 0 });
  let workers = [start(), start()];
  await comesTo("running", 3);

  await kill(workers);
  workers = [start(), start()];
  await comesTo("running", 2);
  const both = workers.flatMap(restoredBy);
  expect(both.map(({ subtask }) => subtask).sort()).toEqual(["count/0", "count/1"]);
  for (const { localBytes, storedBytes } of both) {
    expect(storedBytes).toBe(0);
    expect(localBytes).toBeGreaterThan(0);
  }
  // No more than the last checkpoint and those under way need.
  expect(filesIn(copies).filter((file) => file.includes("checkpoint-")).length).toBeLessThan(60);

  await kill(workers);
  const files = filesIn(copies).filter((file) => file.includes("checkpoint-"));
  for (const file of files) writeFileSync(file, Buffer.from(readFileSync(file)).fill(7));
  workers = [start(), start()];
  await comesTo("running", 1);
  for (const { localBytes, storedBytes } of workers.flatMap(restoredBy)) {
    expect(localBytes).toBe(0);
    expect(storedBytes).toBeGreaterThan(0);
  }
  expect(workers.map(({ stderr }) => stderr).join("\n")).toMatch(
    /local copy of state cannot be used; it is read from the storage/,
  );
  workspace.release();
  await comesTo("finished", 0);
  expect(wrongCounts(workspace.lines("out"), COUNT)).toEqual([]);
  coordinator.kill("SIGKILL");
});
