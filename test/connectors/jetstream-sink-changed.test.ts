/**
 * What becomes of a running job whose output stream, account or server is changed under it: a decided transaction is not lost
 * and not written twice. The commit waits, with a trouble, or stops the job by a name that says what mends it; once it is mended
 * the very same transaction is committed.
 */
import { type JetStreamManager, jetstreamManager, type StreamConfig } from "@nats-io/jetstream";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { afterAll, beforeAll, expect, test } from "vitest";
import { jetstreamSink } from "../../src/connectors/jetstream/sink.ts";
import type { SinkEnvironment } from "../../src/dataflow/sink.ts";
import { describeError, retryOf } from "../../src/errors.ts";
import { NatsEnvironment } from "../../src/nats/connection/environment.ts";
import { ackedTiming } from "../../src/nats/publisher/acked-publisher.ts";
import { markerTiming } from "../../src/nats/publisher/sink-marker.ts";
import { MemoryStaging, prepare, records, sinkEnvironment } from "../contracts/suites/sink.contract.ts";
import { startTestServer, type TestServer } from "../support/servers/nats.ts";
import { until } from "../support/until.ts";

const TOTAL = 250;
const account = (limits: string) => `accounts {
  MAIN { users [{ user: main, password: x }], jetstream { ${limits} } }
}
no_auth_user: main`;
const settings = { configuration: account("max_file: 100MB") };

let server: TestServer;
let connection: NatsConnection;
let nats: NatsEnvironment;
let manager: JetStreamManager;
let streams = 0;

beforeAll(async () => {
  markerTiming.batchTimeoutMs = 500;
  markerTiming.confirmDelayMs = 50;
  markerTiming.fullAttempts = 2;
  ackedTiming.ackTimeoutMs = 300;
  ackedTiming.sweepMs = 50;
  server = await startTestServer(settings);
  connection = await connect({ servers: server.url, maxReconnectAttempts: -1, reconnectTimeWait: 50 });
  nats = new NatsEnvironment(connection);
  manager = await jetstreamManager(connection, { checkAPI: false });
});
afterAll(async () => {
  await connection.close();
  await server.stop();
});

interface Change {
  readonly config?: Partial<StreamConfig> & Readonly<Record<string, unknown>>;
  /** Instead of `config`. */
  readonly act?: (stream: string) => Promise<void>;
  readonly mend?: (stream: string) => Promise<void>;
  /** What stops the job says this. */
  readonly stops?: RegExp;
  /** It waits, and this is what is shown. */
  readonly waits?: RegExp;
  /** Nothing is in the way. */
  readonly passes?: true;
  /** It cannot be taken back. */
  readonly final?: true;
}

const restart = async (configuration: string) => {
  await server.restart({ configuration });
  await until("the connection is back", async () => (await connection.flush()) ?? true);
};
const base = (name: string) => ({
  name,
  subjects: [`${name}.>`, `tidemark-marker.${name}.>`],
  ...{ allow_atomic: true, allow_rollup_hdrs: true, allow_msg_ttl: true },
});

