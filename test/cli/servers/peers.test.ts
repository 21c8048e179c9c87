/** Several `tidemark run` and a cluster on one server: each leads its own jobs, and no other's. */
import { beforeEach, expect, test } from "vitest";
import { type Cluster, createClient } from "../../../src/cli/assembly.ts";
import type { JobReport } from "../../../src/control/messages.ts";
import { comesTo as jobComesTo } from "../job-status.ts";
import { countingJob } from "../jobs.ts";
import type { Command, Workspace } from "../workspace.ts";
import { SharedServer } from "./shared-server.ts";

const shared = new SharedServer("peers");
const { here } = shared;
let workspace: Workspace;
let cluster: Cluster;

beforeEach(() => {
  ({ workspace, cluster } = shared);
  for (const name of ["first", "second"])
    workspace.write(
      `${name}.mjs`,
      // They do not end by themselves.
      countingJob({ name, count: 10_000_000, ratePerSecond: 500, parallelism: 1, directory: `out-${name}` }),
    );
});

const run = (name: string) => workspace.start(here("run", `${name}.mjs`));
const comesTo = (job: string, what: string, met: (report: JobReport) => boolean) =>
  jobComesTo(cluster, job, what, met);
const processes = (job: string, after = 0) =>
  comesTo(
    job,
    "processing",
    (now) => now.generation > after && now.phase === "running.processing" && now.checkpoints.completed > 0,
  );
/** Untouched by what happened to the others: the same generation, and more of it. */
async function goesOn(before: JobReport): Promise<void> {
  const { completed } = before.checkpoints;
  const after = await comesTo(
    before.job,
    "two checkpoints more",
    (now) => now.checkpoints.completed > completed + 1,
  );
  const { leader, generation, restarts, failures } = before;
  expect(after).toMatchObject({ leader, generation, restarts, failures });
}
const interrupt = async (command: Command) => {
  command.kill("SIGINT");
  expect(await command.ended).toMatchObject({ code: 0, stderr: "" });
};

test("runs of different jobs and a cluster on one server leave each other alone", async () => {
  const coordinator = workspace.start(here("coordinator"));
  const first = run("first");
  const second = run("second");
  const [one, other] = await Promise.all([processes("first"), processes("second")]);
  expect(one.leader).not.toBe(other.leader);

  const again = await workspace.run(here("run", "first.mjs"));
  expect(again).toMatchObject({ code: 4, stdout: "" });
  expect(again.stderr).toMatch(
    /^tidemark: job first is running already, by the "tidemark run" of pid \d+ on \S+: /,
  );
  const submitted = await workspace.run(here("submit", "first.mjs"));
  expect(submitted).toMatchObject({ code: 4, stdout: "" });
  expect(submitted.stderr).toMatch(
    /^tidemark: job first is led by the "tidemark run" of pid \d+ on \S+ alone: /,
  );

  first.kill("SIGKILL");
  await goesOn(other);
  coordinator.kill("SIGKILL");
  const resumed = run("first");
  const back = await processes("first", one.generation);
  await goesOn(other);
  await interrupt(second);
  await goesOn(back);
  expect(workspace.read(".tidemark/logs/first/coordinator.log")).not.toContain('"job":"second"');
  await interrupt(resumed);
});

test("the job of a run that has ended is resumed by submit, and back by run", async () => {
  const first = run("first");
  const one = await processes("first");
  await interrupt(first);

  const parts = [
    workspace.start(here("coordinator")),
    workspace.start(here("worker", "first.mjs", "--slots", "1")),
  ];
  expect(await workspace.run(here("submit", "first.mjs"))).toMatchObject({ code: 0, stderr: "" });
  const two = await processes("first");
  expect(two.incarnation).toBe(one.incarnation);
  const refused = await workspace.run(here("run", "first.mjs"));
  expect(refused).toMatchObject({ code: 4, stdout: "" });
  expect(refused.stderr).toMatch(
    /^tidemark: job first is running already, led by the coordinator of pid \d+ on \S+: .*"tidemark submit .*first\.mjs"$/m,
  );
  await goesOn(two);
  await createClient(cluster).suspend("first");
  await comesTo("first", "suspended", (now) => now.status === "suspended");

  const last = run("first");
  const three = await processes("first");
  expect(three.incarnation).toBe(one.incarnation);
  expect(three.leader).not.toBe(two.leader);
  await interrupt(last);
  for (const part of parts) {
    part.kill("SIGTERM");
    expect((await part.ended).code).toBe(0);
  }
});
