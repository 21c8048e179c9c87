/** P92: `forEachKey` in a job with checkpoints: each rule counts once for each key, with a worker lost on the way. */
import { afterEach, expect, test } from "vitest";
import { MemorySinkTarget, memorySink } from "../../../src/connectors/memory-sink.ts";
import { MemoryLog, memorySource } from "../../../src/connectors/memory-source.ts";
import { broadcastState, valueState } from "../../../src/index.ts";
import { MemoryWorld } from "../../support/memory-world.ts";

const KEYS = 200;
const RULES = 300;
/** Far behind the keys, so that all of them are there when the rules come. */
const ALL_KEYS = 4000;

let world: MemoryWorld;

afterEach(() => world.close());

test("each rule is applied once to each key that is there, in order, with a worker lost on the way", async () => {
  const target = new MemorySinkTarget<{
    readonly key: number;
    readonly applied: number;
    readonly fold: number;
  }>();
  const numbers = new MemoryLog<number>();
  for (let i = 0; i < ALL_KEYS + RULES; i++) numbers.append(i);
  world = new MemoryWorld({
    recordsPerCheckpoint: 500,
    build(builder, created) {
      const read = (id: string) =>
        builder.source(id, created.paced(memorySource([numbers], { until: "end" })), { parallelism: 1 });
      read("keys")
        .keyBy((number) => number % KEYS)
        .connect(read("rules").broadcast())
        .process("applied", {
          state: { seen: valueState({ values: 0, applied: 0, fold: 0 }) },
          broadcast: { last: broadcastState<string, number>() },
          onRecord(_, { state }) {
            const { values, ...rest } = state.seen.get();
            state.seen.set({ ...rest, values: values + 1 });
          },
          onBroadcast(rule, { broadcast, forEachKey }) {
            broadcast.last.set("rule", rule);
            forEachKey("seen", (_, seen) => {
              if (rule < ALL_KEYS) return;
              const { values, applied, fold } = seen.get();
              seen.set({ values, applied: applied + 1, fold: (fold * 31 + rule) % 1_000_003 });
            });
          },
          onEnd: ({ key, state }) => {
            const { applied, fold } = state.seen.get();
            return { key, applied, fold };
          },
        })
        .sink("out", memorySink(target));
    },
  });
  const first = await world.begins(0);
  await world.checkpoints(2);
  await world.replace(first);
  await world.finished();
  let fold = 0;
  for (let rule = ALL_KEYS; rule < ALL_KEYS + RULES; rule++) fold = (fold * 31 + rule) % 1_000_003;
  expect([...target.committed].sort((a, b) => a.key - b.key)).toEqual(
    Array.from({ length: KEYS }, (_, key) => ({ key, applied: RULES, fold })),
  );
});
