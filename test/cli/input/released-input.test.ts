/** What shows a job's progress on its input goes when the job has ended for good, and stays while it may go on. */
import { type JetStreamManager, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Cluster, createClient, openCluster } from "../../../src/cli/assembly.ts";
import type { ControlClient } from "../../../src/control/client.ts";
import { connectNats } from "../../../src/nats/connection/connect.ts";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { type Command, until, Workspace } from "../workspace.ts";

let server: TestServer;
let workspace: Workspace;
let cluster: Cluster;
let client: ControlClient;
let manager: JetStreamManager;
let coordinator: Command;

beforeAll(async () => {
  server = await startTestServer();
  cluster = await openCluster(await connectNats({ servers: server.url, name: "test" }), {});
  client = createClient(cluster);
  manager = await jetstreamManager(cluster.nats.connection);
  workspace = await Workspace.create();
  coordinator = workspace.start(here("coordinator"));
});
afterAll(async () => {
  await workspace.remove();
  await cluster.nats.connection.close();
  await server.stop();
});

const here = (...args: string[]) => [...args, "--server", server.url];

function writeJob(name: string, source: string, checkpointing = ""): void {
  workspace.write(
    `${name}.js`,
    `import { defineJob, fileSink, jetstreamSource } from "tidemark";
export default defineJob("${name}", { parallelism: 1, restart: { strategy: "none" }, checkpointing: { interval: "100ms", ${checkpointing} } }, (job) => {
  job
    .source("in", jetstreamSource({ stream: "${name}", decode: "text", ${source} }))
    .map("check", (text) => { if (text === "bad") throw new Error("bad record"); return text; })
    .sink("out", fileSink({ directory: "${name}-out" }));
});
`,
  );
}

const description = (job: string) => `progress of tidemark job ${job}; do not pull from it`;

async function makeInput(name: string): Promise<void> {
  await manager.streams.add({ name, subjects: [`in.${name}`] });
  await feed(name, ["0", "1", "2"]);
}

async function feed(name: string, messages: readonly string[]): Promise<void> {
  for (const message of messages) await jetstream(cluster.nats.connection).publish(`in.${name}`, message);
}

/** Names of the durable ones: readers are ephemeral. */
async function consumers(stream: string): Promise<string[]> {
  const found = await manager.consumers.list(stream).next();
  return found.filter(({ config }) => config.durable_name !== undefined).map(({ name }) => name);
}

const comesTo = (job: string, wanted: string) =>
  until(
    async () => (await client.status(job))?.status === wanted,
    () => `job ${job} to be ${wanted}`,
  );

const comeToBe = (stream: string, wanted: readonly string[]) =>
  until(
    async () => JSON.stringify(await consumers(stream)) === JSON.stringify(wanted),
    () => `the consumers of ${stream} to be ${wanted}`,
  );

async function start(name: string): Promise<void> {
  expect(await workspace.run(here("submit", `${name}.js`))).toMatchObject({ code: 0 });
  workspace.start(here("worker", `${name}.js`, "--slots", "1"));
}

test("finished, failed and canceled jobs leave no consumer behind; suspended and retained ones do", async () => {
  for (const [name, checkpointing, command, status] of [
    ["canceled", 'retention: "delete"', "cancel", "canceled"],
    ["retained", 'retention: "retain-on-cancellation"', "cancel", "canceled"],
    ["suspended", "", "suspend", "suspended"],
  ] as const) {
    await makeInput(name);
    writeJob(name, "", checkpointing);
    await start(name);
    await comeToBe(name, [`tidemark-${name}-in-all`]);
    await client[command](name);
    await comesTo(name, status);
  }
  await comeToBe("canceled", []);

  await makeInput("failed");
  writeJob("failed", 'progress: "mine"', 'retention: "delete"');
  await start("failed");
  await comeToBe("failed", ["mine-all"]);
  await feed("failed", ["bad"]);
  await comesTo("failed", "failed");
  await comeToBe("failed", []);

  await makeInput("finished");
  const ours = { durable_name: "tidemark-finished-in-all", description: description("finished") };
  await manager.consumers.add("finished", ours);
  writeJob("finished", 'until: "end"');
  await start("finished");
  await comesTo("finished", "finished");
  await comeToBe("finished", []);

  // `run` ends its own coordinator at once.
  await makeInput("ran");
  writeJob("ran", 'until: "end", progress: "mine"');
  expect(await workspace.run(here("run", "ran.js"))).toMatchObject({ code: 0 });
  expect(await consumers("ran")).toEqual([]);

  expect(await consumers("retained")).toHaveLength(1);
  expect(await consumers("suspended")).toHaveLength(1);

  // A leader that is killed at the very end has stored the end, and has not deleted the consumer yet.
  coordinator.kill("SIGKILL");
  await coordinator.ended;
  await manager.consumers.add("finished", ours);
  coordinator = workspace.start(here("coordinator"));
  await comeToBe("finished", []);
  expect(await consumers("suspended")).toHaveLength(1);
});

test("a consumer goes with the name that the user gave it before, and with all that the job has left", async () => {
  await makeInput("named");
  writeJob("named", 'progress: "first"');
  await start("named");
  await comeToBe("named", ["first-all"]);
  await client.suspend("named");
  await comesTo("named", "suspended");
  writeJob("named", 'progress: "second"');
  await start("named");
  await comeToBe("named", ["second-all"]);
  await client.suspend("named");
  await comesTo("named", "suspended");
  const disposed = await workspace.run(here("dispose", "job:named"));
  expect(disposed.stdout).toMatch("consumer second-all of stream named");
  expect(await consumers("named")).toEqual([]);
});

test("a consumer that the user has made is left alone: under a name that was chosen the job is refused, with the command that helps", async () => {
  await makeInput("taken");
  await manager.consumers.add("taken", { durable_name: "mine-all" });
  writeJob("taken", 'until: "end", progress: "mine"');
  const refused = await workspace.run(here("run", "taken.js"));
  expect(refused.code).toBe(3);
  expect(refused.stderr).toMatch(
    'consumer "mine-all" of stream "taken" was not made to show the progress of job taken',
  );
  expect(refused.stderr).toMatch("nats consumer rm taken mine-all");
  // Under the default name it is no reason to stop.
  await manager.consumers.add("taken", { durable_name: "tidemark-taken-in-all", max_deliver: 7 });
  writeJob("taken", 'until: "end"');
  expect(await workspace.run(here("run", "taken.js"))).toMatchObject({ code: 0 });
  expect((await manager.consumers.info("taken", "tidemark-taken-in-all")).config.max_deliver).toBe(7);
  expect(await consumers("taken")).toEqual(["mine-all", "tidemark-taken-in-all"]);
});
