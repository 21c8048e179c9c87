/** The source of core NATS subjects on a real server: what it reads, what it loses, and that it says so. */
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { resolveJobConfig } from "../../../src/config/job-config.ts";
import { natsSource } from "../../../src/connectors/nats/source.ts";
import type { Source, SourceReader, SplitPosition } from "../../../src/dataflow/source.ts";
import { ConfigurationError, PermissionDeniedError } from "../../../src/errors.ts";
import { defineJob, fileSink } from "../../../src/index.ts";
import { buildGraph } from "../../../src/job/graph.ts";
import { planOf, promisesOf } from "../../../src/job/plan.ts";
import { NatsEnvironment } from "../../../src/nats/connection/environment.ts";
import { sinkEnvironment } from "../../../src/testing/sink-environment.ts";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { until } from "../../support/until.ts";

let server: TestServer;
let connection: NatsConnection;
const readers: SourceReader<unknown>[] = [];

beforeAll(async () => {
  server = await startTestServer({
    configuration:
      'authorization { users: [{ user: all, password: all }, { user: few, password: few, permissions: { subscribe: ["_INBOX.>"] } }] }',
  });
});
afterAll(() => server.stop());
beforeEach(async () => {
  connection = await connect({ servers: server.url, user: "all", pass: "all" });
});
afterEach(async () => {
  for (const reader of readers.splice(0)) await reader.close();
  await connection.close();
});

const environment = (at: object = {}) =>
  sinkEnvironment({ nats: new NatsEnvironment(connection, undefined), operator: "in", ...at });

async function opened<T>(
  source: Source<T>,
  at: object = {},
  from?: readonly SplitPosition[],
): Promise<SourceReader<T>> {
  const splits =
    from ?? (await source.discover(environment())).map((split) => ({ split, position: undefined }));
  const reader = await source.open(environment(at), splits);
  readers.push(reader);
  return reader;
}

async function publish(subject: string, ...payloads: readonly string[]): Promise<void> {
  for (const payload of payloads) connection.publish(subject, payload);
  await connection.flush();
}

/** Polls until `count` records have come. */
async function taken<T>(reader: SourceReader<T>, count: number): Promise<T[]> {
  const records: T[] = [];
  await until(
    `${count} records`,
    () => {
      reader.poll((record) => void records.push(record), 10);
      return records.length >= count;
    },
    { describe: () => `${records.length} have come` },
  );
  return records;
}

test("each subject is a split, and its messages come in order", async () => {
  const reader = await opened(natsSource({ subjects: ["a.*", "b"], decode: "text" }));
  await publish("a.1", "1", "2");
  await publish("b", "x");
  await publish("a.2", "3");
  await publish("c", "no split reads this");
  expect((await taken(reader, 4)).sort()).toEqual(["1", "2", "3", "x"]);
  expect(reader.poll(() => expect.unreachable("nothing is left"), 10)).toBe("idle");
  expect(reader.snapshot().map(({ split, position }) => [split.id, position])).toEqual([
    ["a.*", 3],
    ["b", 1],
  ]);
  expect(reader.describePosition()).toMatch(/message \d of subject (a\.\*|b)/);
});

test("it wakes its subtask when something comes, and a paused split waits", async () => {
  const reader = await opened(natsSource<number>({ subjects: ["a", "b"] }));
  let wakes = 0;
  reader.onAvailable(() => void wakes++);
  await publish("a", "1");
  await until("it wakes", () => wakes === 1);
  reader.pauseSplits?.((split) => split === 0);
  await publish("b", "2");
  expect(await taken(reader, 1)).toEqual([2]);
  expect([reader.splitStatus?.(0), reader.splitStatus?.(1)]).toEqual(["more", "idle"]);
  reader.pauseSplits?.(() => false);
  expect(await taken(reader, 1)).toEqual([1]);
});

test("what comes while nothing is subscribed is lost, and what is counted goes on", async () => {
  const source = natsSource({ subjects: "s", decode: "text" });
  const first = await opened(source);
  await publish("s", "1", "2");
  await taken(first, 2);
  const positions = JSON.parse(JSON.stringify(first.snapshot())) as SplitPosition[];
  await first.close();
  await publish("s", "lost");
  const second = await opened(source, {}, positions);
  await publish("s", "3");
  expect(await taken(second, 1)).toEqual(["3"]);
  expect(second.snapshot()[0]?.position).toBe(3);
});

