/** What the handles of all kinds of keyed state do, over any backend (`src/state/descriptor.ts`). */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { OperatorError, ValueRefusedError } from "../../../../src/errors.ts";
import {
  aggregatingState,
  type Key,
  listState,
  mapState,
  reducingState,
  valueState,
} from "../../../../src/state/descriptor.ts";
import { keyGroupRangeOf } from "../../../../src/state/key-groups.ts";
import { KeyedState } from "../../../../src/state/keyed-state.ts";
import { bytesOf, drained, type OpenBackendUnderTest } from "./backend.ts";

interface Item {
  readonly n: number;
}

const descriptors = {
  value: valueState<Item | null>(null),
  list: listState<Item>(),
  map: mapState<string | number, Item>(),
  longest: reducingState<string>((a, b) => (b.length > a.length ? b : a)),
  mean: aggregatingState({
    createAccumulator: () => ({ sum: 0, count: 0 }),
    add: ({ sum, count }, n: number) => ({ sum: sum + n, count: count + 1 }),
    getResult: ({ sum, count }) => sum / count,
  }),
};

type Opened = KeyedState<typeof descriptors>;

/** The same by means of the language: what one key holds. */
interface Model {
  value: Item | null;
  list: Item[];
  map: Map<string | number, Item>;
  longest: string[];
  mean: number[];
}

const empty = (): Model => ({ value: null, list: [], map: new Map(), longest: [], mean: [] });

