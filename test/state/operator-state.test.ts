/** State without key: what its handle does, against a plain array, with cuts and restores in between. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ObjectCorruptError, ValueRefusedError } from "../../src/errors.ts";
import { broadcastState, operatorListState, operatorUnionState } from "../../src/index.ts";
import { OperatorState } from "../../src/state/operator-state.ts";
import type { VersionOptions } from "../../src/state/versions/state-version.ts";

const open = (checks = false) =>
  new OperatorState(
    "buffered",
    { list: operatorListState<unknown>(), union: operatorUnionState<unknown>() },
    checks,
  );

/** As a subtask gets it back, alone. */
function restored(state: OperatorState): OperatorState {
  const again = open();
  for (const cut of state.cut()) again.restore(cut);
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
    again.restore(cut);
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
    again.restore(state.cut().find((one) => one.state === name)!);
    expect(() => {
      (again.handles[name]!.get()[0] as { n: number }).n = 2;
    }).toThrow(TypeError);
  });

  test("an entry that cannot be read is named", () => {
    const read = () => open().restore({ state: name, entries: [new Uint8Array([0xc1])] });
    expect(read).toThrow(ObjectCorruptError);
    expect(read).toThrow(`state "${name}" of operator "buffered" cannot be read`);
  });
});

describe("values that an older version has stored", () => {
  const migrate = { "1": (value: number) => ({ was: value }) };
  const versions = { version: "2", migrate };
  const stateOf = (options?: VersionOptions, checks = false) =>
    new OperatorState(
      "buffered",
      {
        list: operatorListState<unknown>(options),
        union: operatorUnionState<unknown>(options),
        map: broadcastState<string, unknown>(options),
      },
      checks,
    );
  const filled = () => {
    const state = stateOf();
    for (const name of ["list", "union"]) state.handles[name]!.addAll([1, 2]);
    state.broadcast.map!.isWritable = true;
    state.broadcast.map!.set("a", 1);
    state.broadcast.map!.set("b", 2);
    return state;
  };
  const restoredFrom = (before: OperatorState, options: VersionOptions, checks = false) => {
    const after = stateOf(options, checks);
    for (const cut of before.cut()) after.restore(cut);
    return after;
  };
  const valuesOf = (state: OperatorState) => [
    state.handles.list!.get(),
    state.handles.union!.get(),
    [...state.broadcast.map!],
  ];

  test.each([false, true])(
    "are migrated, each once, and are of the present one in the next cut (checks: %s)",
    (checks) => {
      const now = [{ was: 1 }, { was: 2 }];
      const expected = [
        now,
        now,
        [
          ["a", now[0]],
          ["b", now[1]],
        ],
      ];
      const second = restoredFrom(filled(), versions, checks);
      expect(valuesOf(second)).toEqual(expected);
      expect(second.cut().map(({ version }) => version)).toEqual(["2", "2", "2"]);
      const third = restoredFrom(second, versions, checks);
      expect(valuesOf(third)).toEqual(expected);
      if (checks)
        expect(() => {
          (third.handles.list!.get()[0] as { was: number }).was = 3;
        }).toThrow(TypeError);
    },
  );

  test("are refused by operator and state where nothing is said of it, where the function fails, and where it answers no value", () => {
    expect(() => restoredFrom(filled(), { version: "2" })).toThrow(
      'operator "buffered" failed: state "list" is stored in version "1", of which nothing is known: give it migrate: { "1": (value) => ... }',
    );
    const failing = (one: (value: unknown) => unknown) => () =>
      restoredFrom(filled(), { version: "2", migrate: { "1": one } });
    expect(
      failing(() => {
        throw new Error("not like that");
      }),
    ).toThrow('operator "buffered" failed: not like that');
    expect(failing(() => undefined)).toThrow(
      'migrate["1"] of state "list" answered undefined, which is no value',
    );
    expect(failing(() => () => 1)).toThrow('what migrate["1"] of state "list" answers');
  });

  const makers: readonly ((...given: never[]) => unknown)[] = [
    operatorListState,
    operatorUnionState,
    broadcastState,
  ];
  test.each(makers)("wrong options of %o are refused by name", (make) => {
    expect(() => make({ version: 2 } as never)).toThrow(`${make.name}: version must be a text`);
    expect(() => make({ ttl: { after: "1 h" } } as never)).toThrow(`${make.name}: no option "ttl"`);
    expect(() => make({} as never, 1 as never)).toThrow(
      `${make.name}(options): takes options, and nothing else`,
    );
  });
});
