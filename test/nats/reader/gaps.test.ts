/** What a reader does where messages have gone from the stream before they were read (P42). */

import { type JetStreamManager, jetstream, jetstreamManager, type StreamConfig } from "@nats-io/jetstream";
import { connect, headers, type NatsConnection } from "@nats-io/transport-node";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { ReadPosition } from "../../../src/formats/positions/stream-position.ts";
import { connectDiverting } from "../../../src/nats/connection/diverting-transport.ts";
import { NatsEnvironment } from "../../../src/nats/connection/environment.ts";
import {
  SequentialReader,
  type SequentialReaderOptions,
} from "../../../src/nats/reader/sequential-reader.ts";
import { startTestServer, type TestServer } from "../../support/servers/nats.ts";
import { Patience } from "../../support/suite/patience.ts";

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const at = (read: number, accounted = read): ReadPosition => ({
  read,
  accounted,
  skipped: { ranges: 0, sequences: 0 },
});

let server: TestServer;
/** The connection of the test itself; the reader's is broken now and then. */
let control: NatsConnection;
let connection: NatsConnection;
let nats: NatsEnvironment;
let manager: JetStreamManager;
let created = "";
const opened: SequentialReader<unknown>[] = [];

beforeAll(async () => {
  server = await startTestServer();
  const made = await connectDiverting({
    servers: server.url,
    reconnectTimeWait: 50,
    maxReconnectAttempts: -1,
  });
  connection = made.connection;
  nats = new NatsEnvironment(connection, made.diverter);
  control = await connect({ servers: server.url });
  manager = await jetstreamManager(control);
});

afterAll(async () => {
  await control.close();
  await connection.close();
  await server.stop();
});

let streams = 0;
let stream = "";

beforeEach(() => {
  streams += 1;
  stream = `S${streams}`;
});

afterEach(async () => {
  for (const reader of opened.splice(0)) await reader.close();
  await manager.streams.delete(stream).catch(() => undefined);
});

async function makeStream(config: Partial<StreamConfig> = {}): Promise<void> {
  ({ created } = await manager.streams.add({ name: stream, subjects: [`${stream}.>`], ...config }));
}

async function publish(count: number, subject = "a"): Promise<void> {
  const js = jetstream(control);
  const sent: Promise<unknown>[] = [];
  for (let i = 0; i < count; i++) sent.push(js.publish(`${stream}.${subject}`, "x"));
  await Promise.all(sent);
}

function makeReader(
  options: Partial<SequentialReaderOptions<string>> & { readonly warnings?: string[] } = {},
): SequentialReader<string> {
  const reader = new SequentialReader<string>({
    nats,
    logger: { debug() {}, info() {}, warn: (_, message) => options.warnings?.push(message), error() {} },
    reading: { failed() {}, passed() {}, forget() {} },
    job: "words",
    operator: "lines",
    stream,
    created,
    filters: [],
    gaps: "fail",
    decode: "text",
    heartbeatMs: 200,
    recordsBufferedMax: 16,
    ...options,
  });
  opened.push(reader);
  return reader;
}

/** Sequences, until there are `enough`, or the end. */
async function read(reader: SequentialReader<string>, enough = Number.POSITIVE_INFINITY): Promise<number[]> {
  const sequences: number[] = [];
  while (sequences.length < enough) {
    const woken = new Promise<void>((resolve) => reader.onAvailable(resolve));
    const status = reader.poll(() => sequences.push(reader.read), Math.min(4, enough - sequences.length));
    if (status === "ended") break;
    if (status === "idle" && sequences.length < enough) await woken;
  }
  return sequences;
}

/** What was read before it failed, and the failure. */
async function readToFailure(reader: SequentialReader<string>): Promise<[number[], Error | undefined]> {
  const sequences: number[] = [];
  try {
    for (;;) {
      const woken = new Promise<void>((resolve) => reader.onAvailable(resolve));
      const status = reader.poll(() => sequences.push(reader.read), 4);
      if (status === "ended") return [sequences, undefined];
      if (status === "idle") await woken;
    }
  } catch (error) {
    return [sequences, error as Error];
  }
}

