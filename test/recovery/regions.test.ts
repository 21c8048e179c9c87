/** A job whose parts exchange nothing: a part whose worker is killed starts again alone, and the other one goes on. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { JobReport } from "../../src/control/messages.ts";
import { TestCluster } from "../support/servers/cluster.ts";
import { bundled } from "../support/servers/compiled.ts";
import { startTestServer, type TestServer } from "../support/servers/nats.ts";
import { publishAll, readAll } from "../support/servers/streams.ts";
import { until } from "../support/until.ts";
import type { CopiedRecord } from "./jobs/two-regions.ts";

const RECORDS = 3000;

let server: TestServer;
let cluster: TestCluster;
let directory: string;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "tidemark-regions-"));
  server = await startTestServer();
  const jobFile = bundled("test/recovery/jobs/two-regions.ts");
  cluster = await TestCluster.open({ url: server.url, directory, job: "copies", jobFile });
  const manager = await cluster.nats.manager();
  await manager.streams.add({ name: "IN", subjects: ["in.*"] });
  const input = [0, 1].flatMap((split) => recordsOf(split));
  await publishAll(
    cluster.nats,
    input.map((record) => ({ subject: `in.${record.split}`, text: JSON.stringify(record) })),
  );
});

afterEach(async () => {
  await cluster?.close();
  await server?.stop();
  rmSync(directory, { recursive: true, force: true });
});

const recordsOf = (split: number): CopiedRecord[] =>
  Array.from({ length: RECORDS }, (_, index) => ({ split, n: index + 1 }));

const reported = (what: string, isWanted: (report: JobReport) => boolean): Promise<JobReport> =>
  until(what, async () => {
    const report = await cluster.report();
    return report !== undefined && isWanted(report) ? report : undefined;
  });

test("one of two regions is killed", async () => {
  const workers = ["worker-1", "worker-2", "worker-3"].map((name) => cluster.start("worker", name));
  cluster.start("coordinator", "coordinator");
  await cluster.submit();
  const before = await reported(
    "both regions run",
    ({ subtasks, checkpoints }) => checkpoints.completed > 1 && subtasks.length === 2,
  );
  expect(before.generations).toEqual([1, 2]);
  const [victim, survivor] = before.subtasks;
  expect(survivor!.worker).not.toBe(victim!.worker);
  const { processId } = before.workers.find(({ worker }) => worker === victim!.worker)!;
  await workers.find((worker) => worker.processId === processId)!.kill();

  const down = await reported("the restart is waited for", ({ phase }) => phase === "backingOff");
  const readWhileDown = (report: JobReport): number =>
    report.subtasks.find(({ subtask }) => subtask === survivor!.subtask)?.recordsIn ?? 0;
  await reported(
    "the other region reads on meanwhile",
    (report) => report.phase === "backingOff" && readWhileDown(report) > readWhileDown(down),
  );

  const after = await reported(
    "the region is back, and a checkpoint of both is complete",
    ({ phase, checkpoints }) =>
      phase === "running.processing" && checkpoints.completed > down.checkpoints.completed,
  );
  const raised = before.generations.map((generation) => (generation === victim!.generation ? 3 : generation));
  expect(after.generations).toEqual(raised);

  const record = await cluster.awaitRecord("the job ends", ({ status }) => status === "finished");
  expect(record.generations).toEqual(raised);
  const output = (await readAll(cluster.nats, "OUT"))
    .filter(({ subject }) => subject.startsWith("out."))
    .map(({ text }) => JSON.parse(text) as CopiedRecord);
  for (const split of [0, 1])
    expect(output.filter((copied) => copied.split === split)).toEqual(recordsOf(split));
});
