/** OC1 to OC4: what a chain does with records, failures, cuts and the end of input. */
import { describe, expect, test } from "vitest";
import { buildChain, type Chain } from "../../src/dataflow/chain.ts";
import type { OperatorDefinition } from "../../src/dataflow/operators/contract.ts";
import { REDUCE_STATE } from "../../src/dataflow/operators/keyed/reduce.ts";
import type { SinkWriter } from "../../src/dataflow/sink.ts";
import { NO_TIMESTAMP } from "../../src/dataflow/source.ts";
import { InvariantError, OperatorError, RecordRefusedError } from "../../src/errors.ts";
import { valueState } from "../../src/state/descriptor.ts";
import { chainOf, counting, failureOf, keyOf } from "../support/graphs/chains.ts";
import {
  filter,
  flatMap,
  leadingTo,
  map,
  process,
  reduce,
  sink,
  source,
} from "../support/graphs/operators.ts";

describe("records", () => {
  test("pass through map, filter and flatMap with their timestamps", () => {
    const { chain, out } = chainOf([
      map("double", (n: number) => n * 2),
      filter("some", (n: number) => n % 4 === 0),
      flatMap("twice", (n: number) => [n, -n]),
    ]);
    for (let n = 1; n <= 4; n++) chain.heads[0]!(n, n * 100);
    expect(out.out).toEqual([
      [4, 200],
      [-4, 200],
      [8, 400],
      [-8, 400],
    ]);
  });

  test("come from any iterable of a flatMap", () => {
    const { chain, out } = chainOf([
      flatMap("words", function* (line: string) {
        yield* line.split(" ");
        yield* new Set(["a", "b"]);
      }),
    ]);
    chain.heads[0]!("x y", 1);
    expect(out.out!.map(([value]) => value)).toEqual(["x", "y", "a", "b"]);
  });

  test("of a source vertex enter behind the source", () => {
    const { chain, out } = chainOf([source("numbers"), map("double", (n: number) => n * 2), sink("results")]);
    chain.heads[0]!(3, 5);
    expect(out.results).toEqual([[6, 5]]);
  });

  test.each([1, 2, 3, 5])("go to all of %i targets, by reference", (targets) => {
    const ids = Array.from({ length: targets }, (_, i) => `s${i}`);
    const { chain, out } = chainOf([
      leadingTo(
        map("same", (value) => value),
        ids.map((_, i) => i + 1),
        ["e1", "e2"],
      ),
      ...ids.map((id) => leadingTo(sink(id), [])),
    ]);
    const record = { n: 1 };
    chain.heads[0]!(record, 7);
    for (const id of [...ids, "e1", "e2"]) {
      expect(out[id]).toEqual([[record, 7]]);
      expect(out[id]![0]![0]).toBe(record);
    }
  });

  test("go nowhere without targets", () => {
    const { chain } = chainOf([
      leadingTo(
        map("same", (value) => value),
        [],
      ),
    ]);
    chain.heads[0]!(1, 1);
  });

  test("of one key share their state; emit keeps the record's timestamp", () => {
    const { chain, out } = chainOf([counting()]);
    for (const [i, key] of ["a", "b", "a", 1, "1", "a"].entries()) chain.heads[0]!(key, i);
    expect(out.out).toEqual([
      ["a=1", 0],
      ["b=1", 1],
      ["a=2", 2],
      ["1=1", 3],
      ["1=1", 4],
      ["a=3", 5],
    ]);
  });

  test("reduce to an aggregate that begins with the first value, undefined included", () => {
    const { chain, out } = chainOf([
      reduce(
        "list",
        () => "all",
        (aggregate, value) => `${aggregate},${value}`,
      ),
    ]);
    for (const value of [undefined, 1, 2]) chain.heads[0]!(value, 0);
    expect(out.out!.map(([value]) => value)).toEqual([undefined, "undefined,1", "undefined,1,2"]);
  });
});

