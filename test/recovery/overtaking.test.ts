/**
 * Barriers that overtake records, in whole processes: a slow operator behind channels that are full and unevenly so. An
 * aligned checkpoint waits for all that lies in front of its barriers; an unaligned one does not, and restores it.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import type { CheckpointingConfig, Manifest } from "../../machines/protocol.ts";
import { openCluster, prepareJob, submissionOf } from "../../src/cli/assembly.ts";
import { ControlClient } from "../../src/control/client.ts";
import { ControlLink } from "../../src/control/link.ts";
import { decodeValue } from "../../src/state/codec.ts";
import { checkOutput } from "../chaos/checkers.ts";
import { TestCluster } from "../support/cluster.ts";
import { compile, compiled } from "../support/compiled.ts";
import { inputRecords, inputSubject, type OutputRecord } from "../support/keyed-count.ts";
import { startTestServer, type TestServer } from "../support/nats.ts";
import type { TestProcess } from "../support/processes.ts";
import { publishAll, readAll } from "../support/streams.ts";
import { until } from "../support/until.ts";
import job from "./jobs/slow-count.ts";

const RECORDS = 6000;
const KEYS = 40;
const BOUND_MS = 60_000;

let server: TestServer;
let cluster: TestCluster;
let directory: string;
const jobFile = compiled("test/recovery/jobs/slow-count.ts");

beforeAll(compile);

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
async function start(checkpointing: Partial<CheckpointingConfig>): Promise<TestProcess> {
  const { nats } = cluster;
  const { bus, subjects, storage } = await openCluster(nats);
  const prepared = prepareJob(job, {});
  const logger = { debug() {}, info() {}, warn() {}, error() {} };
  const submission = await submissionOf(prepared, { job: "slow", logger, nats }, storage.description);
  const client = new ControlClient({ link: new ControlLink({ bus, id: "submitter" }), subjects });
  cluster.start("coordinator", "coordinator");
  const worker = cluster.start("worker", "worker-1");
  cluster.start("worker", "worker-2");
  await client.submit(
    {
      ...submission,
      codeFingerprint: await compiledFingerprint(),
      checkpointing: { ...submission.checkpointing, ...checkpointing },
    },
    false,
  );
  return worker;
}

/** Workers compare the text of the user's functions: it must be that of the compiled file, which only node itself leaves alone. */
async function compiledFingerprint(): Promise<string> {
  const script =
    `import job from "${jobFile}"; import { codeFingerprint } from "${compiled("src/job/fingerprint.ts")}"; ` +
    "process.stdout.write(codeFingerprint(job));";
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script]);
  return stdout;
}

/** Of the first checkpoint. */
function firstDurationMs(): Promise<number> {
  return until(
    "a checkpoint completes",
    async () => (await cluster.report())?.checkpoints.latest?.durationMs,
    { withinMs: BOUND_MS, everyMs: 20 },
  );
}

async function expectExactEnd(): Promise<void> {
  await cluster.awaitRecord("the job finishes", ({ status }) => status === "finished", BOUND_MS);
  const output = (await readAll(cluster.nats, "OUT"))
    .filter((message) => message.subject.startsWith("out."))
    .map(({ sequence, text }) => ({ sequence, record: JSON.parse(text) as OutputRecord }));
  expect(checkOutput(inputRecords(RECORDS, KEYS), output).findings).toEqual([]);
}

test("an aligned checkpoint waits behind the backlog, and says where", async () => {
  await start({});
  await until(
    "the fuller channel is named",
    async () => {
      const subtasks = (await cluster.report())?.subtasks ?? [];
      return subtasks.find(
        ({ subtask, checkpoint }) =>
          subtask.startsWith("count/") &&
          checkpoint?.phase === "aligning" &&
          checkpoint.missingChannels.join() === "read/0 over edge read-count",
      );
    },
    { withinMs: BOUND_MS, everyMs: 20 },
  );
  expect(await firstDurationMs()).toBeGreaterThan(1000);
  await expectExactEnd();
}, 90_000);

test("an unaligned one completes meanwhile, and after a crash its records are processed first", async () => {
  const worker = await start({ unaligned: true });
  expect(await firstDurationMs()).toBeLessThan(1000);
  await worker.kill();
  cluster.start("worker", "worker-3");
  const { checkpoints } = await cluster.awaitRecord(
    "the job goes on",
    ({ generation }) => generation > 1,
    BOUND_MS,
  );
  const { storage } = await openCluster(cluster.nats);
  const manifest = decodeValue(await storage.get(checkpoints.at(-1)!.manifest)) as Manifest;
  const channels = manifest.subtasks.flatMap((subtask) => subtask.channels);
  expect(channels.reduce((sum, { records }) => sum + records, 0)).toBeGreaterThan(100);
  await expectExactEnd();
}, 90_000);