describe.each(["diverting", "public"] as const)("read by the %s way", (mode) => {
  test("input that a limit takes while the job is slow stops the job in front of it", async () => {
    await makeStream({ max_msgs: 100 });
    await publish(100);
    const reader = makeReader({ mode });
    await reader.open();
    await read(reader, 10);
    await publish(150);
    const [more, failure] = await readToFailure(reader);
    const last = more.at(-1) ?? 10;
    expect(more).toEqual(range(11, last));
    expect(last).toBeLessThan(100);
    expect(failure).toMatchObject({ name: "SourcePositionError" });
    // Messages go on being published and read while the hole is seen.
    const found =
      /begins at sequence (\d+), but the job goes on at sequence (\d+): sequences (\d+) to (\d+) are gone/.exec(
        failure?.message ?? "",
      );
    const [begins, goesOn, from, to] = found!.slice(1).map(Number) as [number, number, number, number];
    expect(begins).toBeLessThanOrEqual(151);
    expect([goesOn, from]).toEqual([last + 1, last + 1]);
    expect(to).toBeGreaterThanOrEqual(from);
    expect(to).toBeLessThan(begins);
    expect(failure?.message).toContain("max_msgs 100");
    expect(failure?.message).toContain("tidemark run FILE --skip-gaps lines");
    expect(reader.position).toEqual(at(last));
  });

  test("skips such a range when it may, counts it, and remembers it in the position", async () => {
    await makeStream({ max_msgs: 100 });
    await publish(100);
    const warnings: string[] = [];
    const reader = makeReader({ mode, gaps: "skip", warnings });
    await reader.open();
    const first = await read(reader, 10);
    await publish(150);
    const more: number[] = [];
    while (more.at(-1) !== 250) more.push(...(await read(reader, 1)));
    const all = [...first, ...more];
    const lost = range(1, 250).filter((it) => !all.includes(it));
    expect(lost.length).toBeGreaterThan(0);
    expect(lost.at(-1)).toBeLessThanOrEqual(150);
    // More than one range, where the hole was seen before all messages were published.
    const skipped = { ranges: expect.any(Number), sequences: lost.length };
    expect(reader.position).toEqual({ read: 250, accounted: 250, skipped });
    expect(warnings[0]).toContain(`sequences ${lost[0]} to `);
    // What was counted travels with the position, and is not counted again.
    const again = makeReader({ mode, gaps: "skip", position: reader.position });
    await again.open();
    await publish(1);
    expect(await read(again, 1)).toEqual([251]);
    expect(again.position.skipped).toEqual(reader.position.skipped);
  });

  test("a purge of what was not read stops it, one of what was read does not", async () => {
    await makeStream();
    // More than the reader may hold when the last of them go.
    await publish(100);
    const reader = makeReader({ mode });
    await reader.open();
    await read(reader, 20);
    await manager.streams.purge(stream, { seq: 11 });
    await read(reader, 4);
    await manager.streams.purge(stream, { seq: 100 });
    const [, failure] = await readToFailure(reader);
    expect(failure?.message).toMatch(/a purge or a deletion took them/);
    expect(failure?.message).not.toMatch(/limit of the stream/);
  });

  test("a purge while nothing comes is noticed before what comes next, also by a heartbeat and a new consumer", async () => {
    for (const disturb of [
      async () => undefined,
      async () => await connection.reconnect(),
      async (reader: SequentialReader<string>) => {
        const { recreations } = reader;
        for await (const { name } of manager.consumers.list(stream))
          await manager.consumers.delete(stream, name);
        await expect.poll(() => reader.recreations).toBeGreaterThan(recreations);
      },
    ]) {
      await makeStream();
      await publish(40);
      const reader = makeReader({ mode });
      await reader.open();
      await read(reader, 5);
      await manager.streams.purge(stream);
      await disturb(reader).catch(() => undefined);
      await publish(1);
      const [more, failure] = await readToFailure(reader);
      expect(more).not.toContain(41);
      expect(failure).toMatchObject({ name: "SourcePositionError" });
      await reader.close();
      await manager.streams.delete(stream);
    }
  });

  test("what goes away by single deletions, a purge of subjects, a rollup or a limit per subject is no loss", async () => {
    await makeStream({ max_msgs_per_subject: 2, allow_rollup_hdrs: true });
    await publish(1, "anchor");
    for (let i = 0; i < 10; i++) {
      await publish(3, "a");
      await publish(1, `b${i}`);
    }
    const reader = makeReader({ mode });
    await reader.open();
    await read(reader, 2);
    await publish(3, "a");
    await manager.streams.deleteMessage(stream, 25);
    await manager.streams.purge(stream, { filter: `${stream}.b7` });
    const rollup = headers();
    rollup.set("Nats-Rollup", "sub");
    await jetstream(control).publish(`${stream}.a`, "x", { headers: rollup });
    const { last_seq } = (await manager.streams.info(stream)).state;
    let sequence = 0;
    while (sequence < last_seq) sequence = (await read(reader, 1))[0]!;
    expect(reader.position).toEqual(at(last_seq));
  });

  test("messages of other subjects that a limit takes are no loss as long as the server says so", async () => {
    await makeStream({ max_msgs: 50 });
    await publish(1, "rare");
    const reader = makeReader({ mode, filters: [`${stream}.rare`] });
    await reader.open();
    await read(reader, 1);
    for (let turn = 1; turn <= 3; turn++) {
      await publish(40, "other");
      await expect.poll(() => reader.position.accounted).toBe(1 + 40 * turn);
    }
    await publish(1, "rare");
    expect(await read(reader, 1)).toEqual([122]);
  });

  test("where the server cannot tell, it says that the range may have held nothing", async () => {
    await makeStream({ max_msgs: 50 });
    await publish(1, "rare");
    await publish(100, "other");
    await publish(1, "rare");
    const reader = makeReader({ mode, filters: [`${stream}.rare`, `${stream}.x`], position: at(1) });
    const failure = await reader.open().catch((error: unknown) => error as Error);
    expect(failure).toMatchObject({ name: "SourcePositionError" });
    expect((failure as Error).message).toContain(
      `sequences 2 to 52 are gone, which may have held messages of "${stream}.rare", "${stream}.x" that the job has not read, or none: the server cannot tell any more`,
    );
    const skipping = makeReader({ mode, filters: [`${stream}.rare`], position: at(1), gaps: "skip" });
    await skipping.open();
    expect(await read(skipping, 1)).toEqual([102]);
    expect(skipping.position.skipped).toEqual({ ranges: 1, sequences: 51 });
    // Below what is accounted for nothing can be lost.
    const knowing = makeReader({ mode, filters: [`${stream}.rare`], position: at(1, 60) });
    await knowing.open();
    expect(await read(knowing, 1)).toEqual([102]);
  });

  test("a bounded input does not end over a gap", async () => {
    await makeStream();
    await publish(40);
    const reader = makeReader({ mode, end: 40 });
    await reader.open();
    await read(reader, 5);
    await manager.streams.purge(stream);
    const [, failure] = await readToFailure(reader);
    expect(failure).toMatchObject({ name: "SourcePositionError" });

    const resumed = makeReader({ mode, end: 40, position: at(5) });
    await expect(resumed.open()).rejects.toThrow(/sequences 6 to 40 are gone/);
    const skipping = makeReader({ mode, end: 40, position: at(5), gaps: "skip" });
    await skipping.open();
    expect(await read(skipping)).toEqual([]);
    expect(skipping.position).toEqual({ read: 5, accounted: 40, skipped: { ranges: 1, sequences: 35 } });
  });

  test("markers of sinks are passed over, in holes and out of them", async () => {
    await makeStream();
    const marker = async () => {
      const set = headers();
      set.set("Tidemark-Marker", "incarnation");
      set.set("Nats-Msg-Id", String(Math.random()));
      await jetstream(control).publish(`${stream}.marker`, "{}", { headers: set });
    };
    await marker();
    await publish(2);
    await marker();
    await publish(3);
    for (const sequence of [3, 6]) await manager.streams.deleteMessage(stream, sequence);
    await marker();
    const bounded = makeReader({ mode, end: 8, decode: "json" });
    await bounded.open();
    const found = await read(bounded).catch((error: unknown) => error);
    expect(found).toMatchObject({ message: expect.stringContaining("sequence 2") });
    const text = makeReader({ mode, end: 8 });
    await text.open();
    expect(await read(text)).toEqual([2, 5, 7]);
    expect(text.position).toEqual({ ...at(7), accounted: 8 });
  });
});

