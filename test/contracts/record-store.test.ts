import { jetstreamManager } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  DisconnectedError,
  RecordsUnavailableError,
  RequestTimeoutError,
  UnknownOutcomeError,
} from "../../src/errors.ts";
import { MemoryRecordStore } from "../../src/memory/record-store.ts";
import { NatsEnvironment } from "../../src/nats/connection/environment.ts";
import {
  findNatsRecordStore,
  type NatsRecordStore,
  openNatsRecordStore,
} from "../../src/nats/storage/record-store.ts";
import type { CompareAndSet, RecordStore } from "../../src/runtime/record-store.ts";
import { startTestServer, type TestServer } from "../support/servers/nats.ts";
import { bytes, describeRecordStoreContract, stored, text } from "./suites/record-store.contract.ts";

const fastReconnect = { maxReconnectAttempts: -1, reconnectTimeWait: 50, noAsyncTraces: true };

describeRecordStoreContract("memory", async () => ({
  store: new MemoryRecordStore(),
  close: async () => undefined,
}));

describeRecordStoreContract("NATS KV", async () => {
  const server = await startTestServer();
  const connection = await connect({ servers: server.url, ...fastReconnect });
  return {
    store: await openNatsRecordStore(new NatsEnvironment(connection, undefined), { bucket: "records" }),
    async close() {
      await connection.close();
      await server.stop();
    },
  };
});

