import { type JetStreamManager, jetstreamManager, type StreamConfig } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { Objm } from "@nats-io/obj";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { jetstreamSink } from "../../../src/connectors/jetstream/sink.ts";
import { segmentLimits } from "../../../src/connectors/transactions/segments.ts";
import type { SinkEnvironment, SinkWriter } from "../../../src/dataflow/sink.ts";
import {
  CommitRefusedError,
  ConfigurationError,
  EnvironmentError,
  ObjectMissingError,
  RecordRefusedError,
} from "../../../src/errors.ts";
import { NatsEnvironment } from "../../../src/nats/connection/environment.ts";
import { ackedTiming } from "../../../src/nats/publisher/acked-publisher.ts";
import { markerTiming } from "../../../src/nats/publisher/sink-marker.ts";
import { MemoryStaging, prepareTransaction, sinkEnvironment } from "../../../src/testing/sink-environment.ts";
import { records } from "../../contracts/suites/sink.contract.ts";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { WAIT_BOUND_MS } from "../../support/suite/patience.ts";
import { eventually } from "../../support/until.ts";

let server: TestServer;
let connection: NatsConnection;
let manager: JetStreamManager;
let nats: NatsEnvironment;
let staging: MemoryStaging;
const stream = "RESULTS";
const markers = `tidemark-marker.${stream}.>`;
const suitable = { allow_atomic: true, allow_rollup_hdrs: true, allow_msg_ttl: true };
const options = { stream, subject: "out.data", encode: "text" } as const;

