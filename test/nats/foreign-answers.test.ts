/** A service that listens on an output subject answers like a stream would, and is not believed. */
import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { NatsEnvironment } from "../../src/nats/connection/environment.ts";
import { AckedPublisher, ackedTiming } from "../../src/nats/publisher/acked-publisher.ts";
import { AtomicPublisher } from "../../src/nats/publisher/atomic-publisher.ts";
import { MessageBlock } from "../../src/nats/publisher/message-block.ts";
import { startTestServer, type TestServer } from "../support/servers/nats.ts";
import { until } from "../support/until.ts";

const { ackTimeoutMs, sweepMs } = ackedTiming;
let server: TestServer;
let connection: NatsConnection;
let manager: JetStreamManager;

beforeAll(async () => {
  Object.assign(ackedTiming, { ackTimeoutMs: 200, sweepMs: 50 });
  server = await startTestServer();
});
beforeEach(async () => {
  connection = await connect({ servers: server.url });
  manager = await jetstreamManager(connection);
});
afterEach(async () => {
  await manager.streams.delete("OUT").catch(() => {});
  await connection.close();
});
afterAll(async () => {
  Object.assign(ackedTiming, { ackTimeoutMs, sweepMs });
  await server.stop();
});

const answers = ["ok", "{}", "null", "[]", '{"error":"no"}', '{"error":', '{"error":null}', '{"seq":1}'];

/** One connection of its own answers each message at once. */
async function answering(answer: string): Promise<{ readonly asked: () => number; close(): Promise<void> }> {
  const service = await connect({ servers: server.url });
  let asked = 0;
  service.subscribe("out.>", {
    callback: (_, message) => {
      asked++;
      message.respond(answer);
    },
  });
  await service.flush();
  return { asked: () => asked, close: () => service.close() };
}

test.each(answers)("a record that a service answers with %j is stored before it counts", async (answer) => {
  const service = await answering(answer);
  const retries: string[] = [];
  const failures: unknown[] = [];
  const publisher = new AckedPublisher(new NatsEnvironment(connection), "OUT", "p", 100, {
    onAcknowledged: () => {},
    onFailed: (error) => failures.push(error),
    onRetry: (reason) => retries.push(String(reason)),
    onRecovered: () => {},
  });
  publisher.publish("out.a", "", "1");
  let flushed = false;
  const flush = publisher.flush().then(() => {
    flushed = true;
  });
  await until("it was sent again and again", async () => service.asked() > 2 || undefined);
  expect(flushed).toBe(false);
  expect(retries[0]).toContain("a service that is no stream answers");
  await manager.streams.add({ name: "OUT", subjects: ["out.>"] });
  await flush;
  expect((await manager.streams.info("OUT")).state.messages).toBe(1);
  expect(failures).toEqual([]);
  publisher.close();
  await service.close();
});

test.each(answers)(
  "a batch whose marker a service answers with %j has an unknown outcome",
  async (answer) => {
    await manager.streams.add({ name: "OUT", subjects: ["out.>", "elsewhere.>"], allow_atomic: true });
    const service = await answering(answer);
    const block = new MessageBlock(64);
    block.append("elsewhere.x", "", "record");
    const range = { bytes: block.content(), from: 0, to: block.length, messages: 1 };
    const last = { subject: "out.marker", payload: "{}", headers: {} };
    await manager.streams.update("OUT", { subjects: ["elsewhere.>"] });
    const outcome = await new AtomicPublisher(new NatsEnvironment(connection)).publish(range, last, 20_000);
    expect(outcome).toMatchObject({ kind: "unknown" });
    await service.close();
  },
);
