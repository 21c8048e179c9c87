/** Whole processes, as the command line starts them: the leader killed, the server restarted, a worker put to sleep. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { JobRecord } from "../../machines/protocol.ts";
import type { JobReport } from "../../src/control/messages.ts";
import { checkOutput } from "../chaos/checkers.ts";
import { inputRecords, inputSubject, type OutputRecord, splitOf } from "../support/graphs/keyed-count.ts";
import { TestCluster } from "../support/servers/cluster.ts";
import { bundled } from "../support/servers/compiled.ts";
import { startTestServer, type TestServer } from "../support/servers/nats.ts";
import type { TestProcess } from "../support/servers/processes.ts";
import { publishAll, readAll } from "../support/servers/streams.ts";
import { until } from "../support/until.ts";

const RECORDS = 4000;
const KEYS = 40;
const SPLITS = 4;

let server: TestServer;
let cluster: TestCluster;
let directory: string;
/**
 * The environment of the processes. If it is empty, a process that is gone is noticed, and a slow one is not taken for
 * dead.
 */
const environment: Record<string, string> = {};

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "tidemark-processes-"));
  server = await startTestServer();
  cluster = await TestCluster.open({
    url: server.url,
    directory,
    job: "chaos",
    jobFile: bundled("test/chaos/jobs/workload.ts"),
    environment,
  });
  const manager = await cluster.nats.manager();
  await manager.streams.add({ name: "IN", subjects: ["in.*"] });
  const input = [...inputRecords(RECORDS, KEYS)].map((record) => ({
    subject: inputSubject("IN", splitOf(record, SPLITS)),
    text: JSON.stringify(record),
  }));
  await publishAll(cluster.nats, input);
});

afterEach(async () => {
  await cluster?.close();
  await server?.stop();
  rmSync(directory, { recursive: true, force: true });
  delete environment.CHAOS_HEARTBEAT_TIMEOUT_MS;
});

const decidedIn = (generation: number) => (record: JobRecord) =>
  (record.checkpoints.at(-1)?.generation ?? 0) >= generation;

async function startJob(): Promise<void> {
  await cluster.submit();
  await cluster.awaitRecord("the job runs", decidedIn(1));
}

/** The job ends by itself, and its output is that of an undisturbed run. */
async function expectExactEnd(): Promise<JobRecord> {
  const record = await cluster.awaitRecord("the job finishes", ({ status }) => status === "finished");
  const messages = await readAll(cluster.nats, "OUT");
  const output = messages
    .filter((message) => message.subject.startsWith("out."))
    .map(({ sequence, text }) => ({ sequence, record: JSON.parse(text) as OutputRecord }));
  expect(checkOutput(inputRecords(RECORDS, KEYS), output).findings).toEqual([]);
  return record;
}

const currentReport = (isWanted: (report: JobReport) => boolean = () => true): Promise<JobReport> =>
  until("the leader reports", async () => {
    const report = await cluster.report();
    return report !== undefined && isWanted(report) ? report : undefined;
  });

function start(coordinators: number, workers: number): TestProcess[] {
  for (let i = 1; i <= workers; i++) cluster.start("worker", `worker-${i}`);
  return Array.from({ length: coordinators }, (_, i) => cluster.start("coordinator", `coordinator-${i + 1}`));
}

test("the leading coordinator is killed: the standby goes on", async () => {
  const [leader] = start(1, 2);
  await startJob();
  const before = await currentReport();
  cluster.start("coordinator", "standby");
  await leader!.kill();
  const record = await expectExactEnd();
  expect(record.generation).toBe(before.generation + 1);
  expect((await currentReport()).leader).not.toBe(before.leader);
});

test("nats-server is killed and restarted while the job runs", async () => {
  start(1, 2);
  await startJob();
  await server.kill();
  await server.restart();
  await expectExactEnd();
});

test("a worker sleeps for longer than the heartbeat timeout, and wakes up", async () => {
  environment.CHAOS_HEARTBEAT_TIMEOUT_MS = "5000";
  const workers = ["worker-1", "worker-2", "worker-3"].map((name) => cluster.start("worker", name));
  cluster.start("coordinator", "coordinator-1");
  await startJob();
  const {
    subtasks,
    workers: registered,
    generation,
  } = await currentReport((report) => report.subtasks.length > 0);
  const used = registered.find(({ worker }) => subtasks.some((subtask) => subtask.worker === worker));
  const sleeper = workers.find(({ processId }) => processId === used?.processId);
  expect(sleeper).toBeDefined();
  sleeper!.suspend();
  await cluster.awaitRecord("the job goes on without it", decidedIn(generation + 1));
  sleeper!.resume();
  await expectExactEnd();
  expect(cluster.processes.exits.filter((exit) => !exit.asked)).toEqual([]);
});
