/**
 * Limits of the server that a reload lowers and raises again under running processes: each is named, and the work goes
 * on.
 */
import type { JetStreamManager } from "@nats-io/jetstream";
import { afterAll, beforeAll, expect, test } from "vitest";
import { createClient, viewCluster } from "../../../src/cli/assembly.ts";
import type { ControlClient } from "../../../src/control/client.ts";
import type { JobReport } from "../../../src/control/messages.ts";
import { connectNats } from "../../../src/nats/connection/connect.ts";
import type { NatsEnvironment } from "../../../src/nats/connection/environment.ts";
import { compiled } from "../../support/servers/compiled.ts";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { type Ended, until, Workspace } from "../workspace.ts";

let server: TestServer;
let manager: JetStreamManager;
let nats: NatsEnvironment;
let client: ControlClient;
let workspace: Workspace;

const LARGE = "max_payload: 1MB";
const SMALL = "max_payload: 6KB";
const REFUSED =
  /(needs messages of 20\d+ bytes, and|a record for subject "out\.x" is refused: larger than \d+ bytes .*\(max_payload of nats-server\);) nats-server takes messages of at most 6144 bytes; raise max_payload in its configuration to 20\d+ or more/;

beforeAll(async () => {
  server = await startTestServer({ configuration: LARGE });
  nats = await connectNats({ servers: server.url, name: "test" });
  manager = await nats.manager();
  client = createClient(viewCluster(nats));
  workspace = await Workspace.create();
});
afterAll(async () => {
  await nats.connection.close();
  await workspace.remove();
  await server.stop();
});

const here = (...args: string[]) => [...args, "--server", server.url];

async function status(name: string): Promise<JobReport> {
  const report = await client.status(name);
  if (report === undefined) throw new Error(`no job ${name}`);
  return report;
}

/** Two more checkpoints, at a moment when its status can be read. */
async function completes(name: string): Promise<void> {
  let first: number | undefined;
  let completed = 0;
  await until(
    async () => {
      ({ completed } = (await status(name)).checkpoints);
      first ??= completed;
      return completed > first + 1;
    },
    () => `${completed} checkpoints of ${name}`,
  );
}

test("max_payload is lowered and raised: answers and records name it, and the same processes go on", async () => {
  workspace.write(
    "many.mjs",
    `import { defineJob, generatorSource, fileSink } from "tidemark";
export default defineJob("many", { parallelism: 32, checkpointing: { interval: "300ms" } }, (job) => {
  job.source("in", generatorSource({ count: 1e9, ratePerSecond: 100, splits: 32, generate: (n) => n }))
    .keyBy((n) => n % 64).process("keep", { state: {}, onRecord: (n) => n }).sink("out", fileSink({ directory: "many-out" }));
});\n`,
  );
  workspace.write(
    "wide.mjs",
    `import { existsSync } from "node:fs";
import { defineJob, generatorSource, jetstreamSink } from "tidemark";
import { throttled } from "${compiled("test/support/graphs/throttled-source.ts")}";
const numbers = generatorSource({ count: 1000, splits: 2, generate: (n) => n });
export default defineJob("wide", { parallelism: 2, checkpointing: { interval: "300ms" } }, (job) => {
  job.source("in", throttled(numbers, { recordsPerSecond: 10, heldUntil: { file: "released", records: 480 } }))
    .keyBy((n) => n % 16)
    .process("widen", { state: {}, onRecord: (n) => ({ n, text: "x".repeat(existsSync("wide") ? 20000 : 10) }) })
    .sink("out", jetstreamSink({ stream: "OUT", subject: "out.x", provision: true }));
});\n`,
  );
  const processes = [
    workspace.start(here("coordinator")),
    workspace.start(here("worker", "many.mjs", "--slots", "32")),
    workspace.start(here("worker", "wide.mjs", "--slots", "1")),
    workspace.start(here("worker", "wide.mjs", "--slots", "1")),
  ];
  for (const file of ["many.mjs", "wide.mjs"])
    expect(await workspace.run(here("submit", file))).toMatchObject({ code: 0 });
  await completes("many");
  await completes("wide");
  workspace.write("wide", "");
  const { state } = await manager.streams.info("OUT");
  await until(
    async () => (await manager.streams.info("OUT")).state.bytes > state.bytes + 100_000,
    () => "wide records are committed",
  );

  await server.reload(SMALL);
  let shown: Ended | undefined;
  // Meanwhile its report may be short: it is started again after what the server has dropped.
  await until(
    async () => {
      shown = await workspace.run(here("status", "many"));
      return shown.code === 3;
    },
    () => `an answer that is too large says so: ${JSON.stringify(shown)}`,
  );
  expect(shown?.stdout).toBe("");
  expect(shown?.stderr).toMatch(/the answer has \d+ bytes.*at most 6144 bytes: raise max_payload/);
  let failed: JobReport | undefined;
  await until(
    async () => {
      failed = await status("wide");
      return failed.status === "failed";
    },
    () => JSON.stringify(failed),
  );
  // What is decided cannot be cut anew, and what is not decided would be refused again and again: whichever of the two
  // large records met first, the job has stopped.
  const reason = failed?.failures.at(-1)?.reason;
  expect(reason).toMatch(REFUSED);
  expect(reason).toMatch(/start the job again: it goes on where it stopped/);

  await server.reload(LARGE);
  await completes("many");
  workspace.release();
  expect(await workspace.run(here("submit", "wide.mjs"))).toMatchObject({ code: 0 });
  await until(
    async () => (await status("wide")).status === "finished",
    () => "it goes on",
  );
  const numbers: number[] = [];
  const { messages } = (await manager.streams.info("OUT")).state;
  for (let sequence = 1; numbers.length < 1000 && sequence < messages + 10_000; sequence++) {
    const found = await manager.streams.getMessage("OUT", { seq: sequence }).catch(() => null);
    if (found?.subject === "out.x") numbers.push(found.json<{ n: number }>().n);
  }
  expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, n) => n));
  for (const { child } of processes) expect(child.exitCode).toBeNull();
});
