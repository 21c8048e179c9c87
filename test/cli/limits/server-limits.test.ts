/**
 * What server and account do not allow: one sentence with the next step and exit 3, never a stack; or a way to work
 * within it.
 */
import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { UnknownOutcomeError } from "../../../src/errors.ts";
import { connectNats } from "../../../src/nats/connection/connect.ts";
import { openNatsObjectStorage } from "../../../src/nats/storage/object-storage.ts";
import { openNatsRecordStore } from "../../../src/nats/storage/record-store.ts";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { countingJob, wrongCounts } from "../jobs.ts";
import { until, Workspace } from "../workspace.ts";

// Real processes on a machine that others use too.

let server: TestServer;
let tight: TestServer;
let connection: NatsConnection;
let manager: JetStreamManager;
let workspace: Workspace;

beforeAll(async () => {
  server = await startTestServer({
    jetStream: "limits { batch { max_msgs: 20, max_inflight_per_stream: 1, max_inflight_total: 1 } }",
    configuration: `accounts {
  SIZED { users [{ user: sized, password: x }], jetstream { max_bytes_required: true, max_file: 200MB } }
  FULL { users [{ user: full, password: x }], jetstream { max_streams: 1 } }
  DISK { users [{ user: disk, password: x }], jetstream { max_file: 20KB } }
  NONE { users [{ user: none, password: x }] }
  MAIN { users [{ user: main, password: x }], jetstream: enabled }
}`,
  });
  tight = await startTestServer({ configuration: "max_payload: 1000" });
  connection = await connect({ servers: server.url, user: "main", pass: "x" });
  manager = await jetstreamManager(connection);
});
afterAll(async () => {
  await connection.close();
  await server.stop();
  await tight.stop();
});
beforeEach(async () => {
  workspace = await Workspace.create();
});
afterEach(() => workspace.remove());

const as = (user: string) => ["--server", server.url, "--user", user, "--password", "x"];
const writesTo = (sinkOptions: string, name = "job", count = "count: 300") =>
  workspace.write(
    "job.mjs",
    `import { defineJob, generatorSource, jetstreamSink } from "tidemark";
export default defineJob("${name}", { parallelism: 3, checkpointing: { interval: "200ms" } }, (job) => {
  job.source("in", generatorSource({ ${count}, splits: 3, generate: (n) => ({ n }) }))
    .sink("out", jetstreamSink({ ${sinkOptions} }));
});\n`,
  );

/** One line, no stack, no file of ours. */
function expectOneSentence(ended: { code: number | null; stderr: string }, ...parts: RegExp[]): void {
  expect(ended).toMatchObject({ code: 3 });
  const lines = ended.stderr.trimEnd().split("\n");
  expect(lines).toHaveLength(1);
  for (const part of parts) expect(lines[0]).toMatch(part);
}

describe("an account that wants a size limit for every stream", () => {
  test("the message names the option; with it the job runs, and all its buckets have a limit", async () => {
    workspace.write("job.mjs", countingJob({ count: 2_000 }));
    const refused = await workspace.run(["run", "job.mjs", ...as("sized")]);
    expectOneSentence(
      refused,
      /object store bucket tidemark-checkpoints.*max bytes/,
      /--bucket-max-bytes/,
      /nats object add tidemark-checkpoints --max-bucket-size=/,
    );
    const ended = await workspace.run(["run", "job.mjs", ...as("sized"), "--bucket-max-bytes", "20 MiB"]);
    expect(ended).toMatchObject({ code: 0, stderr: "" });
    expect(wrongCounts(workspace.lines(), 2_000)).toEqual([]);
    const other = await connect({ servers: server.url, user: "sized", pass: "x" });
    const its = await jetstreamManager(other);
    expect((await its.streams.info("OBJ_tidemark-checkpoints")).config.max_bytes).toBe(20 * 1024 * 1024);
    expect((await its.streams.info("KV_tidemark-jobs")).config.max_bytes).toBeGreaterThan(0);
    await other.close();
  });

  test("a size that is none", async () => {
    for (const size of ["much", "-1", "10"]) {
      const ended = await workspace.run(["list", ...as("sized"), "--bucket-max-bytes", size]);
      expect(ended).toMatchObject({ code: 2, stdout: "" });
      expect(ended.stderr).toMatch(/--bucket-max-bytes/);
    }
  });
});

test("an account that may have no more streams", async () => {
  workspace.write("job.mjs", countingJob({ count: 10 }));
  expectOneSentence(
    await workspace.run(["run", "job.mjs", ...as("full")]),
    /KV bucket tidemark-jobs: .*maximum number of streams/,
    /max_streams/,
    // It takes the account's only stream.
    /still there: object store bucket tidemark-checkpoints \(to delete it: nats stream rm OBJ_tidemark-checkpoints /,
  );
});

test("an account without room: a record is written when there is some, and the reason says what helps", async () => {
  const nats = await connectNats({ servers: server.url, name: "test", user: "disk", password: "x" });
  const store = await openNatsRecordStore(nats, { bucket: "records" });
  const write = () => store.compareAndSet("job.large", new Uint8Array(15_000), 0);
  const other = await nats.manager();
  await other.streams.add({ name: "INPUT", subjects: ["input"] });
  await nats.connection.request("input", new Uint8Array(10_000));
  await expect(write()).rejects.toThrow(UnknownOutcomeError);
  await expect(write()).rejects.toThrow(
    /record "job.large" of KV bucket records: .*exceeded.*nats account info/,
  );
  await other.streams.delete("INPUT");
  expect(await write()).toMatchObject({ outcome: "stored" });
  await nats.connection.close();
});

test("an account without JetStream", async () => {
  workspace.write("job.mjs", countingJob({ count: 10 }));
  for (const command of [["run", "job.mjs"], ["coordinator"], ["list"]]) {
    expectOneSentence(
      await workspace.run([...command, ...as("none")]),
      /not enabled for account/,
      /enable JetStream/,
    );
  }
});

test("a server that takes tiny messages only", async () => {
  const ended = await workspace.run(["list", "--server", tight.url]);
  expectOneSentence(ended, /at most 1000 bytes/, /raise max_payload/);
});

test("a server without a connection for the last worker: the run says so, and goes on when there is one", async () => {
  const full = await startTestServer({ configuration: "max_connections: 3" });
  workspace.write("job.mjs", countingJob({ count: 500 }));
  const running = workspace.start(["run", "job.mjs", "--server", full.url, "--workers", "2"]);
  await running.says(
    /trouble: connecting to NATS, .*"maximum connections exceeded"\); raise max_connections/,
  );
  await full.reload("max_connections: 10");
  expect(await running.ended).toMatchObject({ code: 0, stderr: "" });
  expect(wrongCounts(workspace.lines(), 500)).toEqual([]);
  await full.stop();
});

