/** A machine is asked again in a sample: at first each time, then now and then, and always with `checks`. */

import { describe, expect, test } from "vitest";
import { assign, createMachine } from "xstate";
import { PureMachine, prepared } from "../../src/dataflow/operators/machines/pure-machine.ts";

/** A machine that counts by itself how often it was asked, from the given step on. */
function counting(fromStep: number) {
  let asked = 0;
  const machine = createMachine({
    context: { steps: 0, asked: 0 },
    on: {
      STEP: {
        actions: assign(({ context: { steps } }) => ({
          steps: steps + 1,
          asked: steps < fromStep ? 0 : ++asked,
        })),
      },
    },
  });
  return { machine, timesAsked: () => asked };
}

/** How many steps pass before it is found out, of a million at most. */
function stepsUntilFound(fromStep: number, checks: boolean): number {
  const pure = new PureMachine(prepared(counting(fromStep).machine), checks);
  let { snapshot } = pure.start(undefined);
  for (let step = 1; step < 1e6; step++)
    try {
      snapshot = pure.step(snapshot, { type: "STEP" }).snapshot;
    } catch (error) {
      expect((error as Error).message).toContain('event "STEP" with another context.asked the second time');
      return step;
    }
  throw new Error("not found");
}

describe("a machine that answers otherwise the second time", () => {
  test("is found at its first step, at once", () => {
    expect(stepsUntilFound(0, false)).toBe(1);
    expect(stepsUntilFound(0, true)).toBe(1);
  });

  test("is found in a sample when it changes later, with checks at once", () => {
    expect(stepsUntilFound(100, true)).toBe(101);
    const found = stepsUntilFound(100, false);
    expect(found).toBeGreaterThan(101);
    expect(found).toBeLessThan(2_000);
  });
});

test("most steps are taken once", () => {
  const machine = createMachine({
    context: { steps: 0 },
    on: { STEP: { actions: assign({ steps: () => ++asked && 1 }) } },
  });
  let asked = 0;
  const pure = new PureMachine(prepared(machine), false);
  let { snapshot } = pure.start(undefined);
  for (let step = 0; step < 10_000; step++) snapshot = pure.step(snapshot, { type: "STEP" }).snapshot;
  expect(asked).toBeGreaterThanOrEqual(10_000);
  expect(asked).toBeLessThan(10_300);
});
