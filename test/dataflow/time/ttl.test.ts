/** P84 and PR3: values with a time to live in a process operator, in a chain whose times are moved by hand. */
import { describe, expect, test } from "vitest";
import type { Chain } from "../../../src/dataflow/chain.ts";
import type { OperatorDefinition, Slices } from "../../../src/dataflow/operators/contract.ts";
import type { ProcessFunction } from "../../../src/dataflow/operators/keyed/process.ts";
import { NO_TIMESTAMP } from "../../../src/dataflow/source.ts";
import { OperatorError } from "../../../src/errors.ts";
import { aggregatingState, listState, mapState, valueState } from "../../../src/state/descriptor.ts";
import type { TtlOptions } from "../../../src/state/ttl/time-to-live.ts";
import { chainOf, failureOf, keyOf } from "../../support/graphs/chains.ts";
import { process } from "../../support/graphs/operators.ts";

const declared = (ttl: TtlOptions) => ({
  last: valueState<number>(0, { ttl }),
  all: listState<number>({ ttl }),
  stays: valueState<number>(0),
});
type States = ReturnType<typeof declared>;
type Function = Partial<ProcessFunction<never, unknown, States>>;

const byEvents: TtlOptions = { after: 10, time: "event" };
const byClock: TtlOptions = { after: 10, time: "processing" };

/** Sets what the record says, or emits what is there. */
const setting: Function["onRecord"] = (record, { state, emit }) => {
  const [, value] = record as readonly [string, number | undefined];
  if (value === undefined) emit([state.last.get(), state.all.get(), state.stays.get()]);
  else {
    state.last.set(value);
    state.all.add(value);
    state.stays.set(value);
  }
};
const telling: Function["onExpire"] = ({ state, value, time }, { key, emit }) =>
  emit([key, state, value, time]);

const timed = (ttl: TtlOptions, definition: Function = {}): OperatorDefinition =>
  process("timed", keyOf, { state: declared(ttl), onRecord: setting, onExpire: telling, ...definition });

function opened(operator: OperatorDefinition, nowMs = 1000) {
  const clock = { nowMs, wakes: [] as number[] };
  const processingTime = { nowMs: () => clock.nowMs, wakeAt: (ms: number) => void clock.wakes.push(ms) };
  const { chain, out } = chainOf([operator], { processingTime });
  return {
    chain,
    out: out.out!,
    clock,
    given: (value: unknown, timestamp = 5) => chain.heads[0]!(value, timestamp),
    /** Takes what has come out, without timestamps. */
    taken: () => out.out!.splice(0).map(([value]) => value),
  };
}

function all(slices: Slices | undefined): number {
  let steps = 1;
  while (slices?.step()) steps++;
  return steps;
}

/** Everything that a cut holds, put into another chain. */
function restoreInto(chain: Chain, from: Chain, leavesOut: (state: string) => boolean = () => false): void {
  chain.restoreTimes(from.times());
  for (const { operator, state, cursor } of from.snapshot()) {
    for (let chunk = cursor.next(); chunk !== undefined; chunk = cursor.next()) {
      if (leavesOut(state)) continue;
      const restorer = chain.restorer({ operator, state }, { object: "cut", bytes: chunk.bytes });
      while (restorer.next());
    }
  }
  all(chain.restored());
}

