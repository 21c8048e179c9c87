/** JetStream in another domain: a leaf node without one of its own, and every command that needs it. */
import { type JetStreamManager, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { freePort, startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { until } from "../../support/until.ts";
import { Workspace } from "../workspace.ts";

// Real processes on a machine that others use too.

let hub: TestServer;
let leaf: TestServer;
let connection: NatsConnection;
let manager: JetStreamManager;
let workspace: Workspace;

beforeAll(async () => {
  const port = await freePort();
  hub = await startTestServer({
    jetStream: "domain: hub",
    configuration: `leafnodes { listen: "127.0.0.1:${port}" }`,
  });
  leaf = await startTestServer({
    jetStream: "disabled",
    configuration: `leafnodes { remotes: [{ url: "nats-leaf://127.0.0.1:${port}" }] }`,
  });
  connection = await connect({ servers: leaf.url });
  manager = await jetstreamManager(connection, { domain: "hub", checkAPI: false });
  await until("the leaf node is connected", () => manager.getAccountInfo());
  await manager.streams.add({ name: "IN", subjects: ["in"] });
  const client = jetstream(connection, { domain: "hub" });
  for (let n = 0; n < 20; n++) await client.publish("in", JSON.stringify({ n }));
  await manager.streams.add({
    name: "KV_totals",
    subjects: ["$KV.totals.>"],
    max_msgs_per_subject: 1,
    discard: "new" as never,
    allow_rollup_hdrs: true,
  });
});
afterAll(async () => {
  await connection.close();
  await leaf.stop();
  await hub.stop();
});
beforeEach(async () => {
  workspace = await Workspace.create();
});
afterEach(() => workspace.remove());

const write = (name: string) =>
  workspace.write(
    "job.mjs",
    `import { defineJob, jetstreamSink, jetstreamSource } from "tidemark";
export default defineJob("${name}", { checkpointing: { interval: "200ms", inlineThreshold: 0, retention: "retain-on-cancellation" } }, (job) => {
  const records = job.source("in", jetstreamSource({ stream: "IN", until: "end" }));
  records.sink("out", jetstreamSink({ stream: "OUT_${name}", subject: "${name}.out", provision: true }));
  records.sink("acked", jetstreamSink({ stream: "KV_totals", subject: (r) => \`$KV.totals.${name}-acked-\${r.n % 4}\`, guarantee: "at-least-once" }));
  records.sink("totals", jetstreamSink({ stream: "KV_totals", subject: (r) => \`$KV.totals.${name}-\${r.n % 4}\`, provision: true }));
});\n`,
  );

const latest = async (subject: string) =>
  (await manager.streams.getMessage("KV_totals", { last_by_subj: subject }))?.json<{ n: number }>().n;

describe.each([
  { way: "--domain", args: ["--domain", "hub"], name: "flag" },
  { way: "--api-prefix", args: ["--api-prefix", "$JS.hub.API"], name: "prefix" },
])("$way", ({ args, name }) => {
  test("a job reads there, writes there, and keeps its checkpoints there", async () => {
    write(name);
    const server = ["--server", leaf.url, ...args, "--prefix", name];
    const ended = await workspace.run(["run", "job.mjs", ...server]);
    expect(ended).toMatchObject({ code: 0, stderr: "" });
    expect(
      (await manager.streams.info(`OUT_${name}`, { subjects_filter: `${name}.out` })).state.subjects,
    ).toEqual({ [`${name}.out`]: 20 });
    for (const key of [0, 1, 2, 3]) {
      expect(await latest(`$KV.totals.${name}-${key}`)).toBe(16 + key);
      expect(await latest(`$KV.totals.${name}-acked-${key}`)).toBe(16 + key);
    }
    expect(await workspace.run(["list", ...server])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(name),
    });
  });
});

test("without the option the message says that JetStream may be in another domain", async () => {
  write("none");
  const ended = await workspace.run(["run", "job.mjs", "--server", leaf.url, "--connect-timeout", "5"]);
  expect(ended.code).toBe(3);
  expect(ended.stderr).toMatch(/JetStream is not enabled.*--domain/);
});

test.each([
  [["--domain", "a.b"], /--domain: "a\.b" is no JetStream domain/],
  [["--api-prefix", "a..b"], /--api-prefix: "a\.\.b" is no API prefix/],
  [["--domain", "hub", "--api-prefix", "JS.hub.API"], /--api-prefix and --domain say the same/],
])("%j is refused", async (args, message) => {
  const ended = await workspace.run(["list", "--server", leaf.url, ...args]);
  expect(ended).toMatchObject({ code: 2, stdout: "" });
  expect(ended.stderr).toMatch(message);
});
