import { type JetStreamManager, jetstream, type StreamConfig } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/transport-node";
import { beforeEach, describe, expect, expectTypeOf, test } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import { type JetStreamSourceOptions, jetstreamSource } from "../../../src/connectors/jetstream/source.ts";
import type { Logger, SubtaskEnvironment } from "../../../src/dataflow/connector.ts";
import type { Source, SourceReader, SplitPosition } from "../../../src/dataflow/source.ts";
import { ConfigurationError, EnvironmentError, SourcePositionError } from "../../../src/errors.ts";
import type { NatsEnvironment } from "../../../src/nats/connection/environment.ts";
import { Troubles } from "../../../src/observe/troubles.ts";
import type { TestServer } from "../../support/servers/nats.ts";
import { StreamServer } from "../../support/servers/stream-server.ts";
import { until } from "../../support/until.ts";

/** The position of a split of which everything up to `read` was given out. */
const at = (read: number) => ({ read, accounted: read, skipped: { ranges: 0, sequences: 0 } });
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const warnings: string[] = [];
const logger: Logger = {
  debug() {},
  info() {},
  warn: (_fields, message) => warnings.push(message),
  error() {},
};

const shared = new StreamServer();
let server: TestServer;
let connection: NatsConnection;
let nats: NatsEnvironment;
let manager: JetStreamManager;

beforeEach(() => {
  ({ server, connection, nats, manager } = shared);
  warnings.length = 0;
});

function environment(): SubtaskEnvironment {
  return {
    job: "word-count",
    logger,
    troubles: new Troubles(systemClock),
    signal: new AbortController().signal,
    nats,
    incarnation: "i",
    generation: 1,
    nonce: "n",
    operator: "lines",
    subtaskIndex: 0,
    parallelism: 1,
    fail: (error) => {
      throw error;
    },
  };
}

async function makeStream(total: number, config: Partial<StreamConfig> = {}): Promise<void> {
  await manager.streams.add({ name: "LINES", subjects: ["lines.>"], ...config });
  await publish(1, total);
}

async function publish(from: number, to: number): Promise<void> {
  const js = jetstream(connection);
  await Promise.all(range(from, to).map((n) => js.publish(`lines.${n % 4}`, JSON.stringify({ n }))));
}

async function openAll<T>(source: Source<T>, positions?: readonly SplitPosition[]): Promise<SourceReader<T>> {
  const from =
    positions ?? (await source.discover(environment())).map((split) => ({ split, position: undefined }));
  return shared.closedAfterwards(await source.open(environment(), from));
}

async function read<T>(
  reader: SourceReader<T>,
  enough = Number.POSITIVE_INFINITY,
  recordsMax = 100,
): Promise<T[]> {
  const values: T[] = [];
  let wake: () => void = () => undefined;
  reader.onAvailable(() => wake());
  for (;;) {
    const available = new Promise<void>((resolve) => {
      wake = resolve;
    });
    const status = reader.poll((value) => values.push(value), Math.min(recordsMax, enough - values.length));
    if (status === "ended" || values.length >= enough) return values;
    if (status === "idle") await available;
    else await new Promise(setImmediate);
  }
}

