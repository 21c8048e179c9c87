/** A running job is rescaled, with real processes: nothing is lost or comes twice, also when leader or worker dies. */
import { expect, test } from "vitest";
import type { JobReport } from "../../../src/control/messages.ts";
import { readRecord } from "../../../src/runtime/leader/records/stored-record.ts";
import { countingJob, wrongCounts } from "../jobs.ts";
import { SharedServer } from "../servers/shared-server.ts";
import { type Command, until } from "../workspace.ts";

const COUNT = 40_000;
const RUNS = "running.processing";

const shared = new SharedServer("rescale");

const coordinator = () => shared.workspace.start(shared.here("coordinator"));
/** They are started with the numbers of the job file, whatever the record says. */
const workers = (count: number) =>
  Array.from({ length: count }, () =>
    shared.workspace.start(shared.here("worker", "job.mjs", "--slots", "1")),
  );

const comesTo = (what: string, isThere: (report: JobReport) => boolean) =>
  shared.jobComesTo("counting", isThere, what);

/** Subtasks of the counting operator, which is chained to its source where each has one. */
const counters = ({ subtasks }: JobReport): number => {
  const of = (vertex: string) => subtasks.filter(({ subtask }) => subtask.startsWith(`${vertex}/`)).length;
  return of("count") || of("numbers");
};

/** These workers and no others are registered. */
const isOn = ({ workers }: JobReport, those: readonly Command[]): boolean =>
  workers.length === those.length &&
  workers.every(({ processId }) => those.some(({ child }) => child.pid === processId));

const runsIn = (parallelism: number, those: readonly Command[]) =>
  comesTo(
    `${parallelism} subtasks run`,
    (report) => report.phase === RUNS && counters(report) === parallelism && isOn(report, those),
  );

async function begins(those: readonly Command[]): Promise<void> {
  const { workspace, asks } = shared;
  const options = 'restart: { initialBackoff: "100ms" }';
  workspace.write("job.mjs", countingJob({ count: COUNT, ratePerSecond: 2_000, held: true, options }));
  expect(await asks("submit", "job.mjs")).toMatchObject({ code: 0 });
  await runsIn(2, those);
}

async function endsWhole(): Promise<void> {
  shared.workspace.release();
  await comesTo("the job finishes", ({ status }) => status === "finished");
  expect(wrongCounts(shared.workspace.lines("out"), COUNT)).toEqual([]);
}

test("to more subtasks and to one, without a savepoint, and a crash restores the new number", async () => {
  const { asks, json } = shared;
  const leader = coordinator();
  const all = workers(3);
  await begins(all);
  expect(await json("rescale", "counting", "--parallelism", "3")).toMatchObject({ rescaled: true });
  await runsIn(3, all);
  all.shift()!.kill("SIGKILL");
  all.push(...workers(1));
  await runsIn(3, all);
  expect(await asks("rescale", "counting", "--operator", "count=1")).toMatchObject({
    code: 0,
    stdout: "job counting runs with count with 1\n",
    stderr: "",
  });
  await runsIn(1, all);
  await json("rescale", "counting", "--parallelism", "1");
  await runsIn(1, all);
  await endsWhole();
  leader.kill("SIGKILL");
});

test("what cannot be is refused by name, and the job goes on", async () => {
  const { asks } = shared;
  const leader = coordinator();
  const all = workers(2);
  await begins(all);
  const refused = async (...args: string[]) => {
    const { code, stderr } = await asks("rescale", "counting", ...args);
    expect(code).toBe(4);
    return stderr;
  };
  expect(await refused("--parallelism", "200")).toContain(
    "parallelism 200 is above the job's maxParallelism 128",
  );
  expect(await refused("--parallelism", "3")).toContain(
    "would need 3 slots, and its workers offer 2: start another worker",
  );
  expect(await refused("--parallelism", "2")).toContain("runs with these numbers of subtasks already");
  expect(await refused("--operator", "cuont=1")).toContain('there is no operator "cuont" in job counting');
  const before = await runsIn(2, all);
  expect(before.restarts).toBe(0);
  await endsWhole();
  leader.kill("SIGKILL");
});

