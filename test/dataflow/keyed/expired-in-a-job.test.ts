/** Values that have expired: the report tells those that are still there until the last one is gone. */
import { afterEach, expect, test } from "vitest";
import { MemorySinkTarget, memorySink } from "../../../src/connectors/memory-sink.ts";
import { MemoryLog, memorySource } from "../../../src/connectors/memory-source.ts";
import type { JobReport } from "../../../src/control/messages.ts";
import { boundedOutOfOrderness, mapState, valueState } from "../../../src/index.ts";
import { MemoryWorld } from "../../support/memory-world.ts";

interface Visit {
  readonly user: number;
  readonly at: number;
}

const USERS = 200;
/** So long does it take to work one value off, so that reports come in between. */
const SLOW_MS = 5;

let world: MemoryWorld;

afterEach(() => world.close());

function figuresOf({ subtasks }: JobReport, state: string) {
  const found = subtasks
    .flatMap(({ operators }) => operators.flatMap(({ expiring = [] }) => expiring))
    .filter((one) => one.state === state);
  const sum = (of: (one: (typeof found)[number]) => number) => found.reduce((all, one) => all + of(one), 0);
  return {
    values: sum(({ values }) => values),
    expired: sum(({ expired }) => expired),
    bytes: sum(({ expiredBytes = 0 }) => expiredBytes),
  };
}

test("a jump of the watermark leaves expired values, which are told by state, and go", async () => {
  const log = new MemoryLog<Visit>();
  for (let user = 0; user < USERS; user++) log.append({ user, at: 1000 });
  world = new MemoryWorld({
    parallelism: 2,
    bounded: false,
    build(builder) {
      builder
        .source("visits", memorySource([log]), {
          timestamp: ({ at }) => at,
          watermarks: boundedOutOfOrderness(0),
          watermarkInterval: 0,
          parallelism: 1,
        })
        .keyBy(({ user }) => user)
        .process("seen", {
          state: {
            last: valueState(0, { ttl: { after: 500, time: "event" } }),
            days: mapState<string, number>({ ttl: { after: "1 d", time: "event" } }),
            total: valueState(0),
          },
          onRecord({ at }, { state }) {
            state.last.set(at);
            state.days.set("first", at);
            state.total.set(state.total.get() + 1);
          },
          onExpire() {
            for (const end = performance.now() + SLOW_MS; performance.now() < end; );
          },
        })
        .sink("out", memorySink(new MemorySinkTarget<unknown>()));
    },
  });
  await world.begins(0);
  const present = await world.comesTo("all values", (report) => figuresOf(report, "last").values === USERS);
  expect(figuresOf(present, "last").expired).toBe(0);
  expect(figuresOf(present, "total").values).toBe(0);
  // What a value takes is known from the checkpoints.
  await world.checkpoints(2);
  log.append({ user: 0, at: 10_000 });
  const behind = await world.comesTo("expired values", (report) => figuresOf(report, "last").expired > 0);
  const { values, expired, bytes } = figuresOf(behind, "last");
  expect(expired).toBeLessThanOrEqual(values);
  expect(bytes).toBeGreaterThan(expired * 8);
  expect(figuresOf(behind, "days")).toMatchObject({ values: USERS, expired: 0 });
  const after = await world.comesTo("the last one has gone", (report) => {
    const now = figuresOf(report, "last");
    return now.values === 1 && now.expired === 0;
  });
  expect(figuresOf(after, "days").values).toBe(USERS);
});
