/** Ctrl-C always ends a run, whatever hangs; what is decided stays decided, and the next start goes on there (P49). */
import { renameSync, writeFileSync } from "node:fs";
import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { EndingPatience, unendedText } from "../../../src/cli/process/ending.ts";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { report } from "../job-report.ts";
import { countingJob } from "../jobs.ts";
import { type Command, kill, until, Workspace } from "../workspace.ts";

// Real processes, and bounds of the run itself, on a machine that others use too.

const RECORDS = 5;
let server: TestServer;
let admin: NatsConnection;
let manager: JetStreamManager;
let workspace: Workspace;
let id: string;
let streams = 0;

const denied = (user: string, subject: string) =>
  `{ user: ${user}, password: p, permissions: { publish: { deny: ["${subject}"] } } }`;

beforeAll(async () => {
  server = await startTestServer({
    configuration: `authorization { users: [
      { user: admin, password: p }
      ${denied("nowrite", "out.>")}
      ${denied("noread", "$JS.API.CONSUMER.CREATE.IN.>")}
    ] }`,
  });
  admin = await connect({ servers: server.url, user: "admin", pass: "p" });
  manager = await jetstreamManager(admin);
  await manager.streams.add({ name: "IN", subjects: ["in.>"] });
  for (let n = 0; n < RECORDS; n++) admin.publish("in.a", `{"n":${n}}`);
  await admin.flush();
});
afterAll(async () => {
  await admin.close();
  await server.stop();
});
beforeEach(async () => {
  id = `e${++streams}`;
  workspace = await Workspace.create();
});
afterEach(() => workspace.remove());

const as = (user: string, ...args: string[]) => [
  ...args,
  ...["--server", server.url, "--prefix", id, "--user", user, "--password", "p"],
];

const copy = (more = "") =>
  workspace.write(
    "job.mjs",
    `import { defineJob, fileSink, generatorSource, jetstreamSink, jetstreamSource } from "tidemark";
export default defineJob("job-${id}", { checkpointing: { interval: "200ms" } }, (job) => {
  job.source("in", jetstreamSource({ stream: "IN" }))${more}
    .sink("out", jetstreamSink({ stream: "OUT-${id}", subject: "out.${id}" }));
});\n`,
  );

const outputStream = () =>
  manager.streams.add({
    name: `OUT-${id}`,
    subjects: [`out.${id}`, `tidemark-marker.OUT-${id}.>`],
    allow_atomic: true,
    allow_rollup_hdrs: true,
    allow_msg_ttl: true,
  });

const written = async () => {
  const { state } = await manager.streams.info(`OUT-${id}`, { subjects_filter: `out.${id}` });
  return state.subjects?.[`out.${id}`] ?? 0;
};

const interrupted = (command: Command) => {
  command.kill("SIGINT");
  return command.ended;
};

test("no permission to publish: told with the subject; Ctrl-C ends with exit code 3, and the next start commits", async () => {
  await outputStream();
  copy();
  const running = workspace.start(as("nowrite", "run", "job.mjs"));
  const sentence = `this NATS user may not publish to "out.${id}"; allow it`;
  await running.says(`trouble: committing to stream OUT-${id}, still tried: .*${sentence}`);
  const status = await workspace.run(as("admin", "status", `job-${id}`));
  expect(status.stdout).toMatch(
    new RegExp(`trouble +committing to stream OUT-${id}, for .*worker \\w+.*: .*${sentence}`),
  );
  const ended = await interrupted(running);
  expect(ended.code).toBe(3);
  expect(ended.stderr).toMatch(
    /^tidemark: job job-e\d+ is settling: output that is decided has not been committed/m,
  );
  expect(ended.stderr).toMatch(sentence);
  expect(await workspace.run(as("admin", "list"))).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/settling/),
  });
  expect(await written()).toBe(0);

  const again = workspace.start(as("admin", "run", "job.mjs"));
  await until(
    async () => (await written()) >= RECORDS,
    () => "the decided output",
  );
  expect(await interrupted(again)).toMatchObject({ code: 0, stderr: "" });
  expect(await written()).toBe(RECORDS);
});

test("Ctrl-C holds when the leader dies that has taken it: the next one is asked again", async () => {
  workspace.write(
    "job.mjs",
    `import { defineJob, fileSink, jetstreamSource } from "tidemark";
const options = { checkpointing: { interval: "1 h" }, heartbeat: { timeout: "1 h" } };
export default defineJob("job-${id}", options, (job) => {
  job.source("in", jetstreamSource({ stream: "IN" })).sink("out", fileSink({ directory: "out" }));
});\n`,
  );
  const running = workspace.start(as("admin", "run", "job.mjs", "--events", "events.jsonl"));
  const told = (words: string) => () => {
    try {
      return workspace.read("events.jsonl").includes(words);
    } catch {
      return false;
    }
  };
  await until(told('"to":"running.processing"'), () => running.stdout + running.stderr);
  const processOf = (role: string) =>
    workspace.processes().find(({ commandLine }) => commandLine.includes(` ${role} `))!.pid;
  const [leader, worker] = [processOf("coordinator"), processOf("worker")];
  // The checkpoint of the suspension waits for it.
  kill(worker, "SIGSTOP");
  running.kill("SIGINT");
  await until(told('"to":"running.suspending"'), () => running.stdout + running.stderr);
  kill(leader);
  kill(worker, "SIGCONT");
  expect(await running.ended).toMatchObject({
    code: 0,
    stdout: expect.stringContaining(`job job-${id} is suspended`),
  });
});

