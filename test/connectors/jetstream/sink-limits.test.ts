/**
 * What server, account and stream allow: worked within, or said at submission, or, when it changes later, where the job
 * stops.
 */
import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { CommitRefusedError, EnvironmentError } from "../../../src/errors.ts";
import { NatsEnvironment } from "../../../src/nats/connection/environment.ts";
import { prepareTransaction } from "../../../src/testing/sink-environment.ts";
import { records } from "../../contracts/suites/sink.contract.ts";
import { eventually } from "../../support/until.ts";
import { failureOf, SinkServer } from "./sink-server.ts";

const batches = (most: number) =>
  `limits { batch { max_msgs: ${most}, max_inflight_per_stream: 1, max_inflight_total: 1 } }`;
const accounts = `accounts {
  MAIN { users [{ user: main, password: x }], jetstream: enabled }
  NONE { users [{ user: none, password: x }] }
  SMALL { users [{ user: small, password: x }], jetstream { max_streams: 1, max_bytes_required: true } }
}
no_auth_user: main`;
const settings = { jetStream: batches(100), configuration: accounts };

const shared = new SinkServer(settings);
const { add, update, sink, environment, committed, restarted } = shared;
let stream: string;
let manager: JetStreamManager;

beforeEach(() => {
  ({ stream, manager } = shared);
});

const refusalOf = async (checked: Promise<void>) => {
  const error = await failureOf(checked);
  expect(error).toBeInstanceOf(EnvironmentError);
  return (error as Error).message;
};

describe("within the limits", () => {
  test("parts are cut to what the server takes in one batch, also when many writers may have only one open", async () => {
    await add();
    await sink().check(environment());
    const writers = await Promise.all(
      [0, 1, 2].map((subtaskIndex) => sink().open(environment({ subtaskIndex, parallelism: 3 }))),
    );
    const transactions = await Promise.all(
      writers.map((writer) => prepareTransaction(writer, 1, records("a", 450))),
    );
    await Promise.all(writers.map((writer, index) => writer.commit(transactions[index]!)));
    expect(await committed()).toBe(1350);
    await Promise.all(writers.map((writer) => writer.close()));
  });

  test.each([
    ["max_msgs", { max_msgs: 60 }],
    ["max_bytes", { max_bytes: 30_000 }],
  ])(
    "parts fit into a stream with %s that discards nothing; when it is full the job stops, and goes on once there is room",
    async (_limit, more) => {
      await add({ discard: "new", ...more });
      const writer = await sink().open(environment());
      const state = writer.snapshot();
      const transaction = await prepareTransaction(writer, 1, records("a", 200));
      await writer.close();
      let restored = { restoredCheckpointId: 1, restoredState: state };
      let done = 0;
      for (let generation = 2; done < 200; generation++) {
        const heir = await sink().open(environment({ generation, ...restored }));
        const refused = await failureOf(heir.commit(transaction));
        if (refused !== undefined) {
          expect(refused).toBeInstanceOf(CommitRefusedError);
          expect((refused as Error).message).toMatch(
            /maximum (messages|bytes) exceeded.*[Mm]ake room.*nats stream edit/,
          );
        }
        restored = { ...restored, restoredState: heir.snapshot() };
        await heir.close();
        const now = await committed();
        expect(now).toBeGreaterThan(0);
        done += now;
        await manager.streams.purge(stream, { filter: `${stream}.data` });
      }
      expect(done).toBe(200);
    },
  );
});

