/**
 * `list`, `describe` and `checkpoints …` over a real nats-server, and what they say of storage that was tampered with.
 */
import { existsSync } from "node:fs";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { JobRecord, JobStatus } from "../../../machines/protocol.ts";
import { type CheckpointStorage, objectNames } from "../../../src/checkpoint/storage.ts";
import { type Cluster, createClient, openCluster } from "../../../src/cli/assembly.ts";
import type { Verification } from "../../../src/cli/stored/verification.ts";
import { encodeValue } from "../../../src/formats/codec.ts";
import { encodeRecord, jobKey } from "../../../src/formats/job-record.ts";
import { connectNats } from "../../../src/nats/connection/connect.ts";
import { jobRecord, manifestOf, subtaskSnapshot } from "../../support/job-record.ts";
import { corruptFile, flipLastBit, replaceLastChunk } from "../../support/objects.ts";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { countingJob } from "../jobs.ts";
import { storeCheckpoint } from "../stored-jobs.ts";
import { type Ended, until, Workspace } from "../workspace.ts";

const REFUSED = 4;
const DAMAGED = 5;
const JOB = "word-count";

let server: TestServer;
let workspace: Workspace;
let prefix: string;
let cluster: Cluster;
let tests = 0;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  prefix = `checkpoints${++tests}`;
  workspace = await Workspace.create();
});
afterEach(async () => {
  await workspace.remove();
  await cluster?.nats.connection.close();
});

const here = (...args: string[]) => [...args, "--server", server.url, "--prefix", prefix];
const asks = (...args: string[]) => workspace.run(here(...args));
const json = async <T>(...args: string[]): Promise<T> =>
  JSON.parse((await asks(...args, "--json")).stdout) as T;

async function open(checkpointDir?: string): Promise<CheckpointStorage> {
  const nats = await connectNats({ servers: server.url, name: "test" });
  const storage =
    checkpointDir === undefined
      ? null
      : ({ kind: "filesystem", directory: checkpointDir, writeBufferBytes: 0 } as const);
  cluster = await openCluster(nats, { prefix, storage });
  return cluster.storage;
}

async function write(record: JobRecord): Promise<void> {
  const records = await cluster.openRecords();
  const found = await records.read(jobKey(record.job));
  await records.compareAndSet(jobKey(record.job), encodeRecord(record), found?.revision ?? 0);
}

/** A job in its third generation that retains two checkpoints. */
async function storeJob(storage: CheckpointStorage, status: JobStatus = "suspended") {
  const record = jobRecord({
    status,
    generation: 3,
    plan: {
      vertices: [
        {
          id: "count",
          parallelism: 2,
          operators: [{ id: "count", kind: "process", inputs: [], states: ["count"] }],
        },
      ],
      edges: [],
      maxParallelism: 128,
    },
    splits: { lines: [{ id: "lines.0" }, { id: "lines.1" }] },
  });
  const seven = await storeCheckpoint(storage, record, 7);
  const nine = await storeCheckpoint(storage, record, 9);
  await write({ ...record, checkpoints: [seven, nine] });
  return { record, seven, nine };
}

const names = async (storage: CheckpointStorage): Promise<string[]> => {
  const found: string[] = [];
  for await (const { name } of storage.list("")) found.push(name);
  return found.sort();
};

test("against a server without Tidemark they say so, and make nothing", async () => {
  const connection = await connect({ servers: server.url });
  const manager = await jetstreamManager(connection);
  const streams = () => manager.streams.names().next();
  const before = await streams();
  try {
    expect(await json("status")).toEqual({ jobs: [], missingBucket: expect.stringMatching(/-jobs$/) });
    for (const command of [
      ["status", "nobody"],
      ["checkpoints", "verify", "nobody", "--checkpoint-dir", "none"],
      ["checkpoints", "gc", "nobody", "--dry-run"],
    ])
      expect(await asks(...command), command.join(" ")).toMatchObject({
        ...{ code: REFUSED, stdout: "" },
        stderr: expect.stringMatching(
          /^tidemark: there is no job nobody: there is no KV bucket \S+-jobs, which/,
        ),
      });
    expect(await streams()).toEqual(before);
    expect(existsSync(workspace.path("none"))).toBe(false);
  } finally {
    await connection.close();
  }
});

