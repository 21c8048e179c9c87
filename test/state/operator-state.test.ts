/** State without key: what its handle does, against a plain array, with cuts and restores in between. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ObjectCorruptError, ValueRefusedError } from "../../src/errors.ts";
import { operatorListState, operatorUnionState } from "../../src/index.ts";
import { OperatorState } from "../../src/state/operator-state.ts";

const open = (checks = false) =>
  new OperatorState(
    "buffered",
    { list: operatorListState<unknown>(), union: operatorUnionState<unknown>() },
    checks,
  );

/** As a subtask gets it back, alone. */
function restored(state: OperatorState): OperatorState {
  const again = open();
  for (const { state: name, entries } of state.cut()) again.restore(name, entries);
  return again;
}

describe.each(["list", "union"])("a %s", (name) => {
  test("does what an array does, through cuts and restores", () => {
    const steps = fc.array(fc.constantFrom("add", "addAll", "set", "clear", "restore", "cut"), {
      maxLength: 60,
    });
    fc.assert(
      fc.property(steps, (names) => {
        let state = open();
        let model: unknown[] = [];
        for (const [step, what] of names.entries()) {
          const handle = state.handles[name]!;
          const value = { n: step, text: `v${step}` };
          if (what === "add") handle.add(value);
          if (what === "add") model.push(value);
          if (what === "addAll") handle.addAll([value, step]);
          if (what === "addAll") model.push(value, step);
          if (what === "set") handle.set([step, value]);
          if (what === "set") model = [step, value];
          if (what === "clear") handle.clear();
          if (what === "clear") model = [];
          if (what === "restore") state = restored(state);
          if (what === "cut") state.cut();
          const now = state.handles[name]!;
          expect(now.get()).toEqual(model);
          expect([...now]).toEqual(model);
          expect([now.size, now.isEmpty]).toEqual([model.length, model.length === 0]);
        }
      }),
    );
  });

  test("a cut holds what was there, whatever follows it", () => {
    const state = open();
    const handle = state.handles[name]!;
    handle.addAll([1, 2]);
    const cut = state.cut().find((one) => one.state === name)!;
    handle.add(3);
    handle.set([4]);
    const again = open();
    again.restore(name, cut.entries);
    expect(again.handles[name]!.get()).toEqual([1, 2]);
    expect(cut.distribution).toBe(name);
  });

  test.each<[string, unknown, string]>([
    ["undefined", undefined, "cannot be undefined"],
    ["null", null, "cannot be null"],
    ["a function", () => 1, "a function"],
    ["an instance of a class", { at: new (class Place {})() }, 'field "at" is an object of class Place'],
  ])("%s is refused by name, and nothing is added", (_, value, message) => {
    for (const checks of [false, true]) {
      const handle = open(checks).handles[name]!;
      for (const give of [
        () => handle.add(value),
        () => handle.addAll([1, value]),
        () => handle.set([value]),
      ]) {
        expect(give).toThrow(ValueRefusedError);
        expect(give).toThrow(`a value of state "${name}"`);
        expect(give).toThrow(message);
      }
      expect(handle.get()).toEqual([]);
    }
  });

  test("with checks a value that was given or restored cannot be changed any more", () => {
    const state = open(true);
    const value = { n: 1 };
    state.handles[name]!.add(value);
    expect(() => {
      value.n = 2;
    }).toThrow(TypeError);
    const again = open(true);
    again.restore(name, state.cut().find((one) => one.state === name)!.entries);
    expect(() => {
      (again.handles[name]!.get()[0] as { n: number }).n = 2;
    }).toThrow(TypeError);
  });

  test("an entry that cannot be read is named", () => {
    const read = () => open().restore(name, [new Uint8Array([0xc1])]);
    expect(read).toThrow(ObjectCorruptError);
    expect(read).toThrow(`state "${name}" of operator "buffered" cannot be read`);
  });
});
