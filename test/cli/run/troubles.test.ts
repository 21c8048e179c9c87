/**
 * What goes wrong while a job runs: the cause is named, the job restarts or fails as its strategy says, nothing is
 * lost.
 */
import { chmodSync, existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { DiscardPolicy, type JetStreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { JobReport } from "../../../src/control/messages.ts";
import { startConnectedServer } from "../../support/servers/connected.ts";
import type { TestServer } from "../../support/servers/nats.ts";
import { countingJob, wrongCounts } from "../jobs.ts";
import { until, Workspace } from "../workspace.ts";

let server: TestServer;
let connection: NatsConnection;
let manager: JetStreamManager;
let workspace: Workspace;
let streams = 0;
/** Every test its own streams, jobs and buckets. */
let id: string;

beforeAll(async () => {
  const connected = await startConnectedServer();
  ({ server, connection, manager } = connected);
  return connected.close;
});
beforeEach(async () => {
  id = `t${++streams}`;
  workspace = await Workspace.create();
});
afterEach(() => workspace.remove());

const here = (...args: string[]) => [...args, "--server", server.url, "--prefix", id];
const NONE = 'restart: { strategy: "none" }';

async function input(messages: readonly string[]): Promise<string> {
  const stream = `IN-${id}`;
  await manager.streams.add({ name: stream, subjects: [`in.${id}`] });
  for (const message of messages) connection.publish(`in.${id}`, message);
  await connection.flush();
  return stream;
}

const job = (body: string, options = NONE) =>
  workspace.write(
    "job.mjs",
    `import { existsSync, writeFileSync } from "node:fs";
import { defineJob, fileSink, generatorSource, jetstreamSink, jetstreamSource } from "tidemark";
const numbers = (count) => generatorSource({ count, generate: (index) => index });
export default defineJob("job-${id}", { checkpointing: { interval: "200ms" }, ${options} }, (job) => { ${body} });\n`,
  );

const sinkStream = (more = {}) =>
  manager.streams.add({
    name: `OUT-${id}`,
    subjects: [`out.${id}.>`, `tidemark-marker.OUT-${id}.>`],
    allow_atomic: true,
    allow_rollup_hdrs: true,
    allow_msg_ttl: true,
    ...more,
  });

/** The job fails with exit code 1, and this is why. */
async function fails(...says: readonly (string | RegExp)[]): Promise<void> {
  const ended = await workspace.run(here("run", "job.mjs"));
  for (const text of says) expect(ended.stderr).toMatch(text);
  expect(ended.stderr).not.toMatch(/^\s+at .*:\d+:\d+\)?$/m);
  expect(ended.stderr.match(/^tidemark: /gm)).toHaveLength(1);
  expect(ended.code).toBe(1);
  const json = await workspace.run(here("run", "job.mjs", "--json"));
  expect(json.code).toBe(1);
  expect(JSON.parse(json.stdout)).toMatchObject({ job: `job-${id}`, status: "failed" });
}

describe("a record that cannot be processed", () => {
  test("the decoder rejects it", async () => {
    const stream = await input(['{"ok":1}', "{not json"]);
    job(
      `job.source("orders", jetstreamSource({ stream: "${stream}", until: "end" })).sink("s", fileSink({ directory: "out" }));`,
    );
    await fails(`job job-${id} failed: orders/0`, 'operator "orders"', "JSON", "sequence 2");
  });

  test("a function rejects it, in the source's subtask", async () => {
    job(`job.source("numbers", numbers(100)).map("halve", (n) => { if (n === 42) throw new Error("42 is odd"); return n; })
      .sink("s", fileSink({ directory: "out" }));`);
    await fails('operator "halve" failed: 42 is odd', "generated record 42");
  });

  test("a function rejects it, behind an exchange", async () => {
    job(
      `job.source("numbers", numbers(100)).keyBy((n) => n % 2)
      .process("check", { state: {}, onRecord(n) { if (n === 42) throw new Error("42 is odd"); return n; } })
      .sink("s", fileSink({ directory: "out" }));`,
      `parallelism: 2, ${NONE}`,
    );
    await fails('operator "check" failed: 42 is odd', /a record from numbers\/\d over edge/);
  });

  test("the key cannot be one", async () => {
    job(`job.source("numbers", numbers(100)).keyBy((n) => (n === 42 ? undefined : n))
      .process("check", { state: {}, onRecord(n) { return n; } }).sink("s", fileSink({ directory: "out" }));`);
    await fails("key", "undefined", "generated record 42");
  });

  test.each([
    ["a subject with a space", '"out.ID. x"', "tokens must not be empty, be a wildcard, or hold whitespace"],
    ["a subject with a wildcard", '"out.ID.*"', "tokens must not be empty, be a wildcard"],
    ["a subject outside the stream", '"elsewhere." + r', "stream OUT-ID takes only out.ID.>"],
    [
      "the marker's own subject",
      '"tidemark-marker.OUT-ID." + r',
      "subjects below tidemark-marker.OUT-ID. belong to",
    ],
  ])("the sink could never commit it: %s (P24)", async (_, subject, said) => {
    await sinkStream();
    const bad = subject.replaceAll("ID", id);
    job(`job.source("numbers", numbers(100)).sink("s", jetstreamSink({ stream: "OUT-${id}",
      subject: (r) => (r === 42 ? ${bad} : "out.${id}.x") }));`);
    await fails('operator "s"', said.replaceAll("ID", id), "generated record 42");
  });

  test("the sink could never commit it: too large (P24)", async () => {
    await sinkStream({ max_msg_size: 1000 });
    job(`job.source("numbers", numbers(100)).map("grow", (n) => (n === 42 ? "x".repeat(2000) : n))
      .sink("s", jetstreamSink({ stream: "OUT-${id}", subject: "out.${id}.x" }));`);
    await fails('operator "s"', /\d+ bytes/, "generated record 42");
  });
});

describe("restarts", () => {
  test("as often as the strategy says; the first cause is kept", async () => {
    job(
      `let tries = 0;
      job.source("numbers", numbers(100)).map("halve", (n) => { if (n === 42) throw new Error("42 is odd"); return n; })
      .sink("s", fileSink({ directory: "out" }));`,
      'restart: { strategy: "fixed-delay", attempts: 2, delay: "50ms" }',
    );
    const { code, stdout } = await workspace.run(here("run", "job.mjs", "--json"));
    expect(code).toBe(1);
    const report = JSON.parse(stdout) as JobReport;
    expect(report.failures.map(({ recovered }) => recovered)).toEqual([true, true, false]);
    // The third failure is not followed by one.
    expect(report.restarts).toBe(2);
    for (const { where, reason } of report.failures) {
      expect(where).toBe("numbers/0");
      expect(reason).toBe('operator "halve" failed: 42 is odd (at generated record 42)');
    }
  });

  test("until the cause is mended; meanwhile it is shown, and nothing is lost or doubled", async () => {
    job(
      `job.source("numbers", numbers(2000)).map("ask", (n) => {
        if (n === 1500 && !existsSync("mended")) throw new Error("no answer");
        return \`\${n % 10} \${Math.floor(n / 10) + 1} \${n}\`;
      }).sink("s", fileSink({ directory: "out" }));`,
      'restart: { initialBackoff: "100ms" }',
    );
    const running = workspace.start(here("run", "job.mjs"));
    await running.says(/failure: .*operator "ask" failed: no answer \(at generated record 1500\)/);
    workspace.write("mended", "");
    expect(await running.ended).toMatchObject({ code: 0, stderr: "" });
    expect(wrongCounts(workspace.lines(), 2000)).toEqual([]);
  });
});

describe("a worker that the job's code ends", () => {
  const rejecting = (when: string) => `
      const notify = async (n) => { if (${when}) throw new Error("the webhook of " + n + " answered 503"); };
      job.source("numbers", numbers(100)).map("tell", (n) => { void notify(n); return n; })
        .sink("s", fileSink({ directory: "out" }));`;
  const said =
    /unhandled rejection in the job's code: Error: the webhook of 42 answered 503 \(at job\.mjs:\d+\)/;

  test("the terminal and status say which error it was; it counts as any failure does", async () => {
    job(rejecting("n === 42"), 'restart: { strategy: "fixed-delay", attempts: 2, delay: "50ms" }');
    const ended = await workspace.run(here("run", "job.mjs"));
    expect(ended.code).toBe(1);
    expect(ended.stderr).toMatch(
      /^tidemark: job job-t\d+ failed: worker \w+ \(pid \d+ on [^)]+\): its process has ended: /,
    );
    expect(ended.stderr).toMatch(said);
    expect(ended.stdout).toMatch(/^failure: worker \w+ \(pid \d+ on [^)]+\): its process has ended: /m);
    const json = JSON.parse((await workspace.run(here("run", "job.mjs", "--json"))).stdout) as JobReport;
    expect(json.status).toBe("failed");
    for (const { where, reason } of json.failures) {
      expect(where).toMatch(/^worker /);
      expect(reason).toMatch(said);
    }
  });

  test("one that was started by itself says so, and ends with exit code 6", async () => {
    job(rejecting("n === 42"));
    workspace.start(here("coordinator"));
    expect(await workspace.run(here("submit", "job.mjs"))).toMatchObject({ code: 0 });
    const { code, stderr } = await workspace.run(
      here("worker", "job.mjs", "--slots", "1", "--log-level", "error"),
    );
    expect(stderr).toMatch(said);
    expect(code).toBe(6);
    const shown = await workspace.run(here("status", `job-${id}`));
    expect(shown.stdout).toMatch(said);
  });

  test.each([
    ["process.exit", "process.exit(9)", /process\.exit\(9\) in the job's code \(at job\.mjs:\d+\)/],
    [
      "a full heap",
      "for (;;) kept.push(new Array(1_000_000).fill(n + 0.5))",
      /because its heap was full: give it more/,
    ],
    ["a kill from outside", 'process.kill(process.pid, "SIGKILL")', /by SIGKILL from outside/],
  ])("%s is the cause that is told, with the worker and its machine", async (_, body, cause) => {
    job(`const kept = []; job.source("numbers", numbers(100)).map("end", (n) => { if (n === 42) { ${body}; } return n; })
      .sink("s", fileSink({ directory: "out" }));`);
    const env = { NODE_OPTIONS: "--max-old-space-size=100" };
    const ended = await workspace.run(here("run", "job.mjs", "--json"), { env });
    expect(ended.code).toBe(1);
    const [failure] = (JSON.parse(ended.stdout) as JobReport).failures;
    expect(failure?.reason).toMatch(/^its process has ended: /);
    expect(failure?.reason).toMatch(cause);
    expect(failure?.where).toMatch(/^worker \w+ \(pid \d+ on [^)]+\)$/);
  });

  test("one that hangs is lost by its name, and is replaced", async () => {
    const body = `if (n === 42 && !existsSync("hung")) { writeFileSync("hung", ""); for (;;); }`;
    job(
      `job.source("numbers", numbers(100)).map("hang", (n) => { ${body} return n; }).sink("s", fileSink({ directory: "out" }));`,
      'heartbeat: { timeout: "1s" }, restart: { strategy: "fixed-delay", attempts: 100, delay: "50ms" }',
    );
    const ended = await workspace.run(here("run", "job.mjs"));
    expect(ended.code).toBe(0);
    expect(ended.stdout).toMatch(
      /^failure: worker \w+ \(pid \d+ on [^)]+\): no answer for 1000 ms: the process hangs or is cut off, or a function of operator "hang" does not return/m,
    );
    expect(workspace.lines()).toHaveLength(100);
  });

  test("an exception outside of a record does so too", async () => {
    job(`job.source("numbers", numbers(10)).map("later", (n) => { setTimeout(() => { throw new TypeError("too late"); }); return n; })
      .sink("s", fileSink({ directory: "out" }));`);
    const { stderr } = await workspace.run(here("run", "job.mjs"));
    expect(stderr).toMatch(/uncaught exception in the job's code: TypeError: too late \(at job\.mjs:\d+\)/);
  });
});

