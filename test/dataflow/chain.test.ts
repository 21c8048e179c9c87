/** OC1 to OC4: what a chain does with records, failures, cuts and the end of input. */
import { describe, expect, test } from "vitest";
import { buildChain, type Chain, type ChainServices } from "../../src/dataflow/chain.ts";
import type { ChainedOperator } from "../../src/dataflow/graph.ts";
import type { OperatorDefinition } from "../../src/dataflow/operators/contract.ts";
import type { KeySelector } from "../../src/dataflow/operators/keyed/key-selector.ts";
import type { ProcessContext } from "../../src/dataflow/operators/keyed/process.ts";
import { REDUCE_STATE } from "../../src/dataflow/operators/keyed/reduce.ts";
import type { SinkWriter } from "../../src/dataflow/sink.ts";
import { NO_TIMESTAMP } from "../../src/dataflow/source.ts";
import { InvariantError, OperatorError, RecordRefusedError } from "../../src/errors.ts";
import { valueState } from "../../src/state/descriptor.ts";
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

type Emitted = [value: unknown, timestamp: number];

/** Runs operators in a row (`next` is filled in) or as given, and collects what leaves through edges and sinks. */
function chainOf(
  operators: readonly (OperatorDefinition | ChainedOperator)[],
  overrides: Partial<ChainServices> = {},
): { chain: Chain; out: Record<string, Emitted[]> } {
  const out: Record<string, Emitted[]> = {};
  const collectorOf = (name: string) => {
    out[name] = [];
    return (value: unknown, timestamp: number) => {
      out[name]!.push([value, timestamp]);
    };
  };
  const chained = operators.map((operator, i): ChainedOperator => {
    if ("operator" in operator) return operator;
    const last = i === operators.length - 1;
    return leadingTo(operator, last ? [] : [i + 1], last && operator.kind !== "sink" ? ["out"] : []);
  });
  const chain = buildChain(
    { id: "vertex", parallelism: 1, operators: chained },
    {
      subtaskIndex: 0,
      maxParallelism: 128,
      output: collectorOf,
      writer: (operator) => ({ write: collectorOf(operator) }) as unknown as SinkWriter<unknown>,
      ...overrides,
    },
  );
  return { chain, out };
}

const keyOf: KeySelector = (value) => (Array.isArray(value) ? value[0] : value);
const counting = (onEnd?: (context: ProcessContext) => void): OperatorDefinition =>
  process("count", keyOf, {
    state: { count: valueState(0) },
    onRecord(_: unknown, { key, state, emit }) {
      state.count.set(state.count.get() + 1);
      emit(`${String(key)}=${state.count.get()}`);
    },
    ...(onEnd === undefined ? {} : { onEnd: onEnd as never }),
  });

function failureOf(run: () => void): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  throw new Error("did not fail");
}

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
    }).toThrow(/^operator "count" failed: its keyBy answers the text "k\d" here, and answered another key/);
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

