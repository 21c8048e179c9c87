/**
 * What goes wrong before a job runs: one message that names the thing and the next step, and the documented exit code.
 */
import { mkdirSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { resolve } from "node:path";
import { AckPolicy, jetstreamManager, StorageType } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freePort, startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { countingJob } from "../jobs.ts";
import { startOldServer } from "../servers/pretending-server.ts";
import { until, Workspace } from "../workspace.ts";
import { type BadCommand, define, ENVIRONMENT, isToldInOneMessage, numbers, REFUSED, USAGE } from "./told.ts";

let workspace: Workspace;
let server: TestServer;
let secured: TestServer;
let old: { readonly url: string; close(): void };
let busy: Server;
let closedPort = 0;

beforeAll(async () => {
  workspace = await Workspace.create();
  server = await startTestServer();
  secured = await startTestServer({ configuration: 'authorization { user: "tide", password: "mark" }' });
  old = await startOldServer(server.port, "2.10.29");
  closedPort = await freePort();
  busy = createServer().listen(0);
  const connection = await connect({ servers: server.url });
  const manager = await jetstreamManager(connection);
  await manager.streams.add({ name: "PLAIN", subjects: ["plain.>"], storage: StorageType.File });
  await manager.streams.add({ name: "INPUT", subjects: ["input"], storage: StorageType.File });
  await manager.consumers.add("INPUT", { name: "other", ack_policy: AckPolicy.Explicit });
  await connection.close();
  mkdirSync(workspace.path("locked"));
  for (const [name, text] of Object.entries(files)) workspace.write(name, text);
});
afterAll(async () => {
  old.close();
  busy.close();
  await workspace.remove();
  await server.stop();
  await secured.stop();
});

const files: Readonly<Record<string, string>> = {
  "good.mjs": countingJob({ count: 10 }),
  "locked/job.mjs": countingJob({ count: 10 }),
  "locked/.tidemark": "in the way",
  "text.txt": "not code",
  "no-source-stream.mjs": define(
    'job.source("in", jetstreamSource({ stream: "NOWHERE" })).sink("s", fileSink({ directory: "d" }));',
    '{ checkpointing: { interval: "1s" } }',
  ),
  "no-sink-stream.mjs": define(`${numbers}.sink("s", jetstreamSink({ stream: "NOWHERE", subject: "a.b" }));`),
  "unsuitable.mjs": define(`${numbers}.sink("s", jetstreamSink({ stream: "PLAIN", subject: "plain.x" }));`),
  "wrong-subject.mjs": define(
    `${numbers}.sink("s", jetstreamSink({ stream: "PLAIN", subject: "other.x", guarantee: "at-least-once" }));`,
  ),
  "file-as-directory.mjs": define(`${numbers}.sink("s", fileSink({ directory: "text.txt" }));`),
};

const here = (...args: string[]) => [...args, "--server", server.url];

const cases: readonly BadCommand[] = [
  {
    title: "an option misspelt",
    args: () => ["run", "good.mjs", "--frsh"],
    code: USAGE,
    says: ["--frsh", "Did you mean --fresh?", "tidemark run --help"],
  },
  {
    title: "a command misspelt",
    args: () => ["rnu"],
    code: USAGE,
    says: ["rnu", "Did you mean run?", "tidemark --help"],
  },
  {
    title: "an option that does not exist",
    args: () => ["status", "--colour=red"],
    code: USAGE,
    says: ["--colour=red"],
  },
  { title: "no job file", args: () => ["run"], code: USAGE, says: ["missing required argument 'job'"] },
  {
    title: "too many arguments",
    args: () => ["run", "a.ts", "b.ts"],
    code: USAGE,
    says: ["too many arguments"],
  },
  {
    title: "an option without its value",
    args: () => ["run", "good.mjs", "--server"],
    code: USAGE,
    says: ["--server"],
  },
  {
    title: "a number that is none",
    args: () => ["run", "good.mjs", "-w", "many"],
    code: USAGE,
    says: ["--workers", "many", "whole number"],
  },
  {
    title: "no workers at all",
    args: () => ["run", "good.mjs", "-w", "0"],
    code: USAGE,
    says: ["--workers", "at least 1"],
  },
  {
    title: "a log level that does not exist",
    args: () => ["run", "good.mjs", "--log-level", "loud"],
    code: USAGE,
    says: ["loud", "debug, info"],
  },
  {
    title: "a prefix that cannot be a subject",
    args: () => here("status", "--prefix", "a b"),
    code: USAGE,
    says: ["--prefix", "a b"],
  },
  {
    title: "a configuration value",
    args: () => ["run", "good.mjs", "--config", "checkpointing.interval=5x"],
    code: USAGE,
    says: ["checkpointing.interval (from the command line)", '"5x"', "ms, s, m, h, d"],
  },
  {
    title: "a configuration key",
    args: () => ["run", "good.mjs", "--config", "checkpointing.intervl=5s"],
    code: USAGE,
    says: ["checkpointing.intervl", 'did you mean "checkpointing.interval"?'],
  },
  {
    title: "configuration without a value",
    args: () => ["run", "good.mjs", "-c", "parallelism"],
    code: USAGE,
    says: ["key=value"],
  },
  {
    title: "a configuration value from the environment",
    args: () => ["run", "good.mjs"],
    env: { TIDEMARK_CHECKPOINTING_INTERVAL: "soon" },
    code: USAGE,
    says: ["TIDEMARK_CHECKPOINTING_INTERVAL", '"soon"'],
  },
  {
    title: "more subtasks than key groups",
    args: () => ["run", "good.mjs", "-p", "200", "-c", "maxParallelism=128"],
    code: USAGE,
    says: ["parallelism (from the command line)", "maxParallelism is 128"],
  },
  {
    title: "an events file that cannot be",
    args: () => here("run", "good.mjs", "--events", "no/such/dir/events"),
    code: USAGE,
    says: ["--events no/such/dir/events", "ENOENT"],
  },
  {
    title: "a server that is not there",
    args: () => ["run", "good.mjs", "--server", `nats://127.0.0.1:${closedPort}`, "--connect-timeout", "1"],
    code: ENVIRONMENT,
    says: [
      /cannot be reached yet; trying for 1 s/,
      /could not be reached within 1000 ms/,
      "is the address right?",
    ],
  },
  {
    title: "a server address that is none",
    args: () => ["status", "--server", "http://x:1"],
    code: USAGE,
    says: ["--server", "http://x:1", "nats://host:4222"],
  },
  {
    title: "a server that asks for credentials",
    args: () => ["status", "--server", secured.url],
    code: ENVIRONMENT,
    says: ["asks for credentials, and none are given"],
  },
  {
    title: "a wrong password",
    args: () => ["status", "--server", secured.url, "--user", "tide", "--password", "secret-guess"],
    code: ENVIRONMENT,
    says: ['refused user "tide"'],
  },
  {
    title: "a password without user",
    args: () => ["status", "--server", secured.url, "--password", "x"],
    code: USAGE,
    says: ["without a user"],
  },
  {
    title: "two kinds of credentials",
    args: () => ["status", "--server", secured.url, "--creds", "a", "--nkey", "b"],
    code: USAGE,
    says: ["--creds and --nkey are both given"],
  },
  {
    title: "a credentials file that is not there",
    args: () => ["status", "--server", secured.url, "--creds", "none.creds"],
    code: USAGE,
    says: ["--creds", "none.creds", "ENOENT"],
  },
  {
    title: "a certificate file that is not there",
    args: () => ["status", "--server", secured.url, "--tls-ca", "none.pem"],
    code: USAGE,
    says: ["--tls-ca", "none.pem"],
  },
  {
    title: "TLS with a server that has none",
    args: () => ["status", "--server", server.url, "--tls"],
    code: ENVIRONMENT,
    says: ["offers no TLS"],
  },
  {
    title: "a server too old for the sink",
    args: () => ["run", "unsuitable.mjs", "--server", old.url],
    code: ENVIRONMENT,
    says: ["2.10.29", "needs nats-server 2.12.0 or newer", "at-least-once"],
  },
  {
    title: "a source stream that is not there",
    args: () => here("run", "no-source-stream.mjs"),
    code: ENVIRONMENT,
    says: ["NOWHERE", "does not exist"],
  },
  {
    title: "a sink stream that is not there",
    args: () => here("run", "no-sink-stream.mjs"),
    code: ENVIRONMENT,
    says: ["stream NOWHERE does not exist", "nats stream add NOWHERE", "provision: true"],
  },
  {
    title: "a sink stream without what exactly-once needs",
    args: () => here("run", "unsuitable.mjs"),
    code: ENVIRONMENT,
    says: ["PLAIN", "allow_atomic is off", "nats stream edit PLAIN", "--allow-batch"],
  },
  {
    title: "a subject that the sink stream does not take",
    args: () => here("run", "wrong-subject.mjs"),
    code: USAGE,
    says: ["other.x", "PLAIN"],
  },
  {
    title: "a sink directory that is a file",
    args: () => here("run", "file-as-directory.mjs"),
    code: USAGE,
    says: ["text.txt is a file"],
  },
  {
    title: "a checkpoint directory that is a file",
    args: () => here("run", "good.mjs", "--checkpoint-dir", "text.txt"),
    code: USAGE,
    says: ["text.txt", "checkpoint-dir"],
  },
  {
    title: "a place for logs that is none",
    args: () => here("run", "locked/job.mjs"),
    code: ENVIRONMENT,
    says: ["logs cannot be written to", "locked/.tidemark/logs", "directory that this user may write"],
  },
  {
    title: "a port that is taken",
    args: () => here("coordinator", "--health-port", String((busy.address() as { port: number }).port)),
    code: ENVIRONMENT,
    says: ["health checks cannot listen on port", "--health-port"],
  },
  {
    title: "a port that cannot be",
    args: () => here("coordinator", "--health-port", "70000"),
    code: USAGE,
    says: ["65535"],
  },
  {
    title: "cancel where no coordinator has ever been",
    args: () => here("cancel", "counting", "--connect-timeout", "5", "--prefix", "nobody"),
    code: REFUSED,
    says: ["there is no KV bucket nobody-jobs", "--prefix"],
  },
  {
    title: "submit without a coordinator",
    args: () => here("submit", "good.mjs", "--connect-timeout", "5", "--prefix", "nobody"),
    code: ENVIRONMENT,
    says: ["no coordinator leads (tried for 5 s", "tidemark coordinator --server=", "--prefix=nobody"],
  },
  {
    title: "a subcommand misspelt",
    args: () => here("checkpoints", "verfy", "counting"),
    code: USAGE,
    says: ["verfy", "Did you mean verify?", "tidemark checkpoints --help"],
  },
  {
    title: "a checkpoint id that is none",
    args: () => here("checkpoints", "show", "counting", "latest"),
    code: USAGE,
    says: ["latest", "whole number", "tidemark checkpoints show --help"],
  },
  {
    title: "a name that no job has",
    args: () => here("describe", "über"),
    code: USAGE,
    says: ["über", "tidemark list"],
  },
  {
    title: "status of a file",
    args: () => here("status", "good.mjs"),
    code: USAGE,
    says: ["good.mjs", "give the name"],
  },
];

describe("each is told in one message", () => {
  test.each([
    ["savepoint", "counting", "--to", "kept"],
    ["stop", "counting", "--to", "./kept"],
    ["cancel", "counting", "--with-savepoint", "--to", "../nearby/kept"],
    ["restore", "good.mjs", "--from", "kept/a-savepoint-1-01234567"],
    ["restore", "good.mjs", "--dry-run", "--from", "kept/a-savepoint-1-01234567"],
    ["dispose", "kept/a-savepoint-1-01234567"],
  ])("a relative place, known before anything is connected: %s %s %s %s", async (...args) => {
    const place = args.at(-1)!;
    const closed = `nats://127.0.0.1:${closedPort}`;
    const ended = await workspace.run([...args, "--server", closed]);
    expect(ended).toMatchObject({ code: USAGE, stdout: "" });
    expect(ended.stderr).toContain(`"${place}" is a relative path`);
    expect(ended.stderr).toContain(`give the absolute form, ${resolve(workspace.path("."), place)}`);
  });

  test.each(cases)("$title", (bad) => isToldInOneMessage(workspace, bad));

  test("what a job file does while it is loaded changes neither output nor end of a command", async () => {
    const busy = `import { createServer } from "node:net";
console.log("from console"); process.stdout.write("from stdout\\n"); process.exitCode = 9;
setInterval(() => {}, 1000); createServer().listen(0);\n`;
    workspace.write("busy.mjs", busy + countingJob({ count: 10 }));
    const printed = await workspace.run(["config", "print", "busy.mjs", "--json"]);
    expect(printed.code).toBe(0);
    expect(JSON.parse(printed.stdout)).toHaveProperty("options");
    expect(printed.stderr).toContain("from console\nfrom stdout\n");
    const ran = await workspace.run(here("run", "busy.mjs", "--json"));
    expect(ran.code).toBe(0);
    expect(JSON.parse(ran.stdout)).toMatchObject({ status: "finished" });
  });

  test("--json changes nothing about it: standard output stays empty", async () => {
    const ended = await workspace.run(here("run", "no-sink-stream.mjs", "--json"));
    expect(ended).toMatchObject({ code: ENVIRONMENT, stdout: "" });
  });

  test("a job that the coordinator does not know", async () => {
    const coordinator = workspace.start(here("coordinator", "--prefix", "lonely"));
    const asking = (...args: string[]) => workspace.run(here(...args, "--prefix", "lonely"));
    await until(
      async () => (await asking("list", "--json")).stdout === '{"jobs":[]}\n',
      () => "the coordinator has made the bucket of records",
    );
    const status = await asking("status", "counting");
    expect(status).toMatchObject({ code: REFUSED, stdout: "" });
    expect(status.stderr).toMatch(/there is no job counting; "tidemark list .*" lists the jobs/);
    expect(await asking("cancel", "counting")).toMatchObject({ code: REFUSED, stdout: "" });
    expect(await asking("status")).toMatchObject({ code: 0, stdout: "no jobs\n", stderr: "" });
    coordinator.kill("SIGTERM");
    expect(await coordinator.ended).toMatchObject({ code: 0 });
  });
});

test("--help tells the exit codes", async () => {
  const { code, stdout } = await workspace.run(["--help"]);
  expect(code).toBe(0);
  for (const line of [
    /^ {2}0 {4}done/m,
    /^ {2}1 {4}the job failed/m,
    /^ {2}2 {4}wrong options/m,
    /^ {2}3 /m,
    /^ {2}4 /m,
    /^ {2}5 {4}an object of a retained checkpoint/m,
    /^ {2}70 /m,
    /^ {2}130 /m,
  ])
    expect(stdout).toMatch(line);
});
