/** Actors that send events to each other, on the whole engine over the memory twins, with workers lost. */

import { afterEach, describe, expect, test } from "vitest";
import { assign, emit, setup } from "xstate";
import type { CheckpointingConfig } from "../../../machines/protocol.ts";
import { memorySink } from "../../../src/connectors/memory-sink.ts";
import { memorySource } from "../../../src/connectors/memory-source.ts";
import type { JobBuilder } from "../../../src/job/builder.ts";
import type { Count } from "../../support/graphs/word-count.ts";
import { MemoryWorld, type WorldOptions } from "../../support/memory-world.ts";
import { until } from "../../support/until.ts";

/** A walk from key to key: `left` steps are still to go. */
interface Walk {
  readonly type: "WALK";
  readonly start: string;
  readonly key: number;
  readonly left: number;
}

const KEYS = 97;
const STEPS = 200;
const WALKS = 100;

const next = (walk: Walk): Walk => ({ ...walk, key: (walk.key * 7 + 3) % KEYS, left: walk.left - 1 });

const walker = setup({
  types: {
    events: {} as Walk,
    context: {} as { visits: number },
    emitted: {} as Walk | { type: "visited"; start: string; left: number },
  },
  actions: {
    visit: assign({ visits: ({ context }) => context.visits + 1 }),
    tell: emit(({ event }) => ({ type: "visited", start: event.start, left: event.left })),
    passOn: emit(({ event }) => next(event)),
  },
  guards: { isThere: ({ event }) => event.left === 0 },
}).createMachine({
  context: { visits: 0 },
  on: { WALK: [{ guard: "isThere", actions: ["visit", "tell"] }, { actions: ["visit", "tell", "passOn"] }] },
});

/** One record for each step of each walk. */
function walks(builder: JobBuilder, { logs, target, bounded }: MemoryWorld): void {
  builder
    .source("log", memorySource(logs, bounded ? { until: "end" } : {}))
    .map("walk", (start): Walk => ({ type: "WALK", start, key: Number(start) % KEYS, left: STEPS }))
    .keyBy(({ key }) => key)
    .machine("walker", {
      machine: walker,
      addressee: (event) => (event.type === "WALK" ? event.key : undefined),
      emit: (event): Count | undefined =>
        event.type === "visited" ? { word: event.start, count: event.left } : undefined,
      effect: () => undefined,
    })
    .sink("counts", memorySink(target));
}

describe("actors that send events to each other", () => {
  let world: MemoryWorld;

  afterEach(() => world.close());

  function fill(): void {
    const from = world.logs.reduce((sum, log) => sum + log.length, 0);
    for (let n = from; n < from + WALKS; n++) world.logs[n % 2]!.append(String(n));
  }

  async function start(options: WorldOptions): Promise<void> {
    world = new MemoryWorld({ ...options, build: walks, iterations: "exact" });
    fill();
    world.startCoordinator();
    await Promise.all([world.startWorker(), world.startWorker()]);
    await world.submit();
  }

  /** Each step of each walk, once. */
  function expectExact(): void {
    const steps = new Map<string, number[]>();
    for (const { word, count } of world.target.committed) {
      const known = steps.get(word) ?? [];
      known.push(count);
      steps.set(word, known);
    }
    const wanted = Array.from({ length: STEPS + 1 }, (_, left) => left);
    expect(steps.size).toBe(world.logs.reduce((sum, log) => sum + log.length, 0));
    for (const found of steps.values()) expect(found.sort((a, b) => a - b)).toEqual(wanted);
    expect(world.crashes).toEqual([]);
  }

  test("a bounded job ends when no event is on its way", async () => {
    await start({});
    await world.finished();
    expectExact();
  });

  test.each<Partial<CheckpointingConfig>>([{}, { unaligned: true }])(
    "exact, with workers lost: %j",
    async (checkpointing) => {
      await start({ checkpointing, bounded: false });
      const over = () => world.events.filter(({ role }) => role === "coordinator");
      for (let lost = 0; lost < 2; lost++) {
        fill();
        await world.checkpoints(over().length + 2);
        const { generation } = await world.record();
        await world.replace(world.lastWorker);
        await world.comesTo("the next generation runs", (report) => report.generation > generation);
        await world.runs();
      }
      await until(
        "all is committed",
        () => world.target.committed.length >= 3 * WALKS * (STEPS + 1) || undefined,
        { everyMs: 5, describe: () => `${world.target.committed.length}` },
      );
      expect((await world.record()).generation).toBeGreaterThan(2);
      expectExact();
    },
  );
});
