/**
 * Barriers that overtake records, in whole processes: a slow operator behind channels that are full and unevenly so. An
 * aligned checkpoint waits for all that lies in front of its barriers; an unaligned one does not, and restores it.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Manifest } from "../../machines/protocol.ts";
import { openCluster } from "../../src/cli/assembly.ts";
import { decodeValue } from "../../src/formats/codec.ts";
import { checkOutput } from "../chaos/checkers.ts";
import { inputRecords, inputSubject, type OutputRecord } from "../support/graphs/keyed-count.ts";
import { TestCluster } from "../support/servers/cluster.ts";
import { bundled } from "../support/servers/compiled.ts";
import { startTestServer, type TestServer } from "../support/servers/nats.ts";
import type { TestProcess } from "../support/servers/processes.ts";
import { publishAll, readAll } from "../support/servers/streams.ts";
import { until } from "../support/until.ts";

const RECORDS = 6000;
const KEYS = 40;

let server: TestServer;
let cluster: TestCluster;
let directory: string;
const jobFile = bundled("test/recovery/jobs/slow-count.ts");

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "tidemark-overtaking-"));
  server = await startTestServer();
  cluster = await TestCluster.open({ url: server.url, directory, job: "slow", jobFile });
  const manager = await cluster.nats.manager();
  await manager.streams.add({ name: "IN", subjects: ["in.*"] });
  const input = [...inputRecords(RECORDS, KEYS)].map((record) => ({
    // Nine of ten keys come over the channels of one source subtask.
    subject: inputSubject("IN", Number(record.key.slice(1)) % 10 === 0 ? 1 : 0),
    text: JSON.stringify(record),
  }));
  await publishAll(cluster.nats, input);
});

afterEach(async () => {
  await cluster?.close();
  await server?.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** Answers the first worker. */
async function start(...flags: string[]): Promise<TestProcess> {
  cluster.start("coordinator", "coordinator");
  const worker = cluster.start("worker", "worker-1");
  cluster.start("worker", "worker-2");
  await cluster.submit(...flags);
  return worker;
}

/** Resolves when a checkpoint has taken as long as wanted. */
async function checkpointThatTook(isWanted: (durationMs: number) => boolean): Promise<void> {
  const wanted = async () => {
    const durationMs = (await cluster.report())?.checkpoints.latest?.durationMs;
    return durationMs !== undefined && isWanted(durationMs) ? durationMs : undefined;
  };
  await until("such a checkpoint completes", wanted);
}

async function expectExactEnd(): Promise<void> {
  await cluster.awaitRecord("the job finishes", ({ status }) => status === "finished");
  const output = (await readAll(cluster.nats, "OUT"))
    .filter((message) => message.subject.startsWith("out."))
    .map(({ sequence, text }) => ({ sequence, record: JSON.parse(text) as OutputRecord }));
  expect(checkOutput(inputRecords(RECORDS, KEYS), output).findings).toEqual([]);
}

test("an aligned checkpoint waits behind the backlog, and says where", async () => {
  await start();
  await until("the fuller channel is named", async () => {
    const subtasks = (await cluster.report())?.subtasks ?? [];
    return subtasks.find(
      ({ subtask, checkpoints }) =>
        subtask.startsWith("count/") &&
        checkpoints.some(
          ({ phase, missingChannels }) =>
            phase === "aligning" && missingChannels.join() === "read/0 over edge read-count",
        ),
    );
  });
  await checkpointThatTook((ms) => ms > 1000);
  await expectExactEnd();
});

test("an unaligned one completes meanwhile, and after a crash its records are processed first", async () => {
  const worker = await start("--config", "checkpointing.unaligned=true");
  await checkpointThatTook((ms) => ms < 1000);
  await worker.kill();
  cluster.start("worker", "worker-3");
  const { checkpoints } = await cluster.awaitRecord("the job goes on", ({ generation }) => generation > 1);
  const { storage } = await openCluster(cluster.nats);
  const manifest = decodeValue(await storage.get(checkpoints.at(-1)!.manifest)) as Manifest;
  const channels = manifest.subtasks.flatMap((subtask) => subtask.channels);
  expect(channels.reduce((sum, { records }) => sum + records, 0)).toBeGreaterThan(100);
  await expectExactEnd();
});
