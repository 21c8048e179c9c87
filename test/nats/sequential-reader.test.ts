import { type JetStreamManager, jetstream, jetstreamManager, type StreamConfig } from "@nats-io/jetstream";
import { headers, type NatsConnection } from "@nats-io/transport-node";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../../src/clock.ts";
import type { Logger } from "../../src/dataflow/connector.ts";
import { describeError, OperatorError, SourcePositionError } from "../../src/errors.ts";
import type { ReadPosition } from "../../src/formats/positions/stream-position.ts";
import {
  connectDiverting,
  type DivertedMessages,
  Diverter,
} from "../../src/nats/connection/diverting-transport.ts";
import { NatsEnvironment } from "../../src/nats/connection/environment.ts";
import { SequentialReader, type SequentialReaderOptions } from "../../src/nats/reader/sequential-reader.ts";
import { Troubles } from "../../src/observe/troubles.ts";
import { startTestServer, type TestServer } from "../support/servers/nats.ts";
import { until } from "../support/until.ts";

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const at = (read: number): ReadPosition => ({
  read,
  accounted: read,
  skipped: { ranges: 0, sequences: 0 },
});
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

let server: TestServer;
let connection: NatsConnection;
let nats: NatsEnvironment;
let manager: JetStreamManager;
const opened: SequentialReader<unknown>[] = [];

beforeAll(async () => {
  server = await startTestServer();
});

afterAll(async () => {
  await server.stop();
});

beforeEach(async () => {
  const made = await connectDiverting({
    servers: server.url,
    reconnectTimeWait: 50,
    maxReconnectAttempts: -1,
  });
  connection = made.connection;
  nats = new NatsEnvironment(connection, made.diverter);
  manager = await jetstreamManager(connection);
});

/**
 * On a busy machine heartbeats come late, and the reader makes its consumer again. More than half of the time that a pull
 * lasts usually, which the server would refuse.
 */
const NEVER_MISSED_MS = 20_000;

afterEach(async () => {
  for (const reader of opened.splice(0)) await reader.close();
  await server.forgotten();
  for await (const stream of manager.streams.list()) await manager.streams.delete(stream.config.name);
  await server.forgotten();
  await connection.close();
});

/** Each message is acknowledged, because a stream drops what it has no room for; many are under way at once. */
async function fill(total: number, subject: (index: number) => string, payload: (index: number) => string) {
  const js = jetstream(connection);
  for (let from = 0; from < total; from += 500) {
    const to = Math.min(total, from + 500);
    await Promise.all(range(from, to - 1).map((index) => js.publish(subject(index), payload(index))));
  }
}

async function makeStream(total: number, config: Partial<StreamConfig> = {}): Promise<string> {
  const { created } = await manager.streams.add({ name: "S", subjects: ["s.>"], ...config });
  await fill(
    total,
    (index) => `s.${index % 4}`,
    (index) => `record ${index + 1}`,
  );
  return created;
}

function makeReader<T = string>(
  options: Partial<SequentialReaderOptions<T>> & { created: string },
): SequentialReader<T> {
  const reader = new SequentialReader<T>({
    nats,
    logger: silent,
    operator: "lines",
    stream: "S",
    filters: [],
    gaps: "fail",
    decode: "text",
    heartbeatMs: 300,
    reading: new Troubles(systemClock).watch("reading stream S"),
    ...options,
  });
  opened.push(reader as SequentialReader<unknown>);
  return reader;
}

interface Read<T> {
  readonly sequences: number[];
  readonly values: T[];
  readonly timestamps: number[];
}

/** Polls until the end, or until `enough` records were read. */
async function read<T>(
  reader: SequentialReader<T>,
  options: { enough?: number; recordsMax?: number; eachTurn?: () => Promise<void> | void } = {},
): Promise<Read<T>> {
  const result: Read<T> = { sequences: [], values: [], timestamps: [] };
  for (;;) {
    let wake: (() => void) | undefined;
    const available = new Promise<void>((resolve) => {
      wake = resolve;
    });
    reader.onAvailable(() => wake?.());
    const status = reader.poll((value, timestamp) => {
      result.sequences.push(reader.read);
      result.values.push(value);
      result.timestamps.push(timestamp);
    }, options.recordsMax ?? 256);
    if (status === "ended" || result.values.length >= (options.enough ?? Number.POSITIVE_INFINITY))
      return result;
    await options.eachTurn?.();
    if (status === "idle") await available;
    else await new Promise(setImmediate);
  }
}

