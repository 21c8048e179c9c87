/** Splits by a token of the subject: each message is in one of them, and what is in none is told. */
import { readFileSync } from "node:fs";
import { jetstream, type RetentionPolicy, type StreamConfig } from "@nats-io/jetstream";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../../src/clock.ts";
import { type JetStreamSourceOptions, jetstreamSource } from "../../../src/connectors/jetstream/source.ts";
import type { SubtaskEnvironment } from "../../../src/dataflow/connector.ts";
import type { SourceReader, SplitPosition } from "../../../src/dataflow/source.ts";
import { ConfigurationError } from "../../../src/errors.ts";
import { Troubles } from "../../../src/observe/troubles.ts";
import { StreamServer } from "../../support/servers/stream-server.ts";
import { until } from "../../support/until.ts";

const COUNT = 4;
const partitions = { subject: "orders.{partition}.>", count: COUNT };
const range = (total: number) => Array.from({ length: total }, (_, n) => n);
const shared = new StreamServer();

function environment(troubles = new Troubles(systemClock), warnings: string[] = []): SubtaskEnvironment {
  return {
    ...{ job: "sums", nats: shared.nats, incarnation: "i", generation: 1, nonce: "n", operator: "orders" },
    logger: { debug() {}, info() {}, warn: (_fields, message) => warnings.push(message), error() {} },
    troubles,
    signal: new AbortController().signal,
    ...{ subtaskIndex: 0, parallelism: 1 },
    fail: (error) => {
      throw error;
    },
  };
}

const sourceOf = (options: Partial<JetStreamSourceOptions> = {}) =>
  jetstreamSource<number>({ stream: "ORDERS", partitions, ...options });

const makeStream = (config: Partial<StreamConfig> = {}) =>
  shared.manager.streams.add({ name: "ORDERS", subjects: ["orders.>"], ...config });

async function publish(subject: string, value: number): Promise<void> {
  await jetstream(shared.connection).publish(subject, JSON.stringify(value));
}

/** As if restored in so many subtasks: splits are dealt out in turns. */
async function openIn(
  subtasks: number,
  positions: readonly SplitPosition[],
): Promise<SourceReader<number>[]> {
  return await Promise.all(
    range(subtasks).map(async (subtask) =>
      shared.closedAfterwards(
        await sourceOf().open(
          environment(),
          positions.filter((_, index) => index % subtasks === subtask),
        ),
      ),
    ),
  );
}

/** So many records of all readers together. */
async function take(readers: readonly SourceReader<number>[], total: number): Promise<number[]> {
  const found: number[] = [];
  await until(
    `${total} records`,
    () => {
      for (const reader of readers)
        reader.poll((value) => found.push(value), Math.min(7, total - found.length));
      return found.length >= total;
    },
    { everyMs: 1, describe: () => `${found.length} records` },
  );
  return found;
}

describe("options", () => {
  test.each<[key: string, says: RegExp, partitions: unknown]>([
    ["partitions.subject", /has no token \{partition\}/, { subject: "orders.*.>", count: 4 }],
    [
      "partitions.subject",
      /has 2 tokens \{partition\}/,
      { subject: "orders.{partition}.{partition}", count: 4 },
    ],
    ["partitions.subject", /has no token \{partition\}/, { subject: "orders.p{partition}", count: 4 }],
    ["partitions.subject", /not a subject filter/, { subject: "orders.{partition}.{region}", count: 4 }],
    ["partitions.subject", /not a subject filter/, { subject: "orders..{partition}", count: 4 }],
    ["partitions.subject", /must be a subject filter/, { count: 4 }],
    [
      "partitions.count",
      /whole number from 1 to 32768, got 0/,
      { subject: "orders.{partition}.>", count: 0 },
    ],
    ["partitions.count", /got 1\.5/, { subject: "orders.{partition}.>", count: 1.5 }],
    ["partitions.count", /got 40000/, { subject: "orders.{partition}.>", count: 40_000 }],
    ["partitions.count", /got undefined/, { subject: "orders.{partition}.>" }],
    ["partitions.number", /no member "number"/, { subject: "orders.{partition}.>", count: 4, number: 4 }],
    ["partitions", /an object with subject, count is needed/, 4],
  ])("wrong ones are refused by name: %s %s", (key, says, wrong) => {
    const make = () => jetstreamSource({ stream: "S", partitions: wrong as never });
    expect(make).toThrow(ConfigurationError);
    expect(make).toThrow(expect.objectContaining({ key: `jetstreamSource.${key}` }));
    expect(make).toThrow(says);
  });

  test("together with subjects", () => {
    expect(() => jetstreamSource({ stream: "S", subjects: ["orders.>"], partitions })).toThrow(
      /option "partitions": takes the place of "subjects"/,
    );
  });
});