describe("NATS record store", () => {
  let server: TestServer;
  let connection: NatsConnection;
  let environment: NatsEnvironment;
  let store: NatsRecordStore;
  beforeAll(async () => {
    server = await startTestServer();
    connection = await connect({ servers: server.url, ...fastReconnect });
    environment = new NatsEnvironment(connection, undefined);
    store = await openNatsRecordStore(environment, { bucket: "records" });
  });
  afterAll(async () => {
    await connection.close();
    await server.stop();
  });

  it("makes no bucket for a reader", async () => {
    expect(await findNatsRecordStore(environment, "nowhere")).toBeUndefined();
    await store.compareAndSet("seen", bytes("1"), 0);
    expect(text((await (await findNatsRecordStore(environment, "records"))!.read("seen"))!.value)).toBe("1");
    const names = await (await jetstreamManager(connection)).streams.names().next();
    expect(names).toEqual(["KV_records"]);
  });

  it("makes a bucket that forgets nothing and that KV tools can read", async () => {
    const { config } = await (await jetstreamManager(connection)).streams.info("KV_records");
    expect(config).toMatchObject({
      storage: "file",
      max_msgs_per_subject: 1,
      max_age: 0,
      allow_direct: false,
      discard: "new",
      num_replicas: 1,
    });
    const revision = await stored(store, "job.tools", "hello", 0);
    const kv = await new Kvm(connection).open("records");
    const entry = await kv.get("job.tools");
    expect(entry?.string()).toBe("hello");
    expect(entry?.revision).toBe(revision);
  });

  it("reads from the leader, whatever the bucket allows", async () => {
    await new Kvm(connection).create("direct", { allow_direct: true });
    const direct = await openNatsRecordStore(environment, { bucket: "direct" });
    const asked: string[] = [];
    const watching = await connect({ servers: server.url });
    watching.subscribe("$JS.API.>", { callback: (_, message) => void asked.push(message.subject) });
    await watching.flush();
    await stored(direct, "key", "1", 0);
    await direct.read("key");
    await watching.flush();
    await watching.close();
    expect(asked).toContain("$JS.API.STREAM.MSG.GET.KV_direct");
    expect(asked.filter((subject) => subject.includes("DIRECT"))).toEqual([]);
  });

  it("takes deleted and purged keys for absent, and creates them again", async () => {
    const kv = await new Kvm(connection).open("records");
    for (const remove of ["delete", "purge"] as const) {
      const revision = await stored(store, `gone.${remove}`, "1", 0);
      await kv[remove](`gone.${remove}`);
      expect(await store.read(`gone.${remove}`)).toBeUndefined();
      expect(await store.keys("gone.")).not.toContain(`gone.${remove}`);
      expect(await store.compareAndSet(`gone.${remove}`, bytes("x"), revision)).toEqual({
        outcome: "refused",
      });
      const again = await Promise.all(
        ["a", "b", "c"].map((value) => store.compareAndSet(`gone.${remove}`, bytes(value), 0)),
      );
      expect(again.filter(({ outcome }) => outcome === "stored")).toHaveLength(1);
    }
  });

  it.each([
    ["in memory", { name: "KV_bad", subjects: ["$KV.bad.>"], storage: "memory" as const }],
    ["time-to-live", { name: "KV_bad", subjects: ["$KV.bad.>"], max_age: 1e12, discard: "new" as const }],
    ["delete old data", { name: "KV_bad", subjects: ["$KV.bad.>"], discard: "old" as const }],
    ["no_ack", { no_ack: true }],
    ["subject_transform", { subject_transform: { src: "$KV.bad.>", dest: "x.>" } }],
    ["does not take $KV.bad.>", { subjects: ["$KV.other.>"] }],
    ["deletes what consumers have read", { retention: "workqueue" as const }],
    ["discard_new_per_subject", { discard_new_per_subject: true }],
  ])("refuses a bucket that would lose or refuse records: %s", async (why, config) => {
    const manager = await jetstreamManager(connection);
    const usual = {
      name: "KV_bad",
      subjects: ["$KV.bad.>"],
      max_msgs_per_subject: 1,
      discard: "new" as const,
    };
    await manager.streams.add({ ...usual, ...config });
    await expect(openNatsRecordStore(environment, { bucket: "bad" })).rejects.toThrow(why);
    await manager.streams.delete("KV_bad");
  });

  it("opens twice at the same time", async () => {
    const open = () => openNatsRecordStore(environment, { bucket: "twice" });
    const [one, two] = await Promise.all([open(), open()]);
    await stored(one, "k", "1", 0);
    expect(text((await two.read("k"))?.value ?? bytes(""))).toBe("1");
  });

  it("says that the bucket is gone, and that a value is too large", async () => {
    const gone = await openNatsRecordStore(environment, { bucket: "gone" });
    await (await jetstreamManager(connection)).streams.delete("KV_gone");
    const restoring = /KV bucket gone: it does not exist any more: restore stream KV_gone from a backup/;
    await expect(gone.read("k")).rejects.toThrow(RecordsUnavailableError);
    await expect(gone.read("k")).rejects.toThrow(restoring);
    await expect(gone.compareAndSet("k", bytes("x"), 0)).rejects.toThrow(UnknownOutcomeError);
    await expect(gone.compareAndSet("k", bytes("x"), 0)).rejects.toThrow(restoring);
    const large = new Uint8Array(2 * 1024 * 1024);
    const refused = store.compareAndSet("large", large, 0);
    await expect(refused).rejects.toThrow(RecordsUnavailableError);
    await expect(refused).rejects.toThrow(
      /record "large".* 2097152 bytes.*at most 1048576 bytes; raise max_payload in its configuration to 2097\d+ or more/,
    );
  });

  it("settles unknown outcomes by sending again, while the server is killed over and over (P8)", async () => {
    let revision = await stored(store, "chaos", "0", 0);
    let unknown = 0;
    let lastRestart = Promise.resolve();
    for (let write = 1; write <= 300; write++) {
      if (write % 60 === 0) {
        await lastRestart;
        lastRestart = server.restart();
      }
      const value = `write ${write}`;
      revision = await settle(store, "chaos", value, revision, () => unknown++);
      const record = await readPatiently(store, "chaos");
      expect(text(record?.value ?? bytes(""))).toBe(value);
      expect(record?.revision).toBe(revision);
    }
    await lastRestart;
    expect(unknown).toBeGreaterThan(0);
  });

  it("fails at once when the connection is lost, and while there is none", async () => {
    const revision = await stored(store, "outage", "1", 0);
    await server.kill("SIGSTOP");
    const write = store.compareAndSet("outage", bytes("2"), revision);
    const read = store.read("outage");
    for (const pending of [write, read]) pending.catch(() => undefined);
    await server.kill("SIGKILL");
    await expect(write).rejects.toThrow(UnknownOutcomeError);
    await expect(read).rejects.toThrow(RequestTimeoutError);
    await expect(store.read("outage")).rejects.toThrow(DisconnectedError);
    await expect(store.compareAndSet("outage", bytes("2"), revision)).rejects.toThrow(UnknownOutcomeError);
    await expect(store.keys("")).rejects.toThrow(DisconnectedError);
    await server.restart();
    expect(await settle(store, "outage", "2", revision, () => undefined)).toBeGreaterThan(revision);
  });
});

/** P8: the same value at the same revision until it is stored, or the record holds it. */
async function settle(
  store: RecordStore,
  key: string,
  value: string,
  expectedRevision: number,
  onUnknown: () => void,
): Promise<number> {
  for (;;) {
    let result: CompareAndSet;
    try {
      result = await store.compareAndSet(key, bytes(value), expectedRevision);
    } catch (error) {
      if (!(error instanceof UnknownOutcomeError)) throw error;
      onUnknown();
      await new Promise((resolve) => setTimeout(resolve, 10));
      continue;
    }
    if (result.outcome === "stored") return result.revision;
    const record = await readPatiently(store, key);
    expect(text(record?.value ?? bytes(""))).toBe(value);
    return record?.revision ?? 0;
  }
}

async function readPatiently(store: RecordStore, key: string) {
  for (;;) {
    try {
      return await store.read(key);
    } catch (error) {
      if (!(error instanceof DisconnectedError || error instanceof RequestTimeoutError)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}