describe("what a function answers", () => {
  const later = () => Promise.reject(new Error("later"));
  const thenable = Object.fromEntries(["then"].map((name) => [name, () => {}]));
  async function* drip() {
    yield 1;
  }
  function* sequence() {
    yield 1;
  }
  const asProcess = (onRecord: (context: ProcessContext) => unknown) =>
    process("up", keyOf, {
      state: {},
      onRecord: (_: unknown, context) => onRecord(context as unknown as ProcessContext) as never,
    });

  test.each<[string, OperatorDefinition, string]>([
    [
      "a promise of map",
      map("up", later),
      "map answered a promise, and a value is needed; the functions of a job",
    ],
    ["a thenable of map", map("up", () => thenable), "map answered a promise"],
    ["a generator of map", map("up", sequence), "map answered a generator, and a value is needed"],
    ["an iterator of map", map("up", () => new Map().keys()), "map answered an iterator"],
    ["a function of map", map("up", () => later), "map answered a function"],
    ["a symbol of map", map("up", () => Symbol("a")), "map answered a symbol"],
    [
      "a promise of filter",
      filter("up", later as never),
      "filter answered a promise, and true or false is needed",
    ],
    ["a number of filter", filter("up", () => 1 as never), "filter answered the number 1"],
    ["nothing of filter", filter("up", () => undefined as never), "filter answered undefined"],
    [
      "a promise of flatMap",
      flatMap("up", later as never),
      "flatMap answered a promise, and something iterable",
    ],
    ["an async generator of flatMap", flatMap("up", drip as never), "flatMap answered an async generator"],
    [
      "an object of flatMap",
      flatMap("up", () => ({ a: 1 }) as never),
      "flatMap answered an object, and something",
    ],
    ["nothing of flatMap", flatMap("up", () => undefined as never), "flatMap answered undefined"],
    [
      "promises in an array of flatMap",
      flatMap("up", () => [1, later(), later()]),
      "flatMap answered with a promise",
    ],
    [
      "promises of a generator",
      flatMap("up", function* () {
        yield later();
      }),
      "flatMap answered with a promise",
    ],
    ["a promise of onRecord", asProcess(later), "the function answered a promise, and no answer is needed"],
    ["a promise for emit", asProcess(({ emit }) => emit(later())), "emit was given a promise, and a value"],
    ["a promise of reduce", reduce("up", () => 1, later), "reduce answered a promise"],
    [
      "a promise of keyBy",
      reduce("up", later as never, (_, b) => b),
      "a key selector returned a promise; keys are strings",
    ],
  ])("%s is refused", async (_, operator, message) => {
    const { chain, out } = chainOf([operator, sink("out")]);
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => unhandled.push(reason);
    globalThis.process.on("unhandledRejection", note);
    const error = failureOf(() => {
      for (let i = 0; i < 2; i++) chain.heads[0]!("a", 0);
    });
    await new Promise((resolve) => setImmediate(resolve));
    globalThis.process.off("unhandledRejection", note);
    expect(error).toBeInstanceOf(OperatorError);
    expect((error as OperatorError).operator).toBe("up");
    expect((error as OperatorError).message).toContain(message);
    expect(out.out!.flat()).not.toContainEqual(expect.any(Promise));
    expect(unhandled).toEqual([]);
  });

  test("of a sink's write may be anything but a promise", () => {
    const writing = (write: () => unknown) =>
      chainOf([sink("out")], { writer: () => ({ write }) as unknown as SinkWriter<unknown> }).chain;
    writing(() => 1).heads[0]!("a", 0);
    expect(() => writing(later).heads[0]!("a", 0)).toThrow('operator "out" failed: write answered a promise');
  });

  test("an instance of a class passes between chained functions", () => {
    class Order {
      total() {
        return 7;
      }
    }
    const { chain, out } = chainOf([
      map("order", () => new Order()),
      map("total", (order: Order) => order.total()),
    ]);
    chain.heads[0]!("a", 0);
    expect(out.out).toEqual([[7, 0]]);
  });
});

describe("what crosses to another subtask (OC4)", () => {
  class Order {
    readonly id = 1;
  }

  test.each([false, true])("is plain, or its operator fails; checks: %s", (checks) => {
    const { chain } = chainOf([map("order", () => ({ at: [new Order()] }))], { checks });
    expect(() => chain.heads[0]!("a", 0)).toThrow(
      'operator "order" failed: a record that it hands on cannot be carried: field "at[0]" is an object of class Order',
    );
  });

  test.each([false, true])("also where keyBy needs no exchange; checks: %s", (checks) => {
    const { chain } = chainOf([map("order", () => new Order()), counting()], { checks });
    expect(() => chain.heads[0]!("a", 0)).toThrow('operator "order" failed: a record that it hands on');
  });
});

