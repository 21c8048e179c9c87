/** The record of a running job is deleted, or its whole bucket made anew: it is named, and put back is enough. */
import { jetstreamManager } from "@nats-io/jetstream";
import { headers } from "@nats-io/transport-node";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { type Cluster, openCluster } from "../../../src/cli/assembly.ts";
import type { JobReport } from "../../../src/control/messages.ts";
import { connectNats } from "../../../src/nats/connection/connect.ts";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { comesTo as jobComesTo } from "../job-status.ts";
import { countingJob, wrongCounts } from "../jobs.ts";
import { type Command, until, Workspace } from "../workspace.ts";

const COUNT = 2000;
const GONE =
  /record "job\.counting" of KV bucket lost\d-jobs is gone: .*restore stream|is gone: .*stream KV_lost\d-jobs from a backup/;

let server: TestServer;
let workspace: Workspace;
let cluster: Cluster;
let prefix: string;
let coordinator: Command;
let tests = 0;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  prefix = `lost${++tests}`;
  cluster = await openCluster(await connectNats({ servers: server.url, name: "test" }), { prefix });
  workspace = await Workspace.create();
  workspace.write("job.mjs", countingJob({ count: COUNT, ratePerSecond: 400, held: true }));
  coordinator = workspace.start(here("coordinator"));
  workspace.start(here("worker", "job.mjs", "--slots", "2"));
  expect(await workspace.run(here("submit", "job.mjs"))).toMatchObject({ code: 0 });
  await comesTo(
    "processing",
    ({ phase, checkpoints }) => phase === "running.processing" && checkpoints.completed > 0,
  );
});
afterEach(async () => {
  await workspace.remove();
  await cluster.nats.connection.close();
});

const here = (...args: string[]) => [...args, "--server", server.url, "--prefix", prefix];
const comesTo = (what: string, met: (report: JobReport) => boolean) =>
  jobComesTo(cluster, "counting", what, met);

test("a deleted record is named by the leader and by status, and the job goes on once it is back", async () => {
  const records = await cluster.openRecords();
  const subject = `$KV.${prefix}-jobs.job.counting`;
  const client = cluster.nats.client(10_000);
  let good: Uint8Array | undefined;
  await until(
    async () => {
      const found = await records.read("job.counting");
      const marked = headers();
      marked.set("KV-Operation", "DEL");
      const expected = { lastSubjectSequence: found!.revision };
      good = await client.publish(subject, "", { headers: marked, expect: expected }).then(
        () => found!.value,
        () => undefined,
      );
      return good !== undefined;
    },
    () => "the record is deleted between two writes",
  );
  await coordinator.says(GONE);
  const status = await workspace.run(here("status", "counting"));
  expect(status).toMatchObject({ code: 4, stdout: "" });
  expect(status.stderr).toMatch(GONE);
  await client.publish(subject, good!);
  await comesTo("processing again", ({ phase }) => phase === "running.processing");
  workspace.release();
  expect(await comesTo("its end", ({ status }) => status === "finished")).toMatchObject({ failures: [] });
  expect(wrongCounts(workspace.lines(), COUNT)).toEqual([]);
});

test("an empty bucket in the place of the one that was deleted is noticed, and its job does not begin anew unasked", async () => {
  const manager = await jetstreamManager(cluster.nats.connection);
  const { config } = await manager.streams.info(`KV_${prefix}-jobs`);
  await manager.streams.delete(config.name);
  await manager.streams.add(config);
  await coordinator.says(GONE);
  const status = await workspace.run(here("status", "counting"));
  expect(status).toMatchObject({ code: 4, stdout: "" });
  expect(status.stderr).toMatch(GONE);
  const again = await workspace.run(here("submit", "job.mjs"));
  expect(again).toMatchObject({ code: 4, stdout: "" });
  expect(again.stderr).toMatch(
    /\/out holds output of job counting .* no record in KV bucket lost\d-jobs knows of it: .*stream KV_lost\d-jobs back from a backup.*--fresh/,
  );
  expect(await workspace.run(here("submit", "job.mjs", "--fresh"))).toMatchObject({ code: 0 });
});