test("without a coordinator they read what is stored", async () => {
  const { seven, nine } = await storeJob(await open());
  const { completedAtMs, bytes } = nine;
  expect(await json("list")).toMatchObject({
    jobs: [
      { job: JOB, status: "suspended", generation: 3, checkpoint: { checkpointId: 9, completedAtMs, bytes } },
    ],
  });
  expect((await asks("list")).stdout).toMatch(/^word-count +suspended +3 +9 +1 m +\d+ B$/m);

  const described = (await asks("describe", JOB)).stdout;
  for (const line of [
    /^status +suspended$/m,
    /^generation +3, incarnation i1$/m,
    /^checkpointing +mode exactly-once, interval 1 s, timeout 10 m, minPause 0 ms, .*retained 2, .*savepointDirectory none/m,
    /^input of lines +2 splits: lines.0, lines.1$/m,
    /^checkpoint 9 +.*generation 3$/m,
    /^count \(2 subtasks\)$/m,
  ])
    expect(described).toMatch(line);
  expect(await json("describe", JOB)).toMatchObject({ job: JOB, splits: { lines: [{ id: "lines.0" }, {}] } });

  expect(await json("checkpoints", "ls", JOB)).toMatchObject({
    job: JOB,
    checkpoints: [
      { checkpointId: 7, objects: 3, damage: null },
      { checkpointId: 9, objects: 3, allFinished: false },
    ],
  });
  expect((await asks("checkpoints", "ls", JOB)).stdout).toMatch(
    /^9 +3 +\d{4}-.*Z +\d+ m +\d+ B +\d+ B +3 +no$/m,
  );

  const shown = (await asks("checkpoints", "show", JOB)).stdout;
  for (const line of [
    /^checkpoint +9 of job word-count$/m,
    /^count\/0 +\d+ B +1\.5 ms +0\.3 ms +20\.0 ms +no$/m,
    /^count\/1 .* yes$/m,
    /^ {2}state of count \(n\): 21 B in 1 object$/m,
    /^ {2}transaction out@9 of writer 0: 22 B in 1 object$/m,
  ])
    expect(shown).toMatch(line);
  for (const name of nine.objects) expect(shown).toContain(name);
  expect(await json("checkpoints", "show", JOB, "7")).toMatchObject({
    checkpointId: 7,
    subtasks: [
      {
        subtask: "count/0",
        states: [{ operator: "count", objects: [{ name: seven.objects[1] }] }],
        transactions: [{ transaction: "out@7", writer: 0, staged: [{ name: seven.objects[2] }] }],
      },
      { subtask: "count/1", finished: true },
    ],
  });
  const unknown = await asks("checkpoints", "show", JOB, "8");
  expect(unknown).toMatchObject({ code: REFUSED, stdout: "" });
  expect(unknown.stderr).toContain("job word-count has no checkpoint 8; it retains 7, 9");

  for (const more of [[], ["--fast"]]) {
    const verified = await asks("checkpoints", "verify", JOB, ...more);
    expect(verified).toMatchObject({ code: 0, stderr: "" });
    expect(verified.stdout).toMatch(/^checkpoint 9: 3 objects, .*: whole$/m);
    expect(verified.stdout).toContain("no unreachable object");
  }

  const collecting = await asks("checkpoints", "gc", JOB, "--connect-timeout", "5");
  expect(collecting).toMatchObject({ code: 3, stdout: "" });
  expect(collecting.stderr).toContain("no coordinator leads");
});

interface Way {
  readonly title: string;
  readonly directory: boolean;
}