beforeAll(async () => {
  Object.assign(markerTiming, { batchTimeoutMs: 500, confirmDelayMs: 20, retryDelayMs: 5 });
  Object.assign(ackedTiming, { ackTimeoutMs: 300, sweepMs: 50 });
  server = await startTestServer();
  connection = await connect({ servers: server.url, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
  manager = await jetstreamManager(connection, { checkAPI: false });
  nats = new NatsEnvironment(connection, undefined);
});
afterAll(async () => {
  await connection?.close();
  await server?.stop();
});
beforeEach(() => {
  staging = new MemoryStaging();
});
afterEach(async () => {
  await server.forgotten();
  await manager.streams.delete(stream).catch(() => {});
  await server.forgotten();
});

const add = (config: Partial<StreamConfig> = {}) =>
  manager.streams.add({ name: stream, subjects: ["out.>", markers], ...suitable, ...config });
const environment = (at: Partial<SinkEnvironment> = {}) => sinkEnvironment({ nats, staging, ...at });

async function messages(): Promise<{ subject: string; text: string; header: (name: string) => string }[]> {
  const { state } = await manager.streams.info(stream);
  const found = [];
  for (let seq = Math.max(state.first_seq, 1); seq <= state.last_seq; seq += 1) {
    const message = await manager.streams.getMessage(stream, { seq });
    if (message === null || message.subject.startsWith("tidemark-marker")) continue;
    const header = (name: string) => message.header.get(name);
    found.push({ subject: message.subject, text: message.string(), header });
  }
  return found;
}
const texts = async () => (await messages()).map((message) => message.text);

class OldNatsEnvironment extends NatsEnvironment {
  override get serverVersion(): string {
    return "2.10.27";
  }
}

describe("check", () => {
  const check = (more: object = {}) => jetstreamSink<string>({ ...options, ...more }).check(environment());

  test("a stream that does not exist: prints the command that creates it", async () => {
    await expect(check()).rejects.toThrow(EnvironmentError);
    await expect(check()).rejects.toThrow(
      `nats stream add ${stream} --subjects='out.data,${markers}' --storage=file --retention=limits --allow-batch`,
    );
  });

  test("a stream without the settings: names each and prints the command that mends it", async () => {
    await manager.streams.add({ name: stream, subjects: ["out.>"] });
    const refusal = await check().catch((error: Error) => error.message);
    expect(refusal).toContain("allow_atomic is off");
    expect(refusal).toContain("allow_rollup_hdrs is off");
    expect(refusal).toContain("allow_msg_ttl is off");
    expect(refusal).toContain(`do not contain ${markers}`);
    expect(refusal).toContain(
      `nats stream edit ${stream} --allow-batch --allow-rollup --allow-msg-ttl --subjects='out.>,${markers}' --force`,
    );
  });

  test("what no edit mends asks for a new stream", async () => {
    await add({ retention: "interest" as never, storage: "memory" as never });
    await expect(check()).rejects.toThrow(
      /retention is interest.*storage is not file.*write to a new stream/,
    );
  });

  test("provision creates the stream, or switches on what it lacks", async () => {
    await check({ provision: true });
    expect((await manager.streams.info(stream)).config).toMatchObject({
      subjects: ["out.data", markers],
      ...suitable,
    });
    await manager.streams.delete(stream);
    await manager.streams.add({ name: stream, subjects: ["out.>"] });
    await check({ provision: true });
    expect((await manager.streams.info(stream)).config).toMatchObject({
      subjects: ["out.>", markers],
      ...suitable,
    });
  });

  test("provision creates a bucket as the bucket's own clients do", async () => {
    const key = (record: string) => `$KV.totals.${record}`;
    const bucket = { stream: "KV_totals", subject: key, provision: true };
    for (const wrong of [{ subject: "totals.a" }, { subjects: ["$KV.totals.>", "$KV.total.>"] }])
      await expect(check({ ...bucket, ...wrong })).rejects.toThrow(
        /stream KV_totals is the KV bucket totals, which takes only \$KV\.totals\.>, and not (totals\.a|\$KV\.total\.>)/,
      );
    await expect(manager.streams.info("KV_totals")).rejects.toThrow(/not found/);

    const likeAClient = async (name: string, other: string, more: readonly string[]) => {
      const [made, theirs] = [await manager.streams.info(name), await manager.streams.info(other)];
      const subjects = theirs.config.subjects.map((subject) => subject.replace("theirs", "totals"));
      const { name: _, metadata, ...settings } = theirs.config;
      // ADR-8 wants it, and other clients set it; this one does not.
      const deny_delete = other.startsWith("KV_");
      const wanted = { ...settings, ...suitable, deny_delete, subjects: [...subjects, ...more] };
      expect(made.config).toMatchObject(wanted);
    };
    await new Kvm(connection).create("theirs");
    await check(bucket);
    await likeAClient("KV_totals", "KV_theirs", ["tidemark-marker.KV_totals.>"]);
    const writer = await jetstreamSink<string>({ ...options, ...bucket }).open(environment());
    for (const checkpointId of [1, 2])
      await writer.commit(await prepareTransaction(writer, checkpointId, ["a", "b"]));
    const values = await new Kvm(connection).open("totals");
    expect((await values.get("a"))?.string()).toBe("a");
    expect((await manager.streams.info("KV_totals")).state.messages).toBe(3);
    await manager.streams.delete("KV_totals");
    await check({ ...bucket, guarantee: "at-least-once" });
    await likeAClient("KV_totals", "KV_theirs", []);

    await new Objm(connection).create("theirs");
    await check({ ...bucket, stream: "OBJ_totals" });
    await likeAClient("OBJ_totals", "OBJ_theirs", ["tidemark-marker.OBJ_totals.>"]);
    for (const name of ["KV_totals", "KV_theirs", "OBJ_totals", "OBJ_theirs"])
      await manager.streams.delete(name);
  });

  test("provision needs to be told the subjects when they are computed", async () => {
    await expect(check({ provision: true, subject: () => "out.x" })).rejects.toThrow(ConfigurationError);
    await check({ provision: true, subject: () => "out.x", subjects: ["out.*"] });
  });

  test("a constant subject that the stream does not take shows at once", async () => {
    await add();
    await expect(check({ subject: "elsewhere.x" })).rejects.toThrow(/takes only out\.>/);
  });

  test("an old server is refused for exactly-once, and at-least-once is offered", async () => {
    await add();
    const old = new OldNatsEnvironment(connection, undefined);
    const checked = jetstreamSink<string>(options).check(environment({ nats: old }));
    await expect(checked).rejects.toThrow(
      /needs nats-server 2\.12\.0.*2\.10\.27.*guarantee: "at-least-once"/s,
    );
    await jetstreamSink<string>({ ...options, guarantee: "at-least-once" }).check(environment({ nats: old }));
  });

  test("wrong options are refused by name", () => {
    expect(() => jetstreamSink({ ...options, stream: "a b" })).toThrow(ConfigurationError);
    expect(() => jetstreamSink({ ...options, partMessagesMax: 1000 })).toThrow(/partMessagesMax/);
    expect(() => jetstreamSink({ ...options, markerPrefix: "a.>" })).toThrow(/markerPrefix/);
  });
});

describe("exactly once", () => {
  test("subjects, headers and encodings arrive", async () => {
    await add();
    const sink = jetstreamSink<{ word: string }>({
      stream,
      subject: (value) => `out.${value.word}`,
      headers: (value) => ({ "X-Word": value.word }),
    });
    const writer = await sink.open(environment());
    writer.write({ word: "tide" }, 0);
    await writer.commit(await writer.cut(1)!.prepared());
    const [message] = await messages();
    expect(message).toMatchObject({ subject: "out.tide", text: '{"word":"tide"}' });
    expect(message!.header("X-Word")).toBe("tide");
    await writer.close();
  });

  test("values and headers that cannot be written are refused", async () => {
    await add();
    const json = await jetstreamSink<unknown>({ stream, subject: "out.a" }).open(environment());
    expect(() => json.write(undefined, 0)).toThrow(RecordRefusedError);
    const headers = (value: string) => ({ [value]: "a\nb" });
    const withHeaders = jetstreamSink<string>({ ...options, headers });
    const writer = await withHeaders.open(environment({ generation: 2 }));
    for (const name of ["X", "a:b", "Nats-Rollup"])
      expect(() => writer.write(name, 0)).toThrow(RecordRefusedError);
  });

  test("max_msg_size of the stream counts with the batch headers", async () => {
    await add({ max_msg_size: 600 });
    const writer = await jetstreamSink<string>(options).open(environment());
    expect(() => writer.write("x".repeat(505), 0)).toThrow(/larger than 504 bytes/);
    await writer.commit(await prepareTransaction(writer, 1, ["x".repeat(504)]));
    expect(await texts()).toHaveLength(1);
  });

  test("a small transaction travels inline, a large one in few objects that are staged while it is open", async () => {
    await add();
    const writer = await jetstreamSink<string>(options).open(environment());
    const small = await prepareTransaction(writer, 1, records("small", 100));
    expect(small.staged).toEqual([]);
    const written = records(`${"x".repeat(190)}`, 12_000);
    for (const record of written) writer.write(record, 0);
    expect(staging.objects.size).toBe(2);
    const large = JSON.parse(JSON.stringify(await writer.cut(2)!.prepared()));
    expect(large.staged.length).toBe(3);
    await writer.commit(small);
    await writer.commit(large);
    expect(await texts()).toEqual([...records("small", 100), ...written]);
    await writer.close();
  });

  test("bytes that left memory are read back from staging, also by a later generation in mid-transaction", async () => {
    await add();
    const writer = await jetstreamSink<string>({ ...options, partMessagesMax: 500 }).open(environment());
    const written = records(`${"x".repeat(900)}`, 4_000);
    const transaction = await prepareTransaction(writer, 1, written);
    const committing = writer.commit(transaction).catch(() => {});
    await eventually(async () => expect((await texts()).length).toBeGreaterThan(500));
    await writer.close();
    await committing;
    const heir = await jetstreamSink<string>(options).open(
      environment({ generation: 2, restoredCheckpointId: 1, restoredState: writer.snapshot() }),
    );
    await heir.commit(transaction);
    expect(await texts()).toEqual(written);
    await heir.close();
  });

  test("slow staging blocks the input and lets it go again (P25)", async () => {
    await add();
    staging.delayMs = 100;
    const writer = await jetstreamSink<string>({ ...options, partBytesMax: 64 * 1024 }).open(environment());
    const wake = vi.fn();
    writer.onAvailable(wake);
    const record = "x".repeat(16 * 1024);
    let written = 0;
    while (!writer.blocked()) {
      writer.write(record, 0);
      written += 1;
    }
    expect(written * record.length).toBeLessThan(
      (segmentLimits.stagingMax + 1) * 1.1 * segmentLimits.segmentBytesMax,
    );
    await eventually(() => expect(wake).toHaveBeenCalled());
    expect(writer.blocked()).toBe(false);
    await writer.close();
  });

  test("transactions that wait for a decision never block; a commit with more than two behind it does (SX1)", async () => {
    await add();
    const writer = await jetstreamSink<string>(options).open(environment());
    const wake = vi.fn();
    writer.onAvailable(wake);
    const transactions = [];
    for (let id = 1; id <= 4; id += 1) transactions.push(await prepareTransaction(writer, id, [`t${id}`]));
    expect(writer.blocked()).toBe(false);
    const commit = writer.commit(transactions[0]!);
    expect(writer.blocked()).toBe(true);
    await commit;
    expect(wake).toHaveBeenCalled();
    expect(writer.blocked()).toBe(false);
    await expect(writer.commit(transactions[2]!)).rejects.toThrow(/committed before 2/);
    await writer.close();
  });

  test("staging that fails for good fails the generation", async () => {
    await add();
    const fail = vi.fn();
    const broken = Object.assign(new MemoryStaging(), {
      put: () => Promise.reject(new Error("bucket is gone")),
    });
    const writer = await jetstreamSink<string>(options).open(environment({ fail, staging: broken }));
    for (const record of records("x".repeat(100), 200)) writer.write(record, 0);
    await expect(writer.cut(1)!.prepared()).rejects.toThrow("bucket is gone");
    expect(fail).toHaveBeenCalled();
    await writer.close();
  });

  const refusals: [string, () => Promise<unknown>, RegExp][] = [
    [
      "deleted",
      () => manager.streams.delete(stream),
      /stream RESULTS, which the job has written to, does not exist any more/,
    ],
    [
      "full",
      () => manager.streams.update(stream, { discard: "new" as never, max_msgs: 2 }),
      /maximum messages exceeded.*messages needed: 6\).*nats stream edit RESULTS --max-msgs=14 /,
    ],
    [
      "no more atomic",
      () => manager.streams.update(stream, { allow_atomic: false }),
      /allow_atomic is off.*nats stream edit RESULTS --allow-batch/,
    ],
    [
      "without the record's subject",
      () => manager.streams.update(stream, { subjects: ["other.>", markers] }),
      /does not take subject out\.data any more.*--subjects='other\.>,.*,out\.data'/,
    ],
    [
      "without the markers' subject",
      () => manager.streams.update(stream, { subjects: ["out.>"] }),
      /do not contain tidemark-marker/,
    ],
  ];
  test.each(refusals)("a stream that became %s stops the job resumably", async (_name, spoil, message) => {
    await add();
    const writer = await jetstreamSink<string>(options).open(environment());
    const transaction = await prepareTransaction(writer, 1, records("a", 5));
    await spoil();
    const refused = writer.commit(transaction);
    await expect(refused).rejects.toThrow(CommitRefusedError);
    await expect(refused).rejects.toThrow(message);
    await writer.close();
  });

  test("a stream that is mended after a refusal takes the transaction, once", async () => {
    await add();
    const writer = await jetstreamSink<string>(options).open(environment());
    const transaction = await prepareTransaction(writer, 1, records("a", 5));
    await manager.streams.update(stream, { allow_atomic: false });
    await expect(writer.commit(transaction)).rejects.toThrow(CommitRefusedError);
    await manager.streams.update(stream, { allow_atomic: true });
    await writer.commit(transaction);
    expect(await texts()).toEqual(records("a", 5));
    await writer.close();
  });

  test("a stream that was purged under a running writer stops the job by name (P22)", async () => {
    await add();
    const writer = await jetstreamSink<string>(options).open(environment());
    await writer.commit(await prepareTransaction(writer, 1, ["a"]));
    const second = await prepareTransaction(writer, 2, ["b"]);
    await manager.streams.purge(stream);
    await expect(writer.commit(second)).rejects.toThrow(ObjectMissingError);
    expect(await texts()).toEqual([]);
    await writer.close();
  });

  test("the marker outlives max_age", async () => {
    await add({ max_age: 100_000_000 });
    const writer = await jetstreamSink<string>(options).open(environment());
    await writer.commit(await prepareTransaction(writer, 1, ["a"]));
    await eventually(async () => expect(await texts()).toEqual([]));
    await writer.commit(await prepareTransaction(writer, 2, ["b"]));
    await writer.close();
  });

  test("closing ends a commit that cannot succeed", async () => {
    await add();
    const writer = await jetstreamSink<string>(options).open(environment());
    const transaction = await prepareTransaction(writer, 1, ["a"]);
    await server.kill("SIGSTOP");
    const commit = writer.commit(transaction).catch((error: Error) => error);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await writer.close();
    await server.kill("SIGCONT");
    expect(String(await commit)).toMatch(/closed|undefined/);
  });
});

test("a fork that commits while the job takes its marker over leaves it to the newer generation", async () => {
  await add();
  const sink = jetstreamSink<string>(options);
  const original = await sink.open(environment());
  const state = original.snapshot();
  const transaction = await prepareTransaction(original, 1, records("a", 4));
  await original.close();
  let heir: SinkWriter<string> | undefined;
  /** The job's next generation begins right after the fork has read the marker. */
  class Interrupted extends NatsEnvironment {
    override async manager(): Promise<JetStreamManager> {
      const getMessage: JetStreamManager["streams"]["getMessage"] = async (...args) => {
        const found = await manager.streams.getMessage(...args);
        const restored = { generation: 2, restoredCheckpointId: 1, restoredState: state };
        if (JSON.stringify(args).includes(".life1.")) heir ??= await sink.open(environment(restored));
        return found;
      };
      return { ...manager, streams: Object.assign(Object.create(manager.streams), { getMessage }) };
    }
  }
  const fork = await sink.open(
    environment({ nats: new Interrupted(connection), incarnation: "life2", restoredCheckpointId: 1 }),
  );
  await fork.commit(transaction, { incarnation: "life1", generation: 2 });
  await heir!.commit(transaction);
  await heir!.commit(await prepareTransaction(heir!, 2, records("b", 2)));
  expect(await texts()).toEqual([...records("a", 4), ...records("b", 2)]);
  await fork.close();
  await heir!.close();
});

describe("at least once", () => {
  const open = (fail = vi.fn()) =>
    jetstreamSink<string>({ ...options, guarantee: "at-least-once" }).open(environment({ fail }));

  test("flush waits for every acknowledgement", async () => {
    await manager.streams.add({ name: stream, subjects: ["out.>"] });
    const writer = await open();
    const written = records("a", 5_000);
    // What is not acknowledged in time is sent again.
    const timing = { ...ackedTiming };
    ackedTiming.ackTimeoutMs = WAIT_BOUND_MS;
    for (const record of written) {
      while (writer.blocked()) await new Promise((resolve) => setImmediate(resolve));
      writer.write(record, 0);
    }
    expect(writer.cut(1)).toBeUndefined();
    await writer.flush();
    expect((await manager.streams.info(stream)).state.messages).toBe(5_000);
    expect(await texts()).toEqual(written);
    await writer.close();
    Object.assign(ackedTiming, timing);
  });

  test("nothing is lost when the server is killed meanwhile", async () => {
    await manager.streams.add({ name: stream, subjects: ["out.>"] });
    const writer = await open();
    const written = records("a", 3_000);
    const outage = (async () => {
      await new Promise((resolve) => setTimeout(resolve, 30));
      await server.kill("SIGKILL");
      await server.restart();
    })();
    for (const record of written) {
      while (writer.blocked()) await new Promise((resolve) => setTimeout(resolve, 5));
      writer.write(record, 0);
      if (Number(record.slice(2)) % 50 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await outage;
    await writer.flush();
    expect(new Set(await texts())).toEqual(new Set(written));
    await writer.close();
  });

  test("a stream that refuses for good fails the generation", async () => {
    await manager.streams.add({ name: stream, subjects: ["out.>"] });
    const fail = vi.fn();
    const writer = await open(fail);
    await manager.streams.update(stream, { max_msg_size: 10 });
    writer.write("x".repeat(100), 0);
    await eventually(() => expect(fail).toHaveBeenCalled());
    expect(fail.mock.calls[0]![0]).toBeInstanceOf(CommitRefusedError);
    await writer.close();
  });
});
