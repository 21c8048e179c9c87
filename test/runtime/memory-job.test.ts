/** The whole engine without NATS, with faults. */
import { afterEach, describe, expect, test } from "vitest";
import { memorySink } from "../../src/connectors/memory-sink.ts";
import { memorySource } from "../../src/connectors/memory-source.ts";
import { type, valueState } from "../../src/index.ts";
import type { JobBuilder } from "../../src/job/builder.ts";
import type { Count } from "../support/graphs/word-count.ts";
import { MemoryWorld, snapshotRequest } from "../support/memory-world.ts";
import { patientSignal } from "../support/suite/patience.ts";

/** The same counts over every kind of operator and edge: two sources in a union, a rebalance, a reduce. */
function countWordsTheLongWay(builder: JobBuilder, world: MemoryWorld): void {
  const [first, second] = world.logs.map((log, i) =>
    builder.source(`log-${i}`, world.paced(memorySource([log], { until: "end" })), { parallelism: 1 }),
  );
  first!
    .union(second!)
    .rebalance()
    .flatMap("twice", (word) => [word, `${word}-again`])
    .filter("once", (word) => !word.endsWith("-again"))
    .map("one", (word): Count => ({ word, count: 1 }))
    .keyBy(({ word }) => word)
    .reduce("sum", (sum, one) => ({ word: sum.word, count: sum.count + one.count }))
    .sink("counts", memorySink(world.target));
}

/** An input of 40,000 records lasts for five checkpoints at least. */
const PACE = { recordsPerCheckpoint: 4000 };

