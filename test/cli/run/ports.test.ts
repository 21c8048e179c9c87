/** Address and token of the nats-server that `tidemark run` provides: the same ones at each run in a directory. */
import { chmodSync, statSync } from "node:fs";
import { createServer } from "node:net";
import { connect } from "@nats-io/transport-node";
import { afterEach, expect, test } from "vitest";
import { provideNatsServer } from "../../../src/nats/server/server-binary.ts";
import { freePort, startTestServer } from "../../support/servers/nats.ts";
import { countingJob } from "../jobs.ts";
import { type Command, until, Workspace } from "../workspace.ts";

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

const CONTEXT = ".tidemark/nats/context.json";
const contextIn = (workspace: Workspace) =>
  JSON.parse(workspace.read(CONTEXT)) as { readonly url: string; readonly token: string };
/** Of all processes of the run, once each of these words is in one. */
async function commandLinesWith(workspace: Workspace, words: readonly string[]): Promise<string[]> {
  const lines = () => workspace.processes().map(({ commandLine }) => commandLine);
  await until(
    () => words.every((word) => lines().some((line) => line.includes(word))),
    () => lines().join("\n"),
  );
  return lines();
}
const refusalOf = (url: string, token?: string) =>
  connect({ servers: url, reconnect: false, ...(token !== undefined && { token }) }).then(
    async (connection) => `let in ${await connection.close()}`,
    (error: unknown) => String(error),
  );

test("only its token lets a client in; our commands and the nats tool find it, and it stands on no command line", async () => {
  const workspace = await held();
  const run = workspace.start(["run", "job.mjs"], { env: { TIDEMARK_TOKEN: "of-another-server" } });
  const url = await urlOf(run);
  await run.says("checkpoints every");
  const { token } = contextIn(workspace);
  expect(token).toMatch(/^[\w-]{32}$/);
  for (const refused of [undefined, "", "another", `${token}x`])
    expect(await refusalOf(url, refused)).toMatch("Authorization Violation");
  expect(await refusalOf(url, token)).toBe("let in undefined");

  for (const server of [url, url.replace("127.0.0.1", "localhost"), url.slice("nats://".length)]) {
    const listed = await workspace.run(["list", "--server", server]);
    expect(listed).toMatchObject({ code: 0, stderr: "" });
    expect(listed.stdout).toMatch(/^counting +\w+/m);
  }
  workspace.shell(`nats stream add OTHER --subjects=other --context=${CONTEXT}`);
  for (const file of ["context.json", "nats-server.conf"])
    expect(statSync(workspace.path(`.tidemark/nats/${file}`)).mode & 0o777, file).toBe(0o600);
  const lines = await commandLinesWith(workspace, ["nats-server", "coordinator", "worker"]);
  for (const line of lines) expect(line).not.toContain(token);
  const logs = ["coordinator", "worker-1"].map((name) =>
    workspace.read(`.tidemark/logs/counting/${name}.log`),
  );
  for (const said of [run.stdout, run.stderr, ...logs]) expect(said).not.toContain(token);
  await suspended(run);

  // A damaged file is no reason not to start, and what it says is kept otherwise.
  const again = workspace.start(["run", "job.mjs"]);
  expect(await urlOf(again)).toBe(url);
  expect(contextIn(workspace).token).toBe(token);
  await suspended(again);
  workspace.write(CONTEXT, workspace.read(CONTEXT).slice(0, 20));
  const anew = workspace.start(["run", "job.mjs"]);
  await suspended(anew);
  expect(contextIn(workspace).token).not.toBe(token);
});

test("a store whose disk is full is named once, with what goes on", async () => {
  const workspace = await held();
  const { path } = await provideNatsServer();
  const line =
    "[7] 2026/01/01 00:00:00.000000 [ERR] Critical write error: write 1.blk: no space left on device";
  const script = workspace.write(
    "nats-server",
    `#!/bin/sh\n{ sleep 1; echo "${line}"; echo "${line}"; } >&2 &\nexec "${path}" "$@"\n`,
  );
  chmodSync(script, 0o755);
  const run = workspace.start(["run", "job.mjs"], { env: { TIDEMARK_NATS_SERVER: script } });
  await run.says(
    `the disk of the store ${workspace.path(".tidemark/nats")} is full, so nats-server stores nothing any more \\(Critical write error: .*\\); ` +
      "make room, then end this run and run it again",
  );
  await run.says("checkpoints every");
  run.kill("SIGINT");
  const { code, stderr } = await run.ended;
  expect(code).toBe(0);
  expect(stderr.match(/the disk of the store/g)).toHaveLength(1);
});

test("a process that greets as such a server does is not told the token", async () => {
  const workspace = await held();
  await suspended(workspace.start(["run", "job.mjs"]));
  const { url, token } = contextIn(workspace);
  const heard: string[] = [];
  const info = {
    ...{ server_id: "N", server_name: `tidemark-run:${encodeURI(workspace.path(".tidemark/nats"))}` },
    ...{ version: "2.12.0", proto: 1, max_payload: 1_048_576, headers: true, auth_required: true },
  };
  const pretender = createServer((client) => {
    client.write(`INFO ${JSON.stringify(info)}\r\n`);
    client.on("error", () => undefined);
    client.on("data", (data) => {
      heard.push(data.toString());
      client.end("-ERR 'Authorization Violation'\r\n");
    });
  });
  await new Promise<void>((listening) => pretender.listen(Number(new URL(url).port), "127.0.0.1", listening));
  const listed = await workspace.run(["list", "--server", url]);
  await new Promise((closed) => pretender.close(closed));
  expect(listed.code).toBe(3);
  expect(listed.stderr).toMatch(/asks for credentials, and none are given/);
  expect(heard.join()).toContain("CONNECT");
  expect(heard.join()).not.toContain(token);
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
