/** P78 and PR2: timers of a process operator, in a chain whose times are moved by hand. */
import { describe, expect, test, vi } from "vitest";
import type { Chain } from "../../../src/dataflow/chain.ts";
import type { OperatorDefinition, Slices } from "../../../src/dataflow/operators/contract.ts";
import type { ProcessContext, ProcessFunction } from "../../../src/dataflow/operators/keyed/process.ts";
import { NO_TIMESTAMP } from "../../../src/dataflow/source.ts";
import { OperatorError } from "../../../src/errors.ts";
import { valueState } from "../../../src/state/descriptor.ts";
import { chainOf, failureOf, keyOf } from "../../support/graphs/chains.ts";
import { map, process } from "../../support/graphs/operators.ts";

const state = { count: valueState(0) };
type Function = Partial<ProcessFunction<never, unknown, typeof state>>;
type Context = ProcessContext<typeof state>;

const timed = (definition: Function): OperatorDefinition =>
  process("timed", keyOf, { state, onRecord() {}, onTimer() {}, ...definition });

/** Emits which timer has fired. */
const telling: Function["onTimer"] = ({ time, kind, namespace }, { key, emit }) =>
  emit(`${kind} ${String(key)} ${time}${namespace === undefined ? "" : ` ${namespace}`}`);

function opened(definition: Function, behind: readonly OperatorDefinition[] = []) {
  const clock = { nowMs: 1000, wakes: [] as number[] };
  const processingTime = { nowMs: () => clock.nowMs, wakeAt: (ms: number) => void clock.wakes.push(ms) };
  const { chain, out } = chainOf([timed(definition), ...behind], { processingTime });
  return { chain, out, clock, given: (value: unknown) => chain.heads[0]!(value, 5) };
}

function all(slices: Slices | undefined): number {
  let steps = 1;
  while (slices?.step()) steps++;
  return steps;
}

/** Everything that a cut holds, put into another chain. */
function restoreInto(chain: Chain, from: Chain): void {
  for (const { operator, state, cursor } of from.snapshot()) {
    for (let chunk = cursor.next(); chunk !== undefined; chunk = cursor.next()) {
      const restorer = chain.restorer({ operator, state }, { object: "cut", bytes: chunk.bytes });
      while (restorer.next());
    }
  }
  chain.restoreTimes(from.times());
  all(chain.restored());
}

test("pending timers are counted by kind, without those that were deleted or have fired", () => {
  const { chain, given } = opened({
    onRecord(_, { timers }) {
      for (const time of [10, 20, 30, 40]) timers.registerEventTimer(time);
      timers.deleteEventTimer(30);
      timers.registerProcessingTimer(5000);
    },
  });
  given(["a"]);
  given(["b"]);
  all(chain.advance(10));
  expect(chain.figures()).toEqual([{ operator: "timed", figures: { eventTimers: 4, processingTimers: 2 } }]);
});