describe.each(["diverting", "public"] as const)("read by the %s way", (mode) => {
  test("gives every message once, in order, with its time, and ends at the end", async () => {
    const before = Date.now();
    const created = await makeStream(3000);
    const reader = makeReader({ created, mode, end: 3000, heartbeatMs: NEVER_MISSED_MS });
    await reader.open();
    const { sequences, values, timestamps } = await read(reader);
    expect(sequences).toEqual(range(1, 3000));
    expect(values).toEqual(range(1, 3000).map((n) => `record ${n}`));
    expect(Math.min(...timestamps)).toBeGreaterThanOrEqual(before - 1);
    expect(Math.max(...timestamps)).toBeLessThanOrEqual(Date.now() + 1);
    expect(Number.isInteger(timestamps[0])).toBe(true);
    expect(reader.describePosition()).toBe("stream S sequence 3000");
    expect(reader.recreations).toBe(0);
  });

  test("goes on after a position, and does not give what came after the end", async () => {
    const created = await makeStream(100);
    const reader = makeReader({ created, mode, position: at(40), end: 90 });
    await reader.open();
    expect((await read(reader)).sequences).toEqual(range(41, 90));
    expect(reader.read).toBe(90);
  });

  test("reads JSON, bytes and custom values; headers do not matter", async () => {
    const created = await makeStream(0);
    const js = jetstream(connection);
    for (let i = 1; i <= 30; i++) {
      const withHeaders = headers();
      withHeaders.set("Nats-Msg-Id", `id-${i}`);
      await js.publish(
        `s.${i}`,
        JSON.stringify({ i, text: "grün" }),
        i % 2 === 0 ? { headers: withHeaders } : {},
      );
    }
    const json = makeReader<{ i: number; text: string }>({ created, mode, end: 30, decode: "json" });
    await json.open();
    expect((await read(json)).values).toEqual(range(1, 30).map((i) => ({ i, text: "grün" })));
    const bytes = makeReader<Uint8Array>({ created, mode, end: 30, decode: "bytes" });
    await bytes.open();
    expect((await read(bytes)).values.map((value) => JSON.parse(Buffer.from(value).toString()).i)).toEqual(
      range(1, 30),
    );
    const custom = makeReader<string>({
      created,
      mode,
      end: 30,
      decode: (data, subject) => `${subject} ${data.length}`,
    });
    await custom.open();
    expect((await read(custom)).values[8]).toBe(`s.9 ${Buffer.byteLength('{"i":9,"text":"grün"}')}`);
  });

  test("wakes up when something comes to an idle reader", async () => {
    const created = await makeStream(10);
    const reader = makeReader({ created, mode });
    await reader.open();
    expect((await read(reader, { enough: 10 })).sequences).toEqual(range(1, 10));
    const more = read(reader, { enough: 5 });
    await sleep(100);
    await fill(5, () => "s.x", String);
    expect((await more).sequences).toEqual(range(11, 15));
  });

  test("loses and repeats nothing when the server is killed, twice", async () => {
    const created = await makeStream(20_000);
    const reader = makeReader({ created, mode, end: 20_000, recordsBufferedMax: 1024 });
    await reader.open();
    const kills = [5000, 12_000];
    let killing: Promise<void> | undefined;
    const { sequences } = await read(reader, {
      recordsMax: 100,
      async eachTurn() {
        const next = kills[0];
        if (next !== undefined && reader.read >= next && killing === undefined) {
          kills.shift();
          killing = (async () => {
            await server.kill();
            await sleep(200);
            await server.restart();
            killing = undefined;
          })();
        }
        await sleep(1);
      },
    });
    expect(sequences).toEqual(range(1, 20_000));
    expect(reader.recreations).toBeGreaterThanOrEqual(1);
  });

  test("loses and repeats nothing when the client reconnects or the consumer is deleted", async () => {
    const created = await makeStream(10_000);
    const reader = makeReader({ created, mode, end: 10_000, recordsBufferedMax: 1024 });
    await reader.open();
    const troubles: [number, () => Promise<void>][] = [
      [2000, () => connection.reconnect()],
      [4000, deleteConsumers],
      [6000, () => connection.reconnect()],
      [8000, deleteConsumers],
    ];
    const { sequences } = await read(reader, {
      recordsMax: 100,
      async eachTurn() {
        const next = troubles[0];
        if (next !== undefined && reader.read >= next[0]) {
          troubles.shift();
          await next[1]().catch(() => troubles.unshift(next));
        }
        await sleep(1);
      },
    });
    expect(sequences).toEqual(range(1, 10_000));
    expect(reader.recreations).toBeGreaterThanOrEqual(4);
  });

  test("notices a consumer that is deleted while nothing comes", async () => {
    const created = await makeStream(10);
    const reader = makeReader({ created, mode });
    await reader.open();
    await read(reader, { enough: 10 });
    await deleteConsumers();
    await fill(1, () => "s.x", String);
    expect((await read(reader, { enough: 1 })).sequences).toEqual([11]);
  });

  test("makes the consumer again when a server hangs", async () => {
    const created = await makeStream(5000);
    const reader = makeReader({ created, mode, end: 5000, recordsBufferedMax: 256 });
    await reader.open();
    let hung = false;
    const { sequences } = await read(reader, {
      recordsMax: 100,
      async eachTurn() {
        if (hung || reader.read < 1000) return;
        hung = true;
        await server.kill("SIGSTOP");
        setTimeout(() => void server.kill("SIGCONT"), 1500);
      },
    });
    expect(sequences).toEqual(range(1, 5000));
  });

  test("buffers a bounded number of records while the source does not poll", async () => {
    const created = await makeStream(5000);
    const reader = makeReader({
      created,
      mode,
      end: 5000,
      recordsBufferedMax: 512,
      heartbeatMs: NEVER_MISSED_MS,
    });
    await reader.open();
    let most = 0;
    await until("it reads ahead", () => reader.recordsBuffered > 128);
    const { sequences } = await read(reader, {
      recordsMax: 64,
      async eachTurn() {
        await sleep(5);
        most = Math.max(most, reader.recordsBuffered);
      },
    });
    expect(sequences).toEqual(range(1, 5000));
    expect(most).toBeLessThanOrEqual(512);
    expect(reader.recreations).toBe(0);
  });

  test("buffers a bounded number of bytes, and reads a record of any size", async () => {
    const { created } = await manager.streams.add({ name: "S", subjects: ["s.>"] });
    const sizes = [10, 20_000, 900_000, 5, 100_000, 70_000, ...Array<number>(200).fill(10_000), 500_000, 1];
    await fill(
      sizes.length,
      () => "s.a",
      (index) => "x".repeat(sizes[index]!),
    );
    const bytesBufferedMax = 256 * 1024;
    const reader = makeReader({
      created,
      mode,
      end: sizes.length,
      bytesBufferedMax,
      heartbeatMs: NEVER_MISSED_MS,
    });
    await reader.open();
    let most = 0;
    const { values } = await read(reader, {
      recordsMax: 3,
      async eachTurn() {
        await sleep(2);
        most = Math.max(most, reader.bytesBuffered);
      },
    });
    expect(values.map((value) => value.length)).toEqual(sizes);
    expect(most).toBeLessThanOrEqual(bytesBufferedMax + 1_000_000);
    expect(reader.recreations).toBe(0);
  });

  test("reads one or several subjects, and their position moves on while others are written", async () => {
    const created = await makeStream(100);
    const one = makeReader({ created, mode, filters: ["s.1"], end: 100 });
    await one.open();
    expect((await read(one)).sequences).toEqual(range(1, 100).filter((n) => (n - 1) % 4 === 1));
    const two = makeReader({ created, mode, filters: ["s.0", "s.3"] });
    await two.open();
    expect((await read(two, { enough: 50 })).sequences.length).toBe(50);
    await fill(10, () => "s.2", String);
    await expect.poll(() => two.position.accounted).toBe(110);
    await fill(1, () => "s.0", String);
    expect((await read(two, { enough: 1 })).sequences).toEqual([111]);
  });

  test("passes over deleted messages", async () => {
    const created = await makeStream(100);
    for (const sequence of [1, 2, 50, 51, 99, 100]) await manager.streams.deleteMessage("S", sequence);
    const reader = makeReader({ created, mode, end: 100 });
    await reader.open();
    expect((await read(reader)).sequences).toEqual([...range(3, 49), ...range(52, 98)]);
  });

  test("ends a bounded input of which nothing is left, also when it goes while we wait", async () => {
    const created = await makeStream(100);
    await fill(10, () => "s.late", String);
    for (const sequence of range(91, 100)) await manager.streams.deleteMessage("S", sequence);
    const beyond = makeReader({ created, mode, end: 100 });
    await beyond.open();
    expect((await read(beyond)).sequences).toEqual(range(1, 90));
    const resumed = makeReader({ created, mode, position: at(90), filters: ["s.0"], end: 100 });
    await resumed.open();
    expect((await read(resumed)).sequences).toEqual([]);

    const waiting = makeReader({ created, mode, end: 110, recordsBufferedMax: 16 });
    await waiting.open();
    const start = await read(waiting, { enough: 60, recordsMax: 4 });
    for (const sequence of [...range(80, 90), ...range(101, 110)])
      await manager.streams.deleteMessage("S", sequence);
    const rest = await read(waiting);
    const all = [...start.sequences, ...rest.sequences];
    expect(all.slice(0, 79)).toEqual(range(1, 79));
    expect(all.length).toBeLessThanOrEqual(90);
  });

  test("ends at once where the end has been reached, or the stream was purged", async () => {
    const created = await makeStream(20);
    const done = makeReader({ created, mode, position: at(20), end: 20 });
    await done.open();
    expect((await read(done)).sequences).toEqual([]);
    await manager.streams.purge("S");
    const purged = makeReader({ created, mode, end: 20 });
    await purged.open();
    expect((await read(purged)).sequences).toEqual([]);
    const empty = makeReader({ created, mode, end: 0 });
    await empty.open();
    expect(empty.poll(() => expect.unreachable(), 10)).toBe("ended");
  });

  test("makes a new consumer when a message is lost on the way", async () => {
    const created = await makeStream(5000);
    const lossy = new LossyDiverter(nats.diverter as Diverter, [700, 3000]);
    const reader = makeReader({
      nats: new NatsEnvironment(connection, lossy),
      created,
      mode: "diverting",
      end: 5000,
      recordsBufferedMax: 256,
    });
    await reader.open();
    expect((await read(reader)).sequences).toEqual(range(1, 5000));
    expect(reader.recreations).toBeGreaterThanOrEqual(2);
  });

  test("throws what a decoder threw when that record is reached, and names its sequence", async () => {
    const created = await makeStream(10);
    await fill(
      1,
      () => "s.a",
      () => "{broken",
    );
    await fill(5, () => "s.a", String);
    const reader = makeReader({
      created,
      mode,
      decode: (data) => {
        const text = Buffer.from(data).toString();
        if (text === "{broken") throw new SyntaxError("no JSON");
        return text;
      },
    });
    await reader.open();
    expect((await read(reader, { enough: 10 })).sequences).toEqual(range(1, 10));
    const failure = await read(reader).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(OperatorError);
    expect(failure).toMatchObject({ operator: "lines", message: expect.stringContaining("no JSON") });
    expect(reader.describePosition()).toBe("stream S sequence 11");
    expect(reader.read).toBe(10);
  });
});

