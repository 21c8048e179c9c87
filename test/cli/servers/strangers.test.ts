/**
 * Streams that capture our subjects, services that answer there, and connections that publish what comes to their mind.
 */

import { jetstreamManager } from "@nats-io/jetstream";
import { headers, type NatsConnection } from "@nats-io/transport-node";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Cluster, createClient, openCluster } from "../../../src/cli/assembly.ts";
import { systemClock } from "../../../src/clock.ts";
import { ControlLink } from "../../../src/control/link.ts";
import type { JobReport } from "../../../src/control/messages.ts";
import { shapes } from "../../../src/control/shapes.ts";
import { decodeValue, encodeValue } from "../../../src/formats/codec.ts";
import { NatsBus } from "../../../src/nats/connection/bus.ts";
import { connectNats } from "../../../src/nats/connection/connect.ts";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { WAIT_BOUND_MS } from "../../support/suite/patience.ts";
import { comesTo as jobComesTo } from "../job-status.ts";
import { countingJob, wrongCounts } from "../jobs.ts";
import { type Command, until, Workspace } from "../workspace.ts";
import { BROKEN_REQUESTS, harmfulMessages, STRANGE, type Strange } from "./strange-messages.ts";

const COUNT = 2000;

let server: TestServer;
let workspace: Workspace;
let cluster: Cluster;
let prefix: string;
let tests = 0;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());
beforeEach(async () => {
  prefix = `strangers${++tests}`;
  cluster = await openCluster(await connectNats({ servers: server.url, name: "test" }), { prefix });
  workspace = await Workspace.create();
  workspace.write("job.mjs", countingJob({ count: COUNT, ratePerSecond: 400, held: true }));
});
afterEach(async () => {
  await workspace.remove();
  await cluster.nats.connection.close();
});

const here = (...args: string[]) => [...args, "--server", server.url, "--prefix", prefix];
const connection = (): NatsConnection => cluster.nats.connection;

const comesTo = (what: string, met: (report: JobReport) => boolean) =>
  jobComesTo(cluster, "counting", what, met);
const processing = () =>
  comesTo("processing", (now) => now.phase === "running.processing" && now.checkpoints.completed > 0);
const begin = async (): Promise<[Command, Command]> => {
  const processes: [Command, Command] = [
    workspace.start(here("coordinator")),
    workspace.start(here("worker", "job.mjs", "--slots", "2")),
  ];
  expect(await workspace.run(here("submit", "job.mjs"))).toMatchObject({ code: 0 });
  return processes;
};
/** The job runs to its end, and nothing is lost or doubled; it has never restarted. */
async function endsExactly(processes: readonly Command[]): Promise<void> {
  workspace.release();
  const ended = await comesTo("its end", ({ status }) => status === "finished");
  expect(ended).toMatchObject({ restarts: 0, failures: [] });
  expect(wrongCounts(workspace.lines(), COUNT)).toEqual([]);
  for (const process of processes) process.kill("SIGTERM");
  for (const process of processes) expect(await process.ended).toMatchObject({ code: 0 });
}

const publish = ({ body, headers: fields = {} }: Strange, subject: string, reply?: string) => {
  const all = headers();
  for (const [name, value] of Object.entries(fields)) all.set(name, value);
  const options = { ...(reply === undefined ? {} : { reply }), headers: all };
  connection().publish(subject, body, options);
};

/** Answers every request with what is none of our answers. @returns how many it was asked */
async function answersFirst(): Promise<() => number> {
  let asked = 0;
  connection().subscribe(`${prefix}.>`, {
    callback: (_error, { reply, subject }) => {
      if (!reply || subject.includes(".channel")) return;
      for (const strange of STRANGE.filter(({ body }) => body.length < 1000)) publish(strange, reply);
      asked++;
    },
  });
  await connection().flush();
  return () => asked;
}

