/** A job that goes on in another number of subtasks, with real processes: nothing is lost, nothing comes twice. */
import { expect, test } from "vitest";
import { createClient } from "../../../src/cli/assembly.ts";
import { countingJob, wrongCounts } from "../jobs.ts";
import { SharedServer } from "../servers/shared-server.ts";
import { type Command, until } from "../workspace.ts";

const COUNT = 20_000;

const shared = new SharedServer("rescaled");

test("more subtasks, then fewer than at first: state, splits and transactions are dealt out anew", async () => {
  const { workspace, cluster, here, asks, json } = shared;
  const client = createClient(cluster);
  const coordinator = workspace.start(here("coordinator"));
  let workers: Command[] = [];
  const worker = (parallelism: number) =>
    workspace.start(here("worker", "job.mjs", "--slots", "1", "--parallelism", String(parallelism)));
  const starts = (parallelism: number) => {
    workers = Array.from({ length: parallelism }, () => worker(parallelism));
  };
  const comesTo = (wanted: "running.processing" | "finished", checkpoints: number) =>
    until(
      async () => {
        const now = await client.status("counting");
        if (wanted === "finished") return now?.status === "finished";
        return now?.phase === wanted && now.checkpoints.completed > checkpoints;
      },
      () => `${wanted} and ${checkpoints} checkpoints`,
    );
  const stop = async () => {
    const { location } = await json("stop", "counting", "--to", workspace.path("savepoints"));
    for (const worker of workers) worker.kill("SIGTERM");
    await Promise.all(workers.map(({ ended }) => ended));
    return String(location);
  };
  const restore = async (from: string, parallelism: number) => {
    const answer = await asks("restore", "job.mjs", "--from", from, "--parallelism", String(parallelism));
    expect(answer).toMatchObject({ code: 0, stderr: "" });
    starts(parallelism);
    await comesTo("running.processing", 1);
  };

  const options = 'restart: { initialBackoff: "100ms" }';
  workspace.write("job.mjs", countingJob({ count: COUNT, ratePerSecond: 2_000, held: true, options }));
  expect(await asks("submit", "job.mjs")).toMatchObject({ code: 0 });
  starts(2);
  await comesTo("running.processing", 1);
  const first = await stop();

  await restore(first, 3);
  const lost = workers.shift()!;
  lost.kill("SIGKILL");
  await lost.ended;
  workers.push(worker(3));
  await comesTo("running.processing", 2);
  const second = await stop();

  const before = workspace.lines("out").length;
  expect(before).toBeGreaterThan(0);
  expect(before).toBeLessThan(COUNT);
  await restore(second, 1);
  workspace.release();
  await comesTo("finished", 0);
  expect(wrongCounts(workspace.lines("out"), COUNT)).toEqual([]);
  coordinator.kill("SIGKILL");
});
