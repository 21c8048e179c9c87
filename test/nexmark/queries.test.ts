/** The queries over the engine in memory, each beside its oracle. */
import { describe, expect, test } from "vitest";
import { MemorySinkTarget, memorySink } from "../../src/connectors/memory-sink.ts";
import { nexmarkEvents } from "../../src/examples/nexmark/generator.ts";
import { QUERIES, type Query, type QueryName } from "../../src/examples/nexmark/queries/index.ts";
import { nexmarkStream } from "../../src/examples/nexmark/stream.ts";
import { generatorSource, type Stream } from "../../src/index.ts";
import { MemoryWorld, type WorldOptions } from "../support/memory-world.ts";
import { type EventRange, eventsOf } from "./events.ts";
import { answerOf, ORACLES } from "./oracles/oracles.ts";

const EVENTS: EventRange = { seed: 7, count: 20_000 };
const NAMES = Object.keys(QUERIES) as QueryName[];

/** Runs the query, and holds what it has committed against its oracle. */
async function isRight(
  query: QueryName,
  range: EventRange,
  options: WorldOptions,
  disturb?: (world: MemoryWorld) => Promise<void>,
): Promise<void> {
  const { seed, count, ...rest } = range;
  const { parallelism = 1 } = options;
  const target = new MemorySinkTarget<object>();
  const world = new MemoryWorld({
    ...options,
    parallelism,
    build: (builder, here) => {
      const source = generatorSource({ seed, count, splits: 2, generate: nexmarkEvents(rest) });
      const results = (QUERIES[query] as Query)(nexmarkStream(builder, here.paced(source)));
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
    const answer = answerOf(query, eventsOf(range));
    expect(answer.rows).toBeGreaterThan(0);
    expect(collected.digest()).toEqual(answer);
    expect(world.crashes).toEqual([]);
  } finally {
    await world.close();
  }
}

describe.each(NAMES)("%s", (query) => {
  test.each([1, 2])("is right with parallelism %d", (parallelism) => isRight(query, EVENTS, { parallelism }));
});

test("a query is right when a worker is lost on the way and events come out of order", async () => {
  const events = { ...EVENTS, outOfOrderGroup: 1000 };
  await isRight("q4", events, { parallelism: 2, recordsPerCheckpoint: 2000 }, async (world) => {
    await world.checkpoints(2);
    await world.replace(world.firstWorker);
  });
});
