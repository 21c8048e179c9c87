/** A process without key: state of the subtask, what goes out at its end, and what is refused. */
import { afterEach, describe, expect, test } from "vitest";
import { MemorySinkTarget, memorySink } from "../../../src/connectors/memory-sink.ts";
import { memorySource } from "../../../src/connectors/memory-source.ts";
import {
  operatorStateHandles,
  restoreOperatorStates,
} from "../../../src/dataflow/operators/unkeyed/operator-state.ts";
import { ConfigurationError } from "../../../src/errors.ts";
import {
  broadcastState,
  defineJob,
  type JobBuilder,
  operatorListState,
  operatorUnionState,
  type Stream,
  type,
  valueState,
} from "../../../src/index.ts";
import { testSink, testSource } from "../../job/connectors.ts";
import { chainOf, failureOf } from "../../support/graphs/chains.ts";
import { MemoryWorld } from "../../support/memory-world.ts";
import { until } from "../../support/until.ts";

const words = (job: JobBuilder) => job.source("words", testSource<string>());

/** The chain of the operators that `build` puts behind a source. */
function chainBehind(build: (stream: Stream<string>) => Stream<unknown>): ReturnType<typeof chainOf> {
  const job = defineJob("job", {}, (job) => build(words(job)).sink("out", testSink()));
  return chainOf(job.operators.slice(1, -1).map(({ definition }) => definition));
}

const BATCH = 3;
const batches = (stream: Stream<string>): Stream<string[]> =>
  stream.process("batch", {
    state: { buffer: operatorListState<string>() },
    output: type<string[]>(),
    onRecord(word, { state, emit }) {
      state.buffer.add(word);
      if (state.buffer.size < BATCH) return;
      emit(state.buffer.get());
      state.buffer.clear();
    },
    onEnd: ({ state }) => (state.buffer.isEmpty ? undefined : state.buffer.get()),
  });

function end(chain: ReturnType<typeof chainOf>["chain"]): void {
  const slices = chain.finish();
  while (slices.step());
}

describe("in one subtask", () => {
  test("keeps a buffer over a cut and a restore, sends the rest at the end, and keeps nothing then", () => {
    const first = chainBehind(batches);
    for (const word of ["a", "b", "c", "d", "e"]) first.chain.heads[0]!(word, 7);
    expect(first.out.out).toEqual([[["a", "b", "c"], 7]]);
    const handles = operatorStateHandles(first.chain.operatorStates, 0);
    expect(handles).toMatchObject([
      { kind: "operator", operator: "batch", state: "buffer", distribution: "list", subtaskIndex: 0 },
    ]);
    first.chain.heads[0]!("lost in the failure", 7);

    const second = chainBehind(batches);
    restoreOperatorStates(second.chain.operatorStates, handles);
    for (const word of ["f", "g"]) second.chain.heads[0]!(word, 8);
    expect(second.out.out).toEqual([[["d", "e", "f"], 8]]);
    end(second.chain);
    expect(second.out.out!.map(([value]) => value)).toEqual([["d", "e", "f"], ["g"]]);
    expect(operatorStateHandles(second.chain.operatorStates, 0)).toMatchObject([{ entries: [] }]);
  });

  test("works without state, and with side outputs", () => {
    const { chain, out } = chainBehind((stream) =>
      stream.process("shout", {
        sideOutputs: { unread: type<string>() },
        onRecord(word, { sideOutput }) {
          sideOutput("unread", word);
          return `${word}!`;
        },
      }),
    );
    chain.heads[0]!("a", 1);
    expect(out.out).toEqual([["a!", 1]]);
    expect(chain.operatorStates.get("shout")?.cut()).toEqual([]);
  });

  test("a failure names the operator; a value that is none names the state", () => {
    const { chain } = chainBehind((stream) =>
      stream.process("keep", {
        state: { all: operatorUnionState<unknown>() },
        onRecord: (word, { state }) => state.all.add(word === "null" ? null : () => word),
      }),
    );
    for (const word of ["null", "function"])
      expect(String(failureOf(() => chain.heads[0]!(word, 1)))).toMatch(
        /operator "keep" failed: a value of state "all" cannot be/,
      );
  });
});

test("a keyed process ends with onEnd for each key and then with onFinish, once", () => {
  const { chain, out } = chainBehind((stream) =>
    stream
      .keyBy((word) => word)
      .process("last", {
        state: { n: valueState(0) },
        onRecord: (_, { state }) => state.n.set(state.n.get() + 1),
        onEnd: ({ key, state }) => `${key} ${state.n.get()}`,
        onFinish({ emit }) {
          emit("flushed");
          return "bye";
        },
      }),
  );
  for (const word of ["a", "b", "a"]) chain.heads[0]!(word, 1);
  end(chain);
  const values = out.out!.map(([value]) => value);
  expect(values.slice(0, 2).sort()).toEqual(["a 2", "b 1"]);
  expect(values.slice(2)).toEqual(["flushed", "bye"]);
});

