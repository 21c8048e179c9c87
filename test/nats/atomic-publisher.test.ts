import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { EnvironmentError } from "../../src/errors.ts";
import { connectNats } from "../../src/nats/connection/connect.ts";
import {
  AtomicPublisher,
  BATCH_HEADER_BYTES_MAX,
  type LastMessage,
} from "../../src/nats/publisher/atomic-publisher.ts";
import { MessageBlock, type MessageRange, MessageReader } from "../../src/nats/publisher/message-block.ts";
import { startTestServer, type TestServer } from "../support/servers/nats.ts";
import { WAIT_BOUND_MS } from "../support/suite/patience.ts";

let server: TestServer;
let connection: NatsConnection;
let manager: JetStreamManager;
let publisher: AtomicPublisher;
const stream = "BATCH";
const settings = { allow_atomic: true, allow_rollup_hdrs: true, allow_msg_ttl: true };

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => {
  await server?.stop();
});

function block(messages: readonly [subject: string, headerLines: string, payload: string][]): MessageRange {
  const made = new MessageBlock(64);
  for (const [subject, headerLines, payload] of messages) made.append(subject, headerLines, payload);
  return { bytes: made.content(), from: 0, to: made.length, messages: messages.length };
}

function many(count: number): MessageRange {
  return block(Array.from({ length: count }, (_, i) => [`out.s${i % 7}`, "", `payload ${i}`]));
}

function mark(expected: number, payload = "{}"): LastMessage {
  const headers = { "Nats-Expected-Last-Subject-Sequence": String(expected), "Nats-Rollup": "sub" };
  return { subject: "mark.a", payload, headers };
}

const lastSequence = async () => (await manager.streams.info(stream)).state.last_seq;