describe("a stream that captures the control subjects", () => {
  beforeEach(async () => {
    const manager = await jetstreamManager(connection());
    await manager.streams.add({ name: `AUDIT${tests}`, subjects: [`${prefix}.>`] });
  });

  test("changes nothing for a job and for the commands, and each line of log that names it says what mends it", async () => {
    const processes = await begin();
    const before = await processing();
    for (const args of [
      ["status", "counting"],
      ["savepoint", "counting", "--to", workspace.path("there")],
    ])
      expect(await workspace.run(here(...args))).toMatchObject({ code: 0 });
    const after = await comesTo(
      "more checkpoints",
      (now) => now.checkpoints.completed > before.checkpoints.completed,
    );
    expect(after).toMatchObject({ generation: before.generation, restarts: 0, failures: [] });
    await endsExactly(processes);
    // Said at the start by each of them, and by what hands jobs in.
    const submitted = await workspace.run(here("submit", "job.mjs", "--connect-timeout", "5"));
    for (const { stderr } of [...processes, submitted]) {
      expect(stderr).toContain(`stream AUDIT${tests} captures the control subjects of this cluster`);
      expect(stderr).toContain(`nats stream rm AUDIT${tests}`);
      expect(stderr).toContain("another --prefix");
    }
  });

  test("is told from one that stores event feeds or lies beside, and keeps its other subjects", async () => {
    const manager = await jetstreamManager(connection());
    await manager.streams.delete(`AUDIT${tests}`);
    const add = (name: string, ...subjects: string[]) =>
      manager.streams.add({ name: `${name}${tests}`, subjects });
    await add("FEEDS", `${prefix}.*.events`);
    await add("BESIDE", `${prefix}.audit.log`, `${prefix}-2.>`);
    await add("BOTH", `orders${tests}.>`, `${prefix}.*.control`);
    const { stderr } = await workspace.run(here("submit", "job.mjs", "--connect-timeout", "5"));
    expect(stderr).not.toMatch(/FEEDS|BESIDE/);
    expect(stderr).toContain(
      `stream BOTH${tests} captures the control subjects of this cluster ("${prefix}.*.control")`,
    );
    expect(stderr).toContain(`nats stream edit BOTH${tests} --subjects='orders${tests}.>'`);
  });

  test("is named by a command that finds no coordinator", async () => {
    const ended = await workspace.run(here("submit", "job.mjs", "--connect-timeout", "5"));
    expect(ended.code).toBe(3);
    expect(ended.stderr).toContain("no coordinator answers");
    expect(ended.stderr).toContain(`stream AUDIT${tests} captures this subject`);
    expect(ended.stderr).toContain(`nats stream edit AUDIT${tests} --subjects=…`);
    expect(ended.stderr).toContain('"tidemark coordinator --server=');
  });
});

