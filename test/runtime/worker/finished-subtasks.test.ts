/**
 * One of two inputs has ended, the other goes on: whether checkpoints do is for checkpointing.afterTasksFinish to say.
 */
import { setTimeout as passes } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { memorySink } from "../../../src/connectors/memory-sink.ts";
import { memorySource } from "../../../src/connectors/memory-source.ts";
import type { SnapshotRequest } from "../../../src/control/messages.ts";
import type { Source } from "../../../src/dataflow/source.ts";
import { operatorUnionState, type, valueState } from "../../../src/index.ts";
import type { Count } from "../../support/graphs/word-count.ts";
import { MemoryWorld, snapshotRequest } from "../../support/memory-world.ts";
import { patientSignal } from "../../support/suite/patience.ts";

/** Gives nothing out before it is opened. */
class Gate {
  #open = false;
  readonly #readers = new Set<() => void>();

  open(): void {
    this.#open = true;
    for (const wake of this.#readers) wake();
  }

  /** @param isHeld whether it holds this subtask */
  hold<T>(source: Source<T>, isHeld: (subtaskIndex: number) => boolean = () => true): Source<T> {
    return {
      ...source,
      open: async (environment, splits) => {
        const reader = await source.open(environment, splits);
        if (!isHeld(environment.subtaskIndex)) return reader;
        return {
          poll: (collect, recordsMax) => (this.#open ? reader.poll(collect, recordsMax) : "idle"),
          onAvailable: (wake) => {
            this.#readers.add(wake);
            reader.onAvailable(wake);
          },
          describePosition: () => reader.describePosition(),
          snapshot: () => reader.snapshot(),
          checkpointCompleted: (positions) => reader.checkpointCompleted(positions),
          close: () => reader.close(),
        };
      },
    };
  }
}

const EXPIRES_MS = 50;

let world: MemoryWorld;
let gate: Gate;
let asked = 0;
afterEach(() => world.close());

/** The first log is read to its end, the second one waits. */
async function started(afterTasksFinish: boolean): Promise<void> {
  gate = new Gate();
  world = new MemoryWorld({
    interval: "20 ms",
    checkpointing: { afterTasksFinish },
    build(builder, { logs, target }) {
      const [short, long] = logs.map((log) => memorySource([log], { until: "end" }));
      builder
        .source("short", short!, { parallelism: 1 })
        .union(builder.source("long", gate.hold(long!), { parallelism: 1 }))
        .map("one", (word): Count => ({ word, count: 1 }))
        .keyBy(({ word }) => word)
        .reduce("sum", (sum, one) => ({ word: sum.word, count: sum.count + one.count }))
        .sink("counts", memorySink(target));
    },
  });
  await world.begins(2000);
}

const takes = (some: Partial<SnapshotRequest> = {}) =>
  world
    .client()
    .snapshot(
      snapshotRequest({ request: `r${++asked}`, kind: "savepoint", directory: "/savepoints", ...some }),
      patientSignal(),
    );

const shortHasEnded = () =>
  world.comesTo("the short source has ended", ({ subtasks }) =>
    subtasks.some(({ subtask, state }) => subtask.startsWith("short/") && state.includes("input.ended")),
  );

const triggered = () => world.events.filter(({ effects }) => effects.includes("start.checkpoint")).length;

describe("when one of two subtasks with union list state has finished (P83)", () => {
  test("no checkpoint completes, why is told, and the job ends exactly when the other one has, too", async () => {
    gate = new Gate();
    world = new MemoryWorld({
      interval: "20 ms",
      build(builder, { logs, target }) {
        builder
          .source(
            "log",
            gate.hold(memorySource(logs, { until: "end" }), (index) => index === 1),
          )
          .process("last", {
            state: { seen: operatorUnionState<number>() },
            onRecord(word, { state }): Count {
              const count = (state.seen.get().at(-1) ?? 0) + 1;
              state.seen.set([count]);
              return { word, count };
            },
          })
          .map("one", ({ word }): Count => ({ word, count: 1 }))
          .keyBy(({ word }) => word)
          .reduce("sum", (sum, one) => ({ word: sum.word, count: sum.count + one.count }))
          .sink("counts", memorySink(target));
      },
    });
    await world.begins(2000);
    await world.comesTo("one subtask has ended", ({ subtasks }) =>
      subtasks.some(({ subtask, state }) => subtask.startsWith("log/") && state.includes("input.ended")),
    );
    const why =
      "operator last has union list state, and its subtask log/0 has finished while log/1 has not: no checkpoint " +
      "completes until all of its subtasks have";
    await expect(takes({ kind: "checkpoint" })).rejects.toThrow(why);
    await expect(takes()).rejects.toThrow(why);
    const completed = (await world.record()).checkpoints.length;
    const before = triggered();
    await world.comesTo("more are tried, and none counts as a failure", () => triggered() > before + 3);
    expect((await world.record()).checkpoints).toHaveLength(completed);
    expect((await world.record()).status).toBe("running");
    gate.open();
    await world.finished();
    world.expectExact();
  });
});

describe("when a subtask is restored that has finished", () => {
  test("no value of it expires any more, which its end has told already", async () => {
    gate = new Gate();
    world = new MemoryWorld({
      interval: "20 ms",
      build(builder, { logs, target }) {
        const [short, long] = logs.map((log) => memorySource([log], { until: "end" }));
        const options = { parallelism: 1 };
        const lasting = builder.source("long", gate.hold(long!), options);
        builder
          .source("short", short!, options)
          .keyBy((word) => word)
          .process(
            "seen",
            {
              state: { count: valueState(0, { ttl: { after: EXPIRES_MS, time: "processing" } }) },
              output: type<Count>(),
              onRecord: (_, { state }) => state.count.set(state.count.get() + 1),
              onExpire: ({ value }, { key }) => ({ word: key, count: value }),
              onEnd({ key, state }) {
                const count = state.count.get();
                return count === 0 ? undefined : { word: key, count };
              },
            },
            options,
          )
          .union(lasting.map("one", (word): Count => ({ word, count: 1 }), options))
          .sink("counts", memorySink(target), options);
      },
    });
    world.fill(200);
    world.startCoordinator();
    const worker = await world.startWorker();
    await world.submit();
    await shortHasEnded();
    await takes({ kind: "checkpoint" });
    world.cutOff(worker);
    await passes(2 * EXPIRES_MS);
    await world.startWorker();
    await world.runs();
    await takes({ kind: "checkpoint" });
    gate.open();
    await world.finished();
    const records = world.target.committed.reduce((sum, { count }) => sum + count, 0);
    expect(records).toBe(200);
  });
});

describe("when one of two sources has ended", () => {
  test("checkpoints go on, and what it has given out is committed meanwhile", async () => {
    await started(true);
    await shortHasEnded();
    await takes({ kind: "checkpoint" });
    expect(world.target.committed).toHaveLength(world.logs[0]!.length);
    const before = triggered();
    await world.comesTo("the interval goes on", () => triggered() > before + 2);
    gate.open();
    await world.finished();
    world.expectExact();
  });

  describe("and afterTasksFinish is false", () => {
    test("none begins until the last one, which commits everything; why is said", async () => {
      await started(false);
      const { checkpoints } = await world.comesTo(
        "checkpoints are held back",
        (report) => report.checkpoints.hold !== "" && report.checkpoints.pending.length === 0,
      );
      expect(checkpoints.hold).toMatch(/some subtasks have finished.*afterTasksFinish is false/);
      expect(world.events).toContainEqual(expect.objectContaining({ hold: "some-subtasks-ended" }));
      const before = triggered();
      // A pause of ten intervals: silence cannot be waited for.
      await new Promise((resolve) => setTimeout(resolve, 200));
      expect(triggered()).toBe(before);
      gate.open();
      await world.finished();
      expect(triggered()).toBe(before + 1);
      world.expectExact();
    });

    test("savepoints and stops are refused in words, and the job goes on", async () => {
      await started(false);
      await world.comesTo("checkpoints are held back", (report) => report.checkpoints.hold !== "");
      for (const next of ["go-on", "stop", "cancel"] as const)
        await expect(takes({ followedBy: next })).rejects.toThrow(
          /some subtasks have finished.*afterTasksFinish/,
        );
      await expect(takes({ kind: "checkpoint" })).rejects.toThrow(/some subtasks have finished/);
      await world.runs();
      gate.open();
      await world.finished();
      world.expectExact();
    });

    test("a job that is drained or suspended ends all the same, and nothing is lost", async () => {
      await started(false);
      await world.comesTo("checkpoints are held back", (report) => report.checkpoints.hold !== "");
      await world.client().suspend("words");
      await world.ends("suspended");
      await world.submit();
      await world.comesTo("checkpoints are held back", (report) => report.checkpoints.hold !== "");
      await takes({ followedBy: "drain" });
      await world.ends("stopped");
      expect(world.target.committed).toHaveLength(world.logs[0]!.length);
      expect(world.crashes).toEqual([]);
    });
  });
});
