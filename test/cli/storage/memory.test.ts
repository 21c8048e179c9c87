/** Checkpoints in the memory of the leader (P98): a worker's death costs nothing, the leader's all of them. */
import { beforeEach, expect, test } from "vitest";
import type { JobReport } from "../../../src/control/messages.ts";
import { countingJob, wrongCounts } from "../jobs.ts";
import { hasCompleted, SharedServer, stop } from "../servers/shared-server.ts";
import type { Workspace } from "../workspace.ts";

const COUNT = 20_000;
const shared = new SharedServer("memory");
let workspace: Workspace;

beforeEach(() => {
  ({ workspace } = shared);
  workspace.write(
    "job.mjs",
    countingJob({
      count: COUNT,
      ratePerSecond: 4_000,
      held: true,
      checkpointing: "inlineThreshold: 0",
      options: 'restart: { initialBackoff: "100ms" }',
    }),
  );
});

const args = (...some: string[]) => shared.here(...some, "--storage", "memory");
const start = (...some: string[]) => workspace.start(args(...some));
const runs = (...some: string[]) => workspace.run(args(...some));
const comesTo = (met: (now: JobReport) => boolean, what: string) => shared.jobComesTo("counting", met, what);

test("kill -9 of a worker: it is restored from there; commands look into it, and a savepoint outlasts the leader", async () => {
  const leader = start("coordinator");
  const submitted = await runs("submit", "job.mjs");
  expect(submitted).toMatchObject({ code: 0 });
  expect(submitted.stdout).toMatch(
    /^checkpoints in the memory of the leading coordinator, at most 5 MiB of a state: .* all of them are lost, and the job stops/m,
  );
  const worker = start("worker", "job.mjs", "--slots", "2");
  await comesTo(hasCompleted, "checkpoints");
  worker.kill("SIGKILL");
  await worker.ended;
  expect(await runs("checkpoints", "verify", "counting")).toMatchObject({ code: 0, stderr: "" });
  const shown = await runs("checkpoints", "show", "counting", "--json");
  expect(shown).toMatchObject({ code: 0, stderr: "" });
  const again = start("worker", "job.mjs", "--slots", "2");
  await comesTo((now) => hasCompleted(now) && now.generation > 1, "checkpoints of another generation");

  const stopped = await runs("stop", "counting", "--to", workspace.path("savepoints"), "--json");
  expect(stopped).toMatchObject({ code: 0 });
  const { location } = JSON.parse(stopped.stdout) as { readonly location: string };
  await stop(again);
  leader.kill("SIGKILL");
  await leader.ended;
  const next = start("coordinator");
  expect(await runs("restore", "job.mjs", "--from", location, "--fresh")).toMatchObject({ code: 0 });
  const last = start("worker", "job.mjs", "--slots", "2");
  workspace.release();
  await comesTo(({ status }) => status === "finished", "finished");
  expect(wrongCounts(workspace.lines(), COUNT)).toEqual([]);
  await Promise.all([last, next].map(stop));
});

test("kill -9 of the leader: the job stops by the name of what is lost, and never begins again by itself", async () => {
  const leader = start("coordinator");
  expect(await runs("submit", "job.mjs")).toMatchObject({ code: 0 });
  const worker = start("worker", "job.mjs", "--slots", "2");
  await comesTo(hasCompleted, "checkpoints");
  leader.kill("SIGKILL");
  await leader.ended;
  const unled = await runs("checkpoints", "verify", "counting", "--connect-timeout", "2");
  expect(unled.code).not.toBe(0);
  expect(unled.stdout + unled.stderr).toContain(
    "the leader, in whose memory checkpoints are, does not answer",
  );
  const next = start("coordinator");
  const ended = await comesTo(({ status }) => status === "failed", "failed");
  expect(ended.failures.at(-1)?.reason).toMatch(/manifest.*(missing|not in memory of the leader)/);
  const verified = await runs("checkpoints", "verify", "counting");
  expect(verified.code).toBe(5);
  expect(verified.stdout).toContain("it went with the process that had it");
  await Promise.all([worker, next].map(stop));
});

test("a state that is larger than memory takes is declined by operator and size, and the job goes on", async () => {
  // Many keys: more than a kibibyte of state.
  workspace.write("job.mjs", workspace.read("job.mjs").replace(/seen\.number % \d+/, "seen.number % 5000"));
  workspace.write("small.yaml", "checkpointing:\n  memoryStateMax: 1 KiB\n");
  const leader = start("coordinator");
  expect(await runs("submit", "job.mjs")).toMatchObject({ code: 0 });
  const worker = start("worker", "job.mjs", "--slots", "2", "--config-file", "small.yaml");
  const now = await comesTo(({ troubles }) => troubles.length > 0, "a trouble");
  expect(now.troubles.map(({ reason }) => reason).join()).toMatch(
    /state "count" of operator "count" takes \d+ bytes in one subtask, and the storage at most 1 KiB of a state \(checkpointing.memoryStateMax\)/,
  );
  expect(now.status).toBe("running");
  expect(now.checkpoints.completed).toBe(0);
  const shown = await runs("checkpoints", "show", "counting");
  expect(shown.stdout).toMatch(/declined it: .*state "count" of operator "count"/);
  await Promise.all([worker, leader].map(stop));
});

test("a run keeps them in its coordinator, and says what ends with it", async () => {
  const running = workspace.start(shared.here("run", "job.mjs", "-c", "state.backend=jobmanager"));
  await comesTo(hasCompleted, "checkpoints");
  workspace.release();
  const ended = await running.ended;
  expect(ended).toMatchObject({ code: 0 });
  expect(ended.stdout).toContain("checkpoints in the memory of the leading coordinator");
  expect(wrongCounts(workspace.lines(), COUNT)).toEqual([]);
});
