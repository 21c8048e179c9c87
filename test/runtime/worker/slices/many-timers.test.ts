/** TN2, TN6 and ET2: many timers that are due at once, in the turns of a subtask, by a clock that counts. */
import { expect, test } from "vitest";
import type { Slices } from "../../../../src/dataflow/operators/contract.ts";
import { Turns } from "../../../../src/runtime/worker/subtask/turns.ts";
import { chainOf } from "../../../support/graphs/chains.ts";
import { process } from "../../../support/graphs/operators.ts";

const TIMERS = 20_000;
/** As the chain has it: STEPS_AT_A_TIME. */
const TIMERS_PER_SLICE = 64;
/** What a look at the clock takes in this test, one a slice: a turn of 1.5 ms has time for four slices at most. */
const LOOK_MS = 0.5;
const TIMERS_PER_TURN = 4 * TIMERS_PER_SLICE;

function chainWithTimers() {
  const { chain, out } = chainOf([
    process("timed", (value) => value as number, {
      state: {},
      onRecord: (_: number, { timers }) => timers.registerEventTimer(7),
      onTimer: ({ time }, { key, emit }) => emit(`${String(key)} ${time}`),
    }),
  ]);
  for (let key = 0; key < TIMERS; key++) chain.heads[0]!(key, 0);
  return { chain, fired: () => out["out"]!.length };
}

/** Turns that fire all timers of a chain. `turn` runs the next one; false: there is none. */
function turnsOver(advance: () => Slices | undefined) {
  let elapsedMs = 0;
  const later: (() => void)[] = [];
  const failures: unknown[] = [];
  let slices: Slices | undefined;
  const turns = new Turns({
    input: {
      take() {
        slices ??= advance();
        return slices?.step() === true ? "more" : "idle";
      },
      takeBarrier: () => false,
      onAvailable() {},
    },
    timers: { isDue: false, step() {}, onDue() {} },
    clock: {
      nowMs: () => 0,
      elapsedMs: () => (elapsedMs += LOOK_MS),
      after: () => ({ cancel() {} }),
      later: (run) => void later.push(run),
    },
    rooms: [],
    outputs: [],
    flushMs: 10,
    onEnded() {},
    onFailure: (error) => failures.push(error),
  });
  turns.start();
  const turn = (): boolean => {
    const run = later.shift();
    run?.();
    return run !== undefined;
  };
  return { turns, turn, failures };
}

test("a slice fires a bounded number of timers, and says that there are more", () => {
  const { chain, fired } = chainWithTimers();
  const slices = chain.advance(7);
  for (let before = fired(); slices?.step() === true; before = fired()) {
    expect(fired() - before).toBeLessThanOrEqual(TIMERS_PER_SLICE);
  }
  expect(fired()).toBe(TIMERS);
});

test("a turn fires no more than it has time for, and a barrier passes before the next timer", () => {
  const { chain, fired } = chainWithTimers();
  const { turns, turn, failures } = turnsOver(() => chain.advance(7));
  let barriers = 0;
  for (let before = 0; turn(); before = fired()) {
    expect(fired() - before).toBeLessThanOrEqual(TIMERS_PER_TURN);
    const atRequest = fired();
    if (atRequest === 0 || atRequest === TIMERS) continue;
    turns.atBorder(() => {
      barriers++;
      expect(fired()).toBe(atRequest);
      const left = chain.snapshot().reduce((sum, { cursor }) => {
        let entries = 0;
        for (let chunk = cursor.next(); chunk !== undefined; chunk = cursor.next()) entries += chunk.entries;
        return sum + entries;
      }, 0);
      expect(left).toBe(TIMERS - atRequest);
    });
  }
  expect(failures).toEqual([]);
  expect(fired()).toBe(TIMERS);
  expect(barriers).toBeGreaterThanOrEqual(TIMERS / TIMERS_PER_TURN - 1);
});