describe.each([
  { way: "through the library", divert: false },
  { way: "as bytes of commands", divert: true },
])("$way", ({ divert }) => {
  beforeAll(async () => {
    const nats = await connectNats({ servers: server.url, name: "test", divert });
    expect(nats.sendCommands !== undefined).toBe(divert);
    connection = nats.connection;
    manager = await jetstreamManager(connection, { checkAPI: false });
    publisher = new AtomicPublisher(nats);
  });
  afterAll(() => connection?.close());
  beforeEach(async () => {
    await server.forgotten();
    await manager.streams.delete(stream).catch(() => {});
    await server.forgotten();
    await manager.streams.add({ name: stream, subjects: ["out.>", "mark.>"], ...settings });
  });

  test("999 messages and the last one are stored in order, with subject, headers and payload", async () => {
    const outcome = await publisher.publish(many(999), mark(0), WAIT_BOUND_MS);
    expect(outcome).toEqual({ kind: "stored", sequence: 1000 });
    const message = await manager.streams.getMessage(stream, { seq: 9 });
    expect(message?.subject).toBe("out.s1");
    expect(message?.string()).toBe("payload 8");
  });

  test("header lines and text beyond ASCII arrive as they were appended", async () => {
    const messages = block([
      ["out.ä", "X-Name: größe\r\nX-Other: 2\r\n", "grün 🌊"],
      ["out.b", "", ""],
    ]);
    expect(await publisher.publish(messages, mark(0), WAIT_BOUND_MS)).toEqual({
      kind: "stored",
      sequence: 3,
    });
    const message = await manager.streams.getMessage(stream, { seq: 1 });
    expect(message?.subject).toBe("out.ä");
    expect(message?.string()).toBe("grün 🌊");
    expect(message?.header.get("X-Name")).toBe("größe");
    expect(message?.header.get("X-Other")).toBe("2");
    expect((await manager.streams.getMessage(stream, { seq: 2 }))?.string()).toBe("");
  });

  test("a guard that does not hold refuses the whole batch", async () => {
    await publisher.publish(many(2), mark(0), WAIT_BOUND_MS);
    expect(await publisher.publish(many(5), mark(0), WAIT_BOUND_MS)).toEqual({ kind: "conflict" });
    expect(await lastSequence()).toBe(3);
    expect(await publisher.publish(many(5), mark(3), WAIT_BOUND_MS)).toMatchObject({ kind: "stored" });
  });

  test("too many messages are refused for good, with the server's code", async () => {
    const outcome = await publisher.publish(many(1000), mark(0), WAIT_BOUND_MS);
    expect(outcome).toMatchObject({ kind: "refused", code: 10199 });
    expect(await lastSequence()).toBe(0);
  });

  test("a stream that is full says so", async () => {
    await manager.streams.update(stream, { discard: "new" as never, max_msgs: 3 });
    expect(await publisher.publish(many(10), mark(0), WAIT_BOUND_MS)).toMatchObject({ kind: "full" });
    expect(await lastSequence()).toBe(0);
  });

  test("a stream without atomic publish refuses for good", async () => {
    await manager.streams.update(stream, { allow_atomic: false });
    expect(await publisher.publish(many(3), mark(0), WAIT_BOUND_MS)).toMatchObject({
      kind: "refused",
      code: 10174,
    });
  });

  test("a part whose subject no stream takes is incomplete, and nothing is stored", async () => {
    const messages = block([
      ["out.a", "", "1"],
      ["nowhere.a", "", "2"],
      ["out.a", "", "3"],
    ]);
    expect(await publisher.publish(messages, mark(0), WAIT_BOUND_MS)).toMatchObject({
      kind: "retryable",
      description: expect.stringMatching(/did not reach the stream.*mappings.*permissions/),
    });
    expect(await lastSequence()).toBe(0);
  });

  test("no stream, no answer in time: unknown", async () => {
    await manager.streams.delete(stream);
    expect(await publisher.publish(many(3), mark(0), 300)).toMatchObject({ kind: "unknown" });
  });

  test("a message larger than max_payload is refused by the client, not retried for ever", async () => {
    const messages = block([["out.a", "", "x".repeat(1024 * 1024)]]);
    expect(await publisher.publish(messages, mark(0), WAIT_BOUND_MS)).toMatchObject({ kind: "refused" });
  });

  test("an answer without batch and count comes from a server that is too old", async () => {
    const answers = connection.subscribe("old.>", {
      callback: (_error, message) => {
        message.respond(JSON.stringify({ stream, seq: 7 }));
      },
    });
    const last = { ...mark(0), subject: "old.mark" };
    await expect(publisher.publish(undefined, last, WAIT_BOUND_MS)).rejects.toThrow(EnvironmentError);
    answers.unsubscribe();
  });

  test("the batch headers stay within what writers reserve for them", async () => {
    const messages = block([["out.a", "", "x"]]);
    await publisher.publish(messages, mark(0), WAIT_BOUND_MS);
    const longest = `NATS/1.0\r\nNats-Batch-Id: ${"x".repeat(22)}\r\nNats-Batch-Sequence: 9999\r\n\r\n`;
    expect(longest.length).toBeLessThanOrEqual(BATCH_HEADER_BYTES_MAX);
  });

  test("a closed connection: unknown", async () => {
    const closed = await connectNats({ servers: server.url, name: "test", divert });
    await closed.connection.close();
    const unconnected = new AtomicPublisher(closed);
    expect(await unconnected.publish(many(3), mark(0), WAIT_BOUND_MS)).toMatchObject({ kind: "unknown" });
    expect(await lastSequence()).toBe(0);
  });

  test("a block that holds fewer messages than it should is a broken invariant", async () => {
    const range = { ...many(3), messages: 4 };
    await expect(publisher.publish(range, mark(0), WAIT_BOUND_MS)).rejects.toThrow(RangeError);
  });
});

test("bytes that are no block are noticed", () => {
  const { bytes } = many(3);
  const reader = new MessageReader({ bytes: bytes.subarray(0, 30), from: 0, to: 30, messages: 3 });
  expect(() => {
    while (reader.next());
  }).toThrow(RangeError);
});