const mapKey = fc.oneof(
  fc.constantFrom<string | number>("1", 1, "", 0, -0, Number.NaN, "\ud800", -1.5, "size"),
  fc.integer({ min: -9, max: 9 }),
  fc.string({ maxLength: 1 }),
);
const item = fc.record({ n: fc.nat() }, { noNullPrototype: true });
const step = fc.oneof(
  fc.record({ do: fc.constant("value" as const), item }),
  fc.record({ do: fc.constant("add" as const), item }),
  fc.record({ do: fc.constant("addAll" as const), items: fc.array(item, { maxLength: 70 }) }),
  fc.record({ do: fc.constant("setList" as const), items: fc.array(item, { maxLength: 70 }) }),
  fc.record({ do: fc.constant("put" as const), at: mapKey, item }),
  fc.record({ do: fc.constant("put" as const), at: mapKey, item }),
  fc.record({ do: fc.constant("delete" as const), at: mapKey }),
  fc.record({ do: fc.constant("reduce" as const), text: fc.string() }),
  fc.record({ do: fc.constant("aggregate" as const), n: fc.nat() }),
  fc.record({
    do: fc.constant("clear" as const),
    name: fc.constantFrom("value", "list", "map", "longest", "mean"),
  }),
  fc.record({ do: fc.constant("restore" as const) }),
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;
const story = fc.array(fc.record({ key: fc.constantFrom<Key>("k", 7, "other key of this test"), step }), {
  maxLength: 80,
});

export function describeHandlesContract(name: string, open: OpenBackendUnderTest): void {
  const opened = (checks: boolean): Opened =>
    new KeyedState((options) => open(options).backend, {
      operator: "visits",
      descriptors,
      keyGroups: keyGroupRangeOf(0, 1, 4),
      maxParallelism: 4,
      checks,
    });

  function restored(from: Opened, checks: boolean): Opened {
    const to = opened(checks);
    for (const { state, cursor } of from.snapshot()) {
      const restorer = to.restorer(state, { object: state, bytes: bytesOf(drained(cursor)) });
      while (restorer.next());
    }
    from.close();
    return to;
  }

  function act({ handles }: Opened, model: Model, asked: Step): void {
    const { value, list, map, longest, mean } = handles;
    switch (asked.do) {
      case "value":
        value.set(asked.item);
        model.value = asked.item;
        break;
      case "add":
        list.add(asked.item);
        model.list.push(asked.item);
        break;
      case "addAll":
        list.addAll(asked.items);
        model.list.push(...asked.items);
        break;
      case "setList":
        list.set(asked.items.values());
        model.list = [...asked.items];
        break;
      case "put":
        map.set(asked.at, asked.item);
        model.map.set(asked.at, asked.item);
        break;
      case "delete":
        expect(map.delete(asked.at)).toBe(model.map.delete(asked.at));
        break;
      case "reduce":
        longest.add(asked.text);
        model.longest.push(asked.text);
        break;
      case "aggregate":
        mean.add(asked.n);
        model.mean.push(asked.n);
        break;
      case "clear":
        handles[asked.name as keyof Model].clear();
        Object.assign(model, { [asked.name]: empty()[asked.name as keyof Model] });
        break;
      case "restore":
        break;
    }
  }

  /** What all handles say agrees with the model, and with each other. */
  function look({ handles }: Opened, model: Model): void {
    const { value, list, map, longest, mean } = handles;
    expect(value.get()).toEqual(model.value);
    expect(list.get()).toEqual(model.list);
    expect([...list]).toEqual(model.list);
    expect(list.size).toBe(model.list.length);
    expect(list.isEmpty).toBe(model.list.length === 0);
    const entries = inOrder(model.map);
    expect([...map]).toEqual(entries);
    expect([...map.keys()]).toEqual(entries.map(([key]) => key));
    expect([...map.values()]).toEqual(entries.map(([, held]) => held));
    expect(map.size).toBe(model.map.size);
    expect(map.isEmpty).toBe(model.map.size === 0);
    for (const key of ["1", 1, 0, Number.NaN, "nothing"]) {
      expect(map.has(key)).toBe(model.map.has(key));
      expect(map.get(key)).toEqual(model.map.get(key));
    }
    const reduced = model.longest.reduce<string | undefined>(
      (a, b) => (a === undefined || b.length > a.length ? b : a),
      undefined,
    );
    expect(longest.get()).toBe(reduced);
    expect(longest.isEmpty).toBe(reduced === undefined);
    const { length } = model.mean;
    expect(mean.get()).toBe(length === 0 ? undefined : model.mean.reduce((a, b) => a + b, 0) / length);
    expect(mean.isEmpty).toBe(length === 0);
  }

  describe(`handles of keyed state over ${name}`, () => {
    for (const checks of [false, true]) {
      it(`do what an array, a Map and plain loops would, also after restores (checks: ${checks})`, () => {
        fc.assert(
          fc.property(story, (steps) => {
            let state = opened(checks);
            const models = new Map<Key, Model>();
            for (const { key, step: asked } of steps) {
              if (asked.do === "restore") state = restored(state, checks);
              state.setCurrentKey(key);
              const model = models.get(key) ?? empty();
              models.set(key, model);
              act(state, model, asked);
            }
            const later = restored(state, checks);
            for (const [key, model] of models) {
              later.setCurrentKey(key);
              look(later, model);
              for (const handle of Object.values(later.handles)) handle.clear();
              look(later, empty());
            }
            expect([...later.keys()]).toEqual([]);
            later.close();
          }),
          { numRuns: 60 },
        );
      });
    }

    it("refuse undefined and null, by the name of the state, and keep what they had", () => {
      const state = opened(false);
      state.setCurrentKey("k");
      const { value, list, map, longest, mean } = state.handles;
      value.set({ n: 1 });
      list.add({ n: 1 });
      for (const nothing of [undefined, null] as never[]) {
        const refused = (run: () => void, name: string) => {
          expect(run).toThrow(ValueRefusedError);
          expect(run).toThrow(`state "${name}" was given ${nothing}, which is no value`);
        };
        refused(() => value.set(nothing), "value");
        refused(() => list.add(nothing), "list");
        refused(() => list.addAll([{ n: 2 }, nothing]), "list");
        refused(() => list.set([{ n: 2 }, nothing]), "list");
        refused(() => map.set("a", nothing), "map");
        refused(() => longest.add(nothing), "longest");
        refused(() => mean.add(nothing), "mean");
      }
      expect(value.get()).toEqual({ n: 1 });
      expect(list.get()).toEqual([{ n: 1 }]);
      expect(map.has("a")).toBe(false);
      expect(longest.isEmpty && mean.isEmpty).toBe(true);
      state.close();
    });

    it("refuse what the user's functions answer if it is no value", () => {
      const state = new KeyedState((options) => open(options).backend, {
        operator: "visits",
        descriptors: {
          forgets: reducingState<number>(() => undefined as never),
          forgetsToo: aggregatingState<number, number, number>({
            createAccumulator: () => 0,
            add: () => undefined as never,
            getResult: (n) => n,
          }),
        },
        keyGroups: keyGroupRangeOf(0, 1, 4),
        maxParallelism: 4,
      });
      state.setCurrentKey("k");
      state.handles.forgets.add(1);
      expect(() => state.handles.forgets.add(2)).toThrow(/reduce of state "forgets" answered undefined/);
      expect(state.handles.forgets.get()).toBe(1);
      expect(() => state.handles.forgetsToo.add(2)).toThrow(/add of state "forgetsToo" answered undefined/);
      state.close();
    });

    it("refuse keys of a map that are neither text nor number", () => {
      const state = opened(false);
      state.setCurrentKey("k");
      const { map } = state.handles;
      for (const key of [true, 1n, { n: 1 }, undefined, Symbol("s")] as never[]) {
        for (const run of [
          () => map.get(key),
          () => map.has(key),
          () => map.set(key, { n: 1 }),
          () => map.delete(key),
        ])
          expect(run).toThrow(/a key of map state "map" is .*; keys are texts and numbers/);
      }
      expect(map.isEmpty).toBe(true);
      state.close();
    });

    it("without a key answer an error that names operator and state", () => {
      const state = opened(false);
      const { value, list, map, longest, mean } = state.handles;
      const uses: Record<string, (() => unknown)[]> = {
        value: [() => value.get(), () => value.set({ n: 1 }), () => value.clear()],
        list: [() => list.get(), () => list.add({ n: 1 }), () => list.size, () => list.isEmpty],
        map: [() => map.get("a"), () => map.size, () => map.isEmpty, () => [...map], () => map.clear()],
        longest: [() => longest.get(), () => longest.add("a"), () => longest.isEmpty],
        mean: [() => mean.get(), () => mean.add(1), () => mean.clear()],
      };
      const refuseAll = () => {
        for (const [used, runs] of Object.entries(uses))
          for (const run of runs) {
            expect(run).toThrow(OperatorError);
            expect(run).toThrow(`operator "visits" failed: state "${used}" was used without a key`);
          }
      };
      refuseAll();
      state.setCurrentKey("k");
      value.set({ n: 1 });
      map.set("a", { n: 1 });
      const late = map.entries();
      state.leaveCurrentKey();
      refuseAll();
      expect(() => late.next()).toThrow('state "map" was used without a key');
      state.close();
    });

    it("let a map change while it is iterated, and end its iterators with the record", () => {
      const state = opened(false);
      state.setCurrentKey("k");
      const { map } = state.handles;
      for (const n of [3, 1, 2, 4]) map.set(n, { n });
      const seen: unknown[] = [];
      for (const [key] of map) {
        seen.push(key);
        map.set(key, { n: -1 });
        map.delete(3);
        map.set("new", { n: 5 });
      }
      expect(seen).toEqual([1, 2, 4]);
      expect([...map.keys()]).toEqual([1, 2, 4, "new"]);
      const entries = map.entries();
      expect(entries.next().value).toEqual([1, { n: -1 }]);
      state.setCurrentKey("other");
      expect(() => entries.next()).toThrow(/an iterator over state "map" was used after the record/);
      state.close();
    });

    it("hand out what is frozen, and look closely at what they are given, with checks", () => {
      const state = opened(true);
      state.setCurrentKey("k");
      const { value, list, map } = state.handles;
      value.set({ n: 1 });
      list.add({ n: 1 });
      map.set("a", { n: 1 });
      for (const held of [value.get(), list.get()[0], map.get("a"), [...map.values()][0]]) {
        expect(() => {
          (held as { n: number }).n = 2;
        }).toThrow(TypeError);
      }
      expect(state.statesInUse).toEqual(["value", "list", "map"]);
      const odd = { n: 1, print() {} };
      expect(() => list.add(odd)).toThrow(
        /what is set as state "list" cannot be carried: field "print" is a function/,
      );
      expect(() => map.set("b", odd)).toThrow(/state "map" cannot be carried/);
      list.get().push({ n: 9 });
      expect(list.get()).toEqual([{ n: 1 }]);
      state.close();
    });
  });
}

function inOrder(map: Map<string | number, Item>): [string | number, Item][] {
  const numbers = [...map.keys()].filter((key): key is number => typeof key === "number");
  const keys = [
    ...numbers.filter((key) => !Number.isNaN(key)).sort((a, b) => a - b),
    ...numbers.filter((key) => Number.isNaN(key)),
    ...[...map.keys()].filter((key): key is string => typeof key === "string").sort(),
  ];
  return keys.map((key) => [key, map.get(key)!]);
}
