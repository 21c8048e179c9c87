/**
 * What an ended job has left is deleted by `dispose`, with a coordinator and without one; of a living job nothing is.
 */
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { beforeEach, describe, expect, test } from "vitest";
import type { JobRecord, JobStatus } from "../../../machines/protocol.ts";
import { changeRecord } from "../../../machines/record.ts";
import { type Cluster, createClient } from "../../../src/cli/assembly.ts";
import { encodeRecord, jobKey } from "../../../src/formats/job-record.ts";
import { readRecord } from "../../../src/runtime/leader/records/stored-record.ts";
import type { RecordStore } from "../../../src/runtime/record-store.ts";
import { jobRecord } from "../../support/job-record.ts";
import { countingJob, wrongCounts } from "../jobs.ts";
import { SharedServer } from "../servers/shared-server.ts";
import { storeCheckpoint } from "../stored-jobs.ts";
import { until, type Workspace } from "../workspace.ts";

const JOB = "word-count";

const shared = new SharedServer("dispose");
const { here, asks, json } = shared;
let workspace: Workspace;
let cluster: Cluster;
let records: RecordStore;
let prefix: string;

beforeEach(async () => {
  ({ workspace, cluster, prefix } = shared);
  records = await cluster.openRecords();
});

async function refused(words: RegExp, ...args: string[]): Promise<void> {
  const answer = await asks(...args);
  expect(answer.stderr).toMatch(words);
  expect(answer).toMatchObject({ code: 4, stdout: "" });
}
const objects = async () => {
  const names: string[] = [];
  for await (const { name } of cluster.storage.list(`${JOB}/`)) names.push(name);
  return names.sort();
};
const read = async (): Promise<JobRecord> => (await readRecord(records, JOB))!.record;
const write = async (record: JobRecord) => {
  const found = await records.read(jobKey(JOB));
  await records.compareAndSet(jobKey(JOB), encodeRecord(record), found?.revision ?? 0);
};

/** A job with two retained checkpoints and one object that nothing names. */
async function stored(status: JobStatus, some: Partial<JobRecord> = {}) {
  const base = jobRecord({
    job: JOB,
    status,
    generation: 3,
    generations: [3],
    reservedCheckpointId: 2000,
    ...some,
  });
  const [one, two] = [
    await storeCheckpoint(cluster.storage, base, 1),
    await storeCheckpoint(cluster.storage, base, 2),
  ];
  await cluster.storage.put(`${JOB}/${base.incarnation}/2/checkpoint-9/old`, [new Uint8Array(3)]);
  await write({ ...base, checkpoints: [one, two] });
  return { one, two };
}