describe("by event time", () => {
  test("a value lives from the timestamp of its record until the watermark has come to its end", () => {
    const { chain, given, taken, out } = opened(timed(byEvents));
    given(["a", 1], 5);
    all(chain.advance(14));
    given(["a"], 20);
    expect(taken()).toEqual([[1, [1], 1]]);
    all(chain.advance(15));
    expect(out.splice(0)).toEqual([
      [["a", "last", 1, 15], 15],
      [["a", "all", 1, 15], 15],
    ]);
    given(["a"], 20);
    expect(taken()).toEqual([[0, [], 1]]);
    expect(chain.advance(40)).toBeUndefined();
  });

  test("each value of a list has its own time; one that is written again begins anew", () => {
    const { chain, given, taken } = opened(timed(byEvents));
    given(["a", 1], 5);
    given(["a", 2], 12);
    all(chain.advance(15));
    expect(taken()).toEqual([["a", "all", 1, 15]]);
    given(["a"], 20);
    expect(taken()).toEqual([[2, [2], 2]]);
    all(chain.advance(22));
    expect(taken()).toEqual([
      ["a", "last", 2, 22],
      ["a", "all", 2, 22],
    ]);
  });

  test("records out of order make no value older, and late ones are stored at the watermark", () => {
    const { chain, given, taken } = opened(timed(byEvents));
    given(["a", 1], 30);
    given(["a", 2], 22);
    all(chain.advance(32));
    expect(taken()).toEqual([["a", "all", 2, 32]]);
    given(["a", 3], 1);
    given(["a"], 33);
    expect(taken()).toEqual([[3, [1, 3], 3]]);
    all(chain.advance(41));
    expect(taken()).toEqual([["a", "all", 1, 40]]);
    all(chain.advance(42));
    expect(taken()).toEqual([
      ["a", "last", 3, 42],
      ["a", "all", 3, 42],
    ]);
  });

  test("a value without a time gets the next watermark as its time", () => {
    const { chain, given, taken } = opened(timed(byEvents));
    given(["a", 1], NO_TIMESTAMP);
    given(["a"], NO_TIMESTAMP);
    all(chain.advance(100));
    all(chain.advance(109));
    given(["a"], 110);
    expect(taken()).toEqual([
      [1, [1], 1],
      [1, [1], 1],
    ]);
    all(chain.advance(110));
    expect(taken()).toHaveLength(2);
  });

  test.each([[[25]], [[12, 25]], [[9, 10, 11, 14, 15, 16, 20, 22, 25]]])(
    "values and timers go in one order of time, however far the watermark moves at once: %j",
    (watermarks) => {
      const { chain, given, taken } = opened(
        timed(byEvents, {
          onRecord(record, context) {
            setting(record, context);
            for (const time of [9, 14, 15, 22]) context.timers.registerEventTimer(time);
          },
          onTimer({ time }, { state, emit, timers }) {
            emit([time, state.last.get()]);
            if (time === 9) timers.registerEventTimer(16);
            if (time === 16) state.last.set(7);
          },
          onExpire({ state, value }, { emit, timestamp, state: { stays } }) {
            emit([timestamp, state, value, stays.get()]);
          },
        }),
      );
      given(["a", 1], 5);
      for (const watermark of watermarks) all(chain.advance(watermark));
      expect(taken()).toEqual([
        [9, 1],
        [14, 1],
        [15, "last", 1, 1],
        [15, "all", 1, 1],
        [15, 0],
        [16, 0],
        [22, 7],
      ]);
      all(chain.advance(26));
      expect(taken()).toEqual([[26, "last", 7, 1]]);
    },
  );

  test("a cut between two slices holds what is left, and a restored chain goes on there", () => {
    const keys = Array.from({ length: 40 }, (_, i) => `key ${i}`);
    const run = (cutAfter: number): unknown[] => {
      const first = opened(timed(byEvents));
      for (const key of keys) first.given([key, 1], 5);
      const slices = first.chain.advance(50, 1);
      for (let i = 0; i < cutAfter; i++) slices!.step();
      const second = opened(timed(byEvents));
      restoreInto(second.chain, first.chain);
      all(second.chain.advance(second.chain.unfinishedTime()!));
      second.given([keys[0]], 60);
      return [...first.taken(), ...second.taken()];
    };
    const whole = run(0);
    expect(whole).toHaveLength(2 * keys.length + 1);
    expect(whole.at(-1)).toEqual([0, [], 1]);
    for (const cutAfter of [1, 7, 40, 63]) expect(run(cutAfter)).toEqual(whole);
  });

  test("a restored value has only what was left of its time", () => {
    const first = opened(timed(byEvents));
    all(first.chain.advance(1));
    first.given(["a", 1], 5);
    const second = opened(timed(byEvents));
    restoreInto(second.chain, first.chain);
    all(second.chain.advance(14));
    second.given(["a"], 20);
    all(second.chain.advance(15));
    expect(second.taken()).toEqual([
      [1, [1], 1],
      ["a", "last", 1, 15],
      ["a", "all", 1, 15],
    ]);
  });

  test("at the end of input all expire; what onExpire writes there stays for onEnd", () => {
    const { chain, given, taken } = opened(
      timed(byEvents, {
        onExpire(expired, context) {
          telling(expired as never, context);
          if (expired.state === "last") context.state.last.set((expired.value as number) + 1);
        },
        onEnd: ({ key, state, emit }) => emit([key, state.last.get(), state.all.size, state.stays.get()]),
      }),
    );
    given(["a", 1], 5);
    given(["b", 2], 400);
    all(chain.finish());
    const seen = taken();
    expect(seen.slice(0, 4)).toEqual([
      ["a", "last", 1, 15],
      ["a", "all", 1, 15],
      ["b", "last", 2, 410],
      ["b", "all", 2, 410],
    ]);
    expect(seen.slice(4).sort()).toEqual([
      ["a", 2, 0, 1],
      ["b", 3, 0, 2],
    ]);
  });
});

