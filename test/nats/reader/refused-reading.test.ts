/** What stops a reader, or holds it up: a stream that is not what it was, a server that refuses its pulls. */
import type { JetStreamManager } from "@nats-io/jetstream";
import { jetstreamManager } from "@nats-io/jetstream";
import { beforeEach, describe, expect, test } from "vitest";
import { describeError, SourcePositionError } from "../../../src/errors.ts";
import { connectDiverting } from "../../../src/nats/connection/diverting-transport.ts";
import { NatsEnvironment } from "../../../src/nats/connection/environment.ts";
import type { SequentialReader } from "../../../src/nats/reader/sequential-reader.ts";
import { startTestServer } from "../../support/servers/nats.ts";
import { at, ReaderServer, read } from "./reading.ts";

const shared = new ReaderServer();
const { makeStream, makeReader } = shared;
let manager: JetStreamManager;

beforeEach(() => {
  ({ manager } = shared);
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

  /** Changes a stream whose ten messages were read. Answers what ends the reading. */
  async function whileRead(change: () => Promise<unknown>): Promise<{ created: string; failure: unknown }> {
    const created = await makeStream(10);
    const reader = makeReader({ created });
    await reader.open();
    await read(reader, { enough: 10 });
    const reading = read(reader).catch((error: unknown) => error);
    await change();
    return { created, failure: await reading };
  }

  test("deleted, before and while it is read", async () => {
    const { created, failure } = await whileRead(() => manager.streams.delete("S"));
    expect(failure).toMatchObject({
      name: "SourcePositionError",
      message: expect.stringContaining('stream "S" does not exist any more'),
    });
    expect(await failureOf(makeReader({ created }))).toBeInstanceOf(SourcePositionError);
  });

  test("made again while it is read", async () => {
    const { failure } = await whileRead(async () => {
      await manager.streams.delete("S");
      await makeStream(20);
    });
    expect(failure).toBeInstanceOf(SourcePositionError);
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