test("what comes behind a look at the stream's state is no sign that the stream was set back", async () => {
  await makeStream();
  await publish(1);
  const reader = makeReader({ heartbeatMs: 50 });
  await reader.open();
  let came = 1;
  // Several looks, each after some heartbeats, and the answer of one serves the next ones.
  for (; came <= 6; came++) {
    expect(await read(reader, 1)).toEqual([came]);
    await new Promise((resolve) => setTimeout(resolve, 400));
    await publish(1);
  }
  expect(await read(reader, 1)).toEqual([came]);
});

describe("reading that begins with whatever there is", () => {
  const warnings: string[] = [];
  test.each(["fail", "skip"] as const)(
    "tells what the stream had once and has no more, gaps: %s",
    async (gaps) => {
      warnings.length = 0;
      await makeStream();
      await publish(20);
      await manager.streams.purge(stream, { seq: 8 });
      const reader = makeReader({ gaps, first: 3, warnings });
      await reader.open();
      expect(await read(reader, 13)).toEqual(range(8, 20));
      expect(reader.skipped).toEqual({ ranges: 1, sequences: 5 });
      expect(reader.position).toEqual({ read: 20, accounted: 20, skipped: { ranges: 1, sequences: 5 } });
      expect(warnings).toEqual([
        expect.stringMatching(/no longer has the sequences 3 to 7, which it had when the job was submitted/),
      ]);
    },
  );

  test("tells nothing where all is there", async () => {
    await makeStream();
    await publish(5);
    const reader = makeReader({ first: 1, warnings });
    await reader.open();
    expect(await read(reader, 5)).toEqual(range(1, 5));
    expect(reader.skipped).toEqual({ ranges: 0, sequences: 0 });
  });
});