test("a server that keeps little for a client that is behind: a job asks for less at a time, and ends", async () => {
  const impatient = await startTestServer({ configuration: "max_payload: 64KB\nmax_pending: 64KB" });
  const nats = await connectNats({ servers: impatient.url, name: "test" });
  await (await nats.manager()).streams.add({ name: "WIDE", subjects: ["wide.x"] });
  for (let n = 0; n < 200; n++)
    await nats.connection.request("wide.x", JSON.stringify({ n, text: "x".repeat(50_000) }));
  workspace.write(
    "wide.mjs",
    `import { defineJob, fileSink, jetstreamSource } from "tidemark";
export default defineJob("wide", { parallelism: 2, checkpointing: { interval: "300ms" } }, (job) => {
  job.source("in", jetstreamSource({ stream: "WIDE", until: "end" })).keyBy(({ n }) => n)
    .process("take", { state: {}, onRecord: ({ n }) => n }).sink("out", fileSink({ directory: "out" }));
});\n`,
  );
  const ended = await workspace.run(["run", "wide.mjs", "--server", impatient.url, "--workers", "2"]);
  expect(ended).toMatchObject({ code: 0, stderr: "" });
  expect(
    workspace
      .lines()
      .map(Number)
      .sort((a, b) => a - b),
  ).toEqual(Array.from({ length: 200 }, (_, n) => n));
  // State comes back over the same connection, several objects at a time.
  const storage = await openNatsObjectStorage(nats, { bucket: "states" });
  const names = ["a", "b", "c", "d"];
  const put = names.map((name) => storage.put(name, [Buffer.alloc(6_000_000, name)]));
  const read = await Promise.all((await Promise.all(put)).map((handle) => storage.get(handle)));
  expect(read.map((bytes) => bytes.length)).toEqual(names.map(() => 6_000_000));
  await nats.connection.close();
  await impatient.stop();
});

test("what was made for a job that the leader refuses, or that finds none, is named with the command that deletes it", async () => {
  const at = [...as("main"), "--prefix", "refused"];
  const stays =
    /made for the job before that, and still there: stream (LEFT\d) \(to delete it: (nats stream rm LEFT\d [^)]*)\)/;
  const endless = "count: 1e9, ratePerSecond: 10";
  writesTo('stream: "LEFT1", subject: "left1.x", provision: true', "left", endless);
  const unled = await workspace.run(["submit", "job.mjs", ...at, "--connect-timeout", "2"]);
  // Where the machine is busy it may also say that it still tries to connect.
  expect(unled.code).toBe(3);
  expect(unled.stderr).toMatch(/no coordinator/);
  expect(unled.stderr).toMatch(stays);
  const coordinator = workspace.start(["coordinator", ...at]);
  expect(await workspace.run(["submit", "job.mjs", ...at])).toMatchObject({ code: 0, stderr: "" });
  workspace.start(["worker", "job.mjs", ...at, "--slots", "3"]);
  await until(
    async () => /processing/.test((await workspace.run(["status", "left", ...at])).stdout),
    () => "the job runs",
  );
  writesTo('stream: "LEFT2", subject: "left2.x", provision: true', "left", endless);
  const refused = await workspace.run(["submit", "job.mjs", ...at, "--fresh"]);
  expect(refused, refused.stderr).toMatchObject({ code: 4 });
  expect(refused.stderr).toMatch(stays);
  coordinator.kill("SIGKILL");
});

test("provision where the subjects belong to another stream", async () => {
  await manager.streams.add({ name: "OTHER", subjects: ["shared.>"] });
  writesTo('stream: "OVERLAPPING", subject: "shared.x", provision: true');
  expectOneSentence(
    await workspace.run(["run", "job.mjs", ...as("main")]),
    /stream OVERLAPPING cannot be created.*subjects overlap/,
    /stream OTHER/,
  );
});

test("replicas on a server that is alone", async () => {
  workspace.write("job.mjs", countingJob({ count: 10 }));
  const ended = await workspace.run([
    "run",
    "job.mjs",
    ...as("main"),
    "--prefix",
    "three",
    "--replicas",
    "3",
  ]);
  expectOneSentence(
    ended,
    /bucket three-checkpoints.*replicas > 1 not supported/,
    /leave the number of replicas out/,
  );
});

test("a small limit of messages in a batch, and of batches at a time: the job works within it", async () => {
  writesTo('stream: "OUT", subject: "out.x", provision: true', "within");
  const ended = await workspace.run(["run", "job.mjs", ...as("main")]);
  expect(ended).toMatchObject({ code: 0, stderr: "" });
  const { state } = await manager.streams.info("OUT", { subjects_filter: "out.x" });
  expect(state.subjects).toEqual({ "out.x": 300 });
});