describe("a job over the memory twins", () => {
  let world: MemoryWorld;

  afterEach(async () => {
    await world.close();
  });

  test("processes bounded input exactly once and ends by itself", async () => {
    world = new MemoryWorld();
    await world.begins(20_000);
    await world.finished();
    world.expectExact();
  });

  test("its checkpoints complete although they may take 30 days", async () => {
    const month = 30 * 24 * 3_600_000;
    const checkpointing = { timeoutMs: month, savepointTimeoutMs: month, minPauseMs: 1 };
    world = new MemoryWorld({ ...PACE, checkpointing });
    world.fill(40_000);
    world.startCoordinator();
    await world.startWorker();
    await world.submit();
    await world.startWorker();
    const report = await world.finished();
    expect(report.checkpoints.completed).toBeGreaterThan(0);
    expect(report.checkpoints.failed.filter(({ reason }) => reason === "expired")).toEqual([]);
    world.expectExact();
  });

  test("does so over a union, a rebalance and a reduce, with a worker lost on the way", async () => {
    world = new MemoryWorld({ ...PACE, build: countWordsTheLongWay });
    const first = await world.begins(40_000);
    await world.checkpoints(2);
    await world.replace(first);
    await world.finished();
    world.expectExact();
  });

  test("recovers from a worker that is cut off and goes on as a zombie", async () => {
    world = new MemoryWorld(PACE);
    const first = await world.begins(40_000);
    await world.checkpoints(2);
    await world.replace(first);
    const report = await world.finished();
    expect(report.generation).toBeGreaterThan(1);
    world.expectExact();
  });

  test("a part that nothing connects with the rest fails, and starts again alone", async () => {
    let failures = 0;
    const unconnected = (builder: JobBuilder, { logs, target }: MemoryWorld): void => {
      for (const [name, log] of [["left", logs[0]!] as const, ["right", logs[1]!] as const])
        builder
          .source(name, memorySource([log], { until: "end" }))
          .keyBy((word) => word)
          .process(`count-${name}`, {
            state: { count: valueState(0) },
            output: type<Count>(),
            onRecord(word, { state, emit }) {
              if (name === "right" && state.count.get() === 20 && failures++ === 0)
                throw new Error("of the right one");
              state.count.set(state.count.get() + 1);
              emit({ word, count: state.count.get() });
            },
          })
          .sink(`write-${name}`, memorySink(target));
    };
    world = new MemoryWorld({ build: unconnected });
    await world.begins(40_000);
    const report = await world.finished();
    // It stays to be seen, although checkpoints have completed since.
    expect(report.failures).toEqual([
      { ...report.failures[0], reason: expect.stringMatching("of the right one"), recovered: true },
    ]);
    expect(report.restarts).toBe(1);
    expect(report.generations).toEqual([1, 3]);
    world.expectExact();
  });

  test("a subtask in front of rescale fails with those that it feeds, and the others go on", async () => {
    let seen = 0;
    world = new MemoryWorld({
      build: (builder, { logs, target }) =>
        builder
          .source("logs", memorySource(logs, { until: "end" }), { parallelism: 2 })
          .rescale()
          .map(
            "one",
            {
              open: ({ subtaskIndex }) => subtaskIndex,
              map: (word, index): Count => {
                if (index === 3 && seen++ === 1000) throw new Error("of the last one");
                return { word: `${word} of ${Math.floor(index / 2)}`, count: 1 };
              },
            },
            { parallelism: 4 },
          )
          .sink("counts", memorySink(target), { parallelism: 4 }),
    });
    world.fill(10_000);
    world.startCoordinator();
    await Promise.all(Array.from({ length: 4 }, () => world.startWorker()));
    await world.submit();
    const report = await world.finished();
    expect(report.generations).toEqual([1, 3]);
    const expected = world.logs.flatMap((log, i) =>
      Array.from({ length: log.length }, (_, at) => `${log.at(at)} of ${i}`),
    );
    expect(world.target.committed.map(({ word }) => word).sort()).toEqual(expected.sort());
  });

  test("what came while no worker was there is caught up with", async () => {
    world = new MemoryWorld({ bounded: false });
    world.fill(2000);
    world.startCoordinator();
    const workers = await Promise.all([world.startWorker(), world.startWorker()]);
    await world.submit();
    await world.checkpoints(1);
    for (const worker of workers) world.cutOff(worker);
    await world.comesTo("it waits for workers", ({ phase }) => phase === "waiting");
    world.fill(20_000);
    await Promise.all([world.startWorker(), world.startWorker()]);
    await world.allCommitted();
  });

  test("falls back to its checkpoint although a savepoint is newer", async () => {
    world = new MemoryWorld({ bounded: false, interval: "1 h" });
    const reads = (records: number) =>
      world.comesTo(`${records} records are read`, ({ subtasks }) => {
        const sources = subtasks.filter(({ subtask }) => subtask.startsWith("log/"));
        return sources.reduce((sum, { recordsIn }) => sum + recordsIn, 0) === records;
      });
    const takes = (kind: "checkpoint" | "savepoint") =>
      world
        .client()
        .snapshot(snapshotRequest({ request: kind, kind, directory: "/savepoints" }), patientSignal());
    await world.begins(2000);
    await reads(2000);
    await takes("checkpoint");
    world.fill(1000);
    await reads(3000);
    await takes("savepoint");
    await world.replace(world.firstWorker);
    // Again, by the next generation.
    await reads(1000);
    await world.allCommitted();
  });

  test("a standby takes over from a leader that is cut off", async () => {
    world = new MemoryWorld(PACE);
    world.fill(40_000);
    const leader = world.startCoordinator();
    await Promise.all([world.startWorker(), world.startWorker()]);
    await world.submit();
    await world.checkpoints(2);
    world.startCoordinator();
    world.cutOff(leader);
    await world.finished();
    world.expectExact();
  });

  test("lost frames fail the generation, not the output (P26)", async () => {
    let frames = 0;
    world = new MemoryWorld({
      drop: (subject) => subject.includes(".channel.") && ++frames % 97 === 0 && frames < 400,
    });
    await world.begins(400_000);
    const report = await world.finished();
    expect(report.generation).toBeGreaterThan(1);
    world.expectExact();
  });

  test("lost control messages are repeated", async () => {
    let messages = 0;
    world = new MemoryWorld({ drop: (subject) => !subject.includes(".channel") && ++messages % 7 === 0 });
    await world.begins(20_000);
    await world.finished();
    world.expectExact();
  });
});
