/**
 * Limits of an account and of connections that a reload lowers and raises again under a running job: each is named, no
 * process ends, and the job goes on exactly once. Storage and consumers: servers/changed-settings.test.ts.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { connectNats } from "../../../src/nats/connection/connect.ts";
import type { NatsEnvironment } from "../../../src/nats/connection/environment.ts";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { readAll } from "../../support/servers/streams.ts";
import { type Command, kill, until, Workspace } from "../workspace.ts";

interface Limits {
  /** Limits of the account. */
  readonly account?: string;
  readonly jetStream?: string;
  /** Settings of the server. */
  readonly server?: string;
}

const configuration = ({ account = "", jetStream = "enabled", server: more = "" }: Limits = {}) => `accounts {
  A { users [{ user: a, password: x }], jetstream: ${jetStream}, limits { ${account} } }
}
${more}`;

let server: TestServer;
let nats: NatsEnvironment;
let workspace: Workspace;
let coordinator: Command;
let workers: Command[];
let published = 0;

beforeAll(async () => {
  server = await startTestServer({ configuration: configuration() });
  workspace = await Workspace.create();
  await observe();
  const { streams } = await nats.manager();
  await streams.add({ name: "IN", subjects: ["in.x"] });
  workspace.write(
    "job.mjs",
    `import { defineJob, jetstreamSource, jetstreamSink, valueState } from "tidemark";
export default defineJob("copy", { checkpointing: { interval: "200ms" }, restart: { initialBackoff: "100ms", maxBackoff: "500ms" } }, (job) => {
  job.source("in", jetstreamSource({ stream: "IN" }))
    .keyBy(() => 0)
    .process("count", { state: { seen: valueState(0) }, onRecord: ({ n }, { state }) => { state.seen.set(state.seen.get() + 1); return { n, seen: state.seen.get() }; } })
    .sink("out", jetstreamSink({ stream: "OUT", subject: "out.x", provision: true }));
});\n`,
  );
  coordinator = workspace.start(here("coordinator"));
  workers = [worker()];
  expect(await workspace.run(here("submit", "job.mjs"))).toMatchObject({ code: 0 });
  await goesOn();
});
afterAll(async () => {
  await nats.connection.close();
  await workspace.remove();
  await server.stop();
});

/** Where connections are limited ours would count. */
async function observe(): Promise<void> {
  nats = await connectNats({ servers: server.url, name: "test", user: "a", password: "x" });
}

const here = (...args: string[]) => [...args, "--server", server.url, "--user", "a", "--password", "x"];
const worker = () => workspace.start(here("worker", "job.mjs", "--slots", "1"));

async function publish(): Promise<void> {
  for (let i = 0; i < 20; i++) nats.connection.publish("in.x", JSON.stringify({ n: published++ }));
  await nats.connection.flush();
}

/** What is published comes out, in order and once. */
async function goesOn(): Promise<void> {
  await publish();
  let found: unknown[] = [];
  await until(
    async () => {
      const output = (await readAll(nats, "OUT")).filter(({ subject }) => subject === "out.x");
      found = output.map(({ text }) => JSON.parse(text));
      return found.length >= published;
    },
    () => `${found.length} of ${published}; ${said().slice(-3000)}`,
  );
  expect(found).toEqual(Array.from({ length: published }, (_, n) => ({ n, seen: n + 1 })));
}

/** All of it is log, on one of the two. */
const saidBy = ({ stdout, stderr }: Command) => stderr + stdout;
const said = () => [coordinator, ...workers].map(saidBy).join("\n");

/** From now on a process of the job says so. */
async function says(words: RegExp, act: () => Promise<void>): Promise<void> {
  const before = new Map([coordinator, ...workers].map((one) => [one, saidBy(one).length]));
  const news = () =>
    [coordinator, ...workers].map((one) => saidBy(one).slice(before.get(one) ?? 0)).join("\n");
  await act();
  await until(
    () => words.test(news()),
    () => `${words}; it said ${news().slice(-4000)}`,
  );
}

/** A command that is started now is refused in one sentence. */
async function refuses(words: RegExp): Promise<void> {
  const ended = await workspace.run(here("status", "copy", "--connect-timeout", "3"));
  expect(ended).toMatchObject({ code: 3, stdout: "" });
  expect(ended.stderr.trimEnd().split("\n").at(-1)).toMatch(words);
}

const killWorker = () => {
  kill(workers.at(-1)!.pid, "SIGKILL");
  workers = [...workers.slice(0, -1), worker()];
};

const CONNECTIONS =
  /nats-server refuses or ends the connection \(\\?"maximum account active connections exceeded\\?"\); raise max_connections of the account/;
const ALL_CONNECTIONS =
  /nats-server refuses or ends the connection \(\\?"maximum connections exceeded\\?"\); raise max_connections in its/;
const SUBSCRIPTIONS =
  /nats-server refuses or ends the connection \(\\?"maximum subscriptions exceeded\\?"\); raise max_subscriptions/;
const CONTROL_LINE =
  /nats-server refuses or ends the connection \(\\?"maximum control line exceeded\\?"\); raise max_control_line/;

interface Row {
  readonly title: string;
  readonly limits: Limits;
  /** What a process says after `act`; undefined: the job notices nothing of it. */
  readonly words?: RegExp;
  readonly act?: () => Promise<void> | void;
  /** What a command of a user is told. */
  readonly refused?: RegExp;
}

const rows: readonly Row[] = [
  {
    title: "max_connections of the account",
    limits: { account: "max_connections: 1" },
    words: CONNECTIONS,
    refused: CONNECTIONS,
  },
  {
    title: "max_connections of the server",
    limits: { server: "max_connections: 1" },
    words: ALL_CONNECTIONS,
    refused: ALL_CONNECTIONS,
  },
  {
    title: "max_subscriptions of the account",
    limits: { account: "max_subscriptions: 2" },
    words: SUBSCRIPTIONS,
    act: killWorker,
  },
  { title: "max_control_line", limits: { server: "max_control_line: 40" }, words: CONTROL_LINE },
  {
    title: "max_streams of the account's JetStream",
    limits: { jetStream: "{ max_streams: 1 }" },
    act: async () => {
      await goesOn();
      const asked = await workspace.run(here("savepoint", "copy", "--to", "nats:further"));
      expect(asked).toMatchObject({ code: 4, stdout: "" });
      expect(asked.stderr).toMatch(/maximum number of streams reached.*raise max_streams/);
    },
  },
  ...[
    { title: "max_payload of the account", limits: { account: "max_payload: 8KB" } },
    { title: "max_ack_pending of the account's JetStream", limits: { jetStream: "{ max_ack_pending: 1 }" } },
    { title: "max_mem of the account's JetStream", limits: { jetStream: "{ max_mem: 1KB }" } },
  ].map((row) => ({
    ...row,
    async act() {
      killWorker();
      await goesOn();
    },
  })),
];

test.each(rows)("$title: it is named, nothing ends, and all goes on when it is raised", async (row) => {
  const { limits, words, act = () => {}, refused } = row;
  const isOurs = words === CONNECTIONS || words === ALL_CONNECTIONS;
  if (isOurs) await nats.connection.close();
  const lower = async () => {
    // What is being committed just then is committed later.
    if (!isOurs) await publish();
    await server.reload(configuration(limits));
    await act();
  };
  try {
    if (words === undefined) await lower();
    else await says(words, lower);
    if (refused !== undefined) await refuses(refused);
    for (const { child } of [coordinator, ...workers]) expect(child.exitCode).toBeNull();
  } finally {
    await server.reload(configuration());
    if (isOurs) await observe();
  }
  await goesOn();
});
