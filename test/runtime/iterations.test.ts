/** Jobs with loops on the whole engine, over the memory twins: every way back, every kind of checkpoint, workers lost. */
import { afterEach, describe, expect, test, vi } from "vitest";
import type { CheckpointingConfig } from "../../machines/protocol.ts";
import { memorySink } from "../../src/connectors/memory-sink.ts";
import { memorySource } from "../../src/connectors/memory-source.ts";
import type { JobBuilder, KeyedStream, Stream } from "../../src/job/builder.ts";
import type { Key } from "../../src/state/descriptor.ts";
import { valueState } from "../../src/state/descriptor.ts";
import { type Count, MemoryWorld, type WorldOptions } from "../support/memory-world.ts";

// A loop of a hundred rounds over frames that are flushed by age, on a machine that others use too.
vi.setConfig({ testTimeout: 60_000 });

interface Walk {
  readonly start: number;
  readonly value: number;
  readonly steps: number;
}

type WayBack = (more: Stream<Walk>) => Stream<Walk> | KeyedStream<Walk, Key>;

const waysBack: Record<string, WayBack> = {
  forward: (more) => more,
  "by key": (more) => more.keyBy(({ start }) => start),
  rebalance: (more) => more.rebalance(),
};

const collatz = (value: number) => (value % 2 === 0 ? value / 2 : 3 * value + 1);

function stepsOf(start: number): number {
  let steps = 0;
  for (let value = start; value !== 1; value = collatz(value)) steps++;
  return steps;
}

/** Steps until 1 is reached, one for each round; a keyed operator in the loop counts how often each start comes by. */
const countSteps =
  (wayBack: WayBack) =>
  (builder: JobBuilder, { logs, target, bounded }: MemoryWorld): void => {
    builder
      .source("log", memorySource(logs, bounded ? { until: "end" } : {}))
      .map("walk", (text): Walk => ({ start: Number(text), value: Number(text), steps: 0 }))
      .iterate("collatz", (loop) => {
        const stepped = loop
          .keyBy(({ start }) => start)
          .process("step", {
            state: { rounds: valueState(0) },
            onRecord({ start, value }, { state }): Walk {
              state.rounds.set(state.rounds.get() + 1);
              return { start, value: collatz(value), steps: state.rounds.get() };
            },
          });
        return {
          feedback: wayBack(stepped.filter("more", ({ value }) => value !== 1)),
          output: stepped.filter("done", ({ value }) => value === 1),
        };
      })
      .map("count", ({ start, steps }): Count => ({ word: String(start), count: steps }))
      .sink("counts", memorySink(target));
  };

describe("a loop on the engine", () => {
  let world: MemoryWorld;

  afterEach(async () => {
    await world.close();
  });

  function fill(numbers: number): void {
    for (let n = 2; n < numbers + 2; n++) world.logs[n % 2]!.append(String(n));
  }

  async function start(numbers: number, options: WorldOptions): Promise<void> {
    world = new MemoryWorld(options);
    fill(numbers);
    world.startCoordinator();
    await Promise.all([world.startWorker(), world.startWorker()]);
    await world.submit();
  }

  /** Each number's steps, once. */
  function expectExact(): void {
    const expected = world.logs.flatMap((log) =>
      Array.from({ length: log.length }, (_, i) => [Number(log.at(i)), stepsOf(Number(log.at(i)))]),
    );
    const committed = world.target.committed.map(({ word, count }) => [Number(word), count]);
    const byNumber = ([a = 0]: number[], [b = 0]: number[]) => a - b;
    expect(committed.sort(byNumber)).toEqual(expected.sort(byNumber));
    expect(world.crashes).toEqual([]);
  }

  test.each(Object.keys(waysBack))("drains and ends by itself: %s", async (wayBack) => {
    await start(2000, { build: countSteps(waysBack[wayBack]!), iterations: "exact" });
    await world.finished();
    expectExact();
  });

  const completed = () =>
    world.events.filter((event) => event.role === "coordinator") as unknown as {
      readonly persistedInFlightBytes: number;
    }[];

  async function loseWorkers(times: number): Promise<void> {
    for (let lost = 0; lost < times; lost++) {
      await world.checkpoints(completed().length + 2);
      world.cutOff(world.lastWorker);
      await world.startWorker();
    }
  }

  describe.each(Object.keys(waysBack))("exact, with workers lost: %s", (wayBack) => {
    test.each<Partial<CheckpointingConfig>>([
      {},
      { unaligned: true },
      { unaligned: true, alignedTimeoutMs: 30 },
    ])("%j", async (checkpointing) => {
      await start(60_000, { build: countSteps(waysBack[wayBack]!), iterations: "exact", checkpointing });
      await loseWorkers(2);
      const report = await world.finished();
      expect(report.generation).toBeGreaterThan(2);
      expectExact();
      const stored = completed().filter(({ persistedInFlightBytes }) => persistedInFlightBytes > 0);
      expect(stored.length).toBeGreaterThan(0);
    });
  });
});