describe("a failure names its operator (OC2)", () => {
  const boom = (): never => {
    throw new TypeError("boom");
  };
  const cases: [string, OperatorDefinition][] = [
    ["map", map("bad", boom)],
    ["filter", filter("bad", boom)],
    ["flatMap", flatMap("bad", boom)],
    [
      "flatMap that fails late",
      flatMap("bad", function* () {
        yield 1;
        boom();
      }),
    ],
    ["flatMap of nothing", flatMap("bad", () => undefined as never)],
    ["process", process("bad", keyOf, { state: {}, onRecord: boom })],
    ["key selector", reduce("bad", boom, () => 1)],
    [
      "key that is none",
      reduce(
        "bad",
        () => ({}) as never,
        () => 1,
      ),
    ],
    ["async process", process("bad", keyOf, { state: {}, onRecord: async () => {} })],
  ];
  const emitters: [string, OperatorDefinition][] = [
    ["map", map("up", (value) => value)],
    ["flatMap", flatMap("up", (value) => [value])],
    [
      "generator",
      flatMap("up", function* (value) {
        yield value;
      }),
    ],
    ["process", process("up", keyOf, { state: {}, onRecord: (value: unknown, { emit }) => emit(value) })],
  ];

  test.each(cases)("%s", (_, operator) => {
    const error = failureOf(() => chainOf([operator]).chain.heads[0]!("record", 0));
    expect(error).toBeInstanceOf(OperatorError);
    expect((error as OperatorError).operator).toBe("bad");
  });

  test.each(emitters)("also below a %s", (_, emitter) => {
    const error = failureOf(() => chainOf([emitter, map("bad", boom)]).chain.heads[0]!("record", 0));
    expect((error as OperatorError).operator).toBe("bad");
    expect((error as OperatorError).cause).toBeInstanceOf(TypeError);
  });

  test.each(emitters)("but what an edge throws is no operator's failure, below a %s", (_, emitter) => {
    const failure = new Error("channel");
    const output = () => () => {
      throw failure;
    };
    expect(failureOf(() => chainOf([emitter], { output }).chain.heads[0]!("record", 0))).toBe(failure);
  });

  test("a refused record is the sink's", () => {
    const writer = () =>
      ({
        write: () => {
          throw new RecordRefusedError("subject is not literal");
        },
      }) as unknown as SinkWriter<unknown>;
    const error = failureOf(() =>
      chainOf([map("same", (v) => v), sink("s")], { writer }).chain.heads[0]!(1, 0),
    );
    expect((error as OperatorError).operator).toBe("s");
    expect((error as OperatorError).cause).toBeInstanceOf(RecordRefusedError);
  });

  test("and cannot be swallowed by the operator that emits", () => {
    const swallowing = process("up", keyOf, {
      state: {},
      onRecord(value: unknown, { emit }) {
        try {
          emit(value);
        } catch {}
      },
    });
    const error = failureOf(() => chainOf([swallowing, map("bad", boom)]).chain.heads[0]!("record", 0));
    expect(String(error)).toMatch(/"up" failed: the function caught an error of emit/);
  });

  test("emit after the record was processed is refused", () => {
    let kept: ((value: unknown) => void) | undefined;
    const { chain } = chainOf([
      process("keeps", keyOf, {
        state: {},
        onRecord(_: unknown, { emit }) {
          kept = emit;
        },
      }),
    ]);
    chain.heads[0]!(1, 0);
    expect(() => kept!(2)).toThrow(/emit was called after the record was processed/);
  });

  test("a key of another subtask is the selector's failure: it has answered another one before", () => {
    const chain = buildChain(
      {
        id: "v",
        parallelism: 128,
        operators: [leadingTo(counting(), [])],
      },
      { subtaskIndex: 0, maxParallelism: 128, output: () => () => {}, writer: () => undefined as never },
    );
    expect(() => {
      for (let i = 0; i < 10; i++) chain.heads[0]!(`k${i}`, 0);
    }).toThrow(
      /^operator "count" failed: its keyBy answers a text of 2 characters here, and answered another key/,
    );
  });
});