describe("a stream that is not what it was stops reading by name", () => {
  async function failureOf(reader: SequentialReader<string>): Promise<unknown> {
    return await reader
      .open()
      .then(() => read(reader))
      .catch((error: unknown) => error);
  }

  test("deleted and made again", async () => {
    const created = await makeStream(10);
    await manager.streams.delete("S");
    await makeStream(20);
    const failure = await failureOf(makeReader({ created, position: at(5) }));
    expect(failure).toBeInstanceOf(SourcePositionError);
    expect(failure).toMatchObject({ message: expect.stringContaining('stream "S" is not the one') });
  });

  test("trimmed, purged", async () => {
    const created = await makeStream(50);
    await manager.streams.purge("S", { seq: 30 });
    const failure = await failureOf(makeReader({ created, position: at(10) }));
    expect(failure).toMatchObject({
      name: "SourcePositionError",
      message: expect.stringContaining("begins at sequence 30, but the job goes on at sequence 11"),
    });
    await manager.streams.purge("S");
    expect(await failureOf(makeReader({ created, position: at(49) }))).toBeInstanceOf(SourcePositionError);
    const complete = makeReader({ created, position: at(50) });
    await complete.open();
    expect(complete.poll(() => expect.unreachable(), 10)).toBe("idle");
  });

  test("set back", async () => {
    const created = await makeStream(10);
    expect(await failureOf(makeReader({ created, position: at(11) }))).toMatchObject({
      name: "SourcePositionError",
      message: expect.stringContaining("ends at sequence 10"),
    });
    expect(await failureOf(makeReader({ created, position: at(5), end: 12 }))).toBeInstanceOf(
      SourcePositionError,
    );
  });

  test("deleted, before and while it is read", async () => {
    const created = await makeStream(10);
    const reader = makeReader({ created });
    await reader.open();
    await read(reader, { enough: 10 });
    const reading = read(reader).catch((error: unknown) => error);
    await manager.streams.delete("S");
    expect(await reading).toMatchObject({
      name: "SourcePositionError",
      message: expect.stringContaining('stream "S" does not exist any more'),
    });
    expect(await failureOf(makeReader({ created }))).toBeInstanceOf(SourcePositionError);
  });

  test("made again while it is read", async () => {
    const created = await makeStream(10);
    const reader = makeReader({ created });
    await reader.open();
    await read(reader, { enough: 10 });
    const reading = read(reader).catch((error: unknown) => error);
    await manager.streams.delete("S");
    await makeStream(20);
    expect(await reading).toBeInstanceOf(SourcePositionError);
  });
});

