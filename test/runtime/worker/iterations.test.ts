/**
 * Jobs with loops on the whole engine, over the memory twins: every way back, every kind of checkpoint, workers lost.
 */
import { afterEach, describe, expect, test } from "vitest";
import type { CheckpointingConfig } from "../../../machines/protocol.ts";
import { readSavepoint } from "../../../src/checkpoint/savepoint.ts";
import { memorySink } from "../../../src/connectors/memory-sink.ts";
import { memorySource } from "../../../src/connectors/memory-source.ts";
import type { JobBuilder } from "../../../src/job/builder.ts";
import type { KeyedStream } from "../../../src/job/keyed-stream.ts";
import type { Stream } from "../../../src/job/stream.ts";
import { type Key, valueState } from "../../../src/state/descriptor.ts";
import { collatz, stepsOf } from "../../support/graphs/collatz.ts";
import type { Count } from "../../support/graphs/word-count.ts";
import { MemoryWorld, snapshotRequest, type WorldOptions } from "../../support/memory-world.ts";
import { patientSignal } from "../../support/suite/patience.ts";
import { until } from "../../support/until.ts";

interface Walk {
  readonly start: number;
  readonly value: number;
  readonly steps: number;
}

/**
 * While it is set each number goes round before its last step: the loop is full, however fast or slow the machine is.
 */
let held = false;

/** @returns a number; the same one again: its step does not count */
const next = (value: number): number => (held && collatz(value) === 1 ? value : collatz(value));

const step = ({ start, value, steps }: Walk): Walk => {
  const stepped = next(value);
  return { start, value: stepped, steps: stepped === value ? steps : steps + 1 };
};

type WayBack = (more: Stream<Walk>) => Stream<Walk> | KeyedStream<Walk, Key>;

