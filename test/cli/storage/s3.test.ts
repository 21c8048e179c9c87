/** Checkpoints and savepoints on a real S3 server, with coordinator, worker and clients as processes of their own. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { JobReport } from "../../../src/control/messages.ts";
import { S3_MISSING, type S3Server, s3Binary, startS3Server } from "../../support/servers/s3.ts";
import { countingJob, wrongCounts } from "../jobs.ts";
import { hasCompleted, SharedServer, stop } from "../servers/shared-server.ts";
import type { Workspace } from "../workspace.ts";

const COUNT = 20_000;
const BUCKET = "checkpoints";

describe.skipIf(s3Binary === undefined)(`S3 (${s3Binary === undefined ? S3_MISSING : "versitygw"})`, () => {
  const shared = new SharedServer("s3");
  let s3: S3Server;
  let workspace: Workspace;
  beforeAll(async () => {
    s3 = await startS3Server();
    await s3.makeBucket(BUCKET);
  });
  afterAll(() => s3.stop());
  beforeEach(() => {
    ({ workspace } = shared);
    workspace.write(
      "job.mjs",
      countingJob({
        count: COUNT,
        ratePerSecond: 4_000,
        held: true,
        checkpointing: "inlineThreshold: 0",
        options: 'restart: { initialBackoff: "100ms" }',
      }),
    );
  });

  const place = () => `s3://${BUCKET}/${shared.prefix}`;
  const args = (...some: string[]) => shared.here(...some, "--storage", place());
  const start = (...some: string[]) => workspace.start(args(...some), { env: s3.environment });
  const runs = (...some: string[]) => workspace.run(args(...some), { env: s3.environment });
  const comesTo = (met: (now: JobReport) => boolean, what: string) =>
    shared.jobComesTo("counting", met, what);

  test("kill -9 of leader and worker, and the server away for a while: both restore from it, and the output is exact", async () => {
    const leader = start("coordinator");
    expect(await runs("submit", "job.mjs")).toMatchObject({ code: 0 });
    const worker = start("worker", "job.mjs", "--slots", "2");
    await comesTo(hasCompleted, "checkpoints");
    worker.kill("SIGKILL");
    leader.kill("SIGKILL");
    await Promise.all([worker.ended, leader.ended]);
    expect(await runs("checkpoints", "verify", "counting")).toMatchObject({ code: 0, stderr: "" });

    const next = start("coordinator");
    const again = start("worker", "job.mjs", "--slots", "2");
    const before = await comesTo(
      (now) => hasCompleted(now) && now.generation > 1,
      "checkpoints after the restore",
    );
    await s3.kill();
    const troubled = await comesTo(({ troubles }) => troubles.length > 0, "a trouble");
    expect(troubled.troubles.map(({ what }) => what).join()).toContain(
      `S3 bucket ${BUCKET}, prefix ${shared.prefix}/`,
    );
    expect(troubled.troubles.map(({ reason }) => reason).join()).toMatch(/ECONNREFUSED/);
    await s3.restart();
    await comesTo(
      (now) => now.troubles.length === 0 && now.checkpoints.completed > before.checkpoints.completed,
      "checkpoints again",
    );
    workspace.release();
    await comesTo(({ status }) => status === "finished", "finished");
    expect(wrongCounts(workspace.lines(), COUNT)).toEqual([]);
    expect(await runs("dispose", "job:counting")).toMatchObject({ code: 0 });
    await Promise.all([again, next].map(stop));
  });

  test("a savepoint in S3, of a job whose checkpoints are there: the job goes on from it, and dispose deletes it", async () => {
    const leader = start("coordinator", "--savepoint-dir", `${place()}/saved`);
    expect(await runs("submit", "job.mjs")).toMatchObject({ code: 0 });
    const worker = start("worker", "job.mjs", "--slots", "2");
    await comesTo(hasCompleted, "checkpoints");
    const elsewhere = await runs("savepoint", "counting", "--to", `s3://${BUCKET}/other`);
    expect(elsewhere.code).toBe(4);
    expect(elsewhere.stderr).toContain(`below ${place()}/saved only`);
    const stopped = await runs("stop", "counting", "--to", `${place()}/saved`, "--json");
    expect(stopped).toMatchObject({ code: 0 });
    const { location } = JSON.parse(stopped.stdout) as { readonly location: string };
    expect(location.startsWith(`${place()}/saved/`)).toBe(true);
    await Promise.all([stop(worker), stop(leader)]);

    const next = start("coordinator");
    expect(await runs("restore", "job.mjs", "--from", location, "--fresh")).toMatchObject({ code: 0 });
    const again = start("worker", "job.mjs", "--slots", "2");
    workspace.release();
    await comesTo(({ status }) => status === "finished", "finished");
    expect(wrongCounts(workspace.lines(), COUNT)).toEqual([]);
    expect(await runs("dispose", location)).toMatchObject({ code: 0 });
    const gone = await runs("restore", "job.mjs", "--from", location, "--fresh", "--dry-run");
    expect(gone.code).not.toBe(0);
    expect(gone.stderr).toContain(`there is no savepoint at ${location}`);
    await Promise.all([again, next].map(stop));
  });

  test("what is missing is said by each role: the bucket, credentials", async () => {
    const bucket = ["--storage", "s3://no-such-bucket/x"];
    for (const role of [["coordinator"], ["worker", "job.mjs"]]) {
      const refused = await workspace.run(shared.here(...role, ...bucket), { env: s3.environment });
      expect(refused).toMatchObject({ code: 3, stdout: "" });
      expect(refused.stderr).toContain(
        "there is no bucket no-such-bucket; make it: aws s3 mb s3://no-such-bucket",
      );
    }
    const env = { ...s3.environment, AWS_SECRET_ACCESS_KEY: "another" };
    const refused = await workspace.run(args("coordinator"), { env });
    expect(refused.stderr).toContain(`bucket ${BUCKET} refuses these credentials`);
  });
});