describe("said at submission", () => {
  const only = /write to a new stream/;
  const cases: readonly (readonly [string, object, RegExp, "both" | "exactly-once"])[] = [
    ["no acknowledgements", { no_ack: true }, /no_ack is on.*nats stream edit S\d+ --ack --force/, "both"],
    ["tiny messages", { max_msg_size: 200 }, /max_msg_size is 200.*--max-msg-size=-1/, "both"],
    [
      "one message for each subject, the first",
      { discard: "new", discard_new_per_subject: true, max_msgs_per_subject: 1 },
      /refuses to replace.*--no-discard-per-subject/,
      "exactly-once",
    ],
    ["no purge", { deny_purge: true, allow_rollup_hdrs: false }, /deny_purge is on/, "exactly-once"],
    ["a counter", { allow_msg_counter: true, allow_msg_ttl: false }, /it is a counter/, "both"],
    [
      "asynchronous writes",
      { persist_mode: "async", allow_atomic: false },
      /persist_mode is async/,
      "exactly-once",
    ],
    [
      "other subjects",
      { subject_transform: { src: ">", dest: "t.>" } },
      /renames the markers/,
      "exactly-once",
    ],
  ];
  test.each(cases)("%s", async (_name, config, message, guarantees) => {
    await add(config);
    expect(await refusalOf(sink().check(environment()))).toMatch(message);
    const weaker = sink({ guarantee: "at-least-once" }).check(environment());
    if (guarantees === "both") expect(await refusalOf(weaker)).toMatch(message);
    else await weaker;
  });

  test.each(["exactly-once", "at-least-once"] as const)(
    "a sealed stream, and a mirror, %s",
    async (guarantee) => {
      await add();
      await update({ sealed: true });
      expect(await refusalOf(sink({ guarantee }).check(environment()))).toMatch(
        /it is sealed.*write to a new stream/,
      );
      const mirror = `${stream}M`;
      await manager.streams.add({ name: mirror, mirror: { name: stream } });
      const refusal = await refusalOf(sink({ guarantee, stream: mirror }).check(environment()));
      expect(refusal).toMatch(/it is a mirror/);
      expect(refusal).toMatch(only);
      await manager.streams.delete(mirror);
    },
  );

  test.each([
    [{ discard: "new", max_msgs: 1000 }, /once it is full.*the job stops/],
    [
      { discard: "new", discard_new_per_subject: true, max_msgs_per_subject: 3 },
      /refuses further messages of a subject that has 3.*nats stream edit S\d+ --no-discard-per-subject --force/,
    ],
    [{ max_bytes: 1_000_000 }, /discard old can evict the marker/],
  ])("a warning for %j", async (config, message) => {
    await add(config);
    const warn = vi.fn();
    await sink().check(environment({ logger: { debug() {}, info() {}, warn, error() {} } }));
    expect(warn.mock.calls.map(([, text]) => text).join()).toMatch(message);
  });

  test("provision: subjects of another stream", async () => {
    await manager.streams.add({ name: "OTHER", subjects: ["shared.>"] });
    const refusal = await refusalOf(sink({ subject: "shared.x", provision: true }).check(environment()));
    expect(refusal).toContain(`stream ${stream} cannot be created`);
    expect(refusal).toMatch(/subjects overlap.*belong in part to stream OTHER/);
    await manager.streams.delete("OTHER");
  });

  test("provision turns no limit off that a stream was given, and then changes nothing", async () => {
    await add({ no_ack: true, allow_atomic: false });
    expect(await refusalOf(sink({ provision: true }).check(environment()))).toMatch(/no_ack is on/);
    expect((await manager.streams.info(stream)).config).toMatchObject({ no_ack: true });
    expect((await manager.streams.info(stream)).config.allow_atomic).not.toBe(true);
  });

  test("accounts: one without JetStream, one that is full, one that wants size limits", async () => {
    const as = async (user: string) => {
      const other = await connect({ servers: shared.server.url, user, pass: "x" });
      const env = environment({ nats: new NatsEnvironment(other) });
      return { other, env, check: () => refusalOf(sink({ provision: true }).check(env)) };
    };
    const none = await as("none");
    expect(await none.check()).toMatch(
      /stream S\d+.*not enabled for account.*enable JetStream for this account/,
    );
    await none.other.close();
    const small = await as("small");
    expect(await small.check()).toMatch(
      /stream S\d+ cannot be created.*max bytes set.*nats stream add S\d+ --subjects='?S\d+.*--max-bytes=…/,
    );
    const its = await jetstreamManager(small.other);
    await its.streams.add({ name: "ONLY", subjects: ["only"], max_bytes: 1000 });
    expect(await small.check()).toMatch(/maximum number of streams.*max_streams/);
    await small.other.close();
  });
});

