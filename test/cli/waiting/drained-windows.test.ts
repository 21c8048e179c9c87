/**
 * A job with open windows and timers that is drained: what is cut short is listed before it is, and a user who would go
 * on from the savepoint is told so. Stopped without a drain, nothing is cut short.
 */
import { expect, test } from "vitest";
import { comesTo } from "../job-status.ts";
import { SharedServer } from "../servers/shared-server.ts";

const shared = new SharedServer("cut");

const JOB = `
import { boundedOutOfOrderness, defineJob, fileSink, jetstreamSource, sessionWindows, tumblingWindows } from "tidemark";
export default defineJob("open", { parallelism: 2, checkpointing: { interval: "200ms" } }, (job) => {
  const source = job.source("items", jetstreamSource({ stream: "OPEN" }), {
    timestamp: ({ at }) => at,
    watermarks: boundedOutOfOrderness("1 s"),
    parallelism: 1,
  });
  const items = source.keyBy(({ key }) => key);
  items
    .window(tumblingWindows({ size: "10 s" }))
    .process("count", (all, { key }) => key + " " + all.length)
    .sink("counts", fileSink({ directory: "counts" }));
  items
    .window(sessionWindows({ gap: "1 min" }))
    .process("visits", (all, { key }) => key + " " + all.length)
    .sink("sessions", fileSink({ directory: "sessions" }));
  items
    .process("remind", {
      state: {},
      onRecord({ at }, { timers }) {
        timers.registerEventTimer(at + 1_000_000);
      },
      onTimer: (_, { key }) => key,
    })
    .sink("reminders", fileSink({ directory: "reminders" }));
  source.map("seen", ({ key }) => key).sink("all", fileSink({ directory: "all" }));
});
`;

const at = Date.parse("2026-01-01T00:00:01Z");

/** The operators that have something open, as soon as all of the input is there. */
async function opened(): Promise<void> {
  await comesTo(shared.cluster, "open", "three of each are open", ({ subtasks }) => {
    const operators = subtasks.flatMap((one) => one.operators);
    const results = (name: string) =>
      operators
        .filter(({ operator }) => operator === name)
        .reduce(
          (sum, { openWindows, figures }) => sum + (openWindows?.windows ?? figures.eventTimers ?? 0),
          0,
        );
    return ["count", "visits", "remind"].every((name) => results(name) === 3);
  });
}

test("--drain lists what it cuts short, by operator, and restore and run warn of it; a stop leaves it open", async () => {
  const { workspace, here, asks, json, cluster } = shared;
  const { streams } = await cluster.nats.manager();
  await streams.add({ name: "OPEN", subjects: ["OPEN.>"] });
  workspace.write("open.mjs", JOB);
  workspace.start(here("coordinator"));
  expect(await asks("submit", "open.mjs")).toMatchObject({ code: 0 });
  workspace.start(here("worker", "open.mjs", "--slots", "2"));
  for (const key of ["a", "b", "c"]) cluster.nats.connection.publish("OPEN.x", JSON.stringify({ key, at }));
  await cluster.nats.connection.flush();
  await opened();

  const stopped = await json("stop", "open", "--to", workspace.path("stopped"));
  expect(stopped).not.toHaveProperty("unfinished");
  expect([...workspace.lines("counts"), ...workspace.lines("sessions")]).toEqual([]);
  expect(await asks("restore", "open.mjs", "--from", String(stopped.location))).toMatchObject({ code: 0 });
  workspace.start(here("worker", "open.mjs", "--slots", "2"));
  await opened();

  const drained = await asks("stop", "open", "--drain", "--to", workspace.path("drained"));
  expect(drained).toMatchObject({ code: 0 });
  const listed = [
    "operator count (3 windows of keys, the last one until 2026-01-01T00:00:10.000Z)",
    "operator visits (3 windows of keys, the last one until 2026-01-01T00:01:01.000Z)",
    "operator remind (3 timers)",
  ];
  expect(drained.stderr).toMatch(/^tidemark: warning: --drain ends the input of job open/);
  for (const one of listed) expect(drained.stderr).toContain(`\n  - ${one}\n`);
  expect(drained.stderr).not.toContain("operator seen");
  expect(workspace.lines("counts").sort()).toEqual(["a 1", "b 1", "c 1"]);

  const location = /with savepoint (\S+)/.exec(drained.stdout)![1]!;
  const restored = await asks("restore", "open.mjs", "--from", location);
  expect(restored.code).toBe(4);
  expect(restored.stderr).toContain("the job was drained before it was taken");
  const again = await asks("submit", "open.mjs");
  expect(again.code).toBe(4);
  expect(again.stderr).toContain(`job open was drained, and no job goes on from its savepoint ${location}`);
  expect(again.stderr).toContain("start it over with --fresh");
  for (const { stderr } of [restored, again]) for (const one of listed) expect(stderr).toContain(one);
  const dry = await asks("restore", "open.mjs", "--from", location, "--dry-run");
  expect(dry.code).toBe(4);
  expect(dry.stderr).toContain(listed[0]!);
  expect((await asks("describe", "open")).stdout).toMatch(/^savepoint .*, drained$/m);
});

test("--drain --json has the same as data, and says nothing beside it", async () => {
  const { workspace, here, asks, json, cluster } = shared;
  const { streams } = await cluster.nats.manager();
  await streams.add({ name: "OPEN2", subjects: ["OPEN2.>"] });
  workspace.write("open.mjs", JOB.replace('"OPEN"', '"OPEN2"'));
  workspace.start(here("coordinator"));
  expect(await asks("submit", "open.mjs")).toMatchObject({ code: 0 });
  workspace.start(here("worker", "open.mjs", "--slots", "2"));
  for (const key of ["a", "b", "c"]) cluster.nats.connection.publish("OPEN2.x", JSON.stringify({ key, at }));
  await cluster.nats.connection.flush();
  await opened();
  const { unfinished } = await json("stop", "open", "--drain", "--to", workspace.path("drained"));
  const windows = { windows: 3, of: "keys", timers: 0 };
  expect(
    [...(unfinished as { operator: string }[])].sort((a, b) => (a.operator < b.operator ? -1 : 1)),
  ).toEqual([
    { operator: "count", ...windows, lastEndMs: at + 9000 },
    { operator: "remind", ...windows, windows: 0, lastEndMs: null, timers: 3 },
    { operator: "visits", ...windows, lastEndMs: at + 60_000 },
  ]);
});
