/** What server, account and stream allow consumers: worked within, or said at submission. */
import {
  AckPolicy,
  type JetStreamManager,
  jetstream,
  jetstreamManager,
  type StreamConfig,
} from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type JetStreamSourceOptions, jetstreamSource } from "../../../src/connectors/jetstream/source.ts";
import type { SubtaskEnvironment } from "../../../src/dataflow/connector.ts";
import type { SourceReader, SplitPosition } from "../../../src/dataflow/source.ts";
import { describeError, EnvironmentError } from "../../../src/errors.ts";
import { connectDiverting } from "../../../src/nats/connection/diverting-transport.ts";
import { NatsEnvironment } from "../../../src/nats/connection/environment.ts";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { eventually, until } from "../../support/until.ts";

const TOTAL = 500;
const MODES = ["diverting", "public"] as const;
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

const configuration = `accounts {
  MAIN { users [{ user: main, password: x }], jetstream: enabled }
  FEW { users [{ user: few, password: x }], jetstream { max_consumers: 2 } }
}
no_auth_user: main`;

let server: TestServer;
let connection: NatsConnection;
let nats: NatsEnvironment;
let manager: JetStreamManager;
let stream: string;
let count = 0;
const warnings: string[] = [];
const troubles: string[] = [];
const opened: SourceReader<unknown>[] = [];

beforeAll(async () => {
  server = await startTestServer({
    jetStream: "limits { max_request_batch: 100, max_ack_pending: 200 }",
    configuration,
  });
});
afterAll(() => server.stop());
beforeEach(async () => {
  stream = `S${++count}`;
  await connectAs("main");
});
afterEach(async () => {
  for (const reader of opened.splice(0)) await reader.close();
  await manager.streams.delete(stream).catch(() => undefined);
  await connection.close();
});

async function connectAs(user: string): Promise<void> {
  await connection?.close();
  const options = { servers: server.url, user, pass: "x", reconnectTimeWait: 50, maxReconnectAttempts: -1 };
  const made = await connectDiverting(options);
  connection = made.connection;
  nats = new NatsEnvironment(connection, made.diverter);
  manager = await jetstreamManager(connection);
  warnings.length = 0;
  troubles.length = 0;
}

const environment = (): SubtaskEnvironment => ({
  ...{ job: "word-count", nats, incarnation: "i", generation: 1, nonce: "n", operator: "lines" },
  logger: { debug() {}, info() {}, warn: (_fields, message) => warnings.push(message), error() {} },
  troubles: {
    watch: () => ({ failed: (error) => void troubles.push(describeError(error)), passed() {}, forget() {} }),
  },
  signal: new AbortController().signal,
  ...{ subtaskIndex: 0, parallelism: 1 },
  fail: (error) => {
    throw error;
  },
});

async function filled(config: object = {}): Promise<void> {
  await manager.streams.add({
    name: stream,
    subjects: [`${stream}.>`],
    ...(config as Partial<StreamConfig>),
  });
  const js = jetstream(connection);
  // An interest stream keeps what a consumer waits for.
  if ("retention" in config) await manager.consumers.add(stream, other);
  await Promise.all(range(1, TOTAL).map((n) => js.publish(`${stream}.${n % 2}`, JSON.stringify({ n }))));
}
const other = { durable_name: "other", ack_policy: AckPolicy.Explicit, max_ack_pending: 50 };

const sourceOf = (options: Partial<JetStreamSourceOptions> = {}) =>
  jetstreamSource<{ n: number }>({ stream, until: "end", ...options });

async function open(options: Partial<JetStreamSourceOptions> = {}, source = sourceOf(options)) {
  const splits = await source.discover(environment());
  const reader = await source.open(
    environment(),
    splits.map((split) => ({ split, position: undefined })),
  );
  opened.push(reader as SourceReader<unknown>);
  return reader;
}

/** All of it, in order within each split. */
async function read(reader: SourceReader<{ n: number }>): Promise<number[]> {
  const found: number[] = [];
  await until("the input ends", () => reader.poll(({ n }) => found.push(n), 100) === "ended", {
    everyMs: 1,
    describe: () => `${found.length} records`,
  });
  return found;
}

const consumers = async () => {
  const names: string[] = [];
  for await (const { name } of manager.consumers.list(stream)) names.push(name);
  return names;
};

