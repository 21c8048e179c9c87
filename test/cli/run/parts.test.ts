/** Coordinators, workers and clients as processes of their own, against one server; any of them may be killed. */
import { readdirSync, symlinkSync } from "node:fs";
import { hostname } from "node:os";
import { beforeEach, expect, test } from "vitest";
import { type Cluster, createClient } from "../../../src/cli/assembly.ts";
import type { JobReport } from "../../../src/control/messages.ts";
import { freePort } from "../../support/servers/nats.ts";
import { countingJob, wrongCounts } from "../jobs.ts";
import { SharedServer } from "../servers/shared-server.ts";
import { type Command, until, Workspace } from "../workspace.ts";

/** The records of a job that ends when the test lets it. */
const COUNT = 30_000;
const RATE = 3_000;

const shared = new SharedServer("parts");
const { here } = shared;
let workspace: Workspace;
let cluster: Cluster;

beforeEach(() => {
  ({ workspace, cluster } = shared);
  workspace.write(
    "job.mjs",
    countingJob({
      count: COUNT,
      ratePerSecond: RATE,
      held: true,
      options: 'restart: { initialBackoff: "100ms" }',
    }),
  );
});

const coordinator = (...more: string[]) => workspace.start(here("coordinator", ...more));
const worker = (...more: string[]) => workspace.start(here("worker", "job.mjs", "--slots", "1", ...more));
const health = async (port: number): Promise<Record<string, unknown>> => {
  const answer = await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => undefined);
  return answer === undefined ? {} : ((await answer.json()) as Record<string, unknown>);
};
/** Asks without a process for each look: a loaded machine takes its time for those. */
const report = async (): Promise<JobReport> => {
  const found = await createClient(cluster).status("counting");
  if (found === undefined) throw new Error("the job is unknown");
  return found;
};
const comesTo = async (met: (now: JobReport) => boolean, what: string): Promise<JobReport> => {
  let last = await report();
  await until(
    async () => {
      last = await report();
      return met(last);
    },
    () => `${what}; at last ${JSON.stringify(last)}`,
  );
  return last;
};
/** Its workers have said so: the leader asks them a few times a second. */
const isThere = (now: JobReport) =>
  now.phase.startsWith("running") &&
  now.checkpoints.completed > 0 &&
  now.subtasks.some(({ subtask }) => subtask === "count/1");
const ends = (status: string) => {
  if (status === "finished") workspace.release();
  return comesTo((now) => now.status === status, status);
};
const stop = async (command: Command) => {
  command.kill("SIGTERM");
  expect(await command.ended).toMatchObject({ code: 0, stdout: "" });
};

test("one leads and one stands by; submit, status, cancel", async () => {
  const ports = [await freePort(), await freePort()] as const;
  const [first, second] = ports.map((port) => coordinator("--health-port", String(port)));
  const leads = async () => (await Promise.all(ports.map(health))).map(({ leading }) => leading);
  await until(
    async () => (await leads()).sort().join() === "false,true",
    () => "one leader and one standby",
  );

  const submitted = await workspace.run(here("submit", "job.mjs", "--json"));
  expect(submitted).toMatchObject({ code: 0, stderr: "" });
  expect(JSON.parse(submitted.stdout)).toEqual({ job: "counting", submitted: true });
  expect((await workspace.run(here("status", "counting"))).stdout).toMatch(
    /waiting for 2 slots; the workers offer 0/,
  );

  const workerPort = await freePort();
  const workers = [worker("--health-port", String(workerPort)), worker()];
  await comesTo(isThere, "running");
  expect(await health(workerPort)).toMatchObject({ healthy: true, registered: true });
  const text = (await workspace.run(here("status", "counting"))).stdout;
  for (const line of [
    /^job +counting$/m,
    /^status +running/m,
    /^checkpoints +\d+ completed/m,
    /^ {2}count\/1 .*records in$/m,
  ])
    expect(text).toMatch(line);
  const listed = await workspace.run(here("list"));
  expect(listed.stdout).toMatch(/^JOB +STATUS +GENERATION +CHECKPOINT +AGE +SIZE$/m);
  expect(listed.stdout).toMatch(/^counting +running +1 +\d+ +\d+ s +\d.* K?i?B$/m);

  const again = await workspace.run(here("submit", "job.mjs"));
  expect(again).toMatchObject({ code: 4, stdout: "" });
  expect(again.stderr).toMatch(
    /job counting is running already \(generation 1\); watch it with "tidemark status --server=\S+ .*counting"/,
  );
  const runAgain = await workspace.run(here("run", "job.mjs"));
  expect(runAgain).toMatchObject({ code: 4, stdout: "" });
  expect(runAgain.stderr).toMatch("job counting is running already");
  expect(runAgain.stderr.match(/^tidemark: /gm)).toHaveLength(1);

  const canceled = await workspace.run(here("cancel", "counting"));
  expect(canceled).toMatchObject({ code: 0, stdout: "job counting is canceled\n", stderr: "" });
  await ends("canceled");
  const resubmitted = await workspace.run(here("submit", "job.mjs"));
  expect(resubmitted.code).toBe(4);
  expect(resubmitted.stderr).toMatch("job counting was canceled; start it over with --fresh");
  for (const part of [...workers, first!, second!]) await stop(part);
});