describe("event timers", () => {
  const register: Function["onRecord"] = (value, { timers }) => {
    for (const time of (value as unknown[]).slice(1) as number[]) timers.registerEventTimer(time);
  };

  test("fire with the watermark, in ascending time, with their own time as timestamp", () => {
    const watermarks: number[] = [];
    const { chain, out, given } = opened({
      onRecord: register,
      onTimer(timer, context) {
        watermarks.push(context.currentWatermark);
        telling(timer, context as never);
      },
    });
    given(["a", 30, 10, 40]);
    given(["b", 20, 10, 10]);
    all(chain.advance(30));
    const seen = out.out!.map(([value]) => value);
    expect([...seen].sort()).toEqual(["event a 10", "event a 30", "event b 10", "event b 20"]);
    expect(out.out!.map(([, timestamp]) => timestamp)).toEqual([10, 10, 20, 30]);
    expect(watermarks).toEqual([30, 30, 30, 30]);
    expect(chain.advance(35)).toBeUndefined();
    all(chain.advance(Infinity));
    expect(out.out!.slice(4)).toEqual([["event a 40", 40]]);
  });

  test("in the past wait for the next watermark; those that a timer registers fire in the same pass", () => {
    const { chain, out, given } = opened({
      onRecord: register,
      onTimer(timer, context) {
        telling(timer, context as never);
        if (timer.time === 3) context.timers.registerEventTimer(4, "follows");
        if (timer.time === 4 && timer.namespace === "follows") context.timers.registerEventTimer(60);
      },
    });
    all(chain.advance(50));
    given(["a", 3]);
    expect(out.out).toEqual([]);
    all(chain.advance(51));
    expect(out.out).toEqual([
      ["event a 3", 3],
      ["event a 4 follows", 4],
    ]);
    all(chain.advance(Infinity));
    expect(out.out![2]).toEqual(["event a 60", 60]);
  });

  test("see and change the state of their key", () => {
    const { chain, out, given } = opened({
      onRecord(_, { state, timers }) {
        state.count.set(state.count.get() + 1);
        timers.registerEventTimer(10);
      },
      onTimer(_, { key, state, emit }) {
        emit([key, state.count.get()]);
        state.count.clear();
      },
    });
    for (const key of ["a", "b", "a"]) given(key);
    all(chain.advance(10));
    given("a");
    all(chain.advance(11));
    expect(new Map(out.out!.map(([value]) => value as [string, number]))).toEqual(
      new Map([
        ["b", 1],
        ["a", 1],
      ]),
    );
    expect(out.out).toContainEqual([["a", 2], 10]);
  });

  test("are told by time, key and namespace: registered twice is once, deleted is gone", () => {
    const { chain, out, given } = opened({
      onRecord(value, { timers }) {
        for (const namespace of [undefined, "x", 7, "7"]) timers.registerEventTimer(10, namespace);
        timers.registerEventTimer(10, "x");
        if ((value as string) === "b") timers.deleteEventTimer(10, "7");
        timers.deleteEventTimer(11);
        timers.deleteProcessingTimer(10);
      },
      onTimer: telling,
    });
    given("a");
    given("b");
    all(chain.advance(10));
    expect(out.out!.map(([value]) => value).sort()).toEqual([
      "event a 10",
      "event a 10 7",
      "event a 10 7",
      "event a 10 x",
      "event b 10",
      "event b 10 7",
      "event b 10 x",
    ]);
  });

  test("of which a cut has left some fire after the restore as they would have, each once", () => {
    const definition: Function = {
      onRecord(_, { timers }) {
        timers.registerEventTimer(10);
        timers.registerEventTimer(12, "later");
      },
      onTimer(timer, context) {
        telling(timer, context as never);
        if (timer.namespace === "later" && timer.time < 14)
          context.timers.registerEventTimer(timer.time + 1, "later");
      },
    };
    const one = opened(definition, [map("behind", (value) => value)]);
    for (let i = 0; i < 50; i++) one.given(`key ${i}`);
    const slices = one.chain.advance(20, 7)!;
    for (let i = 0; i < 12; i++) slices.step();
    const before = one.out.out!.length;
    expect(before).toBeGreaterThan(50);
    const again = opened(definition, [map("behind", (value) => value)]);
    restoreInto(again.chain, one.chain);
    expect(again.chain.unfinishedTime()).toBe(20);
    all(slices);
    all(again.chain.advance(20));
    expect(again.out.out).toEqual(one.out.out!.slice(before));
    expect(one.out.out).toHaveLength(50 * 4);
  });

  test("that have fired do not fire again after a restore", () => {
    const definition: Function = {
      onRecord(_, { timers }) {
        timers.registerEventTimer(10);
      },
      onTimer({ time }, { emit }) {
        emit(time);
      },
    };
    const first = opened(definition);
    first.given("a");
    all(first.chain.advance(10));
    expect(first.out.out).toHaveLength(1);
    const second = opened(definition);
    restoreInto(second.chain, first.chain);
    all(second.chain.advance(11));
    all(second.chain.advance(Number.POSITIVE_INFINITY));
    expect(second.out.out ?? []).toEqual([]);
  });

  test("at the end of input may register others, but not for ever", () => {
    const { chain, given } = opened({
      onRecord: register,
      onTimer: ({ time }, { timers }) => timers.registerEventTimer(time + 1),
    });
    given(["a", 1]);
    const error = failureOf(() => all(chain.advance(Infinity)));
    expect(error).toBeInstanceOf(OperatorError);
    expect((error as Error).message).toMatch(
      /^operator "timed" failed: a timer was registered .* \(at an event timer\) \(key group \d+\)$/,
    );
  });

  test("may register others up to the watermark, but not for ever for their own time", () => {
    const { chain, out, given } = opened({
      onRecord: register,
      onTimer(timer, context) {
        telling(timer, context as never);
        if (timer.time < 5000) context.timers.registerEventTimer(timer.time + 1);
        else if (timer.time === 9000) context.timers.registerEventTimer(9000);
      },
    });
    given(["a", 1]);
    all(chain.advance(6000));
    expect(out.out).toHaveLength(5000);
    given(["a", 9000]);
    expect(() => all(chain.advance(10_000))).toThrow(
      /^operator "timed" failed: a timer registered one for its own time .* Register it for a later time \(at an event timer\) \(key group \d+\)$/,
    );
  });

  test("at the end of input do not register timers of the other kind for ever", () => {
    const { chain, given } = opened({
      onRecord: register,
      onTimer({ kind, time }, { timers }) {
        if (kind === "event") timers.registerProcessingTimer(time + 1);
        else timers.registerEventTimer(time + 1);
      },
      endOfInput: "fire",
    });
    given(["a", 1]);
    all(chain.advance(Infinity));
    expect(() => all(chain.finish())).toThrow(/the job would never end/);
  });

  test("that are registered by the last records of an operator in front fire before the end", () => {
    const { chain, out, given } = opened({ onRecord: register, onTimer: telling });
    all(chain.advance(Infinity));
    given(["a", 7]);
    all(chain.finish());
    expect(out.out).toEqual([["event a 7", 7]]);
  });

  test("for Infinity fire at the end of input", () => {
    const { chain, out, given } = opened({ onRecord: register, onTimer: telling });
    given(["a", Infinity]);
    expect(chain.advance(2 ** 53)).toBeUndefined();
    all(chain.advance(Infinity));
    expect(out.out).toEqual([["event a Infinity", Infinity]]);
  });
});

