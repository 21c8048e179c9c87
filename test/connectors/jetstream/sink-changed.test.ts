/**
 * What becomes of a running job whose output stream, account or server is changed under it: a decided transaction is
 * not lost and not written twice. The commit waits, with a trouble, or stops the job by a name that says what mends it;
 * once it is mended the very same transaction is committed.
 */
import type { StreamConfig } from "@nats-io/jetstream";
import { expect, test } from "vitest";
import type { TroubleWatcher } from "../../../src/dataflow/trouble.ts";
import { describeError, retryOf } from "../../../src/errors.ts";
import { prepareTransaction } from "../../../src/testing/sink-environment.ts";
import { records } from "../../contracts/suites/sink.contract.ts";
import { until } from "../../support/until.ts";
import { failureOf, SinkServer } from "./sink-server.ts";

const TOTAL = 250;
const account = (limits: string) => `accounts {
  MAIN { users [{ user: main, password: x }], jetstream { ${limits} } }
}
no_auth_user: main`;
const settings = { configuration: account("max_file: 100MB") };

const shared = new SinkServer(settings);
const { add, update, sink, environment, committed, restarted } = shared;

interface Change {
  readonly config?: Partial<StreamConfig> & Readonly<Record<string, unknown>>;
  /** Instead of `config`. */
  readonly act?: (stream: string) => Promise<void>;
  readonly mend?: () => Promise<void>;
  /** What stops the job says this. */
  readonly stops?: RegExp;
  /** It waits, and this is what is shown. */
  readonly waits?: RegExp;
  /** Nothing is in the way. */
  readonly passes?: true;
  /** It cannot be taken back. */
  readonly final?: true;
}

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
    act: () => update({ sealed: true }),
    stops: /it is sealed.*nats stream backup.*--fresh and write to a new stream/,
    final: true,
  },
  "subjects without the records'": {
    act: (stream) => update({ subjects: [`tidemark-marker.${stream}.>`] }),
    stops: /does not take subject S\d+\.data any more.*--subjects=/,
  },
  "subjects without the markers'": {
    act: (stream) => update({ subjects: [`${stream}.>`] }),
    stops: /its subjects do not contain tidemark-marker\.S\d+\.>.*--subjects=/,
  },
  "a transform of all subjects": {
    config: { subject_transform: { src: ">", dest: "moved.>" } },
    stops: /renames the markers.*take it out: nats stream edit S\d+ --interactive/,
    mend: () => update({ subject_transform: undefined }),
  },
  "republished elsewhere": {
    act: (stream) => update({ republish: { src: `${stream}.>`, dest: `copy.${stream}.>` } }),
    passes: true,
  },
  discard_new_per_subject: {
    config: { discard: "new" as never, discard_new_per_subject: true, max_msgs_per_subject: 2 },
    stops: /maximum messages per subject exceeded.*--no-discard-per-subject/,
  },
  "the account's storage": {
    act: () => restarted({ configuration: account("max_file: 2KB") }),
    mend: () => restarted(settings),
    stops: /(insufficient|exceeded).*nats account info/,
  },
  max_payload: {
    act: () => restarted({ configuration: `${settings.configuration}\nmax_payload: 1100` }),
    mend: () => restarted(settings),
    stops:
      /needs messages of \d+ bytes, and nats-server takes messages of at most 1100 bytes; raise max_payload/,
  },
  deleted: {
    act: async (stream) => {
      await shared.manager.streams.delete(stream);
      await shared.server.forgotten().catch(() => undefined);
    },
    stops: /stream S\d+, which the job has written to, does not exist any more: restore it/,
    final: true,
  },
};

async function apply(change: Change): Promise<void> {
  if (change.act !== undefined) await change.act(shared.stream);
  else await update(change.config ?? {});
}

async function mended(change: Change): Promise<void> {
  if (change.mend !== undefined) return await change.mend();
  await update({
    ...{ max_msgs: -1, max_bytes: -1, max_msg_size: -1, max_msgs_per_subject: -1, discard: "old" },
    ...{ discard_new_per_subject: false, no_ack: false, ...shared.suitable() },
  });
}

/** Keeps what troubles say. */
const watcherInto = (said: string[]): TroubleWatcher => ({
  watch: () => ({
    failed: (error: unknown) => void said.push(describeError(error)),
    passed() {},
    forget() {},
  }),
});

test.each(Object.entries(changes))("%s", async (name, change) => {
  await add();
  const writer = await sink().open(environment());
  const input = records("a", TOTAL - 1);
  const transaction = await prepareTransaction(writer, 1, [
    ...input,
    "x".repeat(name === "max_payload" ? 2000 : 20),
  ]);
  await apply(change);
  const outcome = await failureOf(writer.commit(transaction));
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
  await mended(change);
  const heir = await sink().open(
    environment({ generation: 2, restoredCheckpointId: 1, restoredState: state }),
  );
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
  max_payload: { stops: /nats-server takes messages of at most 1100 bytes; raise max_payload/ },
  allow_atomic: { passes: true },
};

test.each(Object.entries(weaker))("at least once: %s", async (name, expected) => {
  const change = changes[name] ?? { config: { allow_atomic: false } };
  await add();
  const said: string[] = [];
  const failures: unknown[] = [];
  const writer = await sink({ guarantee: "at-least-once" }).open(
    environment({ troubles: watcherInto(said), fail: (error) => void failures.push(error) }),
  );
  await apply(change);
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
    await mended(change);
    await until("what waited is written", () => flushed);
    expect(await committed()).toBeGreaterThanOrEqual(TOTAL);
  } else if (change.mend !== undefined) await change.mend();
  await writer.close();
});