const changes: { readonly [name: string]: Change } = {
  "max_msgs, discard new": {
    config: { max_msgs: 40, discard: "new" as never },
    stops: /maximum messages exceeded.*messages needed: 251.*--max-msgs=504 /,
  },
  "max_bytes, discard new": {
    config: { max_bytes: 3000, discard: "new" as never },
    stops: /maximum bytes exceeded.*bytes needed: about \d+.*--max-bytes=\d+ /,
  },
  max_msg_size: { config: { max_msg_size: 5 }, stops: /max_msg_size is 5.*--max-msg-size=-1/ },
  "allow_atomic off": { config: { allow_atomic: false }, stops: /allow_atomic is off.*--allow-batch/ },
  "allow_rollup_hdrs off": {
    config: { allow_rollup_hdrs: false },
    stops: /allow_rollup_hdrs is off.*--allow-rollup/,
  },
  deny_purge: {
    config: { deny_purge: true, allow_rollup_hdrs: false },
    stops: /deny_purge is on.*nats stream backup.*--fresh and write to a new stream/,
    final: true,
  },
  // Nothing is answered, and the marker tells that all of it was stored.
  no_ack: { config: { no_ack: true }, passes: true },
  "retention interest": {
    config: { retention: "interest" as never },
    stops: /marker tidemark-marker\S+ .*S\d+/,
    final: true,
  },
  sealed: {
    act: async (stream) => {
      await manager.streams.update(stream, { sealed: true } as never);
    },
    stops: /it is sealed.*nats stream backup.*--fresh and write to a new stream/,
    final: true,
  },
  "subjects without the records'": {
    act: async (stream) => {
      await manager.streams.update(stream, { subjects: [`tidemark-marker.${stream}.>`] });
    },
    stops: /does not take subject S\d+\.data any more.*--subjects=/,
  },
  "subjects without the markers'": {
    act: async (stream) => {
      await manager.streams.update(stream, { subjects: [`${stream}.>`] });
    },
    stops: /its subjects do not contain tidemark-marker\.S\d+\.>.*--subjects=/,
  },
  "a transform of all subjects": {
    config: { subject_transform: { src: ">", dest: "moved.>" } },
    stops: /renames the markers.*take it out: nats stream edit S\d+ --interactive/,
    mend: async (stream) => {
      await manager.streams.update(stream, { subject_transform: undefined } as never);
    },
  },
  "republished elsewhere": {
    act: async (stream) => {
      await manager.streams.update(stream, {
        republish: { src: `${stream}.>`, dest: `copy.${stream}.>` },
      } as never);
    },
    passes: true,
  },
  discard_new_per_subject: {
    config: { discard: "new" as never, discard_new_per_subject: true, max_msgs_per_subject: 2 },
    stops: /maximum messages per subject exceeded.*--no-discard-per-subject/,
  },
  "the account's storage": {
    act: () => restart(account("max_file: 2KB")),
    mend: () => restart(settings.configuration),
    stops: /(insufficient|exceeded).*nats account info/,
  },
  max_payload: {
    act: () => restart(`${settings.configuration}\nmax_payload: 1100`),
    mend: () => restart(settings.configuration),
    stops: /needs messages of \d+ bytes, and nats-server takes 1100.*max_payload/,
  },
  deleted: {
    act: async (stream) => {
      await manager.streams.delete(stream);
      await server.forgotten().catch(() => undefined);
    },
    stops: /stream S\d+, which the job has written to, does not exist any more: restore it/,
    final: true,
  },
};

async function apply(change: Change, stream: string): Promise<void> {
  if (change.act !== undefined) await change.act(stream);
  else await manager.streams.update(stream, change.config as never);
}

async function mended(change: Change, stream: string): Promise<void> {
  if (change.mend !== undefined) return await change.mend(stream);
  await manager.streams.update(stream, {
    ...{ max_msgs: -1, max_bytes: -1, max_msg_size: -1, max_msgs_per_subject: -1, discard: "old" },
    ...{ discard_new_per_subject: false, no_ack: false, ...base(stream) },
  } as never);
}

