/**
 * Every way in which a barrier may pass a subtask, on the whole engine, behind a slow operator and with a worker lost.
 */
import { afterEach, describe, expect, test } from "vitest";
import type { CheckpointingConfig } from "../../../machines/protocol.ts";
import { memorySink } from "../../../src/connectors/memory-sink.ts";
import { memorySource } from "../../../src/connectors/memory-source.ts";
import { type } from "../../../src/index.ts";
import type { JobBuilder } from "../../../src/job/builder.ts";
import { valueState } from "../../../src/state/descriptor.ts";
import type { Count } from "../../support/graphs/word-count.ts";
import { MemoryWorld } from "../../support/memory-world.ts";

const SLOW_MS = 0.02;
const RECORDS = 40_000;

let counted = 0;

function busy(ms: number): void {
  const untilMs = performance.now() + ms;
  while (performance.now() < untilMs);
}

/** Two hops with records on their way: sources to the slow counts, over a rebalance in between. */
function countSlowly(builder: JobBuilder, { logs, target }: MemoryWorld): void {
  builder
    .source("log", memorySource(logs, { until: "end" }))
    .rebalance()
    .map("look", (word) => word)
    .keyBy((word) => word)
    .process("count", {
      state: { count: valueState(0) },
      output: type<Count>(),
      onRecord(word, { state, emit }) {
        busy(SLOW_MS);
        counted++;
        state.count.set(state.count.get() + 1);
        emit({ word, count: state.count.get() });
      },
    })
    .sink("counts", memorySink(target));
}

interface Completed {
  readonly persistedInFlightBytes: number;
}

const completed = (world: MemoryWorld) =>
  world.events.filter((event) => event.role === "coordinator") as unknown as Completed[];

describe("barriers on the engine", () => {
  let world: MemoryWorld;

  afterEach(async () => {
    await world.close();
  });

  async function runWithALoss(checkpointing: Partial<CheckpointingConfig>): Promise<void> {
    world = new MemoryWorld({ build: countSlowly, checkpointing });
    const first = await world.begins(RECORDS);
    await world.checkpoints(1);
    await world.replace(first);
    const report = await world.finished();
    expect(report.generation).toBeGreaterThan(1);
  }

  test.each<Partial<CheckpointingConfig>>([
    {},
    { unaligned: true },
    { unaligned: true, alignedTimeoutMs: 30 },
  ])("exactly once, with a worker lost: %j", async (checkpointing) => {
    await runWithALoss(checkpointing);
    world.expectExact();
    const stored = completed(world).filter(({ persistedInFlightBytes }) => persistedInFlightBytes > 0);
    if (checkpointing.unaligned) expect(stored.length).toBeGreaterThan(0);
    else expect(stored).toEqual([]);
  });

  test("at least once, with a worker lost: nothing is missing", async () => {
    await runWithALoss({ mode: "at-least-once" });
    const highest = new Map<string, number>();
    for (const { word, count } of world.target.committed)
      highest.set(word, Math.max(count, highest.get(word) ?? 0));
    const expected = new Map<string, number>();
    for (const log of world.logs)
      for (let i = 0; i < log.length; i++) expected.set(log.at(i)!, (expected.get(log.at(i)!) ?? 0) + 1);
    for (const [word, count] of expected) expect(highest.get(word)).toBeGreaterThanOrEqual(count);
    expect(world.crashes).toEqual([]);
  });

  test("an unaligned checkpoint completes while an aligned one would still wait", async () => {
    const [aligned, unaligned] = [await recordsAhead(false), await recordsAhead(true)];
    expect(unaligned).toBeLessThan(aligned / 2);
  });

  /** How many records are counted between the first cut of a checkpoint, at a source, and its last: the most of any. */
  async function recordsAhead(unaligned: boolean): Promise<number> {
    world = new MemoryWorld({ build: countSlowly, checkpointing: { unaligned } });
    const before = new Map<unknown, number>();
    let most = 0;
    world.onEvent = ({ role, effects, checkpointId }) => {
      if (role !== "subtask" || !effects.includes("take.snapshot")) return;
      if (!before.has(checkpointId)) before.set(checkpointId, counted);
      most = Math.max(most, counted - before.get(checkpointId)!);
    };
    await world.begins(RECORDS / 2);
    await world.finished();
    world.expectExact();
    await world.close();
    return most;
  }
});
