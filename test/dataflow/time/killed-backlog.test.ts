/**
 * A backlog that a job of real processes reads, a worker of which is killed: a split with few records waits for one
 * with many, by default, in front of the kill and behind it; and all counts are right.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { JobReport } from "../../../src/control/messages.ts";
import { type Counted, type Seen, WINDOW_MS } from "../../recovery/jobs/backlog.ts";
import { TestCluster } from "../../support/servers/cluster.ts";
import { bundled } from "../../support/servers/compiled.ts";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { publishAll, readAll } from "../../support/servers/streams.ts";
import { until } from "../../support/until.ts";

const HOUR_MS = 3_600_000;
const recordsOf = (of: string, records: number): Seen[] =>
  Array.from({ length: records }, (_, i) => ({ of, at: Math.floor((i * HOUR_MS) / records) }));
const input = [...recordsOf("few", 20_000), ...recordsOf("many", 60_000)];

let server: TestServer;
let cluster: TestCluster;
let directory: string;

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "tidemark-backlog-"));
  server = await startTestServer();
  cluster = await TestCluster.open({
    url: server.url,
    directory,
    job: "backlog",
    jobFile: bundled("test/recovery/jobs/backlog.ts"),
  });
  const { streams } = await cluster.nats.manager();
  await streams.add({ name: "IN", subjects: ["in.*"] });
  await publishAll(
    cluster.nats,
    input.map((one) => ({ subject: `in.${one.of}`, text: JSON.stringify(one) })),
  );
});

afterAll(async () => {
  await cluster?.close();
  await server?.stop();
  rmSync(directory, { recursive: true, force: true });
});

/** What the command tells. */
async function status(): Promise<string> {
  const args = [bundled("src/cli/main.ts"), "status", "backlog", "--server", server.url];
  return (await promisify(execFile)(process.execPath, args)).stdout;
}

/** Waits until a later generation has completed a checkpoint, and its split with few records waits. */
function seenWaiting(after: number): Promise<JobReport> {
  let last: JobReport | undefined;
  return until(
    `a split waits, in a generation behind ${after}`,
    async () => {
      last = await cluster.report();
      if (last === undefined || last.generation <= after || last.checkpoints.completed < 1) return undefined;
      const isWaiting = last.subtasks.some(
        ({ paused }) => paused?.byDefault === true && paused.splits.includes("in.few"),
      );
      return isWaiting ? last : undefined;
    },
    { describe: () => JSON.stringify(last?.subtasks) },
  );
}

test("few records wait for many by default, also behind a kill, and all windows are exact", async () => {
  const workers = ["worker-1", "worker-2", "worker-3"].map((name) => cluster.start("worker", name));
  cluster.start("coordinator", "coordinator");
  await cluster.submit();
  const first = await seenWaiting(0);
  const told = /split in\.few waits for slower ones \(by default, while it is behind\)/;
  await until("status tells of it", async () => told.test(await status()));
  const victim = first.subtasks.find(({ subtask }) => subtask === "read/1")?.worker;
  const { processId } = first.workers.find(({ worker }) => worker === victim)!;
  await workers.find((one) => one.processId === processId)!.kill();
  await seenWaiting(first.generation);
  const record = await cluster.awaitRecord("the job finishes", ({ status }) => status === "finished");
  expect(record.generation).toBeGreaterThan(1);
  const counted = (await readAll(cluster.nats, "OUT"))
    .filter(({ subject }) => subject.startsWith("out."))
    .map(({ text }) => JSON.parse(text) as Counted);
  const nameOf = ({ of, start, count }: Counted): string => `${of} ${start} ${count}`;
  const expected = new Map<string, Counted>();
  for (const { of, at } of input) {
    const start = at - (at % WINDOW_MS);
    const known = expected.get(`${of} ${start}`) ?? { of, start, count: 0 };
    expected.set(`${of} ${start}`, { ...known, count: known.count + 1 });
  }
  expect(counted.map(nameOf).sort()).toEqual([...expected.values()].map(nameOf).sort());
});
