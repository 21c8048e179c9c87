/** What shows a job's progress on its input goes when the job has ended for good, and stays while it may go on. */
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Cluster, createClient, openCluster } from "../../src/cli/assembly.ts";
import { connectNats } from "../../src/nats/connection/connect.ts";
import { startTestServer, type TestServer } from "../support/nats.ts";
import { until, Workspace } from "./workspace.ts";

let server: TestServer;
let workspace: Workspace;
let cluster: Cluster;

beforeAll(async () => {
  server = await startTestServer();
  cluster = await openCluster(await connectNats({ servers: server.url, name: "test" }), {});
  workspace = await Workspace.create();
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
export default defineJob("${name}", { parallelism: 1, checkpointing: { interval: "100ms", ${checkpointing} } }, (job) => {
  job
    .source("in", jetstreamSource({ stream: "${name}", decode: "text", ${source} }))
    .sink("out", fileSink({ directory: "${name}-out" }));
});
`,
  );
}

test("finished and canceled jobs leave no consumer behind; suspended and retained ones do", async () => {
  const connection = cluster.nats.connection;
  const manager = await jetstreamManager(connection);
  const consumers = async (stream: string) =>
    (await manager.consumers.list(stream).next())
      .map(({ name }) => name)
      .filter((name) => name.startsWith("tidemark-"));
  const makeInput = async (name: string) => {
    await manager.streams.add({ name, subjects: [`in.${name}`] });
    for (let i = 0; i < 3; i++) await jetstream(connection).publish(`in.${name}`, `${i}`);
  };
  const client = createClient(cluster);
  const comesTo = (job: string, wanted: string) =>
    until(
      async () => (await client.status(job))?.status === wanted,
      () => `job ${job} to be ${wanted}`,
    );
  workspace.start(here("coordinator"));
  const start = async (name: string) => {
    expect(await workspace.run(here("submit", `${name}.js`))).toMatchObject({ code: 0 });
    workspace.start(here("worker", `${name}.js`, "--slots", "1"));
  };
  const shown = (name: string) =>
    until(
      async () => (await consumers(name)).length === 1,
      () => `the progress consumer of ${name}`,
    );
  const gone = (name: string) =>
    until(
      async () => (await consumers(name)).length === 0,
      () => `no progress consumer of ${name}`,
    );

  for (const [name, checkpointing, command, status] of [
    ["canceled", 'retention: "delete"', "cancel", "canceled"],
    ["retained", 'retention: "retain-on-cancellation"', "cancel", "canceled"],
    ["suspended", "", "suspend", "suspended"],
  ] as const) {
    await makeInput(name);
    writeJob(name, "", checkpointing);
    await start(name);
    await shown(name);
    await client[command](name);
    await comesTo(name, status);
  }
  await gone("canceled");

  await makeInput("finished");
  await manager.consumers.add("finished", { durable_name: "tidemark-finished-in-all" });
  writeJob("finished", 'until: "end"');
  await start("finished");
  await comesTo("finished", "finished");
  await gone("finished");

  // `run` ends its own coordinator at once.
  await makeInput("ran");
  writeJob("ran", 'until: "end"');
  expect(await workspace.run(here("run", "ran.js"))).toMatchObject({ code: 0 });
  expect(await consumers("ran")).toEqual([]);

  expect(await consumers("retained")).toHaveLength(1);
  expect(await consumers("suspended")).toHaveLength(1);
});
