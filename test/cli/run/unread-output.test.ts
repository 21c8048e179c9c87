/**
 * Output that its reader does not take, that finds no room, or that has no reader any more: no command hangs or ends by
 * it.
 */
import { execFileSync, spawn } from "node:child_process";
import { closeSync, existsSync, openSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { FullPipe } from "../../support/full-pipe.ts";
import { countingJob, wrongCounts } from "../jobs.ts";
import { SharedServer } from "../servers/shared-server.ts";
import { type Command, mainFile, until } from "../workspace.ts";

const shared = new SharedServer("unread");
const { here } = shared;
const COUNT = 2000;
const open: number[] = [];
afterEach(() => {
  for (const descriptor of open.splice(0)) closeSync(descriptor);
});

const writes = (path: string) => {
  const descriptor = openSync(path, "w");
  open.push(descriptor);
  return descriptor;
};
const fullPipe = (name: string) => new FullPipe(shared.workspace.path(name));
const job = (held: boolean) =>
  shared.workspace.write(
    "job.mjs",
    countingJob({ count: COUNT, ...(held ? { ratePerSecond: 400, held } : {}) }),
  );
const committed = () =>
  until(
    () => existsSync(shared.workspace.path("out")) && shared.workspace.lines().length > 0,
    () => "committed output",
  );
const isAlone = (command: Command) =>
  until(
    () => shared.workspace.processes().every(({ pid }) => pid === command.pid),
    () => `the end of all other processes: ${JSON.stringify(shared.workspace.processes())}`,
  );
const ended = (name: string) =>
  until(
    async () => (await shared.asks("list")).stdout.includes(name),
    () => `the job is ${name}`,
  );

describe("a pipe that is full and not read", () => {
  test.each(["SIGTERM", "SIGINT"] as const)(
    "%s suspends a run, which ends and says that its last word is lost",
    async (signal) => {
      job(true);
      const pipe = fullPipe("pipe");
      const running = shared.workspace.start(here("run", "job.mjs"), { stdout: pipe.writeEnd });
      await committed();
      running.kill(signal);
      const { code, stderr } = await running.ended;
      expect(stderr).toMatch(/^tidemark: standard output cannot be written \(it is full.*\n$/);
      expect(code).toBe(3);
      expect((await shared.asks("list")).stdout).toMatch(/counting +suspended/);
      shared.workspace.release();
      expect(await shared.asks("run", "job.mjs")).toMatchObject({ code: 0, stderr: "" });
      expect(wrongCounts(shared.workspace.lines(), COUNT)).toEqual([]);
    },
  );

  test.each([["as text"], ["--json"]])(
    "a reader that comes back gets the last word, and the exit code is that of the job %s",
    async (form) => {
      const flags = form === "--json" ? [form] : [];
      job(false);
      const pipe = fullPipe("pipe");
      const running = shared.workspace.start(here("run", "job.mjs", ...flags), { stdout: pipe.writeEnd });
      await ended("finished");
      await isAlone(running);
      let text = "";
      await until(
        () => {
          text = pipe.read();
          return running.child.exitCode !== null;
        },
        () => text,
      );
      expect(await running.ended).toMatchObject({ code: 0, stderr: "" });
      if (flags.length > 0) expect(JSON.parse(text)).toMatchObject({ job: "counting", status: "finished" });
      else expect(text).toMatch(/job counting has finished: all input processed.*\n$/);
    },
  );
});

test("logs that are not read, or that find no room, hold up and end neither coordinator nor worker", async () => {
  job(true);
  const processes = [
    shared.workspace.start(here("coordinator", "--log-level", "debug"), { stderr: fullPipe("log").writeEnd }),
    shared.workspace.start(here("worker", "job.mjs", "--log-level", "debug"), {
      stderr: writes("/dev/full"),
    }),
    shared.workspace.start(here("coordinator", "--log-level", "debug", "--log-file", "/dev/full")),
  ];
  expect(await shared.asks("submit", "job.mjs")).toMatchObject({ code: 0 });
  await committed();
  shared.workspace.release();
  await ended("finished");
  expect(wrongCounts(shared.workspace.lines(), COUNT)).toEqual([]);
  for (const process of processes) process.kill("SIGTERM");
  for (const process of processes) expect(await process.ended).toMatchObject({ code: 0, signal: null });
});

const terminals = (() => {
  try {
    return execFileSync("script", ["--version"]).includes("util-linux");
  } catch {
    return false;
  }
})();

test.skipIf(!terminals)("a terminal that stands still holds up no worker", async () => {
  const text = countingJob({ count: COUNT, ratePerSecond: 400, held: true });
  shared.workspace.write("job.mjs", `process.stderr.write("x".repeat(200_000));\n${text}`);
  const pipe = fullPipe("screen");
  const line = [process.execPath, mainFile, ...here("worker", "job.mjs")].join(" ");
  // It stops reading from the terminal once its own output is full.
  spawn("script", ["-qfc", line, "/dev/null"], {
    cwd: shared.workspace.dir,
    stdio: ["ignore", pipe.writeEnd, "ignore"],
  });
  const coordinator = shared.workspace.start(here("coordinator"));
  expect(await shared.asks("submit", "job.mjs")).toMatchObject({ code: 0 });
  await committed();
  const workers = shared.workspace
    .processes()
    .filter(
      ({ commandLine }) => commandLine.startsWith(process.execPath) && commandLine.includes(" worker "),
    );
  expect(workers).toHaveLength(1);
  process.kill(workers[0]!.pid, "SIGTERM");
  await until(
    () => shared.workspace.processes().every(({ pid }) => pid !== workers[0]!.pid),
    () => "the end of the worker",
  );
  coordinator.kill("SIGTERM");
  await coordinator.ended;
});

describe("standard output that has no room", () => {
  test("is said in one line and by the exit code, whatever the command; what was asked for is done", async () => {
    job(false);
    const fails = async (...args: string[]) => {
      const answer = await shared.workspace.run(args, { stdout: writes("/dev/full") });
      expect(answer.stderr, args.join(" ")).toMatch(
        /^tidemark: standard output cannot be written \(ENOSPC: .*\): what the command says is lost.*\n$/,
      );
      expect(answer.code, args.join(" ")).toBe(3);
    };
    await fails(...here("run", "job.mjs"));
    expect(wrongCounts(shared.workspace.lines(), COUNT)).toEqual([]);
    const asked = [
      ["list"],
      ["list", "--json"],
      ["describe", "counting", "--json"],
      ["checkpoints", "ls", "counting"],
      ["dispose", "job:counting", "--json"],
    ];
    for (const args of asked) await fails(...here(...args));
    expect((await shared.asks("list")).stdout).not.toContain("counting");
    for (const args of [["--version"], ["--help"], ["list", "--help"], ["config", "print"]])
      await fails(...args);
    // Its own reason comes first.
    const refused = await shared.workspace.run(here("describe", "nobody"), { stdout: writes("/dev/full") });
    expect(refused).toMatchObject({ code: 4 });
  });

  test("a reader that has gone is no failure, and ends no job", async () => {
    const gone = (name: string) => {
      const pipe = fullPipe(name);
      pipe.leave();
      return { stdout: pipe.writeEnd };
    };
    expect(await shared.workspace.run(here("list"), gone("a"))).toMatchObject({ code: 0, stderr: "" });
    expect(await shared.workspace.run(["config", "print", "--json"], gone("b"))).toMatchObject({
      code: 0,
      stderr: "",
    });
    job(false);
    expect(await shared.workspace.run(here("run", "job.mjs"), gone("c"))).toMatchObject({
      code: 0,
      stderr: "",
    });
    expect(wrongCounts(shared.workspace.lines(), COUNT)).toEqual([]);
  });
});
