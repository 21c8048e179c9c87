/** A storage of a user's own: its module is taken by every process and command, and tested with the exported suite. */
import { execFile } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeEach, describe, expect, test } from "vitest";
import type { JobReport } from "../../../src/control/messages.ts";
import { countingJob, wrongCounts } from "../jobs.ts";
import { hasCompleted, SharedServer, stop } from "../servers/shared-server.ts";
import type { Workspace } from "../workspace.ts";

const COUNT = 20_000;
const MODULE = "./own-storage.mjs";
const shared = new SharedServer("own-storage");
const { here } = shared;
let workspace: Workspace;

beforeEach(() => {
  ({ workspace } = shared);
  workspace.write("own-storage.mjs", readFileSync(new URL("jobs/own-storage.mjs", import.meta.url), "utf8"));
  rmSync(workspace.path("own-storage"), { recursive: true, force: true });
});

const job = (checkpointing = "") =>
  countingJob({
    count: COUNT,
    ratePerSecond: 4_000,
    held: true,
    checkpointing: `inlineThreshold: 0${checkpointing}`,
    options: 'restart: { initialBackoff: "100ms" }',
  });

const stored = () =>
  readdirSync(workspace.path(join("own-storage", shared.prefix))).filter((name) => !name.startsWith("."));

const comesTo = (met: (now: JobReport) => boolean, what: string) => shared.jobComesTo("counting", met, what);

test("kill -9 of leader and worker: both restore from it, and each command that looks takes it by flag, file or variable", async () => {
  workspace.write("job.mjs", job());
  workspace.write("own.yaml", `checkpointing:\n  storage: ${MODULE}\n`);
  const leader = workspace.start(here("coordinator", "--storage", MODULE));
  expect(await workspace.run(here("submit", "job.mjs", "--storage", MODULE))).toMatchObject({ code: 0 });
  const other = await workspace.run(here("submit", "job.mjs", "--checkpoint-dir", "elsewhere"));
  expect(other.code).toBe(4);
  const startWorker = () =>
    workspace.start(here("worker", "job.mjs", "--config-file", "own.yaml", "--slots", "2"));
  const worker = startWorker();
  await comesTo(hasCompleted, "checkpoints");
  expect(stored().length).toBeGreaterThan(0);

  worker.kill("SIGKILL");
  leader.kill("SIGKILL");
  await Promise.all([worker.ended, leader.ended]);
  const before = await workspace.run(here("checkpoints", "verify", "counting"), {
    env: { TIDEMARK_CHECKPOINTING_STORAGE: MODULE },
  });
  expect(before).toMatchObject({ code: 0, stderr: "" });
  const shown = await workspace.run(here("checkpoints", "show", "counting", "--storage", MODULE));
  expect(shown).toMatchObject({ code: 0, stderr: "" });

  const next = workspace.start(here("coordinator", "--storage", MODULE));
  const again = startWorker();
  await comesTo((now) => hasCompleted(now) && now.generation > 1, "checkpoints of another generation");
  const taken = await workspace.run(
    here("savepoint", "counting", "--to", workspace.path("savepoints"), "--storage", MODULE),
  );
  expect(taken).toMatchObject({ code: 0 });
  workspace.release();
  await comesTo(({ status }) => status === "finished", "finished");
  expect(wrongCounts(workspace.lines(), COUNT)).toEqual([]);
  const disposed = await workspace.run(here("dispose", "job:counting", "--storage", MODULE));
  expect(disposed).toMatchObject({ code: 0 });
  expect(stored()).toEqual([]);
  await Promise.all([again, next].map(stop));
});

test("run takes it from the job's code, for all of its processes; an object that has changed is named, and not restored", async () => {
  workspace.write("job.mjs", job(`, storage: "${MODULE}"`));
  const running = workspace.start(here("run", "job.mjs"));
  await comesTo(hasCompleted, "checkpoints");
  running.kill("SIGINT");
  await running.ended;
  const state = stored().find((name) => !name.endsWith("manifest"))!;
  const file = join(workspace.path(join("own-storage", shared.prefix)), state);
  const content = readFileSync(file);
  content[content.length - 1]! ^= 1;
  writeFileSync(file, content);
  const verified = await workspace.run(here("checkpoints", "verify", "counting", "--storage", MODULE));
  expect(verified.code).toBe(5);
  expect(verified.stdout).toContain(decodeURIComponent(state));
  const refused = await workspace.run(here("run", "job.mjs"));
  expect(refused.code).not.toBe(0);
  expect(refused.stderr).toContain(decodeURIComponent(state));
  content[content.length - 1]! ^= 1;
  writeFileSync(file, content);
  workspace.release();
  expect(await workspace.run(here("run", "job.mjs"))).toMatchObject({ code: 0 });
  expect(wrongCounts(workspace.lines(), COUNT)).toEqual([]);
});