describe.each(MODES)("read by the %s way", (reader) => {
  test.each<[string, object]>([
    ["a server that lets 100 messages be pulled at a time", {}],
    ["an inactive_threshold", { consumer_limits: { inactive_threshold: 30e9 } }],
    ["a max_ack_pending", { consumer_limits: { max_ack_pending: 100 } }],
    ["both", { consumer_limits: { inactive_threshold: 5e9, max_ack_pending: 10 } }],
    [
      "a max_ack_pending of an interest stream",
      { retention: "interest", consumer_limits: { max_ack_pending: 100 } },
    ],
    ["one consumer", { max_consumers: 1 }],
    ["two consumers", { max_consumers: 2 }],
  ])("%s: all of it is read, once", async (_name, config) => {
    await filled(config);
    const it = await open({ reader });
    expect(await read(it)).toEqual(range(1, TOTAL));
    // The limit is learned from the first refusal.
    expect(troubles.length).toBeLessThanOrEqual(1);
    // What shows progress keeps to the limits, too, or is left out and said so.
    it.checkpointCompleted(it.snapshot() as SplitPosition[]);
    const shown = !("max_consumers" in config && config.max_consumers === 1);
    if (shown)
      await eventually(async () => expect(await consumers()).toContain("tidemark-word-count-lines-all"));
    expect(warnings.filter((said) => said.includes("progress"))).toHaveLength(shown ? 0 : 1);
  });
});

test("two splits of a stream that takes one consumer are refused at submission; as one split they are read", async () => {
  await filled({ max_consumers: 1 });
  const apart = sourceOf({ subjects: [`${stream}.0`, `${stream}.1`] }).discover(environment());
  await expect(apart).rejects.toThrow(EnvironmentError);
  await expect(apart).rejects.toThrow(
    /takes at most 1 consumers.*reading 2 splits needs 2: read several subjects in one split.*nats stream info S\d+/,
  );
  expect(await read(await open({ subjects: [[`${stream}.0`, `${stream}.1`]] }))).toEqual(range(1, TOTAL));
});

test("the same where the account limits consumers", async () => {
  await connectAs("few");
  await filled();
  const apart = sourceOf({ subjects: ["a", "b", "c"].map((name) => `${stream}.${name}`) });
  await expect(apart.discover(environment())).rejects.toThrow(/takes at most 2 consumers.*nats account info/);
  const reader = await open({ subjects: [`${stream}.0`, `${stream}.1`] });
  expect((await read(reader)).sort((a, b) => a - b)).toEqual(range(1, TOTAL));
  expect(warnings.filter((said) => said.includes("progress"))).toHaveLength(1);
});

test("an interest stream needs both consumers of a split", async () => {
  await filled({ retention: "interest", max_consumers: 1 });
  await expect(sourceOf().discover(environment())).rejects.toThrow(/reading 1 splits needs 2/);
});

test("a consumer of another client that takes the only place is a trouble until it is gone", async () => {
  await filled({ max_consumers: 1 });
  await manager.consumers.add(stream, other);
  const opening = open();
  await until("the trouble is told", () => troubles.length > 0);
  expect(troubles[0]).toMatch(/allows no further consumer, and each split needs one.*nats consumer rm S\d+/);
  await manager.consumers.delete(stream, "other");
  expect(await read(await opening)).toEqual(range(1, TOTAL));
});

test("a limit that is lowered while it reads is kept", async () => {
  await filled();
  const reader = await open({}, jetstreamSource({ stream }));
  const found: number[] = [];
  const poll = () => reader.poll(({ n }) => found.push(n), 100);
  await until(
    "half is read",
    () => {
      poll();
      return found.length >= TOTAL / 2;
    },
    { everyMs: 1 },
  );
  // The server itself refuses to change consumer_limits under a reader.
  await server.restart({
    configuration,
    jetStream: "limits { max_request_batch: 20, max_ack_pending: 200 }",
  });
  const js = jetstream(connection);
  await until("the connection is back", async () => (await connection.flush()) ?? true);
  await Promise.all(
    range(TOTAL + 1, TOTAL + 100).map((n) => js.publish(`${stream}.0`, JSON.stringify({ n }))),
  );
  await until(
    "all is read",
    () => {
      poll();
      return found.length >= TOTAL + 100;
    },
    { everyMs: 5, describe: () => `${found.length} ${troubles.at(-1)}` },
  );
  expect(found).toEqual(range(1, TOTAL + 100));
});
