/**
 * JetStream that is switched off for an account and on again, and a record bucket that is deleted, under a running job.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { connectNats } from "../../../src/nats/connection/connect.ts";
import type { NatsEnvironment } from "../../../src/nats/connection/environment.ts";
import { compiled } from "../../support/servers/compiled.ts";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { readAll } from "../../support/servers/streams.ts";
import { until } from "../../support/until.ts";
import { type Ended, Workspace } from "../workspace.ts";

const COUNT = 600;
const accounts = (jetStream: string) => `accounts {
  A { users [{ user: a, password: x }]${jetStream} }
  B { users [{ user: b, password: x }], jetstream: enabled }
}`;
const ON = accounts(", jetstream: enabled");
const OFF = accounts("");

let server: TestServer;
let nats: NatsEnvironment;
let workspace: Workspace;

beforeAll(async () => {
  server = await startTestServer({ configuration: ON });
  nats = await connectNats({ servers: server.url, name: "test", user: "a", password: "x" });
  workspace = await Workspace.create();
});
afterAll(async () => {
  await nats.connection.close();
  await workspace.remove();
  await server.stop();
});

const here = (...args: string[]) => [...args, "--server", server.url, "--user", "a", "--password", "x"];
const status = (): Promise<Ended> => workspace.run(here("status", "copy"));

test("both are troubles with their reason, end no process, and the job goes on exactly once", async () => {
  const manager = await nats.manager();
  await manager.streams.add({ name: "IN", subjects: ["in.x"] });
  for (let n = 0; n < COUNT; n++) nats.connection.publish("in.x", JSON.stringify({ n }));
  await nats.connection.flush();
  workspace.write(
    "job.mjs",
    `import { defineJob, jetstreamSource, jetstreamSink, valueState } from "tidemark";
import { throttled } from "${compiled("test/support/graphs/throttled-source.ts")}";
export default defineJob("copy", { checkpointing: { interval: "200ms" } }, (job) => {
  job.source("in", throttled(jetstreamSource({ stream: "IN" }), { recordsPerSecond: 50, heldUntil: { file: "released", records: 1e6 } }))
    .keyBy((record) => record.n % 4)
    .process("count", { state: { seen: valueState(0) }, onRecord: ({ n }, { state }) => { state.seen.set(state.seen.get() + 1); return { n, seen: state.seen.get() }; } })
    .sink("out", jetstreamSink({ stream: "OUT", subject: "out.x", provision: true }));
});\n`,
  );
  const coordinator = workspace.start(here("coordinator"));
  const worker = workspace.start(here("worker", "job.mjs", "--slots", "1"));
  expect(await workspace.run(here("submit", "job.mjs"))).toMatchObject({ code: 0 });
  const outputs = async () => (await readAll(nats, "OUT")).filter(({ subject }) => subject === "out.x");
  await until("output is committed", async () => (await outputs()).length > 10);

  await server.reload(OFF);
  await coordinator.says(/writing the job record.*not enabled/);
  // The lease is looked at every few seconds, so its trouble may come after that of the record.
  await until("the trouble with the lease is shown", async () => {
    const without = await status();
    expect(without).toMatchObject({ code: 0, stderr: "" });
    return /reading or writing the lease of the leader.*JetStream not enabled for account/.test(
      without.stdout,
    );
  });
  await server.reload(ON);
  const before = (await outputs()).length;
  await until("output is committed again", async () => (await outputs()).length > before);

  workspace.release();
  await until("all output is committed", async () => (await outputs()).length >= COUNT);
  const found = (await outputs()).map(({ text }) => JSON.parse(text) as { n: number; seen: number });
  expect(found.map(({ n }) => n).sort((a, b) => a - b)).toEqual(Array.from({ length: COUNT }, (_, n) => n));
  for (const { n, seen } of found) expect(seen).toBe(Math.floor(n / 4) + 1);

  await manager.streams.delete("KV_tidemark-jobs");
  await coordinator.says(/KV bucket tidemark-jobs: it does not exist any more/);
  const gone = await status();
  expect(gone).toMatchObject({ code: 0, stderr: "" });
  expect(gone.stdout).toMatch(/KV bucket tidemark-jobs: it does not exist any more/);
  for (const { child } of [coordinator, worker]) expect(child.exitCode).toBeNull();
  coordinator.kill("SIGKILL");
  await coordinator.ended;
  const unled = await status();
  expect(unled).toMatchObject({ code: 4, stdout: "" });
  expect(unled.stderr).toMatch(
    /there is no job copy: there is no KV bucket tidemark-jobs.*restore stream KV_tidemark-jobs/,
  );
});