test("the suite runs under node:test with what the package exports, and a storage that drops objects fails it", async () => {
  const testFile = (change: string) => `
    import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
    import { test } from "node:test";
    import { storageCases } from "tidemark/testing";
    import { OwnStorage } from "./own-storage.mjs";
    async function open() {
      const directory = await mkdtemp("suite-");
      const storage = new OwnStorage(directory);
      ${change}
      return {
        storage,
        async corrupt(name) {
          const content = await readFile(storage.pathOf(name));
          content[0] ^= 1;
          await writeFile(storage.pathOf(name), content);
        },
        close: () => rm(directory, { recursive: true }),
      };
    }
    for (const { name, run } of storageCases({ open })) test(name, run);
  `;
  const runTests = async (file: string) => {
    // Else it takes itself for a part of this run.
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const run = promisify(execFile)(process.execPath, ["--test", "--test-reporter=tap", file], {
      cwd: workspace.dir,
      env,
    });
    return await run.then(
      ({ stdout }) => stdout,
      ({ stdout }: { stdout: string }) => stdout,
    );
  };
  workspace.write("sound.test.mjs", testFile(""));
  workspace.write("broken.test.mjs", testFile("storage.delete = async () => {};"));
  const sound = await runTests("sound.test.mjs");
  expect(sound).toMatch(/^# fail 0$/m);
  expect(Number(/^# pass (\d+)$/m.exec(sound)?.[1])).toBeGreaterThan(10);
  expect(await runTests("broken.test.mjs")).toMatch(/^ *not ok \d+ - names an object that is not there$/m);
});

describe("a module that is no storage is refused by its name, with what is missing", () => {
  const path = () => workspace.path("wrong.mjs");
  test.each<[string, string | undefined, string]>([
    ["no such file", undefined, "no such file"],
    [
      "no default export",
      "export const storage = {};",
      "must export a function by default that opens the storage, but it has no default export",
    ],
    ["no function", "export default {};", "but its default export is"],
    [
      "nothing answered",
      "export default () => undefined;",
      "its default export answers undefined, and no storage",
    ],
    [
      "half a storage",
      'export default () => ({ description: "half", put() {}, get() {}, delete() {} });',
      "what its default export answers lacks assertPresent(), list(), listUnfinished(): it must be a CheckpointStorage",
    ],
    ["no description", "export default () => ({});", "lacks description, put()"],
    [
      "one that throws",
      'export default () => { throw new Error("no bucket"); };',
      "its default export has thrown: no bucket",
    ],
    ["what does not load", "export default () => {", "wrong.mjs:1: "],
  ])("%s", async (_, text, says) => {
    rmSync(path(), { force: true });
    if (text !== undefined) workspace.write("wrong.mjs", text);
    const refused = await workspace.run(here("coordinator", "--storage", "./wrong.mjs"));
    expect(refused).toMatchObject({ code: 2, stdout: "" });
    expect(refused.stderr).toContain(says);
    expect(refused.stderr).toMatch(/^tidemark: checkpointing\.storage: module \S*wrong\.mjs/);
  });

  test("its own errors have their own words, and a word with a letter wrong is no module", async () => {
    workspace.write(
      "wrong.mjs",
      'import { EnvironmentError } from "tidemark";\nexport default () => { throw new EnvironmentError("bucket b is gone"); };',
    );
    const thrown = await workspace.run(here("coordinator", "--storage", "./wrong.mjs"));
    expect(thrown.stderr).toContain("tidemark: bucket b is gone");
    const typo = await workspace.run(here("coordinator", "--storage", "jetsream"));
    expect(typo).toMatchObject({ code: 2 });
    expect(typo.stderr).toContain('--storage (from the command line): must be "jetstream" or "filesystem"');
    const mounted = await workspace.run(here("coordinator", "--storage", "hdfs://nn/checkpoints"));
    expect(mounted.stderr).toContain(
      "mount it, and give the directory where it is mounted as checkpointing.directory",
    );
  });
});