test("more than may wait is dropped, told of, and told to be over", async () => {
  const said: string[] = [];
  const troubles: string[] = [];
  const reader = await opened(natsSource({ subjects: "s", decode: "text", waitingMax: 4 }), {
    logger: { debug() {}, info() {}, warn: (_: object, text: string) => void said.push(text), error() {} },
    troubles: {
      watch: () => ({
        failed: () => troubles.push("failed"),
        passed: () => troubles.push("passed"),
        forget() {},
      }),
    },
  });
  await publish("s", ..."abcdefghij");
  await until("all have come", () => said.length > 0);
  await connection.flush();
  expect(await taken(reader, 4)).toEqual(["a", "b", "c", "d"]);
  await publish("s", "k");
  expect(await taken(reader, 1)).toEqual(["k"]);
  expect(said).toEqual([
    "source in: more messages come than the job takes: 4 wait, and others are dropped",
    "source in takes all messages again; 6 were dropped",
  ]);
  expect(troubles).toEqual(["failed", "passed"]);
});

test("a queue group shares the messages with other members", async () => {
  const source = natsSource({ subjects: "shared", decode: "text", queue: "team" });
  const [one, other] = [await opened(source), await opened(source)];
  await publish("shared", ...Array.from({ length: 40 }, (_, i) => String(i)));
  const all: string[] = [];
  await until("all are taken", () => {
    for (const reader of [one, other]) reader.poll((record) => void all.push(record), 100);
    return all.length >= 40;
  });
  expect(all.map(Number).sort((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, i) => i));
});

test("what cannot be decoded fails where it is read, behind what came before", async () => {
  const reader = await opened(natsSource<number>({ subjects: "s" }));
  await publish("s", "1", "no json", "2");
  const records: number[] = [];
  await until("it fails", () => {
    try {
      reader.poll((record) => void records.push(record), 10);
      return false;
    } catch (error) {
      expect(String(error)).toMatch(
        /operator "in" failed: the payload is no JSON.*\(at message 2 of subject s\)/,
      );
      return true;
    }
  });
  expect(records).toEqual([1]);
});

test("a user who may not subscribe is told which subject it is", async () => {
  await connection.close();
  connection = await connect({ servers: server.url, user: "few", pass: "few" });
  const failures: unknown[] = [];
  await opened(natsSource({ subjects: "secret" }), { fail: (error: unknown) => void failures.push(error) });
  await until("it is told", () => failures.length > 0);
  expect(failures[0]).toBeInstanceOf(PermissionDeniedError);
  expect(String(failures[0])).toMatch(/secret/);
});

test("the plan says that it cannot replay, and what a failure loses", () => {
  const job = defineJob("lossy", { checkpointing: { interval: "1s" } }, (builder) => {
    builder.source("in", natsSource({ subjects: "s" })).sink("out", fileSink({ directory: "out" }));
  });
  const promises = promisesOf(planOf(buildGraph(job, resolveJobConfig(job.options).config)));
  expect(promises).toMatchObject([
    {
      sink: "out",
      because: expect.stringMatching(/source "in" \(nats\) cannot replay: what was read since/),
    },
  ]);
});

test.each<[object, RegExp]>([
  [{}, /must name at least one subject/],
  [{ subjects: [] }, /must name at least one subject/],
  [{ subjects: ["a b"] }, /"a b" is not a subject/],
  [{ subjects: ["a.*", "a.b"] }, /"a\.\*" and "a\.b" overlap/],
  [{ subjects: "a", queue: "two words" }, /name of a queue group/],
  [{ subjects: "a", waitingMax: 0 }, /whole number from 1 on/],
  [{ subjects: "a", decode: "yaml" }, /"text", "json", "bytes" or a function/],
  [{ subject: "a" }, /no option "subject"; did you mean "subjects"/],
])("options %j are refused", (options, message) => {
  const make = () => natsSource(options as { subjects: string });
  expect(make).toThrow(ConfigurationError);
  expect(make).toThrow(message);
});