const ways: readonly Way[] = [
  { title: "object store", directory: false },
  { title: "directory", directory: true },
];

describe.each(ways)("$title", ({ directory }) => {
  let storage: CheckpointStorage;
  let stored: Awaited<ReturnType<typeof storeJob>>;
  let checkpointDir: string | undefined;

  beforeEach(async () => {
    checkpointDir = directory ? workspace.path("checkpoints") : undefined;
    storage = await open(checkpointDir);
    stored = await storeJob(storage);
  });
  const place = () => (checkpointDir === undefined ? [] : ["--checkpoint-dir", checkpointDir]);
  const checkpoints = (...args: string[]): Promise<Ended> => asks("checkpoints", ...args, ...place());
  const corrupt = (name: string) =>
    checkpointDir === undefined
      ? replaceLastChunk(cluster.nats.connection, `${prefix}-checkpoints`, name, flipLastBit)
      : corruptFile(`${checkpointDir}/${name}`);

  test("verify names what is missing and what is corrupt", async () => {
    const { seven, nine } = stored;
    await storage.delete(seven.objects[1]);
    await corrupt(nine.objects[2]);
    const found = await checkpoints("verify", JOB);
    expect(found.code).toBe(DAMAGED);
    expect(found.stdout).toMatch(
      new RegExp(`^missing: ${seven.objects[1]} \\(state of count in count/0; checkpoint 7\\): `, "m"),
    );
    expect(found.stdout).toMatch(
      new RegExp(`^corrupt: ${nine.objects[2]} \\(transaction out@9 of writer 0; checkpoint 9\\): `, "m"),
    );
    expect(found.stdout.match(/^(missing|corrupt): /gm)).toHaveLength(2);

    // Sizes do not tell a flipped bit.
    const fast = await checkpoints("verify", JOB, "--fast", "--json");
    expect(fast.code).toBe(DAMAGED);
    expect(JSON.parse(fast.stdout)).toMatchObject({
      compared: "sizes",
      damagedCheckpoints: [7],
      damage: [{ kind: "missing", name: seven.objects[1], checkpoints: [7] }],
    });
  });

  test("a manifest that cannot be read is named by every command that needs it", async () => {
    const { seven, nine } = stored;
    const [manifest] = nine.objects;
    await corrupt(manifest);
    for (const command of [
      ["show", JOB],
      ["gc", JOB, "--dry-run"],
      ["verify", JOB],
      ["ls", JOB],
    ]) {
      const { code, stdout, stderr } = await checkpoints(...command);
      expect(code, command.join(" ")).toBe(DAMAGED);
      expect(stdout + stderr).toContain(manifest);
    }
    expect((await checkpoints("show", JOB)).stderr).toMatch(
      /"tidemark checkpoints verify .*--server=.* word-count"/,
    );
    expect((await checkpoints("show", JOB, "7")).stdout).toContain(seven.objects[1]);
    const leader = workspace.start([...here("coordinator"), ...place()]);
    const before = await names(storage);
    const refused = await checkpoints("gc", JOB);
    expect(refused).toMatchObject({ code: REFUSED, stdout: "" });
    expect(refused.stderr).toContain(manifest);
    expect(await names(storage)).toEqual(before);
    leader.kill("SIGKILL");
  });

  test("a manifest of a wrong shape is damage like any other: named by object, field and what was found", async () => {
    const { record, seven, nine } = stored;
    const store = async (checkpointId: number, some: object) => {
      const at = { job: JOB, incarnation: "i1", generation: 3, checkpointId };
      const content = encodeValue({ ...manifestOf(checkpointId, { generation: 3 }), ...some });
      return { ...nine, checkpointId, manifest: await storage.put(objectNames.manifest(at), [content]) };
    };
    const broken = await store(10, { subtasks: [{ ...subtaskSnapshot(), bytes: -1 }] });
    const newer = await store(11, { format: 2 });
    await write({ ...record, checkpoints: [seven, broken, newer] });
    for (const how of [[], ["--fast"]]) {
      const { code, stdout } = await checkpoints("verify", JOB, ...how);
      expect(code).toBe(DAMAGED);
      expect(stdout).toMatch(/^checkpoint 7: .*: whole$/m);
      expect(stdout).toMatch(/^checkpoint 10: .*: damaged$/m);
      for (const [checkpoint, what] of [
        [broken, "subtasks\\.0\\.bytes: .*, found -1"],
        [newer, "it was written by a newer version of Tidemark \\(format 2, this one reads 1\\)"],
      ] as const)
        expect(stdout).toMatch(
          new RegExp(`^corrupt: ${checkpoint.manifest.name} \\(manifest; checkpoint \\d+\\): .*${what}`, "m"),
        );
    }
    expect(await checkpoints("show", JOB)).toMatchObject({ code: DAMAGED });
    const gc = await checkpoints("gc", JOB, "--dry-run");
    expect(gc).toMatchObject({ code: DAMAGED, stdout: "" });
  });

  test("gc deletes what older generations have left behind, and nothing else", async () => {
    const at = { job: JOB, incarnation: "i1" };
    const put = async (generation: number): Promise<string> => {
      const name = objectNames.state({ ...at, generation, checkpointId: 5, subtask: "count/0", part: 0 });
      await storage.put(name, [new Uint8Array(7)]);
      return name;
    };
    const old = await put(2);
    const [own, newer] = [await put(3), await put(4)];
    const found = await checkpoints("verify", JOB);
    expect(found.code).toBe(0);
    expect(found.stdout).toContain(
      `unreachable, of generation 2, can be collected: 1 object, 7 B\n  ${old}  7 B\n`,
    );
    expect(found.stdout).toContain(
      "unreachable, of generation 3, in use or too young to tell: kept: 1 object",
    );

    const dry = await checkpoints("gc", JOB, "--dry-run");
    expect(dry).toMatchObject({ code: 0, stdout: `1 object would be deleted, 7 B\n  ${old}\n` });
    // The object of a worker that was killed in the middle of an upload: neither listed nor readable, but it takes
    // room.
    const half = objectNames.state({ ...at, generation: 2, checkpointId: 6, subtask: "count/1", part: 0 });
    async function* endless() {
      yield new Uint8Array(700_000);
      await new Promise(() => {});
    }
    storage.put(half, endless()).catch(() => {});
    const collectable = async () => {
      const { unreachable } = JSON.parse((await checkpoints("verify", JOB, "--json")).stdout) as Verification;
      return unreachable
        .filter(({ standing }) => standing === "collectable")
        .map(({ name }) => name)
        .sort();
    };
    await until(
      async () => (await collectable()).length === 2,
      () => "the upload that never ends has begun",
    );
    expect(await collectable()).toEqual([old, half].sort());
    const before = await names(storage);
    expect(JSON.parse((await checkpoints("gc", JOB, "--dry-run", "--json")).stdout)).toMatchObject({
      names: expect.arrayContaining([old, half]),
      objects: 2,
    });
    expect((await checkpoints("verify", JOB)).stdout).toMatch(new RegExp(`${half} .*never finished`));
    expect(await names(storage)).toEqual(before);

    const leader = workspace.start([...here("coordinator"), ...place()]);
    const collected = await checkpoints("gc", JOB, "--json");
    expect(collected).toMatchObject({ code: 0, stderr: "" });
    expect(JSON.parse(collected.stdout)).toEqual({
      ...{ job: JOB, dryRun: false, objects: 2, bytes: expect.any(Number), unfinished: 1 },
      names: expect.arrayContaining([old, half]),
    });
    expect(await collectable()).toEqual([]);
    expect(await names(storage)).toEqual(before.filter((name) => name !== old));
    expect(before).toContain(own);
    expect(before).toContain(newer);
    expect(await checkpoints("gc", JOB)).toMatchObject({ code: 0, stdout: "0 objects deleted, 0 B\n" });
    leader.kill("SIGKILL");
  });
});

