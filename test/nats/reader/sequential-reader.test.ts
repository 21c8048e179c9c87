/**
 * What a reader gives, in which order and how much of it at once, whatever happens to server, connection and consumer.
 */
import { type JetStreamManager, jetstream } from "@nats-io/jetstream";
import { headers, type NatsConnection } from "@nats-io/transport-node";
import { beforeEach, describe, expect, test } from "vitest";
import { OperatorError } from "../../../src/errors.ts";
import { type DivertedMessages, Diverter } from "../../../src/nats/connection/diverting-transport.ts";
import { NatsEnvironment } from "../../../src/nats/connection/environment.ts";
import type { TestServer } from "../../support/servers/nats.ts";
import { until } from "../../support/until.ts";
import { at, ReaderServer, range, read } from "./reading.ts";

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
/**
 * On a busy machine heartbeats come late, and the reader makes its consumer again. More than half of the time that a
 * pull lasts usually, which the server would refuse.
 */
const NEVER_MISSED_MS = 20_000;

const shared = new ReaderServer();
const { fill, makeStream, makeReader } = shared;
let server: TestServer;
let connection: NatsConnection;
let nats: NatsEnvironment;
let manager: JetStreamManager;

beforeEach(() => {
  ({ server, connection, nats, manager } = shared);
});

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
