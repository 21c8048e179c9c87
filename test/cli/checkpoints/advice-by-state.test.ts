/** What each command about a job says where it cannot do what was asked: what is missing, and which command helps. */
import { describe, expect, test } from "vitest";
import type { JobRecord, JobStatus } from "../../../machines/protocol.ts";
import { encodeRecord, jobKey } from "../../../src/formats/job-record.ts";
import { jobRecord } from "../../support/job-record.ts";
import { SharedServer } from "../servers/shared-server.ts";
import { storeCheckpoint } from "../stored-jobs.ts";

const JOB = "words";

const shared = new SharedServer("advice");
const { asks, json } = shared;

/** Every command about one job. */
const COMMANDS: readonly (readonly string[])[] = [
  ["status", JOB],
  ["describe", JOB],
  ["cancel", JOB],
  ["cancel", JOB, "--with-savepoint", "--to", "/tmp/savepoints"],
  ["savepoint", JOB, "--to", "/tmp/savepoints"],
  ["stop", JOB, "--to", "/tmp/savepoints"],
  ["dispose", `job:${JOB}`],
  ["dispose", `checkpoint:${JOB}`],
  ["dispose", `checkpoint:${JOB}/1`, "--dry-run"],
  ["checkpoints", "ls", JOB],
  ["checkpoints", "show", JOB],
  ["checkpoints", "verify", JOB],
  ["checkpoints", "gc", JOB],
  ["checkpoints", "gc", JOB, "--dry-run"],
];

test("without the bucket of records every command names it, and what brings it back", async () => {
  const bucket = `${shared.prefix}-jobs`;
  const answers = await Promise.all(COMMANDS.map((command) => asks(...command)));
  for (const [index, { code, stdout, stderr }] of answers.entries()) {
    const command = COMMANDS[index];
    expect({ command, code, stdout }).toEqual({ command, code: 4, stdout: "" });
    expect(stderr).toMatch(`there is no job ${JOB}: there is no KV bucket ${bucket}`);
    expect(stderr).toMatch(`restore stream KV_${bucket} from a backup`);
  }
  expect(await asks("list")).toMatchObject({
    code: 0,
    stdout: expect.stringContaining(`no jobs: there is no KV bucket ${bucket}`),
  });
  expect(await json("list")).toEqual({ jobs: [], missingBucket: bucket });
});

describe("of a job that no coordinator leads", () => {
  async function stored(status: JobStatus, some: Partial<JobRecord> = {}): Promise<void> {
    const record = jobRecord({ job: JOB, status, generation: 3, generations: [3], ...some });
    const checkpoint = await storeCheckpoint(shared.cluster.storage, record, 1);
    const records = await shared.cluster.openRecords();
    const found = await records.read(jobKey(JOB));
    const whole = encodeRecord({ ...record, checkpoints: status === "finished" ? [] : [checkpoint] });
    await records.compareAndSet(jobKey(JOB), whole, found?.revision ?? 0);
  }

  const RUN_AGAIN = 'was left behind by a "tidemark run" that is gone: go on with';
  const COORDINATOR = 'start one with "tidemark coordinator --server=';
  const RESTORE = `goes on from it with "tidemark restore PLACE FILE --from checkpoint:${JOB}"`;
  const DISPOSE = `"tidemark dispose PLACE job:${JOB}" deletes what it keeps`;
  const CASES: readonly (readonly [
    status: JobStatus,
    some: Partial<JobRecord>,
    said: Readonly<Record<string, string>>,
  ])[] = [
    [
      "running",
      { scope: "job" },
      { cancel: RUN_AGAIN, savepoint: RUN_AGAIN, stop: RUN_AGAIN, dispose: RUN_AGAIN },
    ],
    [
      "running",
      { scope: "cluster" },
      { cancel: COORDINATOR, savepoint: COORDINATOR, stop: COORDINATOR, dispose: COORDINATOR },
    ],
    [
      "settling",
      { scope: "job", settleTo: "stopped" },
      { cancel: RUN_AGAIN, savepoint: RUN_AGAIN, stop: RUN_AGAIN, dispose: "its next start goes on there" },
    ],
    ["suspended", {}, { cancel: DISPOSE, savepoint: RESTORE, stop: RESTORE }],
    ["failed", {}, { cancel: DISPOSE, savepoint: RESTORE, stop: RESTORE }],
    ["canceled", {}, { savepoint: RESTORE, stop: RESTORE }],
    ["finished", {}, { cancel: "there is nothing to cancel", savepoint: "there is nothing to take" }],
  ];

  test("the advice is a command that works there", async () => {
    const failing = ["--connect-timeout", "1"];
    const argumentsOf: Readonly<Record<string, readonly string[]>> = {
      cancel: ["cancel", JOB],
      savepoint: ["savepoint", JOB, "--to", "/tmp/savepoints"],
      stop: ["stop", JOB, "--to", "/tmp/savepoints"],
      dispose: ["dispose", `job:${JOB}`],
    };
    const place = `--server=${shared.server.url} --prefix=${shared.prefix}`;
    for (const [status, some, said] of CASES) {
      await stored(status, some);
      await Promise.all(
        Object.entries(said).map(async ([command, words]) => {
          const { stdout, stderr } = await asks(...argumentsOf[command]!, ...failing);
          expect({ status, some, command, stdout, stderr }).toMatchObject({
            stdout: "",
            stderr: expect.stringContaining(words.replace("PLACE", place)),
          });
        }),
      );
    }
    // It runs as it is printed, also in another directory.
    await stored("suspended");
    const { stderr } = await asks("cancel", JOB);
    const advised = /"(tidemark dispose [^"]+)"/.exec(stderr)?.[1] ?? "";
    expect(shared.workspace.tidemark(advised)).toContain(`all that job ${JOB} has left is deleted`);
  });
});