test("show says whom those waited for that were given up, and which channel blocked them", async () => {
  const { record, nine } = await storeJob(await open());
  // One reading of the clock: two of them may lie a millisecond apart, and so may the duration that is printed.
  const abortedAtMs = Date.now() - 10_000;
  const aborted = {
    checkpointId: 10,
    generation: 3,
    requested: "periodic",
    reason: "expired",
    detail: "it was not complete within its timeout; it waited for count/1",
    startedAtMs: abortedAtMs - 60_000,
    abortedAtMs,
    acknowledged: 1,
    missing: [{ subtask: "count/1", phase: "aligning", channels: ["lines/0 over edge lines-count"] }],
  } as const;
  await write({ ...record, checkpoints: [nine], aborted: [aborted] });
  const words = [
    /checkpoint 10 \(periodic\) was given up at .* after 60000 ms: it was not complete within its timeout; it waited for count\/1;/,
    /count\/1 +aligning +waits for lines\/0 over edge lines-count/,
  ];
  for (const command of [
    ["show", JOB],
    ["show", JOB, "10"],
  ]) {
    const { code, stdout } = await asks("checkpoints", ...command);
    expect(code).toBe(0);
    for (const line of words) expect(stdout).toMatch(line);
    expect(/checkpoint +9\b/.test(stdout)).toBe(command.length === 2);
  }
  expect(await json("checkpoints", "show", JOB, "10")).toEqual({
    ...{ job: JOB, pending: [], pendingMore: 0, queued: 0, aborted: [aborted], hold: "" },
  });
});