describe.each([
  [
    "a stream that captures the control subjects",
    async () => {
      const manager = await jetstreamManager(connection());
      await manager.streams.add({ name: `AUDIT${tests}`, subjects: [`${prefix}.>`] });
    },
  ],
  ["a service that answers there first", async () => answersFirst()],
] as const)("every command beside %s", (stranger, appears) => {
  beforeEach(appears);

  const succeeds = async (...args: string[]) => {
    const { code, stderr } = await workspace.run(here(...args));
    expect({ args, code, stderr }).toEqual({ args, code: 0, stderr: "" });
  };
  const there = () => workspace.path("there");

  test("does what it does without", async () => {
    const processes = await begin();
    await processing();
    for (const args of [
      ["status", "counting"],
      ["list", "--json"],
      ["describe", "counting"],
      ["checkpoints", "ls", "counting"],
      ["checkpoints", "verify", "counting", "--fast"],
      ["checkpoints", "gc", "counting"],
      ["savepoint", "counting", "--to", there()],
      ["stop", "counting", "--to", there()],
      ["dispose", "job:counting"],
    ])
      await succeeds(...args);
    expect((await workspace.run(here("submit", "job.mjs"))).code).toBe(0);
    await processing();
    const shown = await workspace.run(here("checkpoints", "show", "counting", "--json"));
    expect({ ...shown, unknown: JSON.parse(shown.stdout).unknown }).toMatchObject({
      code: 0,
      unknown: undefined,
    });
    await succeeds("cancel", "counting", "--with-savepoint", "--to", there());
    expect((await workspace.run(here("submit", "job.mjs", "--fresh"))).code).toBe(0);
    await processing();
    await succeeds("cancel", "counting");
    for (const process of processes) process.kill("SIGTERM");
    for (const process of processes) expect(await process.ended).toMatchObject({ code: 0 });
  });

  test("says that no coordinator answers, once there is none", async () => {
    const processes = await begin();
    await processing();
    for (const process of processes) process.kill("SIGKILL");
    for (const process of processes) await process.ended;
    for (const args of [
      ["status", "counting"],
      ["savepoint", "counting", "--to", there()],
      ["stop", "counting", "--to", there()],
      ["cancel", "counting"],
      ["checkpoints", "gc", "counting"],
    ]) {
      const { code, stdout, stderr } = await workspace.run(here(...args, "--connect-timeout", "1"));
      expect({ args, code, stdout }).toEqual({ args, code: 3, stdout: "" });
      expect(stderr).toMatch(/^tidemark: no coordinator answers .*"tidemark coordinator .*".*\n$/);
    }
    await succeeds("list");
    await succeeds("describe", "counting");
    const shown = await workspace.run(here("checkpoints", "show", "counting"));
    expect(shown).toMatchObject({ code: 0, stderr: "" });
    expect(shown.stdout).toMatch(
      /^checkpoint +\d+[\s\S]*whether a checkpoint is under way is not known: no coordinator answers/,
    );
    const missing = await workspace.run(here("checkpoints", "show", "counting", "999999"));
    expect(missing.code).toBe(4);
    expect(missing.stderr).toMatch(
      /has no checkpoint 999999; .*; whether a checkpoint is under way is not known: /,
    );
  });

  test("run: leads its job to its end", async () => {
    workspace.release();
    const { code, stderr } = await workspace.run(here("run", "job.mjs"));
    expect({ code, stderr: stderr.replaceAll(/^tidemark: warning: stream AUDIT.*\n/gm, "") }).toEqual({
      code: 0,
      stderr: "",
    });
    if (stranger.startsWith("a stream")) expect(stderr).toMatch(`nats stream rm AUDIT${tests}`);
    expect(wrongCounts(workspace.lines(), COUNT)).toEqual([]);
  });
});