describe("where no coordinator leads", () => {
  test("one checkpoint, all of them, the whole job; each shown before by --dry-run", async () => {
    const { one, two } = await stored("failed");
    await refused(/checkpoint 2 is the latest one of job word-count/, "dispose", `checkpoint:${JOB}/2`);
    await refused(/has no checkpoint 7; it retains 1, 2/, "dispose", `checkpoint:${JOB}/7`);
    for (const wrong of [`checkpoint:${JOB}/x`, `job:${JOB}/1`, "job:", "checkpoint:a b"])
      expect(await asks("dispose", wrong)).toMatchObject({ code: 2, stdout: "" });
    await refused(/there is no job nobody/, "dispose", "job:nobody");
    const before = await objects();
    await refused(
      /nothing of job word-count lies in directory \S+, seen from host \S+: give the --checkpoint-dir or --storage that its coordinators have/,
      ...["dispose", `job:${JOB}`, "--checkpoint-dir", workspace.dir],
    );
    expect((await read()).checkpoints).toHaveLength(2);

    const shown = await json("dispose", `checkpoint:${JOB}/1`, "--dry-run");
    expect(shown).toMatchObject({ disposed: false, dryRun: true, checkpoints: [1], objects: 4 });
    expect(await objects()).toEqual(before);
    expect(await json("dispose", `checkpoint:${JOB}/1`)).toMatchObject({
      ...{ disposed: true, dryRun: false, checkpoints: [1], objects: 4 },
      names: expect.arrayContaining([...one.objects]),
    });
    expect(await objects()).toEqual([...two.objects].sort());
    expect((await read()).checkpoints.map(({ checkpointId }) => checkpointId)).toEqual([2]);

    const warning = /what checkpoint 2 had decided may not be committed in full: what is not, never will be/;
    expect((await asks("dispose", `checkpoint:${JOB}`, "--dry-run")).stdout).toMatch(warning);
    expect(await json("dispose", `checkpoint:${JOB}`)).toMatchObject({
      ...{ checkpoints: [2], objects: 3, abandoned: 2 },
    });
    expect((await asks("describe", JOB)).stdout).toMatch(
      /given up .* by dispose: checkpoint 2 of incarnation/,
    );
    expect(await objects()).toEqual([]);
    await refused(/has no retained checkpoint/, "dispose", `checkpoint:${JOB}`);
    expect(await read()).toMatchObject({ status: "failed", disposed: "state", checkpoints: [] });

    expect(await json("dispose", `job:${JOB}`)).toMatchObject({
      disposed: true,
      checkpoints: [],
      objects: 0,
    });
    // The counters go on, nothing else shows.
    expect(await read()).toMatchObject({
      ...{ disposed: "job", generation: 3, reservedCheckpointId: 2000 },
      abandoned: [{ checkpointId: 2, status: "failed", by: "dispose" }],
    });
    expect(await json("list")).toEqual({ jobs: [] });
    for (const command of [
      ["describe", JOB],
      ["status", JOB],
      ["dispose", `job:${JOB}`],
      ["checkpoints", "ls", JOB],
    ])
      await refused(/there is no job word-count/, ...command);
  });

  test("what an interrupted one has left goes with the next one, which says so", async () => {
    for (const what of ["job", "checkpoints"] as const) {
      await stored("suspended");
      // The record is written, and no object has gone yet.
      const changed = changeRecord(await read(), { change: "dispose", what, atMs: 1 });
      if ("refused" in changed) throw new Error(changed.refused);
      await write(changed.record);
      const left = await objects();
      expect(left).not.toEqual([]);
      const location = what === "job" ? `job:${JOB}` : `checkpoint:${JOB}`;
      expect(await json("dispose", location, "--dry-run")).toMatchObject({ objects: left.length });
      expect(await json("dispose", location)).toMatchObject({ disposed: true, objects: left.length });
      expect(await objects()).toEqual([]);
      await refused(what === "job" ? /there is no job/ : /has no retained checkpoint/, "dispose", location);
    }
  });

  test("also where a stream captures its subject, or a foreign process listens or answers there (P52)", async () => {
    const { connection } = cluster.nats;
    const manager = await jetstreamManager(connection);
    const strangers: Readonly<Record<string, () => Promise<() => unknown>>> = {
      "a capturing stream": async () => {
        await manager.streams.add({ name: `AUDIT-${prefix}`, subjects: [`${prefix}.>`] });
        return () => manager.streams.delete(`AUDIT-${prefix}`);
      },
      "an onlooker": async () => {
        const watching = connection.subscribe(`${prefix}.>`, { callback: () => {} });
        await connection.flush();
        return () => watching.unsubscribe();
      },
      "a service": async () => {
        const answering = connection.subscribe(`${prefix}.>`, {
          callback: (_error, message) => void message.respond("no"),
        });
        await connection.flush();
        return () => answering.unsubscribe();
      },
    };
    // The lease of a leader that has gone without giving it back.
    const lease = { holder: "x", place: "gone", token: 1, released: false };
    await records.compareAndSet("lease", new TextEncoder().encode(JSON.stringify(lease)), 0);
    for (const [what, come] of Object.entries(strangers)) {
      await stored("failed");
      const go = await come();
      const { code, stdout, stderr } = await asks("dispose", `job:${JOB}`, "--json");
      expect({ what, code, stderr }).toEqual({ what, code: 0, stderr: "" });
      expect(JSON.parse(stdout)).toMatchObject({ disposed: true, checkpoints: [1, 2] });
      await go();
    }
  });

  test("what lives is left alone", async () => {
    for (const status of ["created", "running", "settling"] as const) {
      await stored(status);
      const before = [await objects(), await read()];
      for (const location of [`job:${JOB}`, `checkpoint:${JOB}`, `checkpoint:${JOB}/1`])
        await refused(
          status === "settling"
            ? /is ending already, and will be /
            : new RegExp(
                `is ${status}, and no coordinator leads it now: start one with "tidemark coordinator --server=`,
              ),
          ...["dispose", location],
        );
      expect([await objects(), await read()]).toEqual(before);
    }
  });
});