const waysBack: Record<string, WayBack> = {
  forward: (more) => more,
  "by key": (more) => more.keyBy(({ start }) => start),
  rebalance: (more) => more.rebalance(),
};

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
            onRecord(walk, { state }): Walk {
              const stepped = step({ ...walk, steps: state.rounds.get() });
              state.rounds.set(stepped.steps);
              return stepped;
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

/** Each record becomes two of the next generation, until there are 256 of it. */
function multiply(builder: JobBuilder, { logs, target }: MemoryWorld): void {
  builder
    .source("log", memorySource(logs, { until: "end" }))
    .map("seed", (text) => ({ text, generation: 0 }))
    .iterate("double", (loop) => {
      const doubled = loop
        .rebalance()
        .flatMap("twice", ({ text, generation }) => [0, 1].map(() => ({ text, generation: generation + 1 })));
      return {
        feedback: doubled.filter("young", ({ generation }) => generation < 8).rebalance(),
        output: doubled.filter("grown", ({ generation }) => generation === 8),
      };
    })
    .keyBy(({ text }) => text)
    .process("count", {
      state: { count: valueState(0) },
      onRecord(_, { state }) {
        state.count.set(state.count.get() + 1);
      },
      onEnd: ({ key, state }): Count => ({ word: String(key), count: state.count.get() }),
    })
    .sink("counts", memorySink(target));
}

/** All of it in one subtask, which sends back to itself. */
function countAlone(builder: JobBuilder, { logs, target, bounded }: MemoryWorld): void {
  builder
    .source("log", memorySource(logs, bounded ? { until: "end" } : {}))
    .map("walk", (text): Walk => ({ start: Number(text), value: Number(text), steps: 0 }))
    .iterate("collatz", (loop) => {
      const stepped = loop.map("step", step);
      return {
        feedback: stepped.filter("more", ({ value }) => value !== 1),
        output: stepped.filter("done", ({ value }) => value === 1),
      };
    })
    .map("count", ({ start, steps }): Count => ({ word: String(start), count: steps }))
    .sink("counts", memorySink(target));
}

/** Two ways back, and records that come into the loop behind its beginning. */
function joinInside(builder: JobBuilder, { logs, target, bounded }: MemoryWorld): void {
  const [first, second] = logs.map((log, i) =>
    builder
      .source(`log-${i}`, memorySource([log], bounded ? { until: "end" } : {}), { parallelism: 1 })
      .map(`walk-${i}`, (text): Walk => ({ start: Number(text), value: Number(text), steps: 0 }), {
        parallelism: 1,
      }),
  );
  first!
    .iterate("collatz", (loop) => {
      const stepped = loop
        .union(second!)
        .map("step", ({ start, value, steps }): Walk => ({ start, value: collatz(value), steps: steps + 1 }));
      const more = stepped.filter("more", ({ value }) => value !== 1);
      return {
        feedback: more
          .filter("even", ({ value }) => value % 2 === 0)
          .union(more.filter("odd", ({ value }) => value % 2 === 1).rebalance()),
        output: stepped.filter("done", ({ value }) => value === 1),
      };
    })
    .map("count", ({ start, steps }): Count => ({ word: String(start), count: steps }))
    .sink("counts", memorySink(target));
}

/** Nothing leaves it. */
function multiplyForEver(builder: JobBuilder, { logs, target }: MemoryWorld): void {
  builder
    .source("log", memorySource(logs, { until: "end" }))
    .iterate(
      "double",
      (loop) => {
        const doubled = loop.flatMap("twice", (text) => [text, text]);
        return { feedback: doubled, output: doubled.filter("never", () => false) };
      },
      { waitingMax: 20_000 },
    )
    .map("count", (word): Count => ({ word, count: 1 }))
    .sink("counts", memorySink(target));
}

/** Numbers, between two lost workers. */
const FILLED = 1000;

describe("a loop on the engine", () => {
  let world: MemoryWorld;
  let asked = 0;

  afterEach(async () => {
    held = false;
    await world.close();
  });

  function fill(numbers: number): void {
    const from = world.logs.reduce((sum, log) => sum + log.length, 2);
    for (let n = from; n < from + numbers; n++) world.logs[n % 2]!.append(String(n));
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
    await start(FILLED, { build: countSteps(waysBack[wayBack]!), iterations: "exact" });
    await world.finished();
    expectExact();
  });

  const over = () => world.events.filter(({ role }) => role === "coordinator");
  const completed = () =>
    over().filter((event) => "persistedInFlightBytes" in event) as unknown as {
      readonly persistedInFlightBytes: number;
    }[];

  /** Each time the loop is full of what has been filled in since the last time. */
  async function loseWorkers(times: number): Promise<void> {
    for (let lost = 0; lost < times; lost++) {
      held = true;
      fill(FILLED);
      await world.checkpoints(over().length + 2);
      const { generation } = await world.record();
      await world.replace(world.lastWorker);
      await world.comesTo("the next generation runs", (report) => report.generation > generation);
      await world.runs();
      held = false;
    }
  }

  const allCommitted = () =>
    until(
      "all is committed",
      () =>
        world.target.committed.length >= world.logs.reduce((sum, log) => sum + log.length, 0) || undefined,
      { everyMs: 5, describe: () => `${world.target.committed.length}` },
    );

  describe.each(Object.keys(waysBack))("exact, with workers lost: %s", (wayBack) => {
    test.each<Partial<CheckpointingConfig>>([
      {},
      { unaligned: true },
      { unaligned: true, alignedTimeoutMs: 30 },
    ])("%j", async (checkpointing) => {
      const build = countSteps(waysBack[wayBack]!);
      await start(100, { build, iterations: "exact", checkpointing, bounded: false });
      await loseWorkers(2);
      await allCommitted();
      expect((await world.record()).generation).toBeGreaterThan(2);
      expectExact();
      const stored = completed().filter(({ persistedInFlightBytes }) => persistedInFlightBytes > 0);
      expect(stored.length).toBeGreaterThan(0);
    });
  });

  test.each([false, true])("in one subtask that sends back to itself, unaligned: %s", async (unaligned) => {
    await start(100, {
      build: countAlone,
      iterations: "exact",
      bounded: false,
      checkpointing: { unaligned },
    });
    await loseWorkers(2);
    await allCommitted();
    await takes("drain");
    await world.ends("stopped");
    expectExact();
  });

  test("two ways back, and a way in behind its beginning, with workers lost", async () => {
    await start(100, { build: joinInside, iterations: "exact", bounded: false });
    await loseWorkers(2);
    await allCommitted();
    expectExact();
    await takes("drain");
    await world.ends("stopped");
    expectExact();
  });

  test("a worker is lost while the loop drains: what was on its way back is processed first", async () => {
    held = true;
    await start(FILLED, { build: countSteps(waysBack["by key"]!), iterations: "exact" });
    const { generation } = await world.comesTo("the sources have ended", ({ subtasks }) =>
      subtasks.some(({ subtask, state }) => subtask.startsWith("log/") && state.includes("input.ended")),
    );
    await world.checkpoints(over().length + 1);
    await world.replace(world.firstWorker);
    await world.comesTo("the next generation runs", (report) => report.generation > generation);
    held = false;
    await world.finished();
    expectExact();
  });

  test("force: what was on its way back is lost in a failure, nothing else, and nothing comes twice", async () => {
    const build = countSteps(waysBack["by key"]!);
    await start(100, { build, iterations: "force", bounded: false });
    await loseWorkers(2);
    const numbers = () => new Set(world.target.committed.map(({ word }) => Number(word)));
    const before = 100 + 2 * FILLED;
    fill(200);
    const later = Array.from({ length: 200 }, (_, i) => before + 2 + i);
    await until(
      "what came after the failures is committed",
      () => later.every((n) => numbers().has(n)) || undefined,
      { describe: () => `${numbers().size}` },
    );
    await takes("drain");
    await world.ends("stopped");
    const committed = world.target.committed.map(({ word, count }) => [Number(word), count] as const);
    expect(numbers().size).toBe(committed.length);
    expect(committed.length).toBeLessThan(before + later.length);
    for (const [word, count] of committed) expect([word, count]).toEqual([word, stepsOf(word)]);
    expect(completed().filter(({ persistedInFlightBytes }) => persistedInFlightBytes > 0)).toEqual([]);
    expect(world.crashes).toEqual([]);
  });

  test("without checkpoints it just runs, and its end is exact", async () => {
    await start(FILLED, { build: countSteps(waysBack.rebalance!), interval: "off" });
    await world.finished();
    expectExact();
    expect(completed()).toHaveLength(1);
  });

  test("records that multiply do not wait for a subtask that waits for them", async () => {
    await start(FILLED, { build: multiply, iterations: "exact" });
    await world.finished();
    const counts = world.target.committed.map(({ count }) => count);
    expect(counts).toEqual(Array.from({ length: FILLED }, () => 256));
    expect(world.crashes).toEqual([]);
  });

  test("a loop that never loses a record fails by name, and for good", async () => {
    await start(2000, { build: multiplyForEver, iterations: "exact" });
    await world.comesTo("it fails", ({ status }) => status === "failed");
    const { failures } = await world.record();
    expect(failures.at(-1)?.reason).toMatch(/loop "double": \d+ records wait .* waitingMax is 20000/);
  });

  /** Unbounded input, all of which has been read; much of it is still in the loop. */
  async function startAndRead(): Promise<void> {
    held = true;
    await start(FILLED, {
      build: countSteps(waysBack["by key"]!),
      iterations: "exact",
      interval: "1 h",
      bounded: false,
    });
    await world.comesTo("all is read", ({ subtasks }) => {
      const read = subtasks.filter(({ subtask }) => subtask.startsWith("log/"));
      return read.reduce((sum, { recordsIn }) => sum + recordsIn, 0) === FILLED;
    });
  }

  const takes = (followedBy: "go-on" | "stop" | "drain") =>
    world
      .client()
      .snapshot(
        snapshotRequest({ request: `r${++asked}`, kind: "savepoint", directory: "/savepoints", followedBy }),
        patientSignal(),
      );

  test("stopped with a savepoint: it holds what was in the loop, and the next job goes on with it", async () => {
    await startAndRead();
    const { location } = await takes("stop");
    await world.ends("stopped");
    const { manifest } = await readSavepoint(String(location), world.savepoints);
    const channels = manifest.subtasks.flatMap((subtask) => subtask.channels);
    expect(channels.length).toBeGreaterThan(0);
    expect(new Set(channels.map(({ edge }) => edge))).toEqual(new Set(["more-collatz"]));
    expect(world.target.committed.length).toBeLessThan(FILLED);
    held = false;
    await world.submit({ location: String(location), mode: "no-claim", drop: [], writeAgain: false });
    await world.runs();
    await takes("drain");
    await world.ends("stopped");
    expectExact();
  });

  test("drained: nothing is left in the loop when the job has stopped", async () => {
    await startAndRead();
    const drained = takes("drain");
    await world.comesTo("the sources have ended", ({ subtasks }) =>
      subtasks.some(({ subtask, state }) => subtask.startsWith("log/") && state.includes("input.ended")),
    );
    held = false;
    await drained;
    await world.ends("stopped");
    expectExact();
  });

  test("a savepoint while checkpoints go on", async () => {
    const build = countSteps(waysBack["by key"]!);
    held = true;
    await start(FILLED, { build, iterations: "exact", interval: "20 ms", bounded: false });
    await world.checkpoints(1);
    await takes("go-on");
    await takes("go-on");
    held = false;
    await allCommitted();
    expectExact();
  });
});
