/** Joins in whole jobs: pairs are exact, with a worker lost on the way. */
import { afterEach, describe, expect, test } from "vitest";
import { MemorySinkTarget, memorySink } from "../../../src/connectors/memory-sink.ts";
import { MemoryLog, memorySource } from "../../../src/connectors/memory-source.ts";
import { boundedOutOfOrderness, type JobBuilder, type LateRecord, type Stream } from "../../../src/index.ts";
import { MemoryWorld } from "../../support/memory-world.ts";

interface Item {
  readonly key: number;
  readonly number: number;
  readonly time: number;
}

const KEYS = 40;
const DISORDER_MS = 50;
const RECORDS = 4000;

/** Records of one stream, out of order by less than `DISORDER_MS`. */
function itemsOf(stride: number): Item[] {
  return Array.from({ length: RECORDS }, (_, number) => ({
    key: (number * stride) % KEYS,
    number,
    time: number * 10 + ((number * 7919) % DISORDER_MS),
  }));
}

const lefts = itemsOf(7);
const rights = itemsOf(11);

let world: MemoryWorld;

afterEach(() => world.close());

function logOf<T>(items: readonly T[]): MemoryLog<T> {
  const log = new MemoryLog<T>();
  log.append(...items);
  return log;
}

function read(builder: JobBuilder, id: string, items: readonly Item[]): Stream<Item> {
  return builder.source(id, world.paced(memorySource([logOf(items)], { until: "end" })), {
    timestamp: ({ time }) => time,
    watermarks: boundedOutOfOrderness(DISORDER_MS),
    watermarkInterval: 0,
  });
}

async function runWithLoss(build: (builder: JobBuilder) => void): Promise<void> {
  world = new MemoryWorld({
    recordsPerCheckpoint: 800,
    build(builder, created) {
      world = created;
      build(builder);
    },
  });
  const first = await world.begins(0);
  await world.checkpoints(2);
  await world.replace(first);
  await world.finished();
}

describe("interval join", () => {
  test("each pair comes once, and none of an interval is missing", async () => {
    const pairs = new MemorySinkTarget<string>();
    const late = new MemorySinkTarget<LateRecord<Item>>();
    await runWithLoss((builder) => {
      const joined = read(builder, "left", lefts)
        .keyBy(({ key }) => key)
        .intervalJoin(read(builder, "right", rights).keyBy(({ key }) => key))
        .between("-1 s", "500 ms", { upperExclusive: true, lateLeftOutput: "late" })
        .process("joined", (left, right) => `${left.number} ${right.number}`);
      joined.sink("pairs", memorySink(pairs));
      joined.sideOutput("late").sink("late", memorySink(late));
    });
    const expected = lefts.flatMap((left) =>
      rights
        .filter(({ key, time }) => key === left.key && time >= left.time - 1000 && time < left.time + 500)
        .map((right) => `${left.number} ${right.number}`),
    );
    expect(expected.length).toBeGreaterThan(1000);
    expect([...pairs.committed].sort()).toEqual(expected.sort());
    expect(late.committed).toEqual([]);
  });
});