test("by its leader, which starts the job anew afterwards with counters that go on", async () => {
  const connection = cluster.nats.connection;
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ name: `IN-${prefix}`, subjects: [`in.${prefix}`] });
  await jetstream(connection).publish(`in.${prefix}`, "1");
  const progress = `tidemark-${JOB}-in-in_${prefix}`;
  const options =
    'checkpointing: { interval: "100ms", retention: "retain-on-cancellation", inlineThreshold: 0 }';
  const job = countingJob({
    name: JOB,
    count: 2_000_000,
    ratePerSecond: 2_000,
    options,
    parallelism: 1,
  }).replace(
    "  job\n",
    `  job.source("in", jetstreamSource({ stream: "IN-${prefix}", decode: "text" })).sink("seen", fileSink({ directory: "seen" }));\n  job\n`,
  );
  workspace.write("job.js", job.replace("fileSink, ", "fileSink, jetstreamSource, "));
  const leader = workspace.start(here("coordinator"));
  expect(await asks("submit", "job.js")).toMatchObject({ code: 0 });
  const worker = workspace.start(here("worker", "job.js", "--slots", "1"));
  const client = createClient(cluster);
  const comesTo = (what: string, met: (status: string, completed: number) => boolean) =>
    until(
      async () => {
        const report = await client.status(JOB);
        return report !== undefined && met(report.status, report.checkpoints.completed);
      },
      () => what,
    );
  await comesTo("checkpoints", (_, completed) => completed > 1);
  await refused(/job word-count is running: end it first/, "dispose", `job:${JOB}`);
  const consumers = async () =>
    (await manager.consumers.list(`IN-${prefix}`).next())
      .map(({ name }) => name)
      .filter((name) => name.startsWith("tidemark-"));
  await until(
    async () => (await consumers()).length === 1,
    () => progress,
  );
  const canceled = await asks("cancel", JOB);
  expect(canceled.stdout).toMatch(
    /its last checkpoints stay until "tidemark dispose --server=\S+ --prefix=\S+ checkpoint:word-count"/,
  );
  await comesTo("canceled", (status) => status === "canceled");
  const ended = await read();
  expect(ended.checkpoints).toHaveLength(1);
  expect(await objects()).not.toEqual([]);

  const disposed = await json("dispose", `job:${JOB}`);
  expect(disposed).toMatchObject({ disposed: true, checkpoints: [ended.checkpoints[0]!.checkpointId] });
  const directories: Readonly<Record<string, string>> = { lines: "out", seen: "seen" };
  const fileSinks = disposed.fileSinks as { sink: string; sweep: string }[];
  expect(fileSinks.map(({ sink }) => sink).sort()).toEqual(Object.keys(directories));
  for (const { sink, sweep } of fileSinks) {
    const hidden = `${directories[sink]}/.tidemark`;
    workspace.write(`${hidden}/${sink},another,0,1.marker`, "");
    expect(workspace.files(hidden).length).toBeGreaterThan(1);
    workspace.shell(`cd ${directories[sink]} && ${sweep}`);
    expect(workspace.files(hidden)).toEqual([`${sink},another,0,1.marker`]);
  }
  expect(await objects()).toEqual([]);
  expect(await consumers()).toEqual([]);
  await refused(/there is no job word-count/, "cancel", JOB);
  expect(await json("list")).toEqual({ jobs: [] });

  workspace.write("job.js", countingJob({ name: JOB, count: 1_000, directory: "again" }));
  expect(await asks("submit", "job.js")).toMatchObject({ code: 0 });
  // It has waited for its job to be submitted again, and this is another version of it.
  const refusal = /has loaded another version of job word-count.*other content than submitted: job\.js/;
  expect(await worker.ended).toMatchObject({ code: 4, stderr: expect.stringMatching(refusal) });
  const next = workspace.start(here("worker", "job.js", "--slots", "2"));
  await comesTo("finished", (status) => status === "finished");
  expect(wrongCounts(workspace.lines("again"), 1_000)).toEqual([]);
  const again = await read();
  expect(again.generation).toBeGreaterThan(ended.generation);
  expect(again.reservedCheckpointId).toBeGreaterThanOrEqual(ended.reservedCheckpointId);
  expect(again.disposed).toBeUndefined();

  await next.says("job word-count is not submitted, or has ended");
  next.kill("SIGTERM");
  expect(await next.ended).toMatchObject({ code: 0 });
  leader.kill("SIGKILL");
});