describe("by processing time", () => {
  test("a value is gone when the clock has come to its end, whether or not it was removed", () => {
    const { chain, given, taken, clock } = opened(timed(byClock));
    given(["a", 1]);
    given(["b", 2]);
    expect(clock.wakes).toContain(1009);
    clock.nowMs = 1009;
    given(["a"]);
    clock.nowMs = 1010;
    given(["a"]);
    expect(taken()).toEqual([
      [1, [1], 1],
      ["a", "last", 1, 1010],
      ["a", "all", 1, 1010],
      [0, [], 1],
    ]);
    all(chain.advanceProcessingTime(1009));
    expect(taken()).toEqual([
      ["b", "last", 2, 1010],
      ["b", "all", 2, 1010],
    ]);
  });

  test("is worked off without any access, and wakes for the next one", () => {
    const { chain, given, taken, clock } = opened(timed(byClock));
    given(["a", 1]);
    clock.nowMs = 1004;
    given(["a", 2]);
    clock.nowMs = 1010;
    clock.wakes.length = 0;
    all(chain.advanceProcessingTime(1009));
    expect(taken()).toEqual([["a", "all", 1, 1010]]);
    expect(clock.wakes).toContain(1013);
    clock.nowMs = 1014;
    all(chain.advanceProcessingTime(1013));
    expect(taken()).toEqual([
      ["a", "last", 2, 1014],
      ["a", "all", 2, 1014],
    ]);
    expect([...chain.snapshot()].flatMap(({ state, cursor }) => (cursor.next() ? [state] : []))).toEqual([
      "stays",
    ]);
  });

  test.each([
    ["count", [[0, [], 1]]],
    ["pause", [[1, [1], 1]]],
  ] as const)(
    "downtime: a value grows older while the job does not run, or does not: %s",
    (downtime, expected) => {
      const operator = () => timed({ ...byClock, downtime }, { onExpire() {} });
      const first = opened(operator());
      first.given(["a", 1]);
      first.clock.nowMs = 1003;
      const second = opened(operator(), 500_000);
      restoreInto(second.chain, first.chain);
      second.given(["a"]);
      expect(second.taken()).toEqual(expected);
      if (downtime === "count") return;
      const third = opened(operator(), 900_000);
      second.clock.nowMs = 500_002;
      restoreInto(third.chain, second.chain);
      third.clock.nowMs = 900_004;
      third.given(["a"]);
      expect(third.taken()).toEqual([[1, [1], 1]]);
      third.clock.nowMs = 900_005;
      expect(third.clock.wakes).toContain(900_004);
      third.given(["a"]);
      expect(third.taken()).toEqual([[0, [], 1]]);
    },
  );

  test("reading renews it where that was asked for, but neither size nor isEmpty of a map", () => {
    const entries = { entries: mapState<string, number>({ ttl: { ...byClock, updateOn: "readAndWrite" } }) };
    const seen: unknown[] = [];
    const { clock, given } = opened(
      process("timed", keyOf, {
        state: entries,
        onRecord(record, { state: { entries } }) {
          const what: string = record[1];
          if (what === "set") entries.set("x", 1);
          if (what === "get") seen.push(entries.get("x"));
          if (what === "size") seen.push(entries.size, entries.isEmpty);
        },
      }),
    );
    given(["a", "set"]);
    for (const [time, what] of [
      [1009, "get"],
      [1018, "size"],
      [1019, "size"],
      [1019, "get"],
    ] as const) {
      clock.nowMs = time;
      given(["a", what]);
    }
    expect(seen).toEqual([1, 1, false, 0, true, undefined]);
  });

  test("at the end of input only what has expired is gone", () => {
    const { chain, given, taken, clock } = opened(
      timed(byClock, { onEnd: ({ key, state, emit }) => emit([key, state.last.get()]) }),
    );
    given(["a", 1]);
    clock.nowMs = 1005;
    given(["b", 2]);
    clock.nowMs = 1010;
    all(chain.finish());
    const seen = taken();
    expect(seen.slice(0, 2)).toEqual([
      ["a", "last", 1, 1010],
      ["a", "all", 1, 1010],
    ]);
    expect(seen.slice(2).sort()).toEqual([
      ["a", 0],
      ["b", 2],
    ]);
  });

  test("onExpire within another function may write to the state, and gives the record's timestamp", () => {
    const { given, out, clock } = opened(
      timed(byClock, {
        onExpire({ state, value }, context) {
          context.emit([state, value]);
          if (state === "last") context.state.last.set(100);
        },
      }),
    );
    given(["a", 1]);
    clock.nowMs = 1010;
    given(["a"], 77);
    expect(out).toEqual([
      [["last", 1], 77],
      [["all", 1], 77],
      [[100, [], 1], 77],
    ]);
  });
});