test("a server that refuses every pull is not asked in a tight loop; the trouble names the subject, and passes", async () => {
  const users = (denied: string) => ({
    configuration: `
      authorization { users: [
        { user: ann, password: a, permissions: { publish: { deny: ["${denied}"] } } }
        { user: bob, password: b } ] }`,
  });
  const limited = await startTestServer(users("$JS.API.CONSUMER.MSG.NEXT.>"));
  const made = await connectDiverting({
    servers: limited.url,
    user: "ann",
    pass: "a",
    maxReconnectAttempts: -1,
    reconnectTimeWait: 50,
  });
  try {
    const { created } = await (await jetstreamManager(made.connection)).streams.add({ name: "S" });
    const reasons: string[] = [];
    let passed = 0;
    const reader = makeReader({
      nats: new NatsEnvironment(made.connection, made.diverter),
      reading: {
        failed: (error) => reasons.push(describeError(error)),
        passed: () => passed++,
        forget() {},
      },
      created,
      heartbeatMs: 50,
    });
    await reader.open();
    await expect.poll(() => reasons.length).toBeGreaterThan(3);
    for (const reason of reasons)
      expect(reason).toMatch(
        /^this NATS user may not publish to "\$JS\.API\.CONSUMER\.MSG\.NEXT\.S\..*"; allow it$/,
      );
    expect(reader.recreations).toBeLessThan(20);
    expect(passed).toBe(0);
    await limited.restart(users("elsewhere"));
    await expect.poll(() => passed).toBeGreaterThan(0);
    await reader.close();
  } finally {
    await made.connection.close();
    await limited.stop();
  }
});

