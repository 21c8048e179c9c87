/** OC7: users' functions that take 2 ms each, in the slices of a chain and in the turns of a subtask. */
import { expect, test } from "vitest";
import type { Chain } from "../../../../src/dataflow/chain.ts";
import type { OperatorDefinition, Slices } from "../../../../src/dataflow/operators/contract.ts";
import {
  eventTimeTrigger,
  type KeyedStream,
  sessionWindows,
  slidingWindows,
  tumblingWindows,
  type WindowAssigner,
} from "../../../../src/index.ts";
import { Turns } from "../../../../src/runtime/worker/subtask/turns.ts";
import { valueState } from "../../../../src/state/descriptor.ts";
import { type Item, windowOperator } from "../../../dataflow/windows/window-chain.ts";
import { chainOf } from "../../../support/graphs/chains.ts";
import { process } from "../../../support/graphs/operators.ts";

const KEYS = 40;
const CALL_MS = 2;
/** A look at the clock comes behind the first step, and a step of a window's firing has two keys. */
const CALLS_PER_SLICE = 2;

type Call = () => void;

const keyOf = (value: unknown) => (value as Item).key;

function timed(call: Call): OperatorDefinition {
  return process("timed", keyOf, {
    state: {},
    onRecord: (_: Item, { timers }) => timers.registerEventTimer(7),
    onTimer: call,
  });
}

const records =
  (windows: WindowAssigner, options: object = {}) =>
  (call: Call): OperatorDefinition =>
    windowOperator((items: KeyedStream<Item, string>) =>
      items.window(windows, options).process("windows", () => call()),
    );

const cases: Readonly<Record<string, (call: Call) => OperatorDefinition>> = {
  onTimer: timed,
  onEnd: (call) =>
    process("counted", keyOf, {
      state: { seen: valueState(0) },
      onRecord: (_: Item, { state }) => state.seen.set(1),
      onEnd: call,
    }),
  "tumbling windows": records(tumblingWindows({ size: 10 })),
  "tumbling windows that wait for late records": records(tumblingWindows({ size: 10 }), {
    allowedLateness: 5,
  }),
  "sliding windows": records(slidingWindows({ size: 10, slide: 5 })),
  sessions: records(sessionWindows({ gap: 10 })),
  "windows with a trigger": records(tumblingWindows({ size: 10 }), { trigger: eventTimeTrigger() }),
  "an aggregate's getResult": (call) =>
    windowOperator((items) =>
      items.window(slidingWindows({ size: 10, slide: 5 })).aggregate("windows", {
        createAccumulator: () => 0,
        add: (count) => count + 1,
        merge: (a, b) => a + b,
        getResult: (count) => {
          call();
          return count;
        },
      }),
    ),
};

function slow(operatorOf: (call: Call) => OperatorDefinition) {
  const clock = { elapsedMs: 0, calls: 0 };
  const operator = operatorOf(() => {
    clock.elapsedMs += CALL_MS;
    clock.calls++;
  });
  const { chain } = chainOf([operator], { elapsedMs: () => clock.elapsedMs });
  for (let i = 0; i < KEYS; i++) chain.heads[0]!({ key: `key ${i}`, value: i }, 3);
  return { chain, clock };
}

test.each(Object.keys(cases))("a slice ends behind a few slow calls: %s", (name) => {
  const { chain, clock } = slow(cases[name]!);
  const slices = chain.finish();
  let before = 0;
  for (let more = true; more; before = clock.calls) {
    more = slices.step();
    expect(clock.calls - before).toBeLessThanOrEqual(CALLS_PER_SLICE);
  }
  expect(clock.calls).toBeGreaterThanOrEqual(KEYS);
});

test("functions that become slow in the middle of a slice end it behind eight of them", () => {
  const clock = { elapsedMs: 0, calls: 0 };
  const operator = timed(() => {
    if (++clock.calls > 20) clock.elapsedMs += CALL_MS;
  });
  const { chain } = chainOf([operator], { elapsedMs: () => clock.elapsedMs });
  for (let i = 0; i < 64; i++) chain.heads[0]!({ key: `key ${i}`, value: i }, 3);
  // The first call begins, and does the first slice.
  chain.advance(7);
  expect(clock.calls).toBe(24);
});

test("an aggregate that becomes slow while a window fires for many keys ends its slice behind sixteen of them", () => {
  const clock = { elapsedMs: 0, calls: 0 };
  const operator = cases["an aggregate's getResult"]!(() => {
    if (++clock.calls > 100) clock.elapsedMs += CALL_MS;
  });
  const { chain } = chainOf([operator], { elapsedMs: () => clock.elapsedMs });
  for (let i = 0; i < 5000; i++) chain.heads[0]!({ key: `key ${i}`, value: i }, 3);
  const slices = chain.finish();
  const slowMs: number[] = [];
  for (let more = true; more; ) {
    const before = clock.elapsedMs;
    more = slices.step();
    slowMs.push(clock.elapsedMs - before);
  }
  // Sliding windows, each record in two.
  expect(clock.calls).toBe(10_000);
  expect(Math.max(...slowMs)).toBeLessThanOrEqual(16 * CALL_MS);
});

test("a barrier that is asked for within onTimer passes before the next timer", () => {
  let asked = 0;
  const waits: number[] = [];
  const { chain, clock } = slow((call) =>
    timed(() => {
      call();
      const at = clock.calls;
      if (at % 10 !== 5) return;
      asked++;
      turns.atBorder(() => waits.push(clock.calls - at));
    }),
  );
  const { turns, run } = turnsOver(chain, clock);
  run();
  expect(clock.calls).toBe(KEYS);
  expect(asked).toBe(KEYS / 10);
  expect(waits).toEqual(new Array(asked).fill(0));
});

test("a turn ends behind the first slow timers", () => {
  const { chain, clock } = slow(timed);
  const { run } = turnsOver(chain, clock);
  const [first, ...others] = run();
  // What is due is begun in the first turn, and begins with a slice.
  expect(first).toBe(2);
  expect(Math.max(...others)).toBe(1);
  expect(clock.calls).toBe(KEYS);
});

/** Turns that fire what is due. `run` answers how many calls there were in each. */
function turnsOver(chain: Chain, clock: { elapsedMs: number; calls: number }) {
  const later: (() => void)[] = [];
  let slices: Slices | undefined;
  const turns = new Turns({
    input: {
      take() {
        slices ??= chain.advance(7);
        return slices?.step() === true ? "more" : "idle";
      },
      takeBarrier: () => false,
      onAvailable() {},
    },
    timers: { isDue: false, step() {}, onDue() {} },
    clock: {
      nowMs: () => 0,
      elapsedMs: () => clock.elapsedMs,
      after: () => ({ cancel() {} }),
      later: (run) => void later.push(run),
    },
    rooms: [],
    outputs: [],
    flushMs: 10,
    onEnded() {},
    onFailure(error) {
      throw error;
    },
  });
  const run = (): number[] => {
    const perTurn: number[] = [];
    turns.start();
    for (let turn = later.shift(); turn !== undefined; turn = later.shift()) {
      const before = clock.calls;
      turn();
      perTurn.push(clock.calls - before);
    }
    return perTurn;
  };
  return { turns, run };
}