test("a job that failed and was to keep nothing starts only afresh, and says so when it fails", async () => {
  job(
    `job.source("numbers", generatorSource({ count: 1000, ratePerSecond: 1000, generate: (index) => index }))
      .map("ask", (n) => { if (n === 900 && !existsSync("mended")) throw new Error("no answer"); return n; })
      .sink("s", fileSink({ directory: "out" }));`,
    `checkpointing: { interval: "50ms", retention: "delete" }, ${NONE}`,
  );
  const failed = await workspace.run(here("run", "job.mjs"));
  expect(failed).toMatchObject({ code: 1 });
  expect(failed.stderr).toMatch(/state was deleted, as checkpointing.retention "delete" says: .*--fresh/);
  expect(workspace.lines().length).toBeGreaterThan(0);
  workspace.write("mended", "");
  const again = await workspace.run(here("run", "job.mjs"));
  expect(again.stderr).toMatch(/has failed, and its state was deleted with its end.*--fresh/);
  expect(again.code).toBe(4);
  expect(await workspace.run(here("run", "job.mjs", "--fresh"))).toMatchObject({ code: 0 });
});

describe("storage that refuses", () => {
  test("the sink stream is full: the job stops and says what helps; run again goes on, nothing lost or doubled", async () => {
    await sinkStream({ max_bytes: 20_000, discard: DiscardPolicy.New });
    job(
      `job.source("numbers", numbers(1000)).sink("s", jetstreamSink({ stream: "OUT-${id}", subject: "out.${id}.x" }));`,
    );
    const stopped = await workspace.run(here("run", "job.mjs"));
    expect(stopped.code).toBe(1);
    expect(stopped.stderr).toMatch(`stream OUT-${id} refuses a transaction: maximum bytes exceeded`);
    expect(stopped.stderr).toMatch(`nats stream edit OUT-${id} --max-bytes`);
    await manager.streams.update(`OUT-${id}`, { max_bytes: 10_000_000 });
    const again = await workspace.run(here("run", "job.mjs"));
    expect(again.code).toBe(0);
    // Such a stream is warned of, and that is all.
    expect(again.stderr).toMatch(/^tidemark: warning: stream OUT-\S+: once it is full .*\n$/);
    const found = await manager.streams.info(`OUT-${id}`, { subjects_filter: `out.${id}.x` });
    expect(found.state.subjects).toEqual({ [`out.${id}.x`]: 1000 });
  });

  test("the checkpoint bucket is full: checkpoints are aborted, the job goes on and says why", async () => {
    workspace.write(
      "job.mjs",
      countingJob({ name: `job-${id}`, count: 8_000, ratePerSecond: 2_000, held: true }),
    );
    const running = workspace.start(here("run", "job.mjs"));
    await running.says("checkpoints every");
    const bucket = `OBJ_${id}-checkpoints`;
    await until(
      () => existsSync(workspace.path("out")) && workspace.lines().length > 0,
      () => "output",
    );
    const { state } = await manager.streams.info(bucket);
    await manager.streams.update(bucket, { max_bytes: Math.max(1, state.bytes) });
    await running.says(/checkpoint \d+ aborted, the job goes on: .*raise its limit/);
    const asked = await workspace.run(here("status", `job-${id}`));
    expect(asked.stdout).toMatch(/aborted +checkpoint \d+: .*raise its limit/);
    await manager.streams.update(bucket, { max_bytes: -1 });
    workspace.release();
    expect(await running.ended).toMatchObject({ code: 0, stderr: "" });
    expect(wrongCounts(workspace.lines(), 8_000)).toEqual([]);
  });

  test("the checkpoint directory goes away: checkpoints are aborted, the job goes on and says why", async () => {
    workspace.write(
      "job.mjs",
      countingJob({ name: `job-${id}`, count: 8_000, ratePerSecond: 2_000, held: true }),
    );
    const running = workspace.start(here("run", "job.mjs", "--checkpoint-dir", "checkpoints"));
    await running.says("checkpoints every");
    await until(
      () => existsSync(workspace.path("out")) && workspace.lines().length > 0,
      () => "output",
    );
    renameSync(workspace.path("checkpoints"), workspace.path("elsewhere"));
    writeFileSync(workspace.path("checkpoints"), "in the way");
    await running.says(/checkpoint \d+ aborted, the job goes on: /);
    renameSync(workspace.path("checkpoints"), workspace.path("was-in-the-way"));
    renameSync(workspace.path("elsewhere"), workspace.path("checkpoints"));
    workspace.release();
    expect(await running.ended).toMatchObject({ code: 0 });
    expect(wrongCounts(workspace.lines(), 8_000)).toEqual([]);
  });
});