test("cancel where decided output cannot be committed: exit code 3 and the reason; it stays canceled, and the next start commits", async () => {
  await outputStream();
  copy();
  const running = workspace.start(as("nowrite", "run", "job.mjs"));
  await running.says(`trouble: committing to stream OUT-${id}, still tried`);
  const canceling = await workspace.run(as("admin", "cancel", `job-${id}`));
  expect(canceling).toMatchObject({ code: 3, stdout: "" });
  expect(canceling.stderr).toMatch(/is settling: output that is decided has not been committed/);
  expect(canceling.stderr).toMatch(`this NATS user may not publish to "out.${id}"; allow it`);
  expect(canceling.stderr).toMatch(
    /It is canceled all the same, as soon as that is possible: "tidemark status .* job-\w+" shows it/,
  );
  expect(await interrupted(running)).toMatchObject({ code: 3 });
  expect(await written()).toBe(0);

  const again = await workspace.run(as("admin", "run", "job.mjs"));
  expect(again.stdout).toMatch(`job job-${id} was canceled`);
  expect(await written()).toBe(RECORDS);
});

test("no consumer can be made: told with the subject; Ctrl-C suspends while it restores", async () => {
  await outputStream();
  copy();
  const running = workspace.start(as("noread", "run", "job.mjs"));
  await running.says(
    /trouble: reading stream IN, still tried: .*may not publish to "\$JS\.API\.CONSUMER\.CREATE\.IN/,
  );
  const ended = await interrupted(running);
  expect(ended).toMatchObject({ code: 0, stderr: "" });
  expect(ended.stdout).toMatch(/job job-e\d+ is suspended .* go on from where it began/);
});

test("a function that never returns: Ctrl-C ends all processes", async () => {
  await outputStream();
  copy('.map("hang", (r) => { for (;;); })');
  const running = workspace.start(as("admin", "run", "job.mjs"));
  await running.says("generation 1: ");
  const { code } = await interrupted(running);
  expect([0, 3]).toContain(code);
  expect(workspace.processes()).toEqual([]);
});

test("the checkpoint of a suspension cannot be written: it goes on from the last one that was", async () => {
  workspace.write("job.mjs", countingJob({ name: `job-${id}`, count: 1_000_000, ratePerSecond: 500 }));
  const running = workspace.start(as("admin", "run", "job.mjs", "--checkpoint-dir", "checkpoints"));
  await running.says(/checkpoint [1-9]/);
  renameSync(workspace.path("checkpoints"), workspace.path("elsewhere"));
  writeFileSync(workspace.path("checkpoints"), "in the way");
  await running.says(/aborted, the job goes on/);
  const ended = await interrupted(running);
  expect(ended.stdout).toMatch(/is suspended .* go on from checkpoint \d+, because none has completed since/);
  expect(ended.code).toBe(0);
});

test("a worker that ends again and again: told with its last word; Ctrl-C suspends", async () => {
  await outputStream();
  copy('.map("leave", (r) => { process.exit(9); })');
  const running = workspace.start(as("admin", "run", "job.mjs"));
  await running.says(
    /trouble: keeping worker-1 alive, still tried: it ends again and again: process\.exit\(9\) in the job.s code/,
  );
  expect(await interrupted(running)).toMatchObject({ code: 0, stderr: "" });
});

test("a job file that never comes to its end: Ctrl-C ends the command", async () => {
  workspace.write(
    "job.mjs",
    'import { writeFileSync } from "node:fs";\nwriteFileSync("loading", "");\nfor (;;);\n',
  );
  const running = workspace.start(["run", "job.mjs"]);
  await until(
    () => {
      try {
        return workspace.read("loading") === "";
      } catch {
        return false;
      }
    },
    () => "the job file is loaded",
  );
  expect(await interrupted(running)).toMatchObject({ signal: "SIGINT" });
});

test("how long a run waits: longer for the leader's own bound, shorter once it settles", () => {
  const patience = new EndingPatience(0);
  const heard = (status: "running" | "settling", phase: string, nowMs: number) =>
    patience.heard({ status, phase }, nowMs);
  expect(patience.spentMs(19_999)).toBeUndefined();
  expect(patience.spentMs(20_000)).toBe(20_000);
  heard("running", "running.suspending", 60_000);
  expect(patience.spentMs(79_999)).toBeUndefined();
  heard("settling", "settling.committing", 100_000);
  heard("settling", "resettling", 105_000);
  expect(patience.spentMs(109_999)).toBeUndefined();
  expect(patience.spentMs(110_000)).toBe(10_000);
});

test("what is said of a job that has not ended names each trouble once, and checkpoints that do not complete", () => {
  const trouble = { what: "reading stream IN", reason: "no permission", sinceMs: 0 };
  const latest = report({ phase: "running.finishing" });
  expect(unendedText("j", latest, [trouble, trouble], 20_000)).toBe(
    "job j has not ended within 20 s: it is taking its last checkpoint, all input is processed; it waits for: reading stream IN (no permission). " +
      "It is as if it had crashed: nothing is lost. Run it again, and it goes on there",
  );
  const pending = [
    { checkpointId: 4, requested: "savepoint" as const, ageMs: 1, acknowledged: 0, subtasks: 2, missing: [] },
  ];
  expect(unendedText("j", report({ checkpoints: { pending } }), [], 20_000)).toContain(
    "it waits for: checkpoint 4 has 0 of 2 subtasks. It is as if",
  );
  expect(unendedText("j", undefined, [], 20_000)).toBe(
    "job j has not ended, and its coordinator has said nothing for 20 s. Run it again, and it goes on there",
  );
});