describe("another time to live at a restore", () => {
  const cut = (operator: OperatorDefinition) => {
    const first = opened(operator);
    all(first.chain.advance(1));
    first.given(["a", 1], 5);
    return first.chain;
  };
  const values = (ttl?: TtlOptions): OperatorDefinition =>
    process("timed", keyOf, {
      state: { last: valueState<number>(0, { ttl }) },
      onRecord(record, { state: { last }, emit }) {
        const value: number | undefined = record[1];
        if (value === undefined) emit(last.get());
        else last.set(value);
      },
    });

  test("a longer one and a shorter one count from when the value was stored", () => {
    for (const after of [20, 6]) {
      const { chain, given, taken } = opened(values({ ...byEvents, after }));
      restoreInto(chain, cut(values(byEvents)));
      all(chain.advance(5 + after - 1));
      given(["a"], 100);
      all(chain.advance(5 + after));
      given(["a"], 100);
      expect(taken()).toEqual([1, 0]);
    }
  });

  test("where there was none, and where it was by another clock, values begin to live at the restore", () => {
    for (const before of [undefined, byEvents]) {
      const { chain, given, taken, clock } = opened(values(byClock), 5_000);
      restoreInto(chain, cut(values(before)));
      clock.nowMs = 5_009;
      given(["a"]);
      clock.nowMs = 5_010;
      given(["a"]);
      expect(taken()).toEqual([1, 0]);
    }
    const { chain, given, taken } = opened(values(byEvents));
    restoreInto(chain, cut(values()));
    all(chain.advance(10));
    given(["a"], 100);
    all(chain.advance(11));
    given(["a"], 100);
    expect(taken()).toEqual([1, 0]);
  });

  test("where there is none any more, values stay", () => {
    const { chain, given, taken } = opened(values());
    restoreInto(chain, cut(values(byEvents)));
    all(chain.advance(1_000));
    given(["a"], 2_000);
    expect(taken()).toEqual([1]);
  });

  test("a list by another clock goes on behind the values that it has", () => {
    const { chain, given, taken } = opened(timed({ ...byClock, after: 1_000 }, { onExpire() {} }));
    const first = opened(timed(byEvents));
    for (const value of [1, 2, 3]) first.given(["a", value], 5);
    restoreInto(chain, first.chain);
    given(["a", 4]);
    given(["a"]);
    expect(taken()).toEqual([[4, [1, 2, 3, 4], 4]]);
  });
});

test("an error of onExpire names the operator and the state", () => {
  const failing = (ttl: TtlOptions) =>
    opened(
      timed(ttl, {
        onExpire() {
          throw new Error("no");
        },
      }),
    );
  const inItsTurn = failing(byEvents);
  inItsTurn.given(["a", 1], 5);
  const error = failureOf(() => all(inItsTurn.chain.advance(15)));
  expect(error).toBeInstanceOf(OperatorError);
  expect((error as Error).message).toContain('the expiry of a value of state "last"');
  const within = failing(byClock);
  within.given(["a", 1]);
  within.clock.nowMs = 2_000;
  expect(failureOf(() => within.given(["a"]))).toBeInstanceOf(OperatorError);
});

test("of aggregating state onExpire is told the result, of a map the entry", () => {
  const ttl = { ttl: byEvents };
  const { chain, given, taken } = opened(
    process("timed", keyOf, {
      state: {
        mean: aggregatingState(
          {
            createAccumulator: () => [0, 0],
            add: ([sum, count], n: number) => [sum! + n, count! + 1],
            getResult: ([sum, count]) => sum! / count!,
          },
          ttl,
        ),
        entries: mapState<string | number, number>(ttl),
      },
      onRecord(record, { state: { mean, entries } }) {
        const n: number = record[1];
        mean.add(n);
        entries.set(n, n * 2);
        entries.set(String(n), n * 3);
      },
      onExpire({ state, value, entry }, { emit }) {
        emit([state, value, entry]);
      },
    }),
  );
  given(["a", 4], 5);
  given(["a", 6], 5);
  all(chain.advance(15));
  expect(taken()).toEqual([
    ["mean", 5, undefined],
    ["entries", 8, 4],
    ["entries", 12, "4"],
    ["entries", 12, 6],
    ["entries", 18, "6"],
  ]);
});