describe("with checks", () => {
  const remembering = (change: (items: number[]) => void) =>
    process("items", keyOf, {
      state: { items: valueState<number[]>([]) },
      onRecord(_: unknown, { state, emit }) {
        const items = [...state.items.get(), 1];
        state.items.set(items);
        emit({ items });
        change(items);
      },
    });

  test("what was set throws where it is changed, with the state and what to do", () => {
    const { chain, out } = chainOf([remembering((items) => items.push(2))], { checks: true });
    expect(() => chain.heads[0]!("a", 0)).toThrow(
      'operator "items" failed: Cannot add property 1, object is not extensible. Records and values of state are never ' +
        'changed in place (here: state "items"): make a new one',
    );
    expect(out.out).toHaveLength(1);
    const without = chainOf([remembering((items) => items.push(2))]);
    without.chain.heads[0]!("a", 0);
    expect(without.out.out).toEqual([[{ items: [1, 2] }, 0]]);
  });

  test.each<[string, (context: ProcessContext) => void]>([
    [
      "a field of what was emitted",
      ({ emit }) => {
        const record = { deep: { n: 1 } };
        emit(record);
        record.deep.n = 2;
      },
    ],
    [
      "a Map",
      ({ emit }) => {
        const map = new Map([["a", 1]]);
        emit({ map });
        map.set("b", 2);
      },
    ],
    [
      "a Set",
      ({ emit }) => {
        const set = new Set([1]);
        emit(set);
        set.delete(1);
      },
    ],
    [
      "a date",
      ({ emit }) => {
        const date = new Date(0);
        emit(date);
        date.setTime(1);
      },
    ],
  ])("%s is not changed", (_, onRecord) => {
    const operator = process("up", keyOf, {
      state: {},
      onRecord: (_: unknown, context) => onRecord(context as never),
    });
    const { chain } = chainOf([operator], { checks: true });
    expect(() => chain.heads[0]!("a", 0)).toThrow("never changed in place");
  });

  test("what is no plain value is refused where it is set", () => {
    class Money {
      readonly cents = 1;
    }
    const { chain } = chainOf(
      [
        process("sum", keyOf, {
          state: { total: valueState<unknown>(0) },
          onRecord: (_: unknown, { state }) => state.total.set({ in: [new Money()] }),
        }),
      ],
      { checks: true },
    );
    expect(() => chain.heads[0]!("a", 0)).toThrow(
      'operator "sum" failed: what is set as state "total" cannot be carried: field "in[0]" is an object of class Money',
    );
  });

  test("a selector that answers another key each time is noticed", () => {
    let n = 0;
    const { chain } = chainOf(
      [
        reduce(
          "last",
          () => n++,
          (_, b) => b,
        ),
      ],
      {
        checks: true,
      },
    );
    expect(() => chain.heads[0]!("a", 0)).toThrow(
      'operator "last" failed: its keyBy answers the number 0 and then',
    );
  });

  test("a record of a source belongs to the one operator that reads it", () => {
    const reading = source("in");
    const change = map("change", (record: { n: number }) => {
      record.n++;
      return record;
    });
    const one = chainOf([reading, change], { checks: true });
    one.chain.heads[0]!({ n: 1 }, 0);
    expect(one.out.out).toEqual([[{ n: 2 }, 0]]);
    const two = chainOf([leadingTo(reading, [1, 2]), leadingTo(change, []), leadingTo(sink("copy"), [])], {
      checks: true,
    });
    expect(() => two.chain.heads[0]!({ n: 1 }, 0)).toThrow(
      'operator "change" failed: Cannot assign to read only property',
    );
  });
});

describe("an initial value", () => {
  test("is frozen: the first change in place fails and names the state", () => {
    const { chain } = chainOf([
      process("items", keyOf, {
        state: { items: valueState<number[]>([]), count: valueState(0) },
        onRecord: (_: unknown, { state }) => {
          state.count.set(state.count.get() + 1);
          state.items.get().push(1);
        },
      }),
    ]);
    expect(() => chain.heads[0]!("a", 0)).toThrow('never changed in place (here: state "items")');
  });

  test("is frozen where it is a Map, and copied where it holds bytes", () => {
    const seen = valueState(new Map<string, number>());
    expect(() => seen.initial.set("a", 1)).toThrow(TypeError);
    expect(new Map(seen.initial).set("a", 1).size).toBe(1);
    const { chain, out } = chainOf([
      process("bits", keyOf, {
        state: { bits: valueState(new Uint8Array(2)) },
        onRecord: (_: unknown, { state, emit }) => {
          const bits = state.bits.get();
          bits[0]!++;
          state.bits.set(bits);
          emit(bits[0]);
        },
      }),
    ]);
    for (const key of ["a", "a", "b"]) chain.heads[0]!(key, 0);
    expect(out.out!.map(([value]) => value)).toEqual([1, 2, 1]);
  });
});
