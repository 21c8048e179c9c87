/** The clock of an operator in a whole job whose workers are lost (P96). */
import { setTimeout as passes } from "node:timers/promises";
import { afterEach, expect, test } from "vitest";
import { MemorySinkTarget, memorySink } from "../../../../src/connectors/memory-sink.ts";
import { MemoryLog, memorySource } from "../../../../src/connectors/memory-source.ts";
import { ascendingTimestamps } from "../../../../src/index.ts";
import { MemoryWorld } from "../../../support/memory-world.ts";
import { until } from "../../../support/until.ts";

interface Seen {
  readonly at: number;
  readonly clockMs: number;
  readonly wallMs: number;
}

const DOWN_MS = 1_500;
const HOUR_MS = 3_600_000;

let world: MemoryWorld;

afterEach(() => world.close());

test.each([["resume"], [undefined]] as const)(
  "replayClock %s: where it is after a downtime, and when event time has caught up",
  async (replayClock) => {
    const log = new MemoryLog<number>();
    const target = new MemorySinkTarget<Seen>();
    world = new MemoryWorld({
      parallelism: 1,
      bounded: false,
      build: (builder) =>
        builder
          .source("log", memorySource([log]), {
            timestamp: (at) => at,
            watermarks: ascendingTimestamps(),
            watermarkInterval: 0,
          })
          .keyBy(() => "all")
          .process("look", {
            state: {},
            ...(replayClock && { replayClock }),
            onRecord: (at, { currentProcessingTime }): Seen => ({
              at,
              clockMs: currentProcessingTime,
              wallMs: Date.now(),
            }),
          })
          .sink("out", memorySink(target)),
    });
    const seen = (at: number) =>
      until(`record ${at}`, () => target.committed.find((one) => one.at === at), {
        everyMs: 5,
        describe: () => JSON.stringify(target.committed),
      });
    world.startCoordinator();
    const worker = await world.startWorker();
    await world.submit();
    log.append(0);
    const first = await seen(0);
    expect(first.clockMs).toBeLessThanOrEqual(first.wallMs);
    expect(first.wallMs - first.clockMs).toBeLessThan(100);
    world.cutOff(worker);
    await passes(DOWN_MS);
    await world.startWorker();
    log.append(1, HOUR_MS, HOUR_MS + 1);
    const [early, caughtUp] = [await seen(1), await seen(HOUR_MS + 1)];
    const behindMs = early.wallMs - early.clockMs;
    if (replayClock === undefined) expect(behindMs).toBeLessThan(100);
    // The last checkpoint may have been some intervals old.
    else expect(behindMs).toBeGreaterThanOrEqual(DOWN_MS - 100);
    expect(caughtUp.wallMs - caughtUp.clockMs).toBeLessThan(100);
    expect(world.crashes).toEqual([]);
  },
);
