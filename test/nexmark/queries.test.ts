/** The queries over the engine in memory, each beside its oracle. */
import { describe, expect, test } from "vitest";
import { MemorySinkTarget, memorySink } from "../../src/connectors/memory-sink.ts";
import { MemoryLog, memorySource } from "../../src/connectors/memory-source.ts";
import type { Bid, NexmarkEvent } from "../../src/examples/nexmark/events.ts";
import { nexmarkEvents } from "../../src/examples/nexmark/generator.ts";
import { QUERIES, type Query, type QueryName } from "../../src/examples/nexmark/queries/index.ts";
import { nexmarkStream } from "../../src/examples/nexmark/stream.ts";
import { generatorSource, type Source, type Stream } from "../../src/index.ts";
import { MemoryWorld, type WorldOptions } from "../support/memory-world.ts";
import { type EventRange, eventsOf } from "./events.ts";
import { answerOf, ORACLES } from "./oracles/oracles.ts";

interface Input {
  readonly source: () => Source<NexmarkEvent>;
  readonly events: Iterable<NexmarkEvent>;
}

function generated(range: EventRange): Input {
  const { seed, count, ...options } = range;
  return {
    source: () => generatorSource({ seed, count, splits: 2, generate: nexmarkEvents(options) }),
    events: eventsOf(range),
  };
}

function written(events: readonly NexmarkEvent[]): Input {
  const log = new MemoryLog<NexmarkEvent>();
  log.append(...events);
  return { source: () => memorySource([log], { until: "end" }), events };
}

/** 50 seconds of event time. */
const EVENTS: EventRange = { seed: 7, count: 20_000, eventsPerSecond: 400 };
const NAMES = Object.keys(QUERIES) as QueryName[];
const WITHOUT_STATE = new Set<QueryName>(["q0", "q1", "q2"]);

/** Runs the query, holds what it has committed against its oracle, and answers the rows. */
async function runsRight(
  query: QueryName,
  input: Input,
  options: WorldOptions,
  disturb?: (world: MemoryWorld) => Promise<void>,
): Promise<readonly object[]> {
  const { parallelism = 1 } = options;
  const target = new MemorySinkTarget<object>();
  const world = new MemoryWorld({
    ...options,
    parallelism,
    build: (builder, here) => {
      const results = (QUERIES[query] as Query)(nexmarkStream(builder, here.paced(input.source())));
      (results as Stream<object>).sink("results", memorySink(target));
    },
  });
  try {
    world.startCoordinator();
    await Promise.all(Array.from({ length: parallelism }, () => world.startWorker()));
    await world.submit();
    await disturb?.(world);
    const { restarts } = await world.finished();
    expect(restarts > 0).toBe(disturb !== undefined);
    const collected = ORACLES[query].collected();
    for (const row of target.committed) collected.add(row);
    const answer = answerOf(query, input.events);
    expect(answer.rows).toBeGreaterThan(0);
    expect(collected.digest()).toEqual(answer);
    expect(world.crashes).toEqual([]);
    return target.committed;
  } finally {
    await world.close();
  }
}

describe.each(NAMES)("%s", (query) => {
  test.each([1, 2])("is right with parallelism %d", async (parallelism) => {
    await runsRight(query, generated(EVENTS), { parallelism });
  });
});

test.each(NAMES.filter((name) => !WITHOUT_STATE.has(name)))(
  "%s is right when a worker is lost on the way and events come out of order",
  async (query) => {
    const events = generated({ ...EVENTS, outOfOrderGroup: 1000 });
    await runsRight(query, events, { parallelism: 2, recordsPerCheckpoint: 2000 }, async (world) => {
      await world.checkpoints(2);
      await world.replace(world.firstWorker);
    });
  },
);

test("a bid at the end of a window may be the highest one there", async () => {
  const bid = (dateTime: number, price: number): Bid => {
    return { kind: "bid", auction: 1, bidder: dateTime, price, channel: "", url: "", dateTime, extra: "" };
  };
  const bids = [bid(9000, 700), bid(10_000, 700), bid(10_000, 800), bid(11_000, 900), bid(20_001, 900)];
  const rows = await runsRight("q7", written(bids), {});
  const winners = rows.map((row) => (row as Bid).dateTime).sort((a, b) => a - b);
  expect(winners).toEqual([9000, 10_000, 11_000, 20_001]);
});
