/** The address of the nats-server that `tidemark run` provides: the same one at each run in a directory. */
import { createServer } from "node:net";
import { afterEach, expect, test } from "vitest";
import { freePort, startTestServer } from "../../support/servers/nats.ts";
import { countingJob } from "../jobs.ts";
import { type Command, Workspace } from "../workspace.ts";

const workspaces: Workspace[] = [];
const held = async () => {
  const workspace = await Workspace.create();
  workspaces.push(workspace);
  workspace.write("job.mjs", countingJob({ count: 100, held: true }));
  return workspace;
};
afterEach(async () => {
  for (const workspace of workspaces.splice(0)) await workspace.remove();
});

const urlOf = async (command: Command) =>
  /nats-server .* at (\S+),/.exec(await command.says(/nats-server .* at/))![1]!;
const suspended = async (command: Command) => {
  await command.says("checkpoints every");
  command.kill("SIGINT");
  expect(await command.ended).toMatchObject({ code: 0, stderr: "" });
};

test("a directory keeps its address, also one that --port has chosen; another directory has another one", async () => {
  const [a, b] = [await held(), await held()];
  const first = a.start(["run", "job.mjs"]);
  const beside = b.start(["run", "job.mjs"]);
  const url = await urlOf(first);
  expect(await urlOf(beside)).not.toBe(url);
  await Promise.all([suspended(first), suspended(beside)]);

  const port = await freePort();
  const chosen = a.start(["run", "job.mjs", "--port", String(port)]);
  expect(await urlOf(chosen)).toBe(`nats://127.0.0.1:${port}`);
  await suspended(chosen);
  const again = a.start(["run", "job.mjs"]);
  expect(await urlOf(again)).toBe(`nats://127.0.0.1:${port}`);

  // No other directory gets it meanwhile, and the user is told which one has it.
  const refused = await b.run(["run", "job.mjs", "--port", String(port)]);
  expect(refused.code).toBe(3);
  expect(refused.stderr).toMatch(
    `tidemark: port ${port} is taken by the nats-server of another "tidemark run", whose store is ${a.path(".tidemark/nats")}: ` +
      `end that run, use its server with --server nats://127.0.0.1:${port}, or choose another port with --port`,
  );
  // What could not be had is not kept.
  const back = b.start(["run", "job.mjs"]);
  expect(await urlOf(back)).not.toBe(`nats://127.0.0.1:${port}`);
  await Promise.all([suspended(again), suspended(back)]);
});

test("a port that another process has: which one, and what to do", async () => {
  const workspace = await held();
  const foreign = await startTestServer();
  const port = String(new URL(foreign.url).port);
  const byServer = await workspace.run(["run", "job.mjs", "--port", port]);
  await foreign.stop();
  expect(byServer.code).toBe(3);
  expect(byServer.stderr).toMatch(
    /port \d+ is taken by a nats-server \d+\.\d+\.\d+ that no "tidemark run" has started: use it with --server nats:\/\/127.0.0.1:\d+, or choose another port with --port/,
  );

  const silent = createServer();
  await new Promise<void>((listening) => silent.listen(Number(port), "127.0.0.1", listening));
  const byOther = await workspace.run(["run", "job.mjs", "--port", port]);
  await new Promise((closed) => silent.close(closed));
  expect(byOther.code).toBe(3);
  expect(byOther.stderr).toMatch(
    `tidemark: port ${port} of 127.0.0.1 is taken by a process that is no nats-server: stop it, or choose another port`,
  );
});

test.each([
  [["--port", "0"], /--port.*from 1 to 65535/],
  [
    ["--port", "4222", "--server", "nats://127.0.0.1:4222"],
    /--port is that of the nats-server which run provides/,
  ],
])("%j is refused", async (flags, why) => {
  const workspace = await held();
  const { code, stderr } = await workspace.run(["run", "job.mjs", ...flags]);
  expect(code).toBe(2);
  expect(stderr).toMatch(why);
});