describe("processing-time timers", () => {
  const register: Function["onRecord"] = (value, { timers }) => {
    for (const time of (value as unknown[]).slice(1) as number[]) timers.registerProcessingTimer(time);
  };

  test("fire when their time has passed, in ascending time, and what they emit has no timestamp", () => {
    const { chain, out, clock, given } = opened({
      onRecord: register,
      onTimer(timer, context) {
        telling(timer, context as never);
        context.emit("with a timestamp", 77);
        context.emit(context.currentProcessingTime);
      },
    });
    given(["a", 1500, 1200]);
    given(["a", 1300]);
    given(["b", 1100]);
    expect(clock.wakes).toEqual([1500, 1200, 1100]);
    clock.nowMs = 1301;
    all(chain.advanceProcessingTime(1300));
    expect(out.out!.filter((_, i) => i % 3 === 0)).toEqual([
      ["processing b 1100", NO_TIMESTAMP],
      ["processing a 1200", NO_TIMESTAMP],
      ["processing a 1300", NO_TIMESTAMP],
    ]);
    expect(out.out!.slice(1, 3)).toEqual([
      ["with a timestamp", 77],
      [1301, NO_TIMESTAMP],
    ]);
    expect(clock.wakes.at(-1)).toBe(1500);
  });

  test("are asked for again when it was too early", () => {
    const { chain, clock, given } = opened({ onRecord: register });
    given(["a", 1500]);
    expect(chain.advanceProcessingTime(1400)).toBeUndefined();
    expect(clock.wakes).toEqual([1500, 1500]);
  });

  test("are asked for after a restore, and fire with their old times", () => {
    const one = opened({ onRecord: register });
    one.given(["a", 1500, 1400]);
    const again = opened({ onTimer: telling });
    restoreInto(again.chain, one.chain);
    expect(again.clock.wakes).toEqual([1400]);
    all(again.chain.advanceProcessingTime(99_999));
    expect(again.out.out!.map(([value]) => value)).toEqual(["processing a 1400", "processing a 1500"]);
  });

  test.each(["fire", "drop", undefined] as const)(
    "that are pending at the end of input: %s",
    (endOfInput) => {
      const ended: unknown[] = [];
      const { chain, out, given } = opened({
        onRecord: register,
        onTimer(timer, context) {
          telling(timer, context as never);
          if (timer.kind === "processing") context.timers.registerEventTimer(timer.time + 1);
        },
        onEnd: ({ key }) => void ended.push(key),
        ...(endOfInput && { endOfInput }),
      });
      given(["a", 1500]);
      given(["b", 1400]);
      all(chain.advance(Infinity));
      all(chain.finish());
      expect(out.out).toEqual(
        endOfInput === "fire"
          ? [
              ["processing b 1400", NO_TIMESTAMP],
              ["processing a 1500", NO_TIMESTAMP],
              ["event b 1401", 1401],
              ["event a 1501", 1501],
            ]
          : [],
      );
      // A timer is no state that a key could end with, and none is left in the last checkpoint.
      expect(ended).toEqual([]);
      for (const { cursor } of chain.snapshot()) expect(cursor.next()).toBeUndefined();
      expect(chain.advanceProcessingTime(99_999)).toBeUndefined();
    },
  );
});

