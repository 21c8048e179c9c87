import { describe, expect, expectTypeOf, test } from "vitest";
import { systemClock } from "../../src/clock.ts";
import { generatorSource } from "../../src/connectors/generator-source.ts";
import type { Random } from "../../src/connectors/seeded-random.ts";
import type { SubtaskEnvironment } from "../../src/dataflow/connector.ts";
import {
  NO_TIMESTAMP,
  type PollStatus,
  type Source,
  type SourceReader,
  type SplitPosition,
} from "../../src/dataflow/source.ts";
import { ConfigurationError, OperatorError } from "../../src/errors.ts";
import { Troubles } from "../../src/observe/troubles.ts";

const environment: SubtaskEnvironment = {
  job: "j",
  logger: { debug() {}, info() {}, warn() {}, error() {} },
  troubles: new Troubles(systemClock),
  signal: new AbortController().signal,
  nats: undefined,
  incarnation: "i",
  generation: 1,
  nonce: "n",
  operator: "numbers",
  subtaskIndex: 0,
  parallelism: 1,
  fail: (error) => {
    throw error;
  },
};

const generate = (index: number, random: Random) => `${index}:${random()}:${random()}`;

async function open<T>(source: Source<T>, positions?: readonly SplitPosition[]): Promise<SourceReader<T>> {
  const from =
    positions ?? (await source.discover(environment)).map((split) => ({ split, position: undefined }));
  return await source.open(environment, from);
}

function drain<T>(reader: SourceReader<T>, recordsMax = 7): T[] {
  const records: T[] = [];
  let status: PollStatus;
  do status = reader.poll((record) => records.push(record), recordsMax);
  while (status === "more");
  expect(status).toBe("ended");
  return records;
}

describe("a generator source", () => {
  test("makes as many records as it is told, without event time", async () => {
    const reader = await open(generatorSource({ count: 5, generate: (index) => index }));
    const timestamps: number[] = [];
    const records: number[] = [];
    reader.poll((record, timestamp) => {
      records.push(record);
      timestamps.push(timestamp);
    }, 10);
    expect(records).toEqual([0, 1, 2, 3, 4]);
    expect(new Set(timestamps)).toEqual(new Set([NO_TIMESTAMP]));
    expect(reader.poll(() => expect.unreachable(), 10)).toBe("ended");
    expect(drain(await open(generatorSource({ count: 0, generate })))).toEqual([]);
  });

  test("gives the same records for the same seed, whatever the splits", async () => {
    const records = async (seed: number, splits: number) =>
      drain(await open(generatorSource({ seed, splits, count: 1000, generate }))).sort();
    const expected = await records(42, 1);
    expect(new Set(expected).size).toBe(1000);
    expect(await records(42, 1)).toEqual(expected);
    expect(await records(42, 3)).toEqual(expected);
    expect(await records(43, 1)).not.toEqual(expected);
  });

  test("random numbers are spread over [0, 1), also those of neighbouring records", async () => {
    const numbers = drain(await open(generatorSource({ count: 20_000, generate: (_, random) => random() })));
    expect(Math.min(...numbers)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...numbers)).toBeLessThan(1);
    const buckets = new Array<number>(10).fill(0);
    for (const number of numbers) buckets[Math.floor(number * 10)]!++;
    for (const bucket of buckets) expect(Math.abs(bucket - 2000)).toBeLessThan(250);
  });

  test("goes on exactly where a snapshot was taken", async () => {
    const source = generatorSource({ seed: 7, count: 500, splits: 3, generate });
    const expected = drain(await open(source)).sort();
    const records: string[] = [];
    let positions: SplitPosition[] | undefined;
    for (const polls of [1, 5, 2, 1000]) {
      const reader = await open(source, positions);
      for (let i = 0; i < polls; i++) reader.poll((record) => records.push(record), 10);
      positions = JSON.parse(JSON.stringify(reader.snapshot()));
    }
    expect(records.sort()).toEqual(expected);
  });

  test("keeps to its rate, and says when to come again", async () => {
    const source = generatorSource({ ratePerSecond: 1000, splits: 2, generate: (index) => index });
    expect(source.bounded).toBe(false);
    const reader = await open(source);
    const records: number[] = [];
    const begunMs = performance.now();
    let wakes = 0;
    while (records.length < 400) {
      const status = reader.poll((record) => records.push(record), 100);
      if (status === "idle") {
        await new Promise<void>((resolve) => reader.onAvailable(resolve));
        wakes++;
      }
    }
    const allowed = performance.now() - begunMs + 20;
    await reader.close();
    expect(records.length).toBeLessThanOrEqual(allowed);
    expect(wakes).toBeGreaterThan(0);
  });

  test("a subtask without splits is idle, or has ended where the input is bounded", async () => {
    expect((await open(generatorSource({ generate }), [])).poll(() => expect.unreachable(), 1)).toBe("idle");
    expect(
      (await open(generatorSource({ count: 1, generate }), [])).poll(() => expect.unreachable(), 1),
    ).toBe("ended");
  });

  test("names the record whose generation failed", async () => {
    const source = generatorSource({
      count: 10,
      generate: (index) => {
        if (index === 3) throw new Error("three");
        return index;
      },
    });
    const reader = await open(source);
    const failing = () => reader.poll(() => undefined, 100);
    expect(failing).toThrow(OperatorError);
    expect(failing).toThrow(/operator "numbers" failed: three/);
    expect(reader.describePosition()).toBe("generated record 3");
  });

  test.each<[string, object]>([
    ["seed", { seed: 1.5 }],
    ["count", { count: -1 }],
    ["generate", { generate: undefined }],
    ["ratePerSecond", { ratePerSecond: 0 }],
    ["splits", { splits: 0 }],
  ])("refuses a wrong %s by name", (key, options) => {
    const make = () => generatorSource({ generate, ...options } as Parameters<typeof generatorSource>[0]);
    expect(make).toThrow(ConfigurationError);
    expect(make).toThrow(expect.objectContaining({ key: `generatorSource.${key}` }));
  });

  test("infers the type of its records", () => {
    expectTypeOf(generatorSource({ generate: (index) => ({ index }) })).toEqualTypeOf<
      Source<{ index: number }>
    >();
  });
});
