/**
 * What functions of a chain may answer and hand on, and what they may change: no promise, nothing that cannot be
 * carried, nothing in place.
 */
import { describe, expect, test } from "vitest";
import type { OperatorDefinition } from "../../src/dataflow/operators/contract.ts";
import type { ProcessContext } from "../../src/dataflow/operators/keyed/process.ts";
import type { SinkWriter } from "../../src/dataflow/sink.ts";
import { OperatorError } from "../../src/errors.ts";
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
    ["a number of filter", filter("up", () => 1 as never), "filter answered a number"],
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
      'operator "last" failed: its keyBy answers a number and then another one',
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