test("where the new subtasks do not come up, the job runs as before and says why", async () => {
  const { asks, workspace } = shared;
  const leader = coordinator();
  const all = workers(3);
  const job = countingJob({ count: COUNT, ratePerSecond: 2_000, held: true });
  const sink = `const lines = fileSink({ directory: "out" });
const twoWriters = {
  ...lines,
  open(environment) {
    if (environment.subtaskIndex > 1) throw new Error("there is no third desk");
    return lines.open(environment);
  },
};
`;
  workspace.write(
    "job.mjs",
    job
      .replace("export default", () => `${sink}export default`)
      .replace('.sink("lines", fileSink({ directory: "out" }))', '.sink("lines", twoWriters)'),
  );
  expect(await asks("submit", "job.mjs")).toMatchObject({ code: 0 });
  await runsIn(2, all);
  const { code, stderr } = await asks("rescale", "counting", "--parallelism", "3");
  expect(code).toBe(4);
  expect(stderr).toMatch(
    /could not be rescaled, and runs with the former numbers of subtasks: count\/2: .*there is no third desk/,
  );
  const { failures } = await runsIn(2, all);
  expect(failures.map(({ reason }) => reason).join()).toContain("there is no third desk");
  await endsWhole();
  leader.kill("SIGKILL");
});

test("a region that the new plan does not have runs nowhere any more", async () => {
  const { asks, workspace, json } = shared;
  const leader = coordinator();
  const all = workers(2);
  workspace.write(
    "job.mjs",
    `import { appendFileSync } from "node:fs";
import { defineJob, fileSink, generatorSource } from "tidemark";
const pids = new URL("pids", import.meta.url);
export default defineJob("counting", { parallelism: 2, checkpointing: { interval: "200ms" } }, (job) => {
  job
    .source("numbers", generatorSource({ count: 10_000_000, ratePerSecond: 400, splits: 2, generate: (index) => index }))
    .map("tell", (index) => {
      appendFileSync(pids, process.pid + "\\n");
      return String(index);
    })
    .sink("lines", fileSink({ directory: "out" }));
});
`,
  );
  expect(await asks("submit", "job.mjs")).toMatchObject({ code: 0 });
  const seen = () => new Set(workspace.read("pids").trim().split("\n").slice(-100)).size;
  await runsIn(2, all);
  await until(
    () => seen() === 2,
    () => "both workers process records",
  );
  await json("rescale", "counting", "--parallelism", "1");
  await runsIn(1, all);
  await until(
    () => seen() === 1,
    () => "one of them does",
  );
  expect(await asks("cancel", "counting")).toMatchObject({ code: 0 });
  leader.kill("SIGKILL");
});

/** The number of counting subtasks that the record has decided. */
async function decided(): Promise<number | undefined> {
  const found = await readRecord(await shared.cluster.openRecords(), "counting");
  const vertices = found?.record.plan.vertices ?? [];
  return vertices.find(({ operators }) => operators.some(({ id }) => id === "count"))?.parallelism;
}

test("the leader and a worker are killed in the middle", async () => {
  const { workspace, here } = shared;
  let leader = coordinator();
  const all = workers(4);
  await begins(all);
  for (const parallelism of [3, 1, 3]) {
    const standby = coordinator();
    const command = workspace.start(here("rescale", "counting", "--parallelism", String(parallelism)));
    await until(
      async () => (await decided()) === parallelism,
      () => `${parallelism} subtasks are decided`,
    );
    leader.kill("SIGKILL");
    all.shift()!.kill("SIGKILL");
    all.push(...workers(1));
    leader = standby;
    const { code, stderr } = await command.ended;
    if (code !== 0) expect(stderr).toContain("runs with the former numbers of subtasks");
    await comesTo("the job runs", (report) => report.phase === RUNS && isOn(report, all));
    if (code === 0) await runsIn(parallelism, all);
  }
  await endsWhole();
  leader.kill("SIGKILL");
});
