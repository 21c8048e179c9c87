/**
 * Where savepoints are: a process that only looks for one makes no directory and no bucket, one that writes a savepoint
 * makes both, and it writes only where its coordinator allows it.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { disposeSavepoint, type OpenStorage, readSavepoint } from "../../../src/checkpoint/savepoint.ts";
import { openCluster, viewCluster } from "../../../src/cli/assembly.ts";
import { EnvironmentError, ObjectMissingError } from "../../../src/errors.ts";
import { connectNats } from "../../../src/nats/connection/connect.ts";
import type { NatsEnvironment } from "../../../src/nats/connection/environment.ts";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { comesTo } from "../job-status.ts";
import { countingJob, wrongCounts } from "../jobs.ts";
import { Workspace } from "../workspace.ts";

const COUNT = 2000;

let server: TestServer;
let nats: NatsEnvironment;
let workspace: Workspace;

beforeAll(async () => {
  server = await startTestServer();
  nats = await connectNats({ servers: server.url, name: "test" });
  workspace = await Workspace.create();
});
afterAll(async () => {
  await workspace?.remove();
  await nats?.connection.close();
  await server?.stop();
});

const streams = async () => {
  const names: string[] = [];
  for await (const name of (await nats.manager()).streams.names()) names.push(name);
  return names;
};

test.each(["a command", "a coordinator"])("%s makes what it writes to, and nothing else", async (looker) => {
  const prefix = looker.replace(" ", "");
  const openStorage: OpenStorage =
    looker === "a command"
      ? viewCluster(nats, { prefix }).openStorage
      : (await openCluster(nats, { prefix })).openStorage;
  const directory = workspace.path(`${prefix}-nowhere`);
  await expect(openStorage(directory, "find")).rejects.toThrow(EnvironmentError);
  await expect(openStorage(directory, "find")).rejects.toThrow(`there is no directory ${directory}`);
  expect(existsSync(directory)).toBe(false);

  const root = `nats:${prefix}-nowhere`;
  const found = await openStorage(root, "find");
  await expect(readSavepoint(`${root}/a`, found)).rejects.toThrow(ObjectMissingError);
  expect(await disposeSavepoint(`${root}/a-savepoint-1-01234567`, found)).toBe(0);
  expect(await streams()).not.toContain(`OBJ_${prefix}-nowhere`);

  await openStorage(directory, "make");
  await openStorage(root, "make");
  expect(existsSync(directory)).toBe(true);
  expect(await streams()).toContain(`OBJ_${prefix}-nowhere`);
});

test("a coordinator writes below what it allows, refuses any other place in words, and the job goes on", async () => {
  const prefix = "bounded";
  const cluster = await openCluster(nats, { prefix });
  const here = (...args: string[]) => [...args, "--server", server.url, "--prefix", prefix];
  const allowed = workspace.path("allowed");
  mkdirSync(allowed);
  symlinkSync(workspace.path("elsewhere"), workspace.path("allowed/link"));
  mkdirSync(workspace.path("elsewhere"));
  writeFileSync(workspace.path("allowed/file"), "");
  execFileSync("mkfifo", [workspace.path("allowed/fifo")]);
  workspace.write("job.mjs", countingJob({ count: COUNT, ratePerSecond: 400, held: true }));
  const parts = [
    workspace.start(
      here(
        "coordinator",
        "--savepoint-dir",
        "allowed",
        "--savepoint-dir",
        "nats:kept",
        "--savepoint-dir",
        "/proc",
      ),
    ),
    workspace.start(here("worker", "job.mjs", "--slots", "2")),
  ];
  expect(await workspace.run(here("submit", "job.mjs"))).toMatchObject({ code: 0 });
  await comesTo(cluster, "counting", "processing", (now) => now.phase === "running.processing");

  const only = `the coordinators write them below ${allowed}, below /proc, in nats:kept only`;
  const refused: readonly (readonly [place: string, words: string])[] = [
    [workspace.path("elsewhere"), only],
    [`${allowed}/../elsewhere`, only],
    [`${allowed}/link/below`, `which is ${workspace.path("elsewhere/below")}: ${only}`],
    ["nats:other", only],
    [`${allowed}/file`, "there is a file of this name"],
    [`${allowed}/fifo`, "there is a file of this name"],
    ["/proc/nowhere", "cannot be a directory"],
  ];
  for (const [place, words] of refused) {
    const verb = place === "nats:other" ? "stop" : "savepoint";
    const answer = await workspace.run(here(verb, "counting", "--to", place));
    expect(answer).toMatchObject({ code: 4, stdout: "" });
    expect(answer.stderr).toContain(words);
  }
  expect(existsSync(workspace.path("elsewhere/below"))).toBe(false);
  expect(await streams()).not.toContain("OBJ_other");
  for (const place of [`${allowed}/below`, "nats:kept"])
    expect(await workspace.run(here("savepoint", "counting", "--to", place))).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(place),
    });

  workspace.release();
  const ended = await comesTo(cluster, "counting", "its end", ({ status }) => status === "finished");
  expect(ended).toMatchObject({ failures: [] });
  expect(wrongCounts(workspace.lines(), COUNT)).toEqual([]);
  for (const part of parts) part.kill("SIGTERM");
  for (const part of parts) expect(await part.ended).toMatchObject({ code: 0 });

  const wrong = await workspace.run(here("coordinator", "--savepoint-dir", "nats:a.b"));
  expect(wrong).toMatchObject({ code: 2 });
  expect(wrong.stderr).toContain("cannot be the name of a bucket");
});
