/** The number of key groups is the state's, and single operators have numbers of subtasks of their own. */
import { expect, test } from "vitest";
import { createClient } from "../../../src/cli/assembly.ts";
import { countingJob, wrongCounts } from "../jobs.ts";
import { SharedServer } from "../servers/shared-server.ts";
import { until } from "../workspace.ts";

const COUNT = 8_000;

const shared = new SharedServer("groups");

test("a job that says no maxParallelism takes that of its state, and no more subtasks than that", async () => {
  const { workspace, cluster, here, asks, json } = shared;
  const client = createClient(cluster);
  const writes = (maxParallelism?: number) => {
    const options = maxParallelism === undefined ? "" : `maxParallelism: ${maxParallelism}`;
    workspace.write("job.mjs", countingJob({ count: COUNT, ratePerSecond: 2_000, held: true, options }));
  };
  const runs = (counters: number) =>
    until(
      async () => {
        const report = await client.status("counting");
        const counting = report?.subtasks.filter(({ subtask }) => subtask.startsWith("count/")) ?? [];
        return report?.phase === "running.processing" && counting.length === counters;
      },
      () => `${counters} subtasks count`,
    );
  const starts = () =>
    Array.from({ length: 3 }, () => workspace.start(here("worker", "job.mjs", "--slots", "1")));

  const leader = workspace.start(here("coordinator"));
  writes(16);
  expect(await asks("submit", "job.mjs", "--operator", "count=3")).toMatchObject({ code: 0 });
  let workers = starts();
  await runs(3);
  const { location } = await json("stop", "counting", "--to", workspace.path("savepoints"));
  for (const worker of workers) worker.kill("SIGTERM");
  await Promise.all(workers.map(({ ended }) => ended));

  writes(32);
  const other = await asks("restore", "job.mjs", "--from", String(location));
  expect(other.stderr).toContain(
    "maxParallelism is 32, the state has 16 key groups: leave it out, or set it to 16",
  );
  writes();
  const wide = await asks("restore", "job.mjs", "--from", String(location), "--operator", "count=17");
  expect(wide.stderr).toContain("operator count has parallelism 17, and the state only 16 key groups");
  expect([other.code, wide.code]).toEqual([4, 4]);
  const restored = await asks("restore", "job.mjs", "--from", String(location), "--operator", "numbers=1");
  expect(restored).toMatchObject({ code: 0 });
  expect(await asks("describe", "counting")).toMatchObject({
    stdout: expect.stringContaining("16 key groups"),
  });
  workers = starts();
  await runs(2);
  const unknown = await asks("rescale", "counting", "--operator", "count=17");
  expect(unknown.stderr).toContain("above the job's maxParallelism 16");
  workspace.release();
  await until(
    async () => (await client.status("counting"))?.status === "finished",
    () => "the job finishes",
  );
  expect(wrongCounts(workspace.lines("out"), COUNT)).toEqual([]);
  leader.kill("SIGKILL");
});
