/** `tidemark run --from`: a job whose code has changed goes on with its state, also where the run brings the server. */
import { existsSync } from "node:fs";
import { afterEach, beforeEach, expect, test } from "vitest";
import { countingJob, wrongCounts } from "../jobs.ts";
import { until, Workspace } from "../workspace.ts";

let workspace: Workspace;
beforeEach(async () => {
  workspace = await Workspace.create();
});
afterEach(() => workspace.remove());

const COUNT = 8_000;
const FROM = ["--from", "checkpoint:counting", "--fresh"];
const former = countingJob({ count: COUNT, ratePerSecond: 2_000, held: true });
const changed = former.replace(".keyBy(", '.filter("all", () => true)\n    .keyBy(');

async function suspended(): Promise<void> {
  workspace.write("job.mjs", former);
  const run = workspace.start(["run", "job.mjs"]);
  await until(
    () => existsSync(workspace.path("out")) && workspace.lines().length > 0,
    () => "committed output",
  );
  run.kill("SIGINT");
  expect(await run.ended).toMatchObject({ code: 0 });
}

test("a job with another graph is refused with the command that goes on, which does so exactly", async () => {
  await suspended();
  const before = workspace.lines().length;
  workspace.write("job.mjs", changed);
  const refused = await workspace.run(["run", "job.mjs"]);
  expect(refused.code).toBe(4);
  expect(refused.stderr).toContain('operator "all" (filter) is new');
  expect(refused.stderr).toContain('"tidemark run job.mjs --from checkpoint:counting --fresh --dry-run"');

  const looked = await workspace.run(["run", "job.mjs", ...FROM, "--dry-run"]);
  expect(looked).toMatchObject({ code: 0, stderr: "" });
  expect(looked.stdout).toMatch(/^\s+count\s+matched\s+count/m);
  expect(workspace.lines()).toHaveLength(before);

  workspace.release();
  const restored = await workspace.run(["run", "job.mjs", ...FROM]);
  expect(restored).toMatchObject({ code: 0, stderr: "" });
  expect(wrongCounts(workspace.lines(), COUNT)).toEqual([]);
});

test("state that finds no operator is dropped by name only", async () => {
  await suspended();
  workspace.write("job.mjs", former.replace('.process("count"', '.process("tally"'));
  const refused = await workspace.run(["run", "job.mjs", ...FROM]);
  expect(refused.code).toBe(4);
  expect(refused.stderr).toMatch(/operator count has state.*--drop count/);
  workspace.release();
  const restored = await workspace.run(["run", "job.mjs", ...FROM, "--drop", "count"]);
  expect(restored).toMatchObject({ code: 0, stderr: "" });
  expect(workspace.lines()).toHaveLength(COUNT);
});

test("what is about a state that is not named is refused", async () => {
  workspace.write("job.mjs", former);
  const refused = await workspace.run(["run", "job.mjs", "--drop", "count"]);
  expect(refused.code).toBe(2);
  expect(refused.stderr).toContain("--drop is about the state that --from names: give --from, too");
});