describe("keyed state", () => {
  function snapshotOf(chain: Chain) {
    return chain.snapshot().map(({ operator, state, cursor }) => {
      const chunks: Uint8Array[] = [];
      for (let chunk = cursor.next(); chunk !== undefined; chunk = cursor.next()) chunks.push(chunk.bytes);
      return { operator, state, bytes: Buffer.concat(chunks) };
    });
  }
  const operators = (): OperatorDefinition[] => [
    counting(),
    reduce(
      "concat",
      () => "all",
      (all, value) => `${all} ${value}`,
    ),
  ];

  test("is addressed by operator and name, and goes on where it was cut (OC3)", () => {
    const first = chainOf(operators());
    expect(first.chain.states).toEqual([
      { operator: "count", state: "count" },
      { operator: "concat", state: REDUCE_STATE },
    ]);
    first.chain.heads[0]!("a", 0);
    first.chain.heads[0]!("b", 0);
    const cut = first.chain.snapshot();
    first.chain.heads[0]!("a", 0);
    const stored = cut.map(({ operator, state, cursor }) => ({
      operator,
      state,
      bytes: cursor.next()!.bytes,
    }));

    const second = chainOf(operators());
    for (const { operator, state, bytes } of stored) {
      const restorer = second.chain.restorer({ operator, state }, { object: "o", bytes });
      while (restorer.next());
    }
    second.chain.heads[0]!("a", 0);
    expect(second.out.out).toEqual([["a=1 b=1 a=2", 0]]);
    expect(second.out.out!.at(-1)).toEqual(first.out.out!.at(-1));
  });

  test("of an operator that is not there is a broken invariant", () => {
    const { chain } = chainOf(operators());
    const source = { object: "o", bytes: new Uint8Array(0) };
    expect(() => chain.restorer({ operator: "x", state: "y" }, source)).toThrow(InvariantError);
    expect(() => chain.restorer({ operator: "count", state: "y" }, source)).toThrow(InvariantError);
  });

  test("is empty before the first record", () => {
    expect(snapshotOf(chainOf(operators()).chain).map(({ bytes }) => bytes.byteLength)).toEqual([0, 0]);
  });
});

describe("the end of input (OC4)", () => {
  test("runs onEnd once for each key with state, in slices, upstream first", () => {
    const { chain, out } = chainOf([
      counting(({ key, timestamp, emit }) => {
        expect(timestamp).toBe(NO_TIMESTAMP);
        emit(`end ${String(key)}`);
      }),
      process("second", keyOf, {
        state: { seen: valueState("") },
        onRecord(value: string, { state }) {
          if (value.startsWith("end")) state.seen.set(value);
        },
        onEnd: ({ state, emit }) => emit(state.seen.get()),
      }),
    ]);
    for (let i = 0; i < 10; i++) chain.heads[0]!(`k${i % 5}`, i);
    const finish = chain.finish(2);
    const emittedAfterStep: number[] = [];
    let more = true;
    while (more) {
      more = finish.step();
      emittedAfterStep.push(out.out!.length);
    }
    expect(out.out!.map(([value]) => value).sort()).toEqual([0, 1, 2, 3, 4].map((i) => `end k${i}`));
    expect(emittedAfterStep).toEqual([0, 0, 1, 3, 5, 5]);
    expect(finish.step()).toBe(false);
  });

  test("is nothing for operators without onEnd, and happens once", () => {
    const { chain } = chainOf([counting()]);
    chain.heads[0]!("a", 0);
    expect(chain.finish().step()).toBe(false);
    expect(() => chain.finish()).toThrow(InvariantError);
    expect(chain.snapshot()).toHaveLength(1);
  });

  test("refuses a cut between its slices", () => {
    const { chain } = chainOf([counting(() => {})]);
    for (let i = 0; i < 3; i++) chain.heads[0]!(i, 0);
    const finish = chain.finish(1);
    expect(finish.step()).toBe(true);
    expect(() => chain.snapshot()).toThrow(/between two slices/);
    while (finish.step());
    expect(chain.snapshot()).toHaveLength(1);
  });

  test("names the operator whose onEnd fails", () => {
    const { chain } = chainOf([
      counting(() => {
        throw new Error("at the end");
      }),
    ]);
    chain.heads[0]!("a", 0);
    expect(() => chain.finish().step()).toThrow(/operator "count" failed: at the end/);
  });
});
