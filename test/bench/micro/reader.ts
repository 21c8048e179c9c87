/**
 * How fast one JetStream stream is read: our sequential reader on the diverting transport and on the library's public
 * interface, beside the library's ordered consumer in its fastest form (callback, 5000 messages ahead).
 *
 * Every message is parsed as JSON and counted by key in a Map; all variants must arrive at the same counts. Rounds are
 * interleaved in one process. Not measured: operators, checkpoints, a sink, a network, replication.
 *
 *     npx tsc -b && node dist/test/bench/micro/reader.js [messages=200000] [rounds=3]
 */
import assert from "node:assert/strict";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import type { Logger } from "../../../src/dataflow/connector.ts";
import { connectDiverting } from "../../../src/nats/connection/diverting-transport.ts";
import { NatsEnvironment } from "../../../src/nats/connection/environment.ts";
import { SequentialReader } from "../../../src/nats/reader/sequential-reader.ts";
import { startTestServer } from "../../support/servers/nats.ts";

interface Bid {
  readonly auction: number;
  readonly bidder: string;
}

const STREAM = "BENCH";
const TURN_MS = 2;
const silent: Logger = { debug() {}, info() {}, warn: console.warn, error: console.error };

const messages = Number(process.argv[2] ?? 200_000);
const rounds = Number(process.argv[3] ?? 3);

const server = await startTestServer();
const { connection, diverter } = await connectDiverting({ servers: server.url });
assert(diverter !== undefined);
const nats = new NatsEnvironment(connection, diverter);
const manager = await jetstreamManager(connection);
await manager.streams.add({ name: STREAM, subjects: ["bench.>"] });
await fill(connection, messages);
const { created } = await manager.streams.info(STREAM);

const variants: Record<string, (counts: Map<string, number>) => Promise<void>> = {
  stock: readByStock,
  diverting: (counts) => readByReader(counts, { mode: "diverting", decode: "json" }),
  public: (counts) => readByReader(counts, { mode: "public", decode: "json" }),
  "diverting, parsed when polled": (counts) => readByReader(counts, { mode: "diverting", decode: "text" }),
};
const speeds = new Map<string, number[]>(Object.keys(variants).map((name) => [name, []]));
for (let round = 0; round <= rounds; round++) {
  let expected: number | undefined;
  for (const [name, read] of Object.entries(variants)) {
    const counts = new Map<string, number>();
    const since = performance.now();
    await read(counts);
    const perSecond = (messages / (performance.now() - since)) * 1000;
    const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
    assert.equal(total, messages, name);
    expected ??= counts.size;
    assert.equal(counts.size, expected, name);
    if (round > 0) speeds.get(name)?.push(perSecond);
  }
}
const stock = speeds.get("stock") as number[];
for (const [name, perRound] of speeds) {
  const ratios = perRound.map((speed, round) => speed / stock[round]!);
  console.log(
    `${name.padEnd(30)} ${perRound.map((speed) => `${(speed / 1000).toFixed(0)} K/s`).join("  ")}   ` +
      `ratio to stock ${ratios.map((ratio) => ratio.toFixed(2)).join("  ")}`,
  );
}
await connection.close();
await server.stop();

function count(counts: Map<string, number>, bid: Bid): void {
  counts.set(bid.bidder, (counts.get(bid.bidder) ?? 0) + 1);
}

async function readByStock(counts: Map<string, number>): Promise<void> {
  const consumer = await jetstream(connection).consumers.get(STREAM);
  let read = 0;
  await new Promise<void>((resolve, reject) => {
    const consuming = consumer.consume({
      max_messages: 5000,
      callback: (message) => {
        count(counts, message.json<Bid>());
        read++;
        if (read === messages) void consuming.then((it) => it.stop()).then(resolve, reject);
      },
    });
  });
}

/** Drives `poll` as a subtask's loop does: turns of about 2 ms, then back to the event loop. */
async function readByReader(
  counts: Map<string, number>,
  how: { readonly mode: "diverting" | "public"; readonly decode: "json" | "text" },
): Promise<void> {
  const reader = new SequentialReader<Bid | string>({
    nats,
    logger: silent,
    job: "words",
    operator: "bench",
    stream: STREAM,
    created,
    filters: [],
    reading: { failed() {}, passed() {}, forget() {} },
    end: messages,
    gaps: "fail",
    ...how,
  });
  await new Promise<void>((resolve, reject) => {
    const collect = (record: Bid | string): void =>
      count(counts, typeof record === "string" ? (JSON.parse(record) as Bid) : record);
    const turn = (): void => {
      const until = performance.now() + TURN_MS;
      let status = reader.poll(collect, 256);
      while (status === "more" && performance.now() < until) status = reader.poll(collect, 256);
      if (status === "more") setImmediate(turn);
      if (status === "ended") resolve();
    };
    reader.onAvailable(() => setImmediate(turn));
    reader.open().then(turn, reject);
  });
  await reader.close();
}

/** The stream acknowledges each message; at most 2000 are under way, because it drops what it has no room for. */
async function fill(publisher: NatsConnection, total: number): Promise<void> {
  const inbox = `fill.${Math.random().toString(36).slice(2)}`;
  let sent = 0;
  let acknowledged = 0;
  await new Promise<void>((resolve, reject) => {
    const send = (): void => {
      for (; sent < total && sent - acknowledged < 2000; sent++) {
        publisher.publish(`bench.${sent % 4}`, bid(sent), { reply: inbox });
      }
    };
    publisher.subscribe(inbox, {
      callback: (error, message) => {
        if (error || message.string().includes('"error"')) reject(error ?? new Error(message.string()));
        acknowledged++;
        if (acknowledged === total) resolve();
        else if (sent - acknowledged < 1000) send();
      },
    });
    send();
  });
}

/** 238 bytes, a hundred thousand bidders. */
function bid(index: number): string {
  const bidder = `user-${String(Math.imul(index, 2654435761) >>> 0)
    .padStart(10, "0")
    .slice(-5)}`;
  const text = JSON.stringify({
    auction: 10_000 + (index % 1000),
    bidder,
    price: (index * 7919) % 100_000,
    channel: `channel-${index % 10_000}`,
    url: `https://www.nexmark.com/item.htm?query=1&channel_id=${index}`,
    dateTime: 1_700_000_000_000 + index,
    extra: "",
  });
  return text.replace('"extra":""', `"extra":"${"x".repeat(Math.max(0, 238 - text.length))}"`);
}