describe("refused", () => {
  const definition = { onRecord: (word: string) => word };
  test.each<[string, unknown, string]>([
    [
      "no object",
      undefined,
      "an object with state, output, sideOutputs, timestamps, open, onRecord, onEnd, close is needed",
    ],
    ["no onRecord", { state: {} }, "onRecord must be a function, got undefined"],
    ["a mistyped member", { ...definition, onend() {} }, 'no member "onend"; did you mean "onEnd"?'],
    [
      "timers",
      { ...definition, onTimer() {} },
      "has onTimer, and timers belong to keys: put keyBy in front of process",
    ],
    [
      "keyed state",
      { ...definition, state: { n: valueState(0) } },
      'state "n" is kept for each key, and this process has no key: put keyBy in front of it, or use operatorListState()',
    ],
    [
      "no descriptor",
      { ...definition, state: { n: 0 } },
      'state "n" must be made by operatorListState() or operatorUnionState(), got 0',
    ],
    [
      "an array of states",
      { ...definition, state: [operatorListState()] },
      "state must be a plain object like { buffer: operatorListState() }, got an array",
    ],
    [
      "names that differ in case",
      { ...definition, state: { all: operatorListState(), All: operatorListState() } },
      'states "all" and "All" differ only in upper and lower case',
    ],
  ])("%s", (_, given, message) => {
    const define = () =>
      defineJob("job", {}, (job) =>
        words(job)
          .process("p", given as never)
          .sink("out", testSink()),
      );
    expect(define).toThrow(ConfigurationError);
    expect(define).toThrow(`operator "p": ${message}`);
  });

  test("state without key behind keyBy", () => {
    const keyed = (job: JobBuilder) => words(job).keyBy((word) => word);
    const ways = {
      process: (job: JobBuilder, state: never) => keyed(job).process("p", { ...definition, state }),
      connect: (job: JobBuilder, state: never) =>
        keyed(job)
          .connect(job.source("others", testSource<string>()).keyBy((word) => word))
          .process("p", { state, onFirst() {}, onSecond() {} }),
      broadcast: (job: JobBuilder, state: never) =>
        keyed(job)
          .connect(job.source("rules", testSource<string>(), { parallelism: 1 }).broadcast())
          .process("p", { state, broadcast: {}, onRecord() {}, onBroadcast() {} }),
    };
    for (const way of Object.values(ways)) {
      const define = (state: object) => () =>
        defineJob("job", {}, (job) => (way(job, state as never) as Stream<unknown>).sink("out", testSink()));
      for (const state of [operatorListState(), operatorUnionState()])
        expect(define({ all: state })).toThrow(
          'operator "p": state "all" belongs to no key, and this operator is behind keyBy: use state that is kept for each key',
        );
      expect(define({ all: broadcastState() })).toThrow(
        'operator "p": state "all" is broadcast state: declare it in `broadcast`, behind connect(rules.broadcast())',
      );
    }
  });

  test("an async function, when it answers", () => {
    const { chain } = chainBehind((stream) => stream.process("p", { onRecord: async () => {} }));
    expect(String(failureOf(() => chain.heads[0]!("a", 1)))).toContain("onRecord must not be async");
  });
});

describe("in a whole job", () => {
  let world: MemoryWorld;
  afterEach(() => world.close());

  test("each record leaves its buffer once, with a worker lost on the way", async () => {
    const target = new MemorySinkTarget<string[]>();
    world = new MemoryWorld({
      recordsPerCheckpoint: 2000,
      build: (builder, world) =>
        batches(builder.source("log", world.paced(memorySource(world.logs, { until: "end" })))).sink(
          "out",
          memorySink(target),
        ),
    });
    const first = await world.begins(10_001);
    await world.checkpoints(2);
    await world.replace(first);
    await world.finished();
    const written = world.logs.flatMap((log) => Array.from({ length: log.length }, (_, i) => log.at(i)!));
    expect(target.committed.flat().sort()).toEqual(written.sort());
    expect(target.committed.filter(({ length }) => length !== BATCH).length).toBeLessThanOrEqual(2);
  });

  test("each subtask gets the union of all after a failure", async () => {
    const target = new MemorySinkTarget<string>();
    world = new MemoryWorld({
      bounded: false,
      build: (builder, world) =>
        builder
          .source("log", memorySource(world.logs))
          .process("seen", {
            state: { by: operatorUnionState<number>() },
            open: ({ subtaskIndex }) => subtaskIndex,
            onRecord(_, { state, resource, emit }) {
              emit([...new Set(state.by.get())].sort().join());
              if (!state.by.get().includes(resource)) state.by.add(resource);
            },
          })
          .sink("out", memorySink(target)),
    });
    const first = await world.begins(100);
    await until("all is committed", () => target.committed.length === 100 || undefined);
    expect(new Set(target.committed)).toEqual(new Set(["", "0", "1"]));
    await world.replace(first);
    world.fill(100);
    await until("what was replaced knows of the other", () => target.committed.includes("0,1") || undefined);
  });
});