test("show says why no checkpoint begins, and a savepoint is refused for that reason", async () => {
  await open();
  workspace.write(
    "job.js",
    `import { defineJob, fileSink, generatorSource } from "tidemark";
export default defineJob("${JOB}", { checkpointing: { interval: "100ms", afterTasksFinish: false } }, (job) => {
  job.source("short", generatorSource({ count: 1, generate: (index) => index }))
    .union(job.source("long", generatorSource({ count: 1_000_000, ratePerSecond: 100, generate: (index) => index })))
    .map("text", String).sink("lines", fileSink({ directory: "out" }));
});\n`,
  );
  workspace.start(here("coordinator"));
  expect((await asks("submit", "job.js")).code).toBe(0);
  workspace.start(here("worker", "job.js"));
  const why = /some subtasks have finished, others have not, and checkpointing.afterTasksFinish is false/;
  await until(
    async () => why.test((await asks("checkpoints", "show", JOB)).stdout),
    () => "the reason",
  );
  const { code, stderr } = await asks("savepoint", JOB, "--to", workspace.path("savepoints"));
  expect(stderr).toMatch(why);
  expect(code).toBe(REFUSED);
});

test("of a running job they show what it retains at that moment, and collect nothing of it", async () => {
  await open();
  const options = 'checkpointing: { interval: "200ms", retained: 1, inlineThreshold: 1 }';
  workspace.write(
    "job.js",
    countingJob({ name: JOB, count: 400_000, ratePerSecond: 2_000, held: true, options }),
  );
  workspace.start(here("coordinator"));
  expect((await asks("submit", "job.js")).code).toBe(0);
  workspace.start(here("worker", "job.js", "--slots", "2"));
  await until(
    async () => ((await createClient(cluster).status(JOB))?.checkpoints.completed ?? 0) > 2,
    () => "checkpoints",
  );
  for (const command of [
    ["verify", JOB],
    ["verify", JOB, "--fast"],
    ["show", JOB],
    ["ls", JOB],
    ["gc", JOB],
  ])
    expect(await asks("checkpoints", ...command), command.join(" ")).toMatchObject({ code: 0, stderr: "" });
  const report = await createClient(cluster).status(JOB);
  expect(report).toMatchObject({ status: "running", generation: 1, failures: [] });
});
