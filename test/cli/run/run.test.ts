/** `tidemark run` as its user knows it: real processes, real signals. */
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { countingJob, wrongCounts } from "../jobs.ts";
import { type Command, kill, until, Workspace } from "../workspace.ts";

let workspace: Workspace;
beforeEach(async () => {
  workspace = await Workspace.create();
});
afterEach(() => workspace.remove());

/** It ends when the test lets it. */
const LONG = { count: 16_000, ratePerSecond: 2_000, held: true };

/** Until output has been committed at least once, so that a checkpoint is behind us. */
const committed = () =>
  until(
    () => existsSync(workspace.path("out")) && workspace.lines().length > 0,
    () => "committed output",
  );
const nobodyLeft = () =>
  until(
    () => workspace.processes().length === 0,
    () => `the end of ${JSON.stringify(workspace.processes(), undefined, 1)}`,
  );
const started = async (command: Command) => {
  await command.says("checkpoints every");
  await committed();
};

describe("a job runs to its end", () => {
  test.each(["ts", "js"] as const)("job in %s", async (language) => {
    const file = language === "ts" ? "job.ts" : "job.mjs";
    workspace.write(file, countingJob({ count: 2_000 }, language));
    const { code, stdout, stderr } = await workspace.run(["run", file]);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(stdout).toMatch(/job counting has finished/);
    expect(wrongCounts(workspace.lines(), 2_000)).toEqual([]);
    await nobodyLeft();
  });

  test("run again says that it has finished, and --fresh starts over", async () => {
    workspace.write("job.mjs", countingJob({ count: 1_000 }));
    expect((await workspace.run(["run", "job.mjs"])).code).toBe(0);
    const again = await workspace.run(["run", "job.mjs"]);
    expect(again.code).toBe(4);
    expect(again.stderr).toMatch(/job counting has finished already.*--fresh/);
    expect(workspace.lines()).toHaveLength(1_000);
    const fresh = await workspace.run(["run", "job.mjs", "--fresh"]);
    expect(fresh.code).toBe(0);
    const lines = workspace.lines();
    expect(lines).toHaveLength(2_000);
    expect(new Set(lines).size).toBe(1_000);
  });

  test("says how late records were that no window took, and what would have taken them", async () => {
    workspace.write(
      "job.mjs",
      `
import { boundedOutOfOrderness, defineJob, fileSink, generatorSource, tumblingWindows } from "tidemark";
// Each fiftieth item comes 5 s late, so its window ended 4,490 ms too early, or less.
const generate = (i) => ({ key: i % 7, at: i * 10 - (i % 50 === 0 ? 5000 : 0) });
export default defineJob("late", { parallelism: 2 }, (job) => {
  job
    .source("items", generatorSource({ count: 1e9, ratePerSecond: 2000, generate }), {
      timestamp: ({ at }) => at,
      watermarks: boundedOutOfOrderness(1),
      watermarkInterval: 0,
      parallelism: 1,
    })
    .keyBy(({ key }) => key)
    .window(tumblingWindows({ size: 1000 }))
    .process("count", (all) => all.length)
    .sink("counts", fileSink({ directory: "counts" }));
});
`,
    );
    const running = workspace.start(["run", "job.mjs"]);
    await running.says(
      'late records: count: [\\d,]+ too late, .* allowedLateness "4\\.5 s", or watermarks 4\\.5 s later, would',
    );
    running.kill("SIGINT");
    expect((await running.ended).stdout).toMatch(/job late is suspended/);
  });

  test("--json prints one JSON object and nothing else", async () => {
    workspace.write("job.mjs", countingJob({ count: 1_000 }));
    const { code, stdout, stderr } = await workspace.run(["run", "job.mjs", "--json"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(JSON.parse(stdout)).toMatchObject({ job: "counting", status: "finished", restarts: 0 });
  });
});

describe("signals", () => {
  test.each([
    ["Ctrl-C", "SIGINT", true],
    ["SIGINT", "SIGINT", false],
    ["SIGTERM", "SIGTERM", false],
  ] as const)("%s suspends; run goes on from there", async (_, signal, toGroup) => {
    workspace.write("job.mjs", countingJob(LONG));
    const first = workspace.start(["run", "job.mjs"], { ownGroup: toGroup });
    await started(first);
    // A terminal sends it to the whole group.
    if (toGroup) kill(-first.pid, signal);
    else first.kill(signal);
    const suspended = await first.ended;
    expect(suspended.stderr).toBe("");
    expect(suspended).toMatchObject({ code: 0, signal: null });
    expect(suspended.stdout).toMatch(/job counting is suspended.*run it again to go on/s);
    expect(workspace.lines().length).toBeLessThan(LONG.count);
    await nobodyLeft();

    workspace.release();
    const second = await workspace.run(["run", "job.mjs"]);
    expect(second).toMatchObject({ code: 0, stderr: "" });
    expect(wrongCounts(workspace.lines(), LONG.count)).toEqual([]);
  });

  test("a second Ctrl-C ends at once, and nothing is lost", async () => {
    workspace.write("job.mjs", countingJob(LONG));
    const first = workspace.start(["run", "job.mjs"]);
    await started(first);
    // Workers that do not answer cannot suspend.
    for (const { pid, commandLine } of workspace.processes())
      if (commandLine.includes(" worker ")) kill(pid, "SIGSTOP");
    first.kill("SIGINT");
    await first.says("press Ctrl-C again");
    first.kill("SIGINT");
    expect(await first.ended).toMatchObject({ code: 130 });
    await nobodyLeft();

    workspace.release();
    expect(await workspace.run(["run", "job.mjs"])).toMatchObject({ code: 0, stderr: "" });
    expect(wrongCounts(workspace.lines(), LONG.count)).toEqual([]);
  });

  test("SIGKILL leaves no process behind, and run goes on from the last checkpoint", async () => {
    workspace.write("job.mjs", countingJob(LONG));
    const first = workspace.start(["run", "job.mjs"]);
    await started(first);
    expect(workspace.processes().length).toBeGreaterThanOrEqual(5);
    first.kill("SIGKILL");
    await first.ended;
    await nobodyLeft();

    workspace.release();
    const second = await workspace.run(["run", "job.mjs"]);
    expect(second).toMatchObject({ code: 0, stderr: "" });
    expect(wrongCounts(workspace.lines(), LONG.count)).toEqual([]);
  });

  test("SIGKILL at any moment of the start leaves no process behind", async () => {
    workspace.write("job.mjs", countingJob(LONG));
    for (const afterMs of [0, 30, 60, 90, 120, 200, 300, 500, 700, 900]) {
      const command = workspace.start(["run", "job.mjs"]);
      await command.says("nats-server .* at");
      await sleep(afterMs);
      command.kill("SIGKILL");
      await command.ended;
      await nobodyLeft();
    }
    workspace.release();
    expect(await workspace.run(["run", "job.mjs"])).toMatchObject({ code: 0, stderr: "" });
    expect(wrongCounts(workspace.lines(), LONG.count)).toEqual([]);
  });

  test("a killed run started over with --fresh gives the whole output again", async () => {
    workspace.write("job.mjs", countingJob(LONG));
    const first = workspace.start(["run", "job.mjs"]);
    await started(first);
    first.kill("SIGKILL");
    // Its workers commit what has been decided, as long as they live.
    await nobodyLeft();
    const before = new Set(workspace.files());
    workspace.release();
    expect(await workspace.run(["run", "job.mjs", "--fresh"])).toMatchObject({ code: 0, stderr: "" });
    const fresh = workspace.files().filter((file) => !before.has(file));
    expect(wrongCounts(workspace.lines("out", fresh), LONG.count)).toEqual([]);
  });

  test.each(["SIGINT", "SIGTERM"] as const)("%s while everything is still starting", async (signal) => {
    workspace.write("job.mjs", countingJob(LONG));
    const command = workspace.start(["run", "job.mjs"]);
    await command.says("nats-server .* at");
    command.kill(signal);
    const { code } = await command.ended;
    expect([0, 130]).toContain(code);
    await nobodyLeft();
    workspace.release();
    expect(await workspace.run(["run", "job.mjs"])).toMatchObject({ code: 0, stderr: "" });
    expect(wrongCounts(workspace.lines(), LONG.count)).toEqual([]);
  });

  test("nats-server killed: run says so and ends; run again goes on", async () => {
    workspace.write("job.mjs", countingJob(LONG));
    const first = workspace.start(["run", "job.mjs"]);
    await started(first);
    const server = workspace
      .processes()
      .find(({ commandLine }) => /nats-server\S* -c/.test(commandLine) && !/guardian/.test(commandLine));
    kill(server!.pid);
    const ended = await first.ended;
    expect(ended.code).toBe(3);
    expect(ended.stderr).toMatch(/^tidemark: nats-server ended by itself; run it again to go on/m);
    await nobodyLeft();

    workspace.release();
    expect(await workspace.run(["run", "job.mjs"])).toMatchObject({ code: 0, stderr: "" });
    expect(wrongCounts(workspace.lines(), LONG.count)).toEqual([]);
  });

  test("canceled from elsewhere: exit code 1, and the output stays as committed", async () => {
    workspace.write("job.mjs", countingJob(LONG));
    const running = workspace.start(["run", "job.mjs"]);
    await started(running);
    const url = /nats-server .* at (\S+),/.exec(running.stdout)![1]!;
    expect(await workspace.run(["cancel", "counting", "--server", url])).toMatchObject({
      code: 0,
      stderr: "",
    });
    const ended = await running.ended;
    expect(ended).toMatchObject({ code: 1, stderr: "" });
    expect(ended.stdout).toMatch("job counting was canceled");
    expect(new Set(workspace.lines()).size).toBe(workspace.lines().length);
  });

  test("stopped from elsewhere with a savepoint: it ends, too, and says where that is", async () => {
    workspace.write("job.mjs", countingJob(LONG));
    const running = workspace.start(["run", "job.mjs"]);
    await started(running);
    const url = /nats-server .* at (\S+),/.exec(running.stdout)![1]!;
    const to = workspace.path("savepoints");
    const stopped = await workspace.run(["stop", "counting", "--server", url, "--to", to, "--json"]);
    expect(stopped).toMatchObject({ code: 0, stderr: "" });
    const { location } = JSON.parse(stopped.stdout) as { location: string };
    const ended = await running.ended;
    expect(ended).toMatchObject({ code: 0, stderr: "" });
    expect(ended.stdout).toMatch("job counting has stopped with a savepoint");
    const again = await workspace.run(["run", "job.mjs"]);
    expect(again.code).toBe(4);
    expect(again.stderr).toMatch(`was stopped with savepoint ${location}`);
  });

  test("a second run in the same directory waits, and says for whom", async () => {
    workspace.write("job.mjs", countingJob(LONG));
    const running = workspace.start(["run", "job.mjs"]);
    await started(running);
    const second = await workspace.run(["run", "job.mjs"]);
    expect(second.code).toBe(3);
    expect(second.stdout).toMatch(/waiting for the nats-server with pid \d+/);
    expect(second.stderr).toMatch(
      /^tidemark: the store directory .* is in use by the nats-server with pid \d+; .* with --server nats:\/\/127.0.0.1:\d+/,
    );
    running.kill("SIGINT");
    expect(await running.ended).toMatchObject({ code: 0 });
  });

  test("workers and coordinator may be killed at any time", async () => {
    workspace.write("job.mjs", countingJob({ ...LONG, options: 'restart: { initialBackoff: "100ms" }' }));
    const command = workspace.start(["run", "job.mjs"]);
    await started(command);
    for (const part of [" worker ", " coordinator"]) {
      const victim = workspace.processes().find(({ commandLine }) => commandLine.includes(part));
      expect(victim).toBeDefined();
      const lines = workspace.lines().length;
      kill(victim!.pid);
      await until(
        () => workspace.lines().length > lines,
        () => `output after the ${part} was killed`,
      );
    }
    workspace.release();
    expect(await command.ended).toMatchObject({ code: 0 });
    expect(wrongCounts(workspace.lines(), LONG.count)).toEqual([]);
    await nobodyLeft();
  });
});