test("kill -9 of leader, worker and client: the job ends, and its output is exact", async () => {
  const ports = [await freePort(), await freePort()] as const;
  const coordinators = ports.map((port) => coordinator("--health-port", String(port)));
  expect((await workspace.run(here("submit", "job.mjs"))).code).toBe(0);
  const workers = [worker(), worker(), worker()];
  await comesTo((now) => now.checkpoints.completed > 0, "a checkpoint");

  const leading = await Promise.all(ports.map(health));
  const leader = leading.findIndex((one) => one.leading === true);
  coordinators[leader]!.kill("SIGKILL");
  const other = ports[1 - leader]!;
  await until(
    async () => (await health(other)).leading === true,
    () => "the standby to lead",
  );
  const before = await comesTo(isThere, "a checkpoint under the new leader");
  const used = before.subtasks[0]!.worker;
  const { processId } = before.workers.find((one) => one.worker === used)!;
  workers.find(({ pid }) => pid === processId)!.kill("SIGKILL");
  workspace.start(here("status", "counting")).kill("SIGKILL");
  await comesTo(
    (now) => now.generation > before.generation && now.phase.startsWith("running"),
    "the next generation",
  );
  expect((await report()).failures.at(-1)?.reason).toMatch(/the process is gone/);
  await ends("finished");
  expect(wrongCounts(workspace.lines(), COUNT)).toEqual([]);
});

test("a worker with another checkpoint storage or directory is turned away; the same directory under another path is taken", async () => {
  const place = workspace.path("checkpoints");
  const elsewhere = workspace.path("elsewhere");
  const leader = workspace.start(here("coordinator", "--checkpoint-dir", place));
  expect((await workspace.run(here("submit", "job.mjs"))).code).toBe(0);
  symlinkSync(place, workspace.path("mounted"));
  const workers = [place, workspace.path("mounted")].map((directory) =>
    workspace.start(here("worker", "job.mjs", "--slots", "1", "--checkpoint-dir", directory)),
  );
  await comesTo((now) => isThere(now) && now.workers.length === 2, "both workers");

  const other = workspace.start(here("worker", "job.mjs", "--checkpoint-dir", elsewhere));
  await comesTo(
    (now) => now.troubles.some(({ what }) => /worker \w+ has the same checkpoint directory/.test(what)),
    "the trouble",
  );
  const without = await workspace.run(here("worker", "job.mjs"));
  expect(without.code).toBe(4);
  expect(without.stderr).toMatch(
    /^tidemark: worker \w+ keeps checkpoints of job counting in object store bucket/m,
  );
  expect(without.stderr).toMatch(`the coordinator keeps them in directory ${place}`);
  // A place where no user can write, not even a superuser.
  for (const role of [["coordinator"], ["worker", "job.mjs"]]) {
    const readOnly = await workspace.run(here(...role, "--checkpoint-dir", "/proc"));
    expect(readOnly.code).toBe(2);
    expect(readOnly.stderr).toMatch(
      "checkpointing.directory (--checkpoint-dir): directory /proc cannot be written",
    );
  }
  const refused = await other.ended;
  expect(refused.code).toBe(4);
  expect(refused.stderr).toMatch(
    `keeps checkpoints of job counting in ${elsewhere} on host ${hostname()}, ` +
      `the coordinator in ${place} on host ${hostname()}, and neither sees a file that the other one writes`,
  );
  expect(refused.stderr).toMatch("--checkpoint-dir");
  await comesTo((now) => now.troubles.length === 0, "no trouble");

  leader.kill("SIGKILL");
  await leader.ended;
  const next = workspace.start(here("coordinator", "--checkpoint-dir", place));
  await comesTo(isThere, "running again");
  await ends("finished");
  expect(wrongCounts(workspace.lines(), COUNT)).toEqual([]);
  for (const part of [...workers, next]) await stop(part);
  for (const directory of [place, elsewhere])
    expect(readdirSync(directory).filter((name) => name.startsWith("."))).toEqual([]);
});

test("a worker with another version of the job is turned away, and says so", async () => {
  const text = workspace.read("job.mjs").replace("state.count.get() + 1", "state.count.get() + step");
  const copy = async (step: number): Promise<Workspace> => {
    const made = await Workspace.create();
    made.write("job.mjs", `import { step } from "./step.mjs";\n${text}`);
    made.write("step.mjs", `export const step = ${step};\n`);
    return made;
  };
  const [submitted, same, newer] = [await copy(1), await copy(1), await copy(2)];
  const leader = coordinator();
  expect((await submitted.run(here("submit", "job.mjs"))).code).toBe(0);
  const refused = await newer.run(here("worker", "job.mjs"));
  expect(refused.code).toBe(4);
  expect(refused.stderr).toMatch(
    /^tidemark: worker \w+ has loaded another version of job counting than the one submitted \(code sha256:\w+, submitted sha256:\w+\)/m,
  );
  expect(refused.stderr).toContain("other content than submitted: step.mjs; start the workers from");

  expect(leader.child.exitCode).toBeNull();
  const workers = [submitted, same].map((copied) => copied.start(here("worker", "job.mjs", "--slots", "1")));
  await comesTo((now) => now.workers.length === 2, "two workers");
  for (const copied of [submitted, same]) copied.release();
  await ends("finished");
  const written = [submitted, same].flatMap((copied) => copied.lines());
  expect(wrongCounts(written, COUNT)).toEqual([]);
  for (const part of [...workers, leader]) await stop(part);
  for (const made of [submitted, same, newer]) await made.remove();
});

test("SIGTERM of one worker moves its work to the others", async () => {
  const leader = coordinator();
  expect((await workspace.run(here("submit", "job.mjs"))).code).toBe(0);
  const leaving = worker("--slots", "2");
  await comesTo((now) => now.checkpoints.completed > 0, "a checkpoint");
  const staying = worker("--slots", "2");
  await comesTo((now) => now.workers.length === 2, "two workers");
  await stop(leaving);
  await ends("finished");
  expect(wrongCounts(workspace.lines(), COUNT)).toEqual([]);
  for (const part of [staying, leader]) await stop(part);
});