describe("what is refused, by operator and with a reason", () => {
  test.each<[string, (context: Context) => void, RegExp]>([
    [
      "a fraction",
      ({ timers }) => timers.registerEventTimer(0.5),
      /registerEventTimer was given as time a number that is not whole/,
    ],
    [
      "NaN",
      ({ timers }) => timers.registerEventTimer(Number.NaN),
      /given as time the number NaN; needed is a whole number of ms/,
    ],
    [
      "a text",
      ({ timers }) => timers.deleteEventTimer("5" as never),
      /deleteEventTimer was given as time a text of 1 character/,
    ],
    [
      "a clock at Infinity",
      ({ timers }) => timers.registerProcessingTimer(Infinity),
      /given as time the number Infinity/,
    ],
    [
      "a namespace",
      ({ timers }) => timers.registerEventTimer(5, {} as never),
      /given an object as namespace/,
    ],
    [
      "a timestamp",
      ({ emit }) => emit(1, "now" as never),
      /emit was given as timestamp a text of 3 characters/,
    ],
  ])("%s", (_, act, message) => {
    const { given } = opened({ onRecord: (_, context) => act(context) });
    const error = failureOf(() => given("a"));
    expect(error).toBeInstanceOf(OperatorError);
    expect(error).toMatchObject({ operator: "timed", message: expect.stringMatching(message) });
  });

  test("timers without onTimer", () => {
    const { given } = opened({
      onRecord: (_, { timers }) => timers.registerEventTimer(5),
      onTimer: undefined as never,
    });
    expect(failureOf(() => given("a"))).toMatchObject({
      message: expect.stringMatching(/registerEventTimer was called, and there is no onTimer/),
    });
  });

  test("timers when no key is there: after the record, and in onEnd", () => {
    let kept: Context | undefined;
    const { chain, given } = opened({
      onRecord(_, context) {
        context.state.count.set(1);
        kept = context;
      },
      onEnd: ({ timers }) => timers.registerEventTimer(5),
    });
    given("a");
    expect(() => kept!.timers.registerEventTimer(5)).toThrow(
      /when no record and no timer was being processed/,
    );
    expect(() => all(chain.finish())).toThrow(/was called in onEnd: the input has ended/);
  });

  test("what fails in onTimer, there or downstream, names its operator and the timer", () => {
    const failing = vi.fn(() => {
      throw new Error("boom");
    });
    const one = opened({ onRecord: (_, { timers }) => timers.registerEventTimer(5), onTimer: failing });
    one.given("a");
    expect(() => all(one.chain.advance(5))).toThrow('operator "timed" failed: boom (at an event timer)');
    const two = opened({ onRecord: (_, { timers }) => timers.registerEventTimer(5), onTimer: telling }, [
      map("behind", failing),
    ]);
    two.given("a");
    expect(() => all(two.chain.advance(5))).toThrow('operator "behind" failed: boom (at an event timer)');
  });
});
