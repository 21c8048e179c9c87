/**
 * A job that is drained and whose code never ends: `cancel` and Ctrl-C end it within a bound, and say how it stands.
 */
import { existsSync, rmSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { wrongCounts } from "../jobs.ts";
import { SharedServer } from "../servers/shared-server.ts";
import { type Command, until } from "../workspace.ts";
import { HANG_FILE, hangingJob, type Place } from "./hanging-job.ts";

const shared = new SharedServer("drains");
const { here } = shared;

const committed = () =>
  until(
    () => existsSync(shared.workspace.path("out")) && shared.workspace.lines().length > 0,
    () => "committed output",
  );
const drain = () =>
  shared.workspace.start(here("stop", "counting", "--drain", "--to", shared.workspace.path("there")));
/** A run whose drain has come to where it hangs, in the words of `status`. */
const hung = async (where: Place, phase: string): Promise<[Command, Command]> => {
  shared.workspace.write("job.mjs", hangingJob(where));
  const running = shared.workspace.start(here("run", "job.mjs"));
  await committed();
  shared.workspace.write(HANG_FILE, "");
  const stopping = drain();
  await until(
    async () => (await shared.asks("status", "counting")).stdout.includes(phase),
    () => `status says "${phase}"; it says ${running.stdout}`,
  );
  return [running, stopping];
};
/** The command's own bound counts seconds: on a busy machine it may be over before the worker has been ended. */
async function canceled(): Promise<void> {
  const { code, stdout, stderr } = await shared.asks("cancel", "counting");
  if (code === 0) expect(stdout).toBe("job counting is canceled\n");
  else {
    expect(code).toBe(3);
    expect(stderr).toContain("It is canceled all the same, as soon as that is possible");
  }
}
const nobodyLeft = () => expect(shared.workspace.processes()).toEqual([]);
const isExact = () => {
  const lines = shared.workspace.lines();
  expect(wrongCounts(lines, lines.length)).toEqual([]);
};

describe("a function that never ends", () => {
  const DRAINING = "ending its sources to be drained";

  test("Ctrl-C ends the run with exit code 3, and the next one goes on from the last checkpoint", async () => {
    const [running, stopping] = await hung("onEnd", DRAINING);
    running.kill("SIGINT");
    const { code, stdout, stderr } = await running.ended;
    expect(code).toBe(3);
    expect(stdout).toMatch(
      /^cannot suspend: job counting is stopping with a savepoint already: .*If that takes too long, this run ends as by a crash/m,
    );
    expect(stderr).toMatch(
      /^tidemark: job counting has not ended within 2\d s.* It is as if it had crashed: nothing is lost\. Run it again/,
    );
    expect([3, 4]).toContain((await stopping.ended).code);
    nobodyLeft();

    rmSync(shared.workspace.path(HANG_FILE));
    const again = shared.workspace.start(here("run", "job.mjs"));
    const before = shared.workspace.lines().length;
    await until(
      () => shared.workspace.lines().length > before,
      () => "more output",
    );
    expect(await drain().ended).toMatchObject({ code: 0 });
    expect(await again.ended).toMatchObject({ code: 0, stderr: "" });
    isExact();
  });

  test("Ctrl-C twice ends at once", async () => {
    const [running] = await hung("onEnd", DRAINING);
    running.kill("SIGINT");
    await running.says("press Ctrl-C again");
    running.kill("SIGINT");
    expect(await running.ended).toMatchObject({ code: 130, stderr: "" });
    await until(
      () => shared.workspace.processes().every(({ commandLine }) => commandLine.includes(" stop ")),
      () => "the end of coordinator and worker",
    );
  });

  test("cancel ends the job", async () => {
    const [running, stopping] = await hung("onEnd", DRAINING);
    await canceled();
    expect(await running.ended).toMatchObject({ code: 1, stderr: "" });
    expect(running.stdout).toContain("job counting was canceled");
    expect([3, 4]).toContain((await stopping.ended).code);
    nobodyLeft();
  });
});

test("a sink whose transaction never becomes durable: cancel ends the job", async () => {
  const [running, stopping] = await hung("prepared", "taking the savepoint that it stops with");
  await canceled();
  expect(await running.ended).toMatchObject({ code: 1, stderr: "" });
  const stopped = await stopping.ended;
  expect(stopped.code).toBe(4);
  expect(stopped.stderr).toMatch(/^tidemark: the savepoint of job counting did not succeed: /m);
  nobodyLeft();
});

test("a sink whose commit never ends: it is decided, so each command says what it waits for, and the next start commits", async () => {
  const [running, stopping] = await hung("commit", "committing what was decided, then it ends");
  await running.says("trouble: committing output of lines, still tried: its commit has not ended within 5 s");
  const canceling = await shared.asks("cancel", "counting");
  expect(canceling.code).toBe(4);
  expect(canceling.stderr).toMatch(
    /job counting is ending already, and will be stopped: "tidemark status .*counting"/,
  );
  const stopped = await stopping.ended;
  expect(stopped.code).toBe(3);
  expect(stopped.stderr).toMatch(
    /it waits for: committing output of lines \(its commit has not ended within 5 s\)/,
  );
  running.kill("SIGINT");
  const { code, stderr } = await running.ended;
  expect(code).toBe(3);
  expect(stderr).toMatch(
    /^tidemark: job counting is settling: .*committing output of lines \(.*It stays decided/,
  );
  nobodyLeft();

  rmSync(shared.workspace.path(HANG_FILE));
  const again = await shared.asks("run", "job.mjs");
  expect(again).toMatchObject({ code: 0, stderr: "" });
  expect(again.stdout).toContain("job counting has stopped with a savepoint");
  isExact();
});