describe("options", () => {
  test.each<[string, object]>([
    ["stream", { stream: "a b" }],
    ["stream", { stream: "lines.>" }],
    ["stream", {}],
    ["subjects", { stream: "S", subjects: [] }],
    ["subjects", { stream: "S", subjects: [[]] }],
    ["subjects", { stream: "S", subjects: ["a..b"] }],
    ["subjects", { stream: "S", subjects: ["a.>.b"] }],
    ["subjects", { stream: "S", subjects: ["a.*", ["b", "a.>"]] }],
    ["decode", { stream: "S", decode: "xml" }],
    ["until", { stream: "S", until: "tomorrow" }],
    ["startAt", { stream: "S", startAt: "middle" }],
    ["startAt", { stream: "S", startAt: { sequence: 0 } }],
    ["startAt", { stream: "S", startAt: "new", until: "end" }],
    ["progress", { stream: "S", progress: "a.b" }],
    ["reader", { stream: "S", reader: "fast" }],
    ["gaps", { stream: "S", gaps: "maybe" }],
  ])("a wrong %s is refused by name: %j", (key, options) => {
    const make = () => jetstreamSource(options as JetStreamSourceOptions);
    expect(make).toThrow(ConfigurationError);
    expect(make).toThrow(expect.objectContaining({ key: `jetstreamSource.${key}` }));
  });

  test("decode gives the type of the records", () => {
    expectTypeOf(jetstreamSource({ stream: "S", decode: "text" })).toEqualTypeOf<Source<string>>();
    expectTypeOf(jetstreamSource({ stream: "S", decode: "bytes" })).toEqualTypeOf<Source<Uint8Array>>();
    expectTypeOf(jetstreamSource({ stream: "S" })).toEqualTypeOf<Source<unknown>>();
    expectTypeOf(jetstreamSource<{ n: number }>({ stream: "S", decode: "json" })).toEqualTypeOf<
      Source<{ n: number }>
    >();
    expectTypeOf(jetstreamSource({ stream: "S", decode: (data) => data.length })).toEqualTypeOf<
      Source<number>
    >();
  });

  test("bounded follows from until", () => {
    expect(jetstreamSource({ stream: "S" }).bounded).toBe(false);
    expect(jetstreamSource({ stream: "S", until: "end" }).bounded).toBe(true);
  });
});

describe("discovery", () => {
  test("says which stream is missing and how to make it", async () => {
    const missing = jetstreamSource({ stream: "NONE", subjects: ["a.>"] }).discover(environment());
    await expect(missing).rejects.toThrow(EnvironmentError);
    await expect(missing).rejects.toThrow(
      /stream "NONE" does not exist; create it: nats stream add NONE .*a\.>/,
    );
  });

  test("needs a NATS connection", async () => {
    const inMemory = { ...environment(), nats: undefined };
    await expect(jetstreamSource({ stream: "S" }).discover(inMemory)).rejects.toThrow(
      /needs a NATS connection/,
    );
  });

  test("fixes stream, subjects, first and last sequence as plain data", async () => {
    await makeStream(10);
    const { created } = await manager.streams.info("LINES");
    const input = "stream LINES";
    const common = {
      stream: "LINES",
      input,
      created,
      retention: "limits",
      gaps: "fail",
      gapsReason: "the default",
      first: 1,
    };
    const discover = (options: Partial<JetStreamSourceOptions>) =>
      jetstreamSource({ stream: "LINES", ...options }).discover(environment());
    expect(await discover({})).toEqual([{ id: "all", filters: [], ...common }]);
    expect(await discover({ until: "end", subjects: ["lines.1", ["lines.2", "lines.3"]] })).toEqual([
      { id: "lines.1", filters: ["lines.1"], end: 10, ...common },
      { id: "lines.2,lines.3", filters: ["lines.2", "lines.3"], end: 10, ...common },
    ]);
    expect(await discover({ startAt: "new" })).toMatchObject([{ start: 11 }]);
    expect(await discover({ startAt: { sequence: 4 } })).toMatchObject([{ start: 4 }]);
    await expect(discover({ startAt: { sequence: 12 } })).rejects.toThrow(/sequences 1 to 10, not 12/);
    expect(warnings).toEqual([]);
    await discover({ subjects: ["orders.>"] });
    expect(warnings).toEqual(["the stream has no such subject; nothing will be read"]);
  });

  test("decides by the stream what to do where messages are missing, unless the source says it", async () => {
    const decided: [Partial<StreamConfig>, readonly string[] | undefined, "fail" | "skip"][] = [
      [{}, undefined, "fail"],
      [{ max_msgs: 10, max_age: 1e12 }, ["lines.1"], "fail"],
      [{ max_msgs_per_subject: 1 }, undefined, "skip"],
      [{ allow_rollup_hdrs: true }, undefined, "skip"],
      [{ allow_msg_ttl: true }, undefined, "skip"],
      [{ retention: "interest" }, undefined, "fail"],
      [{ retention: "interest" }, ["lines.1"], "skip"],
    ];
    for (const [config, subjects, gaps] of decided) {
      await makeStream(0, config);
      const options = { stream: "LINES", ...(subjects === undefined ? {} : { subjects }) };
      expect(await jetstreamSource(options).discover(environment())).toMatchObject([{ gaps }]);
      const other = gaps === "fail" ? "skip" : "fail";
      expect(await jetstreamSource({ ...options, gaps: other }).discover(environment())).toMatchObject([
        { gaps: other },
      ]);
      await manager.streams.delete("LINES");
      await server.forgotten();
    }
  });

  test("refuses what it cannot read", async () => {
    await makeStream(0, { retention: "workqueue" });
    await expect(jetstreamSource({ stream: "LINES" }).discover(environment())).rejects.toThrow(
      /work queue, which is not supported yet/,
    );
    await manager.streams.delete("LINES");
    await makeStream(0, { retention: "interest" });
    await expect(
      jetstreamSource({ stream: "LINES", progress: false }).discover(environment()),
    ).rejects.toThrow(ConfigurationError);
    await manager.streams.update("LINES", { consumer_limits: { inactive_threshold: 60e9 } });
    // The server puts the limit on every consumer that names none.
    const durable = await manager.consumers.add("LINES", { durable_name: "d" });
    expect(durable.config.inactive_threshold).toBe(60e9);
    await expect(jetstreamSource({ stream: "LINES" }).discover(environment())).rejects.toThrow(
      /stream "LINES" has interest retention and consumer_limits.inactive_threshold 60000 ms.*nats stream edit LINES/,
    );
    await manager.streams.update("LINES", { consumer_limits: { inactive_threshold: 0 } });
    expect(await jetstreamSource({ stream: "LINES" }).discover(environment())).toHaveLength(1);
  });
});