test.each(Object.entries(changes))("%s", async (name, change) => {
  const stream = `S${++streams}`;
  await manager.streams.add(base(stream));
  const staging = new MemoryStaging();
  const said: string[] = [];
  const watch = () => ({
    failed: (error: unknown) => void said.push(describeError(error)),
    passed() {},
    forget() {},
  });
  const environment = (more: Partial<SinkEnvironment> = {}) =>
    sinkEnvironment({ nats, staging, troubles: { watch }, ...more });
  const sink = jetstreamSink<string>({ stream, subject: `${stream}.data`, encode: "text" });
  const committed = async () =>
    (await manager.streams.info(stream, { subjects_filter: `${stream}.data` })).state.subjects?.[
      `${stream}.data`
    ] ?? 0;

  const writer = await sink.open(environment());
  const input = records("a", TOTAL - 1);
  const transaction = await prepare(writer, 1, [...input, "x".repeat(name === "max_payload" ? 2000 : 20)]);
  await apply(change, stream);
  const outcome = await writer.commit(transaction).then(
    () => undefined,
    (error: unknown) => error,
  );
  const state = writer.snapshot();
  await writer.close();
  if (change.passes) {
    expect(outcome).toBeUndefined();
    return expect(await committed()).toBe(TOTAL);
  }
  // The job stops for good, and resumably.
  expect(retryOf(outcome)).toBe("never");
  expect((outcome as Error).message).toMatch(change.stops!);
  if (change.final) return;
  await mended(change, stream);
  const heir = await sink.open(environment({ generation: 2, restoredCheckpointId: 1, restoredState: state }));
  await heir.commit(transaction);
  expect(await committed()).toBe(TOTAL);
  await heir.close();
});

/** Single messages wait where a transaction stops: what they would have to be cut to is not fixed. */
const weaker: { readonly [name: string]: Pick<Change, "stops" | "waits" | "passes"> } = {
  "max_msgs, discard new": { waits: /maximum messages exceeded/ },
  "max_bytes, discard new": { waits: /maximum bytes exceeded/ },
  max_msg_size: {
    stops: /stream S\d+ refuses a record for S\d+\.data: message size exceeds.*nats stream info S\d+/,
  },
  sealed: { stops: /stream S\d+ refuses a record.*sealed.*write to another one/ },
  no_ack: { waits: /no acknowledgement within/ },
  "subjects without the records'": { waits: /no stream answers/ },
  discard_new_per_subject: { waits: /maximum messages per subject exceeded/ },
  "the account's storage": { waits: /resource limits exceeded for account/ },
  max_payload: { stops: /nats-server that takes messages of 1100 bytes.*raise max_payload/ },
  allow_atomic: { passes: true },
};

test.each(Object.entries(weaker))("at least once: %s", async (name, expected) => {
  const change = changes[name] ?? { config: { allow_atomic: false } };
  const stream = `S${++streams}`;
  await manager.streams.add(base(stream));
  const said: string[] = [];
  const failures: unknown[] = [];
  const watch = () => ({
    failed: (error: unknown) => void said.push(describeError(error)),
    passed() {},
    forget() {},
  });
  const sink = jetstreamSink<string>({
    stream,
    subject: `${stream}.data`,
    encode: "text",
    guarantee: "at-least-once",
  });
  const writer = await sink.open(
    sinkEnvironment({
      ...{ nats, staging: new MemoryStaging(), troubles: { watch } },
      fail: (error) => void failures.push(error),
    }),
  );
  await apply(change, stream);
  const long = "x".repeat(name === "max_payload" ? 2000 : 20);
  for (const record of [...records("a", TOTAL - 1), long]) writer.write(record, 0);
  let flushed = false;
  void writer.flush().then(() => {
    flushed = true;
  });
  const { stops, waits, passes } = expected;
  const seen = () => [...failures.map(describeError), ...said].some((one) => (stops ?? waits)?.test(one));
  await until(`${name}: it is said, or passes`, () => (passes === true ? flushed : seen()), {
    describe: () => [...failures.map(describeError), ...said].at(-1) ?? "nothing",
  });
  expect(failures.length > 0).toBe(stops !== undefined);
  if (stops === undefined) {
    await mended(change, stream);
    await until("what waited is written", () => flushed);
    const { state } = await manager.streams.info(stream, { subjects_filter: `${stream}.data` });
    expect(state.subjects?.[`${stream}.data`]).toBeGreaterThanOrEqual(TOTAL);
  } else if (change.mend !== undefined) await change.mend(stream);
  await writer.close();
});