describe("lowered later", () => {
  async function stored(record: (index: number) => string, total: number) {
    await add();
    const writer = await sink().open(environment());
    const state = writer.snapshot();
    const transaction = await prepareTransaction(
      writer,
      1,
      Array.from({ length: total }, (_, index) => record(index)),
    );
    await writer.close();
    let generation = 1;
    const commit = async () => {
      generation += 1;
      const restored = { generation, restoredCheckpointId: 1, restoredState: state };
      const heir = await sink().open(environment(restored));
      await heir.commit(transaction).finally(() => heir.close());
    };
    return { commit, total };
  }
  const small = (index: number) => `record-${index}`;

  test("messages in a batch: named beside what the stored parts need (P4); goes on once it is raised", async () => {
    const { commit } = await stored(small, 250);
    await restarted({ ...settings, jetStream: batches(50) });
    await expect(commit()).rejects.toThrow(CommitRefusedError);
    await expect(commit()).rejects.toThrow(
      /batch is too large: 50.*needs batches of 100 messages.*max_msgs: 100 /,
    );
    expect(await committed()).toBe(0);
    await restarted(settings);
    await commit();
    expect(await committed()).toBe(250);
  });

  test("one message in a batch is too little for any: said at submission", async () => {
    await add();
    await restarted({ ...settings, jetStream: batches(1) });
    try {
      expect(await refusalOf(sink().check(environment()))).toMatch(
        /allows 1 messages in an atomic batch.*max_msgs: 1000/,
      );
    } finally {
      await restarted(settings);
    }
  });

  test("the size of messages, of server and of stream", async () => {
    const { commit } = await stored((index) => "x".repeat(index === 3 ? 20_000 : 10), 5);
    await update({ max_msg_size: 10_000 });
    await expect(commit()).rejects.toThrow(
      /larger than the stream.s max_msg_size 10000.*needs messages of 20\d\d\d bytes.*nats stream edit S\d+ --max-msg-size=20\d\d\d --force/,
    );
    await update({ max_msg_size: -1 });
    await restarted({ ...settings, configuration: `${accounts}\nmax_payload: 16384` });
    await expect(commit()).rejects.toThrow(
      /needs messages of 20\d\d\d bytes, and nats-server takes messages of at most 16384 bytes; raise max_payload/,
    );
    expect(await committed()).toBe(0);
    await restarted(settings);
    await commit();
    expect(await committed()).toBe(5);
  });

  test("messages of a subject", async () => {
    const { commit } = await stored(small, 5);
    await update({
      ...{ discard: "new" as never, discard_new_per_subject: true, max_msgs_per_subject: 2 },
    });
    await expect(commit()).rejects.toThrow(
      /maximum messages per subject exceeded.*nats stream edit S\d+ --no-discard-per-subject --force/,
    );
    expect(await committed()).toBe(0);
    await update({
      discard_new_per_subject: false,
      discard: "old" as never,
      max_msgs_per_subject: -1,
    });
    await commit();
    expect(await committed()).toBe(5);
  });
});

test("at least once: what the stream refuses in passing is a trouble until it is taken", async () => {
  await add({ discard: "new", max_msgs: 2 });
  const failed = vi.fn();
  const passed = vi.fn();
  const watch = () => ({ failed, passed, forget() {} });
  const writer = await sink({ guarantee: "at-least-once" }).open(environment({ troubles: { watch } }));
  for (const record of records("a", 3)) writer.write(record, 0);
  await eventually(() => expect(failed).toHaveBeenCalled());
  expect(String(failed.mock.calls[0]![0])).toMatch(/maximum messages exceeded/);
  await update({ max_msgs: 10 });
  await writer.flush();
  expect(passed).toHaveBeenCalled();
  expect(await committed()).toBe(3);
  await writer.close();
});