test("a directory that may not be written", async () => {
  if (process.getuid?.() === 0) {
    // Root may write everywhere but there.
    job('job.source("numbers", numbers(10)).sink("s", fileSink({ directory: "/sys/tidemark" }));');
  } else {
    mkdirSync(workspace.path("locked"));
    chmodSync(workspace.path("locked"), 0o500);
    job('job.source("numbers", numbers(10)).sink("s", fileSink({ directory: "locked/out" }));');
  }
  const ended = await workspace.run(here("run", "job.mjs"));
  expect(ended).toMatchObject({ code: 3, stdout: "" });
  expect(ended.stderr).toMatch(/^tidemark: the file sink cannot write to .* \((EPERM|EROFS|EACCES)\)/);
});

describe("a job without checkpoints that fails", () => {
  const written = async () => {
    const { state } = await manager.streams.info(`OUT-${id}`, { subjects_filter: ">" });
    return state.messages;
  };
  const body = (input: string) => `
    job
      .source("in", jetstreamSource({ stream: "${input}", subjects: ["in.${id}"], decode: "text", until: "end" }))
      .map("check", (text) => { if (text === "bad") throw new Error("bad record"); return text; })
      .sink("out", jetstreamSink({ stream: "OUT-${id}", subject: () => "out.${id}.all", guarantee: "at-least-once" }));`;

  test("is not started again by itself where it would write twice, and is when a strategy says so", async () => {
    const stream = await input(["1", "2", "bad"]);
    await sinkStream();
    job(body(stream), 'checkpointing: { interval: "off" }');
    const ended = await workspace.run(here("run", "job.mjs"));
    expect(ended.stdout).toMatch(
      'checkpoints off: the first failure ends the job, since a restart would write everything again to sink "out"',
    );
    expect(ended.stderr).toMatch(/bad record/);
    expect(ended.code).toBe(1);
    expect(await written()).toBeLessThanOrEqual(2);
    expect(ended.stdout).not.toMatch("restart  ");

    const strategy = ["--config", "restart.strategy=fixed-delay", "--config", "restart.delay=10ms"];
    const again = await workspace.run(here("run", "job.mjs", "--fresh", "--json", ...strategy));
    expect(again.code).toBe(1);
    expect(JSON.parse(again.stdout)).toMatchObject({ status: "failed", restarts: 1 });
  });
});