describe("reading", () => {
  test.each(["diverting", "public"] as const)(
    "gives a bounded stream once, and ends (%s)",
    async (reader) => {
      await makeStream(1000);
      const source = jetstreamSource<{ n: number }>({ stream: "LINES", until: "end", reader });
      const splits = await source.discover(environment());
      await publish(1001, 1100);
      const opened = await openAll(
        source,
        splits.map((split) => ({ split, position: undefined })),
      );
      expect((await read(opened)).map(({ n }) => n)).toEqual(range(1, 1000));
      expect(opened.describePosition()).toBe("stream LINES sequence 1000");
    },
  );

  test("the positions of a snapshot are exactly what was given out, split by split", async () => {
    await makeStream(2000);
    const source = jetstreamSource<{ n: number }>({
      stream: "LINES",
      until: "end",
      subjects: ["lines.0", ["lines.1", "lines.2"], "lines.3"],
    });
    let positions: SplitPosition[] | undefined;
    const all: number[] = [];
    for (const enough of [1, 7, 250, 3, 600, Number.POSITIVE_INFINITY]) {
      const reader = await openAll(source, positions);
      all.push(...(await read(reader, enough, 13)).map(({ n }) => n));
      // The positions as they come back from a checkpoint.
      positions = JSON.parse(JSON.stringify(reader.snapshot()));
      await reader.close();
    }
    expect([...all].sort((a, b) => a - b)).toEqual(range(1, 2000));
    for (const rest of range(0, 3)) {
      const perSubject = all.filter((n) => n % 4 === rest);
      expect(perSubject).toEqual([...perSubject].sort((a, b) => a - b));
    }
  });

  test("splits take turns", async () => {
    await makeStream(2000);
    const source = jetstreamSource<{ n: number }>({ stream: "LINES", subjects: ["lines.0", "lines.1"] });
    const reader = await openAll(source);
    const begun = new Set<number>();
    await until("both have begun", async () => {
      for (const { n } of await read(reader, 1)) begun.add(n % 4);
      return begun.size === 2;
    });
    const records = await read(reader, 400, 20);
    expect(records.filter(({ n }) => n % 4 === 0).length).toBeGreaterThan(100);
    expect(records.filter(({ n }) => n % 4 === 1).length).toBeGreaterThan(100);
  });

  test("begins where it is told", async () => {
    await makeStream(20);
    const from15 = await openAll(
      jetstreamSource<{ n: number }>({ stream: "LINES", startAt: { sequence: 15 }, until: "end" }),
    );
    expect((await read(from15)).map(({ n }) => n)).toEqual(range(15, 20));
    const onlyNew = await openAll(jetstreamSource<{ n: number }>({ stream: "LINES", startAt: "new" }));
    await publish(21, 25);
    expect((await read(onlyNew, 5)).map(({ n }) => n)).toEqual(range(21, 25));
  });

  test("a stream whose beginning was trimmed before the job began is read from what there is", async () => {
    await makeStream(50, { max_msgs: 20 });
    const reader = await openAll(jetstreamSource<{ n: number }>({ stream: "LINES", until: "end" }));
    expect((await read(reader)).length).toBe(20);
  });

  test("a subtask without splits is idle, or has ended where the input is bounded", async () => {
    const collect = () => expect.unreachable();
    const unbounded = await openAll(jetstreamSource({ stream: "LINES" }), []);
    expect(unbounded.poll(collect, 10)).toBe("idle");
    const bounded = await openAll(jetstreamSource({ stream: "LINES", until: "end" }), []);
    expect(bounded.poll(collect, 10)).toBe("ended");
    expect(bounded.snapshot()).toEqual([]);
  });

  test("names the record that cannot be decoded", async () => {
    await makeStream(5);
    await jetstream(connection).publish("lines.x", "{broken");
    const reader = await openAll(jetstreamSource({ stream: "LINES" }));
    await read(reader, 5);
    await expect(read(reader)).rejects.toThrow(
      /operator "lines" failed: .*JSON.*\(at|operator "lines" failed/,
    );
    expect(reader.describePosition()).toBe("stream LINES sequence 6");
    expect(reader.snapshot()).toMatchObject([{ position: at(5) }]);
  });

  test("does not open on a stream that is not the discovered one", async () => {
    await makeStream(5);
    const source = jetstreamSource({ stream: "LINES" });
    const splits = await source.discover(environment());
    await manager.streams.delete("LINES");
    await makeStream(5);
    await expect(
      openAll(
        source,
        splits.map((split) => ({ split, position: at(3) })),
      ),
    ).rejects.toThrow(SourcePositionError);
  });
});

describe("progress", () => {
  const info = (name: string) => manager.consumers.info("LINES", name);

  test("is shown by a durable consumer after a completed checkpoint", async () => {
    await makeStream(100);
    const reader = await openAll(jetstreamSource({ stream: "LINES" }));
    await read(reader, 40);
    const positions = reader.snapshot();
    await read(reader, 20);
    reader.checkpointCompleted(positions);
    await expect
      .poll(() => info("tidemark-word-count-lines-all").catch(() => undefined))
      .toMatchObject({ ack_floor: { stream_seq: 40 }, num_pending: 60, num_ack_pending: 0 });
    // Rate limited, but the last one is shown in the end.
    for (const position of [45, 50, 60])
      reader.checkpointCompleted(positions.map(({ split }) => ({ split, position: at(position) })));
    await reader.close();
    expect(await info("tidemark-word-count-lines-all")).toMatchObject({ ack_floor: { stream_seq: 60 } });
  });

  test("of each split, under a name of its own", async () => {
    await makeStream(100);
    const source = jetstreamSource({
      stream: "LINES",
      subjects: ["lines.0", ["lines.1", "lines.2"]],
      progress: "p",
    });
    const reader = await openAll(source);
    await read(reader, 50);
    await expect
      .poll(() =>
        read(reader, 1, 1).then(() =>
          reader.snapshot().every((it) => (it.position as { read: number }).read > 0),
        ),
      )
      .toBe(true);
    reader.checkpointCompleted(reader.snapshot());
    await reader.close();
    const names: string[] = [];
    for await (const consumer of manager.consumers.list("LINES")) names.push(consumer.name);
    expect(names.length).toBe(2);
    for (const name of names) expect(name).toMatch(/^p-lines_/);
  });

  test("is not shown when switched off, and never stands in the way", async () => {
    await makeStream(10);
    const reader = await openAll(jetstreamSource({ stream: "LINES", progress: false }));
    await read(reader, 10);
    reader.checkpointCompleted(reader.snapshot());
    await reader.close();
    expect((await manager.streams.info("LINES")).state.consumer_count).toBe(0);
    const other = await openAll(jetstreamSource({ stream: "LINES" }));
    await manager.streams.delete("LINES");
    other.checkpointCompleted(other.snapshot().map(({ split }) => ({ split, position: at(10) })));
    await other.close();
  });

  test("holds the messages of an interest stream until the checkpoint, and then frees them", async () => {
    await makeStream(0, { retention: "interest" });
    const source = jetstreamSource<{ n: number }>({ stream: "LINES" });
    const splits = await source.discover(environment());
    const first = await openAll(
      source,
      splits.map((split) => ({ split, position: undefined })),
    );
    await publish(1, 100);
    expect((await read(first, 70)).length).toBe(70);
    const at50 = splits.map((split) => ({ split, position: at(50) }));
    expect((await manager.streams.info("LINES")).state.messages).toBe(100);
    first.checkpointCompleted(at50);
    await expect.poll(async () => (await manager.streams.info("LINES")).state.messages).toBe(50);
    await first.close();
    await publish(101, 120);
    const second = await openAll(source, at50);
    expect((await read(second, 70)).map(({ n }) => n)).toEqual(range(51, 120));
  });

  test("an interest stream that dropped messages while the progress consumer was away has lost input, whichever generation asks next", async () => {
    await makeStream(0, { retention: "interest" });
    const source = jetstreamSource<{ n: number }>({ stream: "LINES", subjects: ["lines.1"] });
    const [split] = await source.discover(environment());
    const resumed = (gaps: "fail" | "skip") =>
      openAll(source, [{ split: { ...split!, gaps }, position: at(49) }]);
    const ours = (from: number, to: number) => range(from, to).filter((n) => n % 4 === 1);
    const first = await openAll(source);
    await publish(1, 60);
    expect(await read(first, 15)).toHaveLength(15);
    await first.close();
    // It was there all the time: what is missing are other subjects.
    const second = await resumed("fail");
    await publish(61, 80);
    expect((await read(second, 7)).map(({ n }) => n)).toEqual(ours(50, 80));
    expect(second.skipped?.()).toEqual({ ranges: 0, sequences: 0 });
    await second.close();
    for await (const { name } of manager.consumers.list("LINES"))
      await manager.consumers.delete("LINES", name);
    await publish(81, 100);
    for (const _again of [1, 2]) {
      const third = await resumed("fail");
      await publish(101, 120);
      await expect(read(third, 1)).rejects.toThrow(
        /sequences 50 to 100 are gone.*may have held messages of "lines\.1".*the progress consumer of the source.*was away.*--skip-gaps/s,
      );
      await third.close();
    }
    const last = await resumed("skip");
    expect((await read(last, 10)).map(({ n }) => n)).toEqual([...ours(101, 120), ...ours(101, 120)]);
    expect(last.skipped?.()).toEqual({ ranges: 1, sequences: 51 });
  });
});
