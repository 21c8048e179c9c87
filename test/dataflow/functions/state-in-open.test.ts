/** State that belongs to no key, as `open` finds it: restored, and to be changed before the first record. */
import { afterEach, describe, expect, expectTypeOf, test } from "vitest";
import { MemorySinkTarget, memorySink } from "../../../src/connectors/memory-sink.ts";
import { MemoryLog, memorySource } from "../../../src/connectors/memory-source.ts";
import {
  operatorStateHandles,
  restoreOperatorStates,
} from "../../../src/dataflow/operators/unkeyed/operator-state.ts";
import {
  broadcastState,
  defineJob,
  type JobBuilder,
  operatorListState,
  operatorUnionState,
  type Stream,
} from "../../../src/index.ts";
import { Troubles } from "../../../src/observe/troubles.ts";
import { testSink, testSource } from "../../job/connectors.ts";
import { chainOf } from "../../support/graphs/chains.ts";
import { ManualClock } from "../../support/manual-clock.ts";
import { MemoryWorld } from "../../support/memory-world.ts";
import { until } from "../../support/until.ts";

/** The chain of the one operator that `build` adds. */
function chainWith(build: (job: JobBuilder) => Stream<unknown>): ReturnType<typeof chainOf> {
  const job = defineJob("job", {}, (builder) => build(builder).sink("out", testSink()));
  return chainOf(job.operators.map(({ definition }) => definition).filter(({ id }) => id === "op"));
}

type Chain = ReturnType<typeof chainOf>["chain"];

const open = (chain: Chain) => {
  const clock = new ManualClock();
  return chain.open({ clock, signal: new AbortController().signal, troubles: new Troubles(clock) });
};

/** A chain whose state is what `before` holds. */
function restoredFrom(before: Chain, build: () => ReturnType<typeof chainOf>): ReturnType<typeof chainOf> {
  const after = build();
  restoreOperatorStates(after.chain.operatorStates, operatorStateHandles(before.operatorStates, 0));
  return after;
}

const words = (job: JobBuilder) => job.source("words", testSource<string>());

describe("in one subtask", () => {
  const kept = () =>
    chainWith((job) =>
      words(job).process("op", {
        state: { all: operatorUnionState<string>(), last: operatorListState<number>() },
        async open({ state, subtaskIndex }) {
          expectTypeOf(state.all.get()).toEqualTypeOf<string[]>();
          expectTypeOf(state.last.get()).toEqualTypeOf<number[]>();
          const found = [...state.all];
          // What comes behind a wait still comes before the first record.
          await Promise.resolve();
          state.all.set(found.filter((word) => word < "c"));
          state.last.add(subtaskIndex);
          return found;
        },
        onRecord(word, { state, resource, emit }) {
          state.all.add(word);
          emit(`opened with [${resource}], now [${state.all.get()}] and ${state.last.size}`);
        },
      }),
    );

  test("a new job's is empty, a restored one's is there, and what open leaves is what records find and cuts hold", async () => {
    const first = kept();
    await open(first.chain);
    for (const word of ["a", "d", "b"]) first.chain.heads[0]!(word, 1);
    expect(first.out.out!.at(-1)).toEqual(["opened with [], now [a,d,b] and 1", 1]);
    const second = restoredFrom(first.chain, kept);
    await open(second.chain);
    second.chain.heads[0]!("e", 2);
    expect(second.out.out).toEqual([["opened with [a,d,b], now [a,b,e] and 2", 2]]);
    const third = restoredFrom(second.chain, kept);
    await open(third.chain);
    third.chain.heads[0]!("f", 3);
    expect(third.out.out).toEqual([["opened with [a,b,e], now [a,b,f] and 3", 3]]);
  });

  test("a value that is none fails open, by the names of operator and state", async () => {
    const { chain } = chainWith((job) =>
      words(job).process("op", {
        state: { all: operatorUnionState<unknown>() },
        open: ({ state }) => state.all.add(null),
        onRecord() {},
      }),
    );
    await expect(open(chain)).rejects.toThrow(
      'operator "op" failed: open of subtask 0: a value of state "all" cannot be null: that is no value',
    );
  });

  test("broadcast state is there to read, and refuses a change", async () => {
    const compiled = (misuse: boolean) =>
      chainWith((job) =>
        words(job)
          .keyBy((word) => word)
          .connect(job.source("rules", testSource<string>(), { parallelism: 1 }).broadcast())
          .process("op", {
            state: {},
            broadcast: { rules: broadcastState<string, number>() },
            open({ broadcast }) {
              expectTypeOf(broadcast.rules.get("a")).toEqualTypeOf<number | undefined>();
              if (misuse) (broadcast.rules as unknown as Map<string, number>).set("x", 1);
              return [...broadcast.rules.keys()];
            },
            onRecord: (_, { resource, emit }) => emit(resource.join()),
            onBroadcast: (rule, { broadcast }) => broadcast.rules.set(rule, 1),
          }),
      );
    const first = compiled(false);
    await open(first.chain);
    for (const rule of ["a", "b"]) first.chain.heads[1]!(rule, 1);
    const second = restoredFrom(first.chain, () => compiled(false));
    await open(second.chain);
    second.chain.heads[0]!("word", 2);
    expect(second.out.out).toEqual([["a,b", 2]]);
    await expect(open(compiled(true).chain)).rejects.toThrow(
      'open of subtask 0: set was called on broadcast state "rules" outside of onBroadcast',
    );
  });
});

describe("in a whole job", () => {
  let world: MemoryWorld;
  afterEach(() => world.close());

  test("each subtask keeps its part of a union, so that no failure makes the state grow", async () => {
    const target = new MemorySinkTarget<string>();
    const log = new MemoryLog<number>();
    world = new MemoryWorld({
      bounded: false,
      build: (builder) =>
        builder
          .source("log", memorySource([log]))
          .rebalance()
          .process("seen", {
            state: { by: operatorUnionState<{ readonly owner: number; readonly value: number }>() },
            open({ state, subtaskIndex, parallelism }) {
              state.by.set(state.by.get().filter(({ owner }) => owner % parallelism === subtaskIndex));
              return subtaskIndex;
            },
            onRecord(value, { state, resource: owner, emit }) {
              state.by.add({ owner, value });
              emit(`${owner} has ${state.by.size}`);
            },
          })
          .sink("out", memorySink(target)),
    });
    let lost = await world.begins(0);
    for (const round of [1, 2, 3]) {
      for (let i = 0; i < 4; i++) log.append(i);
      await until(`round ${round}`, () => target.committed.length === 4 * round || undefined);
      const last = target.committed.slice(-4).sort();
      expect(last).toEqual(
        [0, 1].flatMap((owner) => [2 * round - 1, 2 * round].map((n) => `${owner} has ${n}`)),
      );
      await world.replace(lost);
      lost = world.lastWorker;
      await world.runs();
    }
  });
});
