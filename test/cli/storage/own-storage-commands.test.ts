/** Every command that takes `--storage` works with a storage of a user's own, and with nothing else of it. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { countingJob } from "../jobs.ts";
import { hasCompleted, SharedServer, stop } from "../servers/shared-server.ts";
import type { Ended } from "../workspace.ts";

const MODULE = "./own-storage.mjs";
const shared = new SharedServer("own-storage-commands");

/** "checkpoints show": the commands whose help knows the option. */
async function commandsWithStorage(): Promise<string[]> {
  const { workspace } = shared;
  const namesIn = async (...group: string[]) => {
    const { stdout } = await workspace.run([...group, "--help"]);
    const commands = stdout.slice(stdout.indexOf("\nCommands:\n"));
    return [...commands.matchAll(/^ {2}([a-z]+) /gm)]
      .map(([, name]) => name!)
      .filter((name) => name !== "help");
  };
  const found: string[] = [];
  for (const name of await namesIn()) {
    const { stdout } = await workspace.run([name, "--help"]);
    if (!stdout.includes("\nCommands:\n")) {
      if (stdout.includes("--storage")) found.push(name);
      continue;
    }
    for (const below of await namesIn(name))
      if ((await workspace.run([name, below, "--help"])).stdout.includes("--storage"))
        found.push(`${name} ${below}`);
  }
  return found.sort();
}

test("each of them, on one job: those that look, those that ask, and those that write", async () => {
  const { workspace, here, jobComesTo } = shared;
  const taken = new Set<string>();
  const args = (command: string, ...more: string[]) => {
    taken.add(command);
    return here(...command.split(" "), ...more, "--storage", MODULE);
  };
  const takes = async (command: string, ...more: string[]): Promise<Ended> => {
    const ended = await workspace.run(args(command, ...more));
    expect({ command, code: ended.code, stderr: ended.stderr }).toMatchObject({ command, code: 0 });
    return ended;
  };
  workspace.write("own-storage.mjs", readFileSync(new URL("jobs/own-storage.mjs", import.meta.url), "utf8"));
  const job = { count: 20_000, ratePerSecond: 4_000, held: true, checkpointing: "inlineThreshold: 0" };
  workspace.write("job.mjs", countingJob(job));
  const leader = workspace.start(args("coordinator"));
  await takes("submit", "job.mjs");
  const worker = workspace.start(args("worker", "job.mjs", "--slots", "4"));
  await jobComesTo("counting", hasCompleted, "checkpoints");

  expect((await takes("list")).stdout).toContain("counting");
  await takes("status", "counting");
  expect((await takes("describe", "counting")).stdout).toContain("read at checkpoint");
  expect((await takes("doctor", "counting")).stdout).toMatch(/nothing is wrong with job counting/);
  await takes("checkpoints ls", "counting");
  await takes("checkpoints show", "counting");
  await takes("checkpoints verify", "counting");
  await takes("checkpoints gc", "counting");
  expect((await takes("state ls", "counting")).stdout).toContain("count");
  const { value } = JSON.parse(
    (await takes("state get", "counting", "count", "count", "3")).stdout.split("\n").at(-2)!,
  );
  expect(value).toBeGreaterThan(0);
  await takes("state get", "counting", "count", "count", "3", "--live");
  const dump = (await takes("state dump", "counting", "count")).stdout;
  expect(dump.trimEnd().split("\n").length).toBeGreaterThan(10);
  const rescaled = await takes("rescale", "counting", "--parallelism", "1", "--json");
  expect(JSON.parse(rescaled.stdout)).toMatchObject({ rescaled: true });
  await jobComesTo("counting", (now) => now.phase.startsWith("running"), "running again");
  await takes("savepoint", "counting", "--to", workspace.path("savepoints"));
  const stopped = JSON.parse(
    (await takes("stop", "counting", "--to", workspace.path("savepoints"), "--json")).stdout,
  );
  await takes("restore", "job.mjs", "--from", stopped.location);
  await takes("cancel", "counting");
  await jobComesTo("counting", ({ status }) => status === "canceled", "canceled");
  await Promise.all([worker, leader].map(stop));

  workspace.write("dump.ndjson", dump);
  await takes("state load", "job.mjs", "--from", "dump.ndjson", "--to", workspace.path("loaded"));
  const again = workspace.start(args("coordinator"));
  await takes("dispose", "job:counting");
  await stop(again);
  workspace.write("ends.mjs", countingJob({ name: "ends", count: 100, checkpointing: "inlineThreshold: 0" }));
  expect(await workspace.run(args("run", "ends.mjs"))).toMatchObject({ code: 0 });
  const printed = await workspace.run(["config", "print", "job.mjs", "--storage", MODULE]);
  expect(printed.stdout).toMatch(/checkpointing\.storage.*own-storage\.mjs/);
  expect([...taken, "config print"].sort()).toEqual(await commandsWithStorage());
});
