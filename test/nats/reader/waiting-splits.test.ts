/** Splits of real streams with limits: whether they may wait for slower ones, while the stream goes on. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import { jetstreamSource } from "../../../src/connectors/jetstream/source.ts";
import type { SubtaskEnvironment } from "../../../src/dataflow/connector.ts";
import type { SourceReader } from "../../../src/dataflow/source.ts";
import { connectDiverting } from "../../../src/nats/connection/diverting-transport.ts";
import { NatsEnvironment } from "../../../src/nats/connection/environment.ts";
import { Troubles } from "../../../src/observe/troubles.ts";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { publishAll } from "../../support/servers/streams.ts";
import { until } from "../../support/until.ts";

let server: TestServer;
let nats: NatsEnvironment;
const readers: SourceReader<string>[] = [];

beforeAll(async () => {
  server = await startTestServer();
  const { connection, diverter } = await connectDiverting({ servers: server.url });
  nats = new NatsEnvironment(connection, diverter);
});

afterAll(async () => {
  for (const reader of readers) await reader.close();
  await nats?.connection.close();
  await server?.stop();
});

async function publish(stream: string, count: number): Promise<void> {
  await publishAll(
    nats,
    Array.from({ length: count }, (_, i) => ({ subject: stream.toLowerCase(), text: String(i) })),
  );
}

/** A reader of a stream with so many messages. */
async function readerOf(stream: string, limits: object, count: number): Promise<SourceReader<string>> {
  await (await nats.manager()).streams.add({ name: stream, subjects: [stream.toLowerCase()], ...limits });
  await publish(stream, count);
  const environment: SubtaskEnvironment = {
    ...{ job: "waiting", operator: "read", incarnation: "i", nonce: "n" },
    ...{ generation: 1, subtaskIndex: 0, parallelism: 1, nats },
    logger: { debug() {}, info() {}, warn() {}, error() {} },
    troubles: new Troubles(systemClock),
    signal: new AbortController().signal,
    fail: (error) => {
      throw error;
    },
  };
  const source = jetstreamSource({ stream, decode: "text", gaps: "fail" });
  const splits = await source.discover(environment);
  const reader = await source.open(
    environment,
    splits.map((split) => ({ split, position: undefined })),
  );
  readers.push(reader);
  return reader;
}

async function read(reader: SourceReader<string>, count: number): Promise<void> {
  let given = 0;
  await until(`${count} records`, () => {
    reader.poll(() => given++, count - given);
    return given === count;
  });
}

test("a stream that is full: not in its older half, in its younger half, and not when that has become old", async () => {
  const reader = await readerOf("FULL", { max_msgs: 1000 }, 1500);
  await read(reader, 1);
  expect(reader.splitMayWait?.(0)).toBe(false);
  await read(reader, 599);
  await until("it may wait", () => reader.splitMayWait?.(0));
  await publish("FULL", 300);
  await until("it may not wait any more", () => reader.splitMayWait?.(0) === false);
});

test.each([
  ["FREE", {}, true],
  ["YOUNG", { max_age: 3600e9 }, true],
  ["LAST", { max_msgs_per_subject: 1000 }, false],
])("a stream %s with %o", async (stream, limits, may) => {
  const free = await readerOf(`${stream}-FREE`, {}, 10);
  const reader = await readerOf(stream, limits, 10);
  for (const one of [free, reader]) await read(one, 1);
  let asked = 0;
  await until("both are known", () => {
    const [known, found] = [free, reader].map((one) => one.splitMayWait?.(0));
    if (found === may && known === true) asked++;
    return asked > 3;
  });
  expect(reader.splitMayWait?.(0)).toBe(may);
});