describe("reading", () => {
  test("each partition is a split with a position of its own, dealt out anew to another number of subtasks", async () => {
    await makeStream();
    for (const n of range(100)) await publish(`orders.${n % COUNT}.eu`, n);
    const splits = await sourceOf().discover(environment());
    expect(splits.map(({ id }) => id)).toEqual(range(COUNT).map((n) => `orders.${n}.>`));
    const first = await openIn(
      2,
      splits.map((split) => ({ split, position: undefined })),
    );
    const before = await take(first, 50);
    const positions = splits.map(
      ({ id }) => first.flatMap((reader) => reader.snapshot()).find(({ split }) => split.id === id)!,
    );
    for (const reader of first) await reader.close();
    const after = await take(await openIn(3, positions), 50);
    expect([...before, ...after].sort((a, b) => a - b)).toEqual(range(100));
    for (const partition of range(COUNT)) {
      const ofPartition = (some: readonly number[]) => some.filter((n) => n % COUNT === partition);
      expect([...ofPartition(before), ...ofPartition(after)]).toEqual(ofPartition(range(100)));
    }
  });

  test("the stream that docs/rescaling.md makes deals messages to partitions by their subject", async () => {
    const page = readFileSync(new URL("../../../docs/rescaling.md", import.meta.url), "utf8");
    const config = JSON.parse(/```json\n([\s\S]*?)```/.exec(page)![1]!) as StreamConfig;
    const [, subject, count] = /partitions: \{ subject: "(partitioned[^"]*)", count: (\d+) \}/.exec(page)!;
    const documented = {
      stream: config.name,
      partitions: { subject: subject!, count: Number(count) },
    } as const;
    await makeStream();
    for (const n of range(60)) await publish(`orders.${n % 20}.eu`, n);
    await shared.manager.streams.add(config);
    await until(
      "all is copied",
      async () => (await shared.manager.streams.info(config.name)).state.messages === 60,
    );
    const source = jetstreamSource<number>({ ...documented, until: "end" });
    const splits = await source.discover(environment());
    expect(splits).toHaveLength(12);
    const found = new Map<number, number[]>();
    for (const split of splits) {
      const reader = shared.closedAfterwards(
        await source.open(environment(), [{ split, position: undefined }]),
      );
      await until(`${split.id} ends`, () => {
        const collect = (value: number) =>
          found.set(value % 20, [...(found.get(value % 20) ?? []), value]) && undefined;
        return reader.poll(collect, 100) === "ended";
      });
    }
    expect([...found].sort(([a], [b]) => a - b)).toEqual(range(20).map((n) => [n, [n, n + 20, n + 40]]));
    const fewer = jetstreamSource({ ...documented, partitions: { subject: subject!, count: 11 } });
    await expect(fewer.discover(environment())).rejects.toThrow(
      /11 partitions of "partitioned\.\{partition\}\.>": stream "ORDERS_12" deals its messages to 12 partitions.*write count: 12/,
    );
    const warnings: string[] = [];
    const more = jetstreamSource({ ...documented, partitions: { subject: subject!, count: 13 } });
    expect(await more.discover(environment(undefined, warnings))).toHaveLength(13);
    expect(warnings).toEqual([
      expect.stringMatching(
        /deals its messages to 12 partitions .* and the source has 13: nothing will come/,
      ),
    ]);
  });
});

describe("a message in no partition", () => {
  test.each(["orders.4.eu", "orders.x.eu", "orders.03.eu", "orders.-1.eu"])(
    "keeps a job from beginning: %s",
    async (subject) => {
      await makeStream();
      await publish("orders.0.eu", 0);
      await publish(subject, 1);
      const refused = sourceOf().discover(environment());
      await expect(refused).rejects.toThrow(ConfigurationError);
      await expect(refused).rejects.toThrow(
        `stream "ORDERS" has messages under "${subject}", which are in none of the partitions 0 to 3 of "orders.{partition}.>"`,
      );
      await expect(refused).rejects.toThrow(`nats stream purge ORDERS --subject=${subject}`);
    },
  );

  test("does not count before the message that the source begins with, nor under other subjects", async () => {
    await makeStream({ subjects: ["orders.>", "payments.>"] });
    await publish("orders.9.eu", 1);
    await publish("payments.9.eu", 2);
    await publish("orders.3.eu", 3);
    expect(await sourceOf({ startAt: { sequence: 2 } }).discover(environment())).toHaveLength(COUNT);
    await expect(sourceOf({ startAt: { sequence: 1 } }).discover(environment())).rejects.toThrow(
      "orders.9.eu",
    );
  });

  test("is a trouble of a running source until it is taken out", async () => {
    await makeStream();
    const troubles = new Troubles(systemClock);
    const splits = await sourceOf().discover(environment());
    const reader = shared.closedAfterwards(
      await sourceOf().open(
        environment(troubles),
        splits.map((split) => ({ split, position: undefined })),
      ),
    );
    await publish("orders.17.eu", 1);
    await publish("orders.1.eu", 2);
    expect(await take([reader], 1)).toEqual([2]);
    await until("the trouble is shown", () => troubles.list().length > 0);
    expect(troubles.list()).toEqual([
      expect.objectContaining({
        what: "dealing the messages of stream ORDERS to partitions",
        reason: expect.stringContaining('has messages under "orders.17.eu"'),
      }),
    ]);
    await shared.manager.streams.purge("ORDERS", { filter: "orders.17.eu" });
    await until("the trouble has passed", () => troubles.list().length === 0);
  });

  test.each<[string, Partial<StreamConfig>, RegExp]>([
    [
      "a subject",
      { subjects: ["orders.0.>", "orders.4.>"] },
      /4 partitions .* has the subjects "orders\.4\.>", which are in none of them/,
    ],
    [
      "a transform of the stream's own",
      {
        subjects: ["in.*.>"],
        subject_transform: { src: "in.*.>", dest: "orders.{{Partition(8, 1)}}.{{wildcard(1)}}.>" },
      },
      /deals its messages to 8 partitions .*write count: 8/,
    ],
    [
      "interest retention",
      { retention: "interest" as RetentionPolicy },
      /interest retention, and drops a message/,
    ],
  ])("would come by the stream's configuration: %s", async (_what, config, says) => {
    await makeStream(config);
    await expect(sourceOf().discover(environment())).rejects.toThrow(says);
  });
});
