/** Coordinators that stand by, as real processes: is their checkpoint directory the leader's? */
import { mkdirSync, readdirSync, symlinkSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { FileStorage } from "../../../src/checkpoint/file-storage.ts";
import { encodeRecord, jobKey } from "../../../src/formats/job-record.ts";
import { encodeLease } from "../../../src/formats/lease.ts";
import { NatsBus } from "../../../src/nats/connection/bus.ts";
import { connectNats } from "../../../src/nats/connection/connect.ts";
import { openNatsRecordStore } from "../../../src/nats/storage/record-store.ts";
import { readRecord } from "../../../src/runtime/leader/records/stored-record.ts";
import type { RecordStore } from "../../../src/runtime/record-store.ts";
import { jobRecord } from "../../support/job-record.ts";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { until } from "../../support/until.ts";
import { storeCheckpoint } from "../stored-jobs.ts";
import { type Command, Workspace } from "../workspace.ts";

let server: TestServer;
let workspace: Workspace;

beforeAll(async () => {
  server = await startTestServer();
  workspace = await Workspace.create();
  for (const name of ["one", "two", "three", "four"]) mkdirSync(workspace.path(name));
  symlinkSync(workspace.path("one"), workspace.path("same"));
});
afterAll(async () => {
  await workspace.remove();
  await server.stop();
});

const coordinator = (prefix: string, directory?: string): Command =>
  workspace.start([
    "coordinator",
    ...["--server", server.url, "--prefix", prefix],
    ...(directory === undefined ? [] : ["--checkpoint-dir", workspace.path(directory)]),
  ]);
async function renew(records: RecordStore): Promise<void> {
  const found = await records.read("lease");
  const lease = { holder: "silent", place: "here", token: found!.revision, renewals: 0, released: false };
  await records.compareAndSet("lease", encodeLease(lease), found!.revision);
}

const notes = (directory: string) => readdirSync(workspace.path(directory));

test.concurrent("another directory, or none, is refused with both places; the same one under another name stands by and takes over", async () => {
  const leader = coordinator("a", "one");
  await leader.says(/"leading"/);
  const other = coordinator("a", "two");
  const inNats = coordinator("a");
  const same = coordinator("a", "same");
  const refused = await other.ended;
  expect(refused.code).toBe(4);
  expect(refused.stderr).toMatch(
    /^tidemark: coordinator \w+ \(pid \d+ on \S+\) keeps checkpoints in \S+\/two on host \S+, the leading coordinator in \S+\/one on host \S+, and neither sees a file.*--checkpoint-dir/m,
  );
  const otherKind = await inNats.ended;
  expect(otherKind.code).toBe(4);
  expect(otherKind.stderr).toMatch(
    /keeps checkpoints in \S.*but the leading coordinator on host \S+ keeps them in .*\/one.*give both the same --checkpoint-dir/,
  );
  // The proof is over, and nothing of it stays.
  await until("the notes are gone", () => notes("two").length === 0);
  expect(same.child.exitCode).toBeNull();
  leader.kill("SIGKILL");
  await same.says(/"leading"/);
  same.kill("SIGTERM");
  expect((await same.ended).code).toBe(0);
});

test.concurrent("a leader that does not answer is a trouble, and holds no standby back from taking over", async () => {
  const leader = coordinator("b", "one");
  await leader.says(/"leading"/);
  leader.kill("SIGSTOP");
  // Another process renews the lease, takes the questions, and answers none.
  const nats = await connectNats({ servers: server.url, name: "silent" });
  const silence = new NatsBus(nats).subscribe("b.leader", () => {});
  const records = await openNatsRecordStore(nats, { bucket: "b-jobs" });
  const renewing = setInterval(() => void renew(records), 100);
  const standby = coordinator("b", "two");
  await standby.says(
    /trouble.*proving to the leading coordinator that the checkpoint directory is the same|proving to the leading coordinator.*trouble/,
  );
  clearInterval(renewing);
  await standby.says(/"leading"/);
  silence.close();
  leader.kill("SIGCONT");
  // It leads no more, and its directory is not that of the new leader, which asks anew.
  expect((await leader.ended).code).toBe(4);
  await nats.connection.close();
  standby.kill("SIGTERM");
  expect((await standby.ended).code).toBe(0);
});

test.concurrent("one that takes over before it is proven takes no job for lost, and gives way to the right one, which goes on with it", async () => {
  const nats = await connectNats({ servers: server.url, name: "test" });
  const records = await openNatsRecordStore(nats, { bucket: "c-jobs" });
  const right = coordinator("c", "three");
  await right.says(/"leading"/);
  const job = jobRecord({
    job: "words",
    status: "running",
    scope: "cluster",
    generation: 3,
    generations: [3],
  });
  const checkpoint = await storeCheckpoint(new FileStorage(workspace.path("three")), job, 1);
  const wrong = coordinator("c", "four");
  await right.says(/finding out whether coordinator/);
  right.kill("SIGKILL");
  await records.compareAndSet(jobKey("words"), encodeRecord({ ...job, checkpoints: [checkpoint] }), 0);
  await wrong.says(/checkpoint-1\/manifest is not in directory \S+\/four.*A worker of the job proves it/);
  const status = async () => (await readRecord(records, "words"))?.record.status;
  expect(await status()).toBe("running");
  await until("status names the trouble", async () => {
    const { stdout } = await workspace.run(["status", "words", "--server", server.url, "--prefix", "c"]);
    return /is not in directory \S+\/four of host .*start a coordinator with the --checkpoint-dir of the others/.test(
      stdout,
    );
  });
  wrong.kill("SIGKILL");

  // One that was started where none has led knows no more than that.
  const alone = coordinator("c", "four");
  await alone.says(/checkpoint-1\/manifest is not in directory \S+\/four.*A worker of the job proves it/);
  expect(await status()).toBe("running");
  const again = coordinator("c", "three");
  const ended = await alone.ended;
  expect(ended.code).toBe(4);
  expect(ended.stderr).toMatch(
    /^tidemark: object \S+ is not in directory \S+\/four of host \S+, and nothing has proven.*gives way to coordinator \w+ \(pid \d+ on \S+\).*No job has failed/m,
  );
  await again.says(/"leading"/);
  // It has no subtasks, so nothing is left to do once its checkpoint is read.
  await until("the job has gone on", async () => (await status()) === "finished" || undefined);
  again.kill("SIGTERM");
  await again.ended;
  await nats.connection.close();
});