describe("connections of other make", () => {
  test("that answer before our processes do are not taken for them", async () => {
    const asked = await answersFirst();
    const processes = await begin();
    await processing();
    expect(asked()).toBeGreaterThan(20);
    await endsExactly(processes);
  });

  test("that send anything on any control subject end no process and restart no job, and are refused", async () => {
    const processes = await begin();
    const { generation, workers } = await processing();
    const { subjects } = cluster;
    const { worker } = workers[0]!;
    const control = [
      subjects.control("counting"),
      subjects.control("nobody"),
      subjects.workers(worker),
      subjects.coordinator("counting", generation),
      subjects.worker("counting", generation, worker),
    ];
    const refusals: string[] = [];
    const silent = new Set<string>();
    connection().subscribe("_REPLIES.>", {
      callback: (_error, { data, subject }) => {
        const { message } = decodeValue(data) as { message: { answer: string; reason: string } };
        silent.delete(subject);
        refusals.push(`${subject} ${message.answer}: ${message.reason}`);
      },
    });
    for (const [at, subject] of control.entries())
      for (const [nth, strange] of [...STRANGE, ...BROKEN_REQUESTS].entries()) {
        publish(strange, subject);
        publish(strange, subject, `_REPLIES.${at}.${nth}`);
        silent.add(`_REPLIES.${at}.${nth}`);
      }
    for (const strange of STRANGE) publish(strange, subjects.events("counting"));
    await until(
      () => silent.size === 0,
      () => `all are answered; silent: ${[...silent].join()}`,
    );
    for (const refusal of refusals)
      expect(refusal).toContain(" refused: this is no request to a process of Tidemark: ");
    expect(await createClient(cluster).status("counting")).toMatchObject({
      generation,
      failures: [],
      restarts: 0,
    });
    // The log is not flooded: one line for each subject.
    for (const { stderr } of processes) {
      const told = stderr.split("\n").filter((line) => line.includes("none of our messages"));
      expect(told.length).toBeLessThanOrEqual(control.length);
      expect(told.length).toBeGreaterThan(0);
    }
    await endsExactly(processes);
  });

  test("that repeat, change and make up control messages change nothing", async () => {
    const heard: { readonly subject: string; readonly body: Uint8Array }[] = [];
    let isListening = true;
    connection().subscribe(`${prefix}.>`, {
      callback: (_error, { subject, data }) => {
        if (isListening && !subject.includes(".channel") && !subject.endsWith(".events"))
          heard.push({ subject, body: data.slice() });
      },
    });
    await connection().flush();
    const processes = await begin();
    const before = await processing();
    isListening = false;
    const { generation, workers } = before;
    const { subjects } = cluster;
    const { worker } = workers[0]!;
    const harmful = harmfulMessages({ job: "counting", generation, worker });
    const forged: readonly (readonly [string, readonly object[]])[] = [
      [subjects.control("counting"), harmful.toLeader],
      [subjects.workers(worker), harmful.toWorker],
      [subjects.worker("counting", generation, worker), harmful.toSubtasks],
      [subjects.coordinator("counting", generation), harmful.fromSubtasks],
    ];
    for (const [subject, messages] of forged)
      for (const message of messages) connection().publish(subject, encodeValue({ message }));
    // What a client has asked belongs to the client, and a stranger that repeats it asks the same.
    const own = heard.filter(({ body }) => (decodeValue(body) as { seal?: string }).seal !== undefined);
    expect(own.length).toBeGreaterThan(10);
    for (const [at, { subject, body }] of own.entries()) {
      connection().publish(subject, body);
      connection().publish(subject, body.with(at % body.length, 0xff ^ body[at % body.length]!));
      connection().publish(subject, body.subarray(0, at % body.length));
      for (const [other] of forged) if (other !== subject) connection().publish(other, body);
    }
    await connection().flush();
    const after = await comesTo(
      "more checkpoints",
      (now) => now.checkpoints.completed > before.checkpoints.completed + 2,
    );
    expect(after).toMatchObject({ generation, restarts: 0, failures: [], workers });
    await endsExactly(processes);
  });

  test("that look on do not keep a worker's death from being noticed", async () => {
    connection().subscribe(`${prefix}.>`, { callback: () => {} });
    await connection().flush();
    workspace.write("job.mjs", countingJob({ count: COUNT, ratePerSecond: 400, held: true }));
    const [coordinator, first] = await begin();
    await processing();
    first.kill("SIGKILL");
    await first.ended;
    const second = workspace.start(here("worker", "job.mjs", "--slots", "2"));
    const { failures } = await comesTo(
      "another worker",
      (now) => now.restarts === 1 && now.phase === "running.processing",
    );
    expect(failures[0]?.reason).toContain("nothing answers to its name: the process is gone");
    workspace.release();
    await comesTo("its end", ({ status }) => status === "finished");
    expect(wrongCounts(workspace.lines(), COUNT)).toEqual([]);
    for (const process of [coordinator, second]) process.kill("SIGTERM");
    await Promise.all([coordinator.ended, second.ended]);
    // NATS does not say that none listens: the leases do, and the command says so long before it ends.
    const { code, stderr } = await workspace.run(here("status", "counting", "--connect-timeout", "5"));
    expect(code).toBe(3);
    expect(stderr).toMatch(
      /^tidemark: warning: no coordinator leads, so nothing answers: one is waited for until 5 s/,
    );
    expect(stderr).toMatch(/\ntidemark: no coordinator leads \(tried for 5 s .*"tidemark coordinator .*"/);
  });

  test("are named when a request hears nothing else", async () => {
    const link = new ControlLink({ bus: new NatsBus(cluster.nats), id: "test", clock: systemClock });
    for (const [nth, strange] of STRANGE.entries()) {
      const subject = `${prefix}.alone${nth}`;
      connection().subscribe(subject, { callback: (_error, { reply }) => publish(strange, reply!) });
      const asking = link.ask(subject, { type: "worker.ping" }, shapes.pingAnswer, 300);
      await expect(asking, strange.what).rejects.toMatchObject({
        name: "ForeignAnswerError",
        retry: "now",
        subject,
      });
      await expect(asking, strange.what).rejects.toThrow(subject);
    }
    await expect(link.ask(`${prefix}.silent`, {}, shapes.shortAnswer, WAIT_BOUND_MS)).rejects.toMatchObject({
      name: "NoRespondersError",
    });
  });
});
