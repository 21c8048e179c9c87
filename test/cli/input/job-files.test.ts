/**
 * What the code in a job file does to the process that loads it changes neither the end nor the output of a command.
 */
import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { countingJob, wrongCounts } from "../jobs.ts";
import { type Command, type Ended, until, Workspace } from "../workspace.ts";

let server: TestServer;
let workspace: Workspace;
let coordinator: Command;
let files = 0;

beforeAll(async () => {
  server = await startTestServer();
  workspace = await Workspace.create();
  coordinator = workspace.start(["coordinator", "--server", server.url]);
});
afterAll(async () => {
  coordinator.kill("SIGTERM");
  await coordinator.ended;
  await workspace.remove();
  await server.stop();
});

/** What each command says of a job named "job", whatever its name is. */
interface Said {
  readonly [command: string]: Pick<Ended, "code" | "stdout" | "stderr">;
}

async function say(mischief: string): Promise<Said> {
  const name = `job${files++}`;
  const file = `${name}.mjs`;
  workspace.write(file, `${mischief}\n${countingJob({ name, count: 10 })}`);
  const commands = {
    print: ["config", "print", file, "--json"],
    restore: ["restore", file, "--from", "checkpoint:nobody", "--dry-run", "--json", "--server", server.url],
    // Last: a job that is there already is a reason to refuse the restore.
    submit: ["submit", file, "--json", "--server", server.url],
  };
  const said: Record<string, Said[string]> = {};
  for (const [command, args] of Object.entries(commands)) {
    const { code, stdout, stderr } = await workspace.run(args);
    said[command] = { code, stdout: stdout.replaceAll(name, "job"), stderr: stderr.replaceAll(name, "job") };
  }
  return said;
}

describe("describing it and handing it in", () => {
  let calm: Said;
  beforeAll(async () => {
    calm = await say("");
    expect(calm.print).toMatchObject({ code: 0, stderr: "" });
    expect(calm.submit).toMatchObject({ code: 0, stdout: '{"job":"job","submitted":true}\n', stderr: "" });
    expect(calm.restore).toMatchObject({ code: 4, stdout: "" });
    expect(calm.restore!.stderr).toMatch(/^tidemark: .*nobody/);
  });

  test.each<[string, string[], string[]]>([
    [
      "faults that come later, each named once",
      [
        'setInterval(() => { throw new Error("late"); }, 1);',
        'Promise.reject(new TypeError("alone"));',
        'Promise.reject("no error");',
        "setTimeout(() => process.exit(9), 1);",
      ],
      [
        "uncaught exception in the job's code: Error: late (at job.mjs:1)",
        "unhandled rejection in the job's code: TypeError: alone (at job.mjs:2)",
        "unhandled rejection in the job's code: no error",
        "uncaught exception in the job's code: Error: process.exit(9) was called after the job file was loaded (at job.mjs:4)",
      ],
    ],
    [
      "listeners, those of others removed and its own added",
      [
        "process.removeAllListeners();",
        'process.on("uncaughtException", () => process.exit(9));',
        'process.on("exit", () => process.exit(9));',
        'setTimeout(() => { throw new Error("late"); }, 1);',
      ],
      ["uncaught exception in the job's code: Error: late (at job.mjs:4)"],
    ],
    [
      "exit code, streams, directory and environment",
      [
        "process.exitCode = 9; setTimeout(() => { process.exitCode = 9; }, 1);",
        "process.stdout.write = process.stderr.write = () => true;",
        'process.chdir("/");',
        'process.env.TIDEMARK_PARALLELISM = "7"; process.env.TIDEMARK_SERVER = "nats://nowhere";',
      ],
      [],
    ],
  ])("%s", async (_, mischief, expected) => {
    const said = await say(mischief.join("\n"));
    for (const [command, { code, stdout, stderr }] of Object.entries(said)) {
      const others = stderr.replaceAll(/^tidemark: warning: .*\n/gm, "");
      expect({ command, code, stdout, stderr: others }).toEqual({ command, ...calm[command] });
      // The command that asks no other process may end before a timer fires.
      if (command === "print") continue;
      const warnings = stderr.match(/^tidemark: warning: .*$/gm) ?? [];
      expect([command, warnings.sort()]).toEqual([
        command,
        expected.map((words) => `tidemark: warning: ${words}; the command goes on without it`).sort(),
      ]);
    }
  });
});

test("running it: signals, directory, environment and exit code are the command's own", async () => {
  const mischief = `
    process.removeAllListeners("SIGTERM"); process.on("SIGINT", () => process.exit(9)); process.on("exit", () => { process.exitCode = 9; });
    process.chdir("/"); process.env.TIDEMARK_PARALLELISM = "7"; process.exitCode = 9;`;
  workspace.write(
    "mischief.mjs",
    `${mischief}\n${countingJob({ count: 2000, ratePerSecond: 2000, held: true, name: "mischief", directory: workspace.path("written") })}`,
  );
  const args = ["run", "mischief.mjs", "--json", "--events", "events.jsonl", "--server", server.url];
  const first = workspace.start(args);
  await until(
    () =>
      existsSync(workspace.path("events.jsonl")) &&
      /checkpoint.completed/.test(workspace.read("events.jsonl")),
    () => "a checkpoint",
  );
  first.kill("SIGINT");
  const suspended = await first.ended;
  expect(suspended.code).toBe(0);
  expect(JSON.parse(suspended.stdout)).toMatchObject({ status: "suspended" });
  workspace.release();
  const finished = await workspace.run(args);
  expect(finished.code).toBe(0);
  expect(JSON.parse(finished.stdout)).toMatchObject({ status: "finished" });
  expect(workspace.read("events.jsonl")).toContain('"job":"mischief"');
  expect(wrongCounts(workspace.lines("written"), 2000)).toEqual([]);
});