test("a closed reader leaves no consumer and no diversion behind", async () => {
  const created = await makeStream(10);
  const reader = makeReader({ created });
  await reader.open();
  await read(reader, { enough: 10 });
  expect(nats.diverter?.handlers.size).toBe(1);
  expect((await manager.streams.info("S")).state.consumer_count).toBe(1);
  await reader.close();
  expect(nats.diverter?.handlers.size).toBe(0);
  expect((await manager.streams.info("S")).state.consumer_count).toBe(0);
});

async function deleteConsumers(): Promise<void> {
  for await (const { name } of manager.consumers.list("S")) await manager.consumers.delete("S", name);
}

/** Drops the messages of these numbers, once each. */
class LossyDiverter extends Diverter {
  readonly #inner: Diverter;
  readonly #drop: number[];
  #seen = 0;

  constructor(inner: Diverter, drop: number[]) {
    super();
    this.#inner = inner;
    this.#drop = drop;
  }

  override divert(sid: number, handler: DivertedMessages): void {
    this.#inner.divert(sid, {
      onMessage: (...message) => {
        if (++this.#seen !== this.#drop[0]) handler.onMessage(...message);
        else this.#drop.shift();
      },
      onChunkEnd: () => handler.onChunkEnd(),
    });
  }

  override release(sid: number): void {
    this.#inner.release(sid);
  }
}
