/** What other programs write into the buckets of job records and leases. */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { type Cluster, createClient, openCluster } from "../../../src/cli/assembly.ts";
import type { JobReport } from "../../../src/control/messages.ts";
import { connectNats } from "../../../src/nats/connection/connect.ts";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { comesTo as jobComesTo } from "../job-status.ts";
import { countingJob, wrongCounts } from "../jobs.ts";
import { until, Workspace } from "../workspace.ts";

const COUNT = 2000;
const PREFIX = "stray";
const BUCKET = `${PREFIX}-jobs`;

/** Under the name of a job that is none of ours. */
const STRAY: readonly (readonly [job: string, value: string])[] = [
  ["garbage", "garbage"],
  ["cut", '{"format":1,"job":"cut","subm'],
  ["object", "{}"],
  ["nothing", "null"],
  ["number", "17"],
  ["list", "[]"],
  ["later", '{"format":2,"job":"later"}'],
  ["a.b.c", "{}"],
];

let server: TestServer;
let workspace: Workspace;
let cluster: Cluster;

beforeAll(async () => {
  server = await startTestServer();
  cluster = await openCluster(await connectNats({ servers: server.url, name: "test" }), { prefix: PREFIX });
  workspace = await Workspace.create();
  workspace.write("job.mjs", countingJob({ count: COUNT, ratePerSecond: 400, held: true }));
});
afterEach(() => workspace.remove());
afterAll(async () => {
  await cluster.nats.connection.close();
  await server.stop();
});

const here = (...args: string[]) => [...args, "--server", server.url, "--prefix", PREFIX];
const comesTo = (what: string, met: (report: JobReport) => boolean) =>
  jobComesTo(cluster, "counting", what, met);

test("leave all other jobs alone, are named by every command with what mends them, and do not stop the next leader", async () => {
  const first = workspace.start(here("coordinator"));
  const worker = workspace.start(here("worker", "job.mjs", "--slots", "2"));
  expect(await workspace.run(here("submit", "job.mjs"))).toMatchObject({ code: 0 });
  const before = await comesTo(
    "processing",
    ({ phase, checkpoints }) => phase === "running.processing" && checkpoints.completed > 0,
  );
  const write = (key: string, value: string) =>
    cluster.nats.client(10_000).publish(`$KV.${BUCKET}.${key}`, value);
  for (const [job, value] of STRAY) await write(`job.${job}`, value);
  await write("job.größe", "{}");

  // The next leader finds them all, and the lease is no lease.
  first.kill("SIGKILL");
  await first.ended;
  await write("lease", "garbage");
  const second = workspace.start(here("coordinator"));
  await comesTo(
    "another leader",
    (now) => now.leader !== before.leader && now.phase === "running.processing",
  );
  await second.says(
    new RegExp(`record .{0,2}lease.{0,2} of KV bucket ${BUCKET} is no lease .*nats kv del ${BUCKET} lease`),
  );
  for (const [job] of STRAY)
    await until(
      () => second.stderr.includes(`"job":"${job}"`),
      () => second.stderr,
    );

  const list = await workspace.run(here("list"));
  expect(list).toMatchObject({ code: 0, stderr: "" });
  expect(list.stdout).toContain("counting");
  const json = JSON.parse((await workspace.run(here("list", "--json"))).stdout);
  expect(json.unreadable.map(({ job }: { job: string }) => job)).toEqual(STRAY.map(([job]) => job).sort());
  for (const [job] of STRAY) expect(list.stdout).toContain(`nats kv del ${BUCKET} job.${job}`);
  for (const job of ["cut", "later"]) await isNamedByEveryCommand(job);
  const client = createClient(cluster);
  for (const [job] of STRAY.slice(0, 3)) {
    await expect(client.cancel(job)).rejects.toThrow(
      `record "job.${job}" of KV bucket ${BUCKET} is no record of a job`,
    );
  }

  workspace.release();
  expect(await comesTo("its end", ({ status }) => status === "finished")).toMatchObject({ failures: [] });
  expect(wrongCounts(workspace.lines(), COUNT)).toEqual([]);
  for (const process of [second, worker]) process.kill("SIGTERM");
  for (const process of [second, worker]) expect(await process.ended).toMatchObject({ code: 0 });
  // No coordinator leads now.
  await isNamedByEveryCommand("cut");
});

/** What a job is asked for: each command says the record, what is wrong with it and what mends it, and nothing else. */
const ASKING: readonly (readonly string[])[] = [
  ["status"],
  ["status", "--json"],
  ["describe"],
  ["describe", "--json"],
  ["checkpoints", "ls"],
  ["checkpoints", "ls", "--json"],
  ["checkpoints", "show", "1"],
  ["checkpoints", "verify"],
  ["checkpoints", "verify", "--fast"],
  ["checkpoints", "verify", "--json"],
  ["checkpoints", "gc"],
  ["cancel"],
  ["savepoint", "--to", "/tmp/never"],
  ["stop", "--to", "/tmp/never"],
];
const WRONG: Readonly<Record<string, string>> = {
  cut: "it is no JSON",
  later: "it was written by a newer version of Tidemark (format 2, this one reads 1)",
};

async function isNamedByEveryCommand(job: string): Promise<void> {
  const lines = ASKING.map(([verb, ...more]) =>
    verb === "checkpoints" ? [verb, more[0]!, job, ...more.slice(1)] : [verb!, job, ...more],
  );
  lines.push(["dispose", `job:${job}`]);
  const words =
    `tidemark: record "job.${job}" of KV bucket ${BUCKET} is no record of a job (${WRONG[job]}): another program or ` +
    `version has written it. Bring the right one back, or delete it with "nats kv del ${BUCKET} job.${job} ` +
    `--server=${server.url}" and submit the job again, which then starts over\n`;
  for (const line of lines)
    expect(await workspace.run(here(...line)), line.join(" ")).toEqual({
      ...{ code: 3, signal: null, stdout: "", stderr: words },
    });
}