describe("against a model", () => {
  type Op =
    | { readonly op: "publish"; readonly subject: "a" | "b"; readonly count: number }
    | { readonly op: "poll"; readonly count: number }
    | { readonly op: "delete"; readonly share: number }
    | { readonly op: "purge"; readonly share: number }
    | { readonly op: "settle" }
    | { readonly op: "reconnect" }
    | { readonly op: "reopen" };
  const share = fc.double({ min: 0, max: 1, noNaN: true });
  const op: fc.Arbitrary<Op> = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        op: fc.constant("publish" as const),
        subject: fc.constantFrom("a" as const, "b" as const),
        count: fc.integer({ min: 1, max: 20 }),
      }),
    },
    {
      weight: 5,
      arbitrary: fc.record({ op: fc.constant("poll" as const), count: fc.integer({ min: 1, max: 25 }) }),
    },
    { weight: 2, arbitrary: fc.record({ op: fc.constant("delete" as const), share }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant("purge" as const), share }) },
    { weight: 2, arbitrary: fc.constant({ op: "settle" as const }) },
    { weight: 1, arbitrary: fc.constant({ op: "reconnect" as const }) },
    { weight: 1, arbitrary: fc.constant({ op: "reopen" as const }) },
  );
  const scenario = fc.record({
    maxMsgs: fc.constantFrom(-1, 15, 40),
    filtered: fc.boolean(),
    gaps: fc.constantFrom("fail" as const, "skip" as const),
    mode: fc.constantFrom("diverting" as const, "public" as const),
    ops: fc.array(op, { minLength: 5, maxLength: 30 }),
  });

  test("no record comes behind a loss that was not told, and no loss is told of what was read", async () => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(scenario, async ({ maxMsgs, filtered, gaps, mode, ops }) => {
        run += 1;
        stream = `M${streams}x${run}`;
        await makeStream({ max_msgs: maxMsgs });
        await publish(1, "b");
        const options = { mode, gaps, filters: filtered ? [`${stream}.a`] : [] };
        /** The messages of the split: published, deleted singly, and read. */
        const published = new Set<number>(filtered ? [] : [1]);
        const deleted = new Set<number>();
        const got: number[] = [];
        let purged = false;
        let failure: Error | undefined;
        let reader = makeReader(options);
        await reader.open();
        const take = async (enough: number): Promise<void> => {
          try {
            for (let turns = 0, count = 0; count < enough && turns < 50; turns++) {
              const before = got.length;
              const status = reader.poll(() => got.push(reader.read), enough - count);
              count += got.length - before;
              if (status === "idle") await new Promise((resolve) => setTimeout(resolve, 1));
            }
          } catch (error) {
            failure = error as Error;
          }
        };
        for (const step of ops) {
          if (failure !== undefined) break;
          const { first_seq, last_seq } = (await manager.streams.info(stream)).state;
          const sequence = (of: number) => first_seq + Math.floor(of * (last_seq - first_seq));
          switch (step.op) {
            case "publish":
              if (step.subject === "a" || !filtered)
                for (const it of range(last_seq + 1, last_seq + step.count)) published.add(it);
              await publish(step.count, step.subject);
              break;
            case "poll":
              await take(step.count);
              break;
            case "delete": {
              // Not the first one: what is missing there cannot be told from what a limit takes.
              const target = sequence(step.share);
              if (target === first_seq) break;
              await manager.streams.deleteMessage(stream, target).then(
                () => deleted.add(target),
                () => undefined,
              );
              break;
            }
            case "purge":
              await manager.streams.purge(stream, { seq: sequence(step.share) });
              purged = true;
              break;
            case "settle":
              await new Promise((resolve) => setTimeout(resolve, 20));
              break;
            case "reconnect":
              await connection.reconnect().catch(() => undefined);
              break;
            case "reopen": {
              const position = structuredClone(reader.position);
              await reader.close();
              reader = makeReader({ ...options, position });
              await reader.open().catch((error: unknown) => {
                failure = error as Error;
              });
            }
          }
        }
        const { last_seq } = (await manager.streams.info(stream)).state;
        if (failure === undefined) {
          // One more, and everything before it is accounted for.
          published.add(last_seq + 1);
          await publish(1, "a");
          const patience = new Patience();
          while (failure === undefined && got.at(-1) !== last_seq + 1) {
            await take(25);
            const reason = patience.isOver(`${got.length}`);
            if (reason !== undefined) throw new Error(`the last record does not come: ${reason}`);
          }
        }
        expect(got).toEqual([...got].sort((a, b) => a - b));
        expect(new Set(got).size).toBe(got.length);
        const known = new Set(got);
        const upTo = got.at(-1) ?? 0;
        const lost = [...published].filter((it) => it <= upTo && !known.has(it) && !deleted.has(it));
        const { skipped } = reader;
        if (gaps === "fail") expect(lost).toEqual([]);
        else expect(lost.length).toBeLessThanOrEqual(skipped.sequences);
        if (maxMsgs < 0 && !purged) {
          expect(failure).toBeUndefined();
          expect(skipped.ranges).toBe(0);
        }
        // If there are no filters, each sequence that is said to be gone unread was not read.
        if (!filtered && gaps === "skip") expect(skipped.sequences).toBeLessThanOrEqual(upTo - got.length);
        await reader.close();
        await manager.streams.delete(stream);
      }),
      { numRuns: 60 },
    );
  });
});
