/**
 * What has finished stays finished in a restored job, and is not put behind what has not (P46): with real processes.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Cluster, createClient, openCluster } from "../../../src/cli/assembly.ts";
import type { JobReport } from "../../../src/control/messages.ts";
import { connectNats } from "../../../src/nats/connection/connect.ts";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { type Command, until, Workspace } from "../workspace.ts";

// Real processes on a machine that others use too.

const PREFIX = "finished";
const KEYS = 5;

let server: TestServer;
let workspace: Workspace;
let cluster: Cluster;
const parts: Command[] = [];

beforeAll(async () => {
  server = await startTestServer();
  cluster = await openCluster(await connectNats({ servers: server.url, name: "test" }), { prefix: PREFIX });
  workspace = await Workspace.create();
});
afterAll(async () => {
  for (const part of parts) part.kill("SIGKILL");
  await workspace.remove();
  await cluster.nats.connection.close();
  await server.stop();
});

/** A branch that ends soon, and tells its tallies at its end; beside it one that never does. */
const job = (name: string, inFront = "") => `
import { defineJob, fileSink, generatorSource, valueState } from "tidemark";
export default defineJob("${name}", { parallelism: 2, checkpointing: { interval: "200ms" } }, (job) => {
  job
    .source("few", generatorSource({ count: 100, splits: 2, generate: (index) => index }))
    ${inFront}
    .keyBy((number) => number % ${KEYS})
    .process("tally", {
      state: { count: valueState(0) },
      onRecord: (_number, { state }) => state.count.set(state.count.get() + 1),
      onEnd: ({ key, state }) => \`\${key} \${state.count.get()}\`,
    })
    .sink("tallies", fileSink({ directory: "${name}-tallies" }));
  job
    .source("many", generatorSource({ ratePerSecond: 100, splits: 2, generate: (index) => index }))
    .sink("numbers", fileSink({ directory: "${name}-numbers" }));
});
`;
const EXTRA = '.map("extra", (number) => number)';
const tallies = Array.from({ length: KEYS }, (_, key) => `${key} ${100 / KEYS}`);

const here = (...args: string[]) => [...args, "--server", server.url, "--prefix", PREFIX];
const asks = (...args: string[]) => workspace.run(here(...args));
const startWorkers = (file: string) => {
  for (let i = 0; i < 2; i++) parts.push(workspace.start(here("worker", file, "--slots", "2")));
};

async function comesTo(name: string, met: (now: JobReport) => boolean, what: string): Promise<void> {
  let last: JobReport | undefined;
  await until(
    async () => {
      last = await createClient(cluster).status(name);
      return last !== undefined && met(last);
    },
    () => `${what}; at last ${JSON.stringify(last)}`,
  );
}

async function refused(words: RegExp, ...args: string[]): Promise<void> {
  for (const dry of [["--dry-run"], []]) {
    const answer = await asks("restore", ...args, ...dry);
    expect(answer.stderr).toMatch(words);
    expect(answer.code).toBe(4);
  }
}

test("a savepoint in which a branch has finished", async () => {
  workspace.write("job.js", job("first"));
  parts.push(workspace.start(here("coordinator")));
  expect(await asks("submit", "job.js")).toMatchObject({ code: 0 });
  startWorkers("job.js");
  const written = (name: string) => {
    try {
      return workspace.lines(`${name}-tallies`);
    } catch {
      return [];
    }
  };
  await until(
    () => written("first").length === KEYS,
    () => `the tallies; there are ${JSON.stringify(written("first"))}`,
  );
  const { stdout } = await asks("savepoint", "first", "--to", workspace.path("savepoints"), "--json");
  const { location } = JSON.parse(stdout) as { location: string };

  workspace.write("added.js", job("added", EXTRA));
  await refused(/operator few has finished, and operator extra, .* is new: /, "added.js", "--from", location);
  workspace.write("other.js", job("other", `${EXTRA}.rebalance()`));
  await refused(/operator few has finished, and operator extra, .* is new: /, "other.js", "--from", location);
  workspace.write("second.js", job("second"));
  const drop = ["--from", location, "--drop", "few"];
  await refused(
    /operator tally has finished, and operator few, .* begins anew, since its state is dropped/,
    "second.js",
    ...drop,
  );
  expect((await asks("status", "second")).code).toBe(4);

  // The former graph goes on, and its end is not told a second time.
  const shown = await asks("restore", "second.js", "--from", location, "--dry-run");
  expect(shown.stdout).toMatch(/^ *tally +matched +2 subtasks +count/m);
  expect(await asks("restore", "second.js", "--from", location)).toMatchObject({ code: 0 });
  startWorkers("second.js");
  await comesTo("second", ({ checkpoints }) => checkpoints.completed > 2, "checkpoints of the restored job");
  expect(written("second")).toEqual([]);
  expect(written("first").sort()).toEqual(tallies);

  // Nor is a job resumed with another graph than it had.
  await createClient(cluster).suspend("first");
  await comesTo("first", ({ status }) => status === "suspended", "suspended");
  workspace.write("job.js", job("first", EXTRA));
  const again = await asks("submit", "job.js");
  expect(again).toMatchObject({ code: 4 });
  expect(again.stderr).toMatch(/graph of job first has changed .*operator "extra" \(map\) is new/s);
  await refused(/is new/, "job.js", "--from", "checkpoint:first", "--fresh");
  expect((await asks("status", "first")).stdout).toMatch("suspended");
});
