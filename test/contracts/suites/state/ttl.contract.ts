/** P84: what the handles of all kinds of keyed state do when their values have a time to live, over any backend. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  aggregatingState,
  listState,
  mapState,
  reducingState,
  valueState,
} from "../../../../src/state/descriptor.ts";
import { keyGroupRangeOf } from "../../../../src/state/key-groups.ts";
import { KeyedState } from "../../../../src/state/keyed-state.ts";
import type { TtlOptions } from "../../../../src/state/ttl/time-to-live.ts";
import { bytesOf, drained, type OpenBackendUnderTest } from "./backend.ts";

const AFTER_MS = 10;
const MAX_PARALLELISM = 16;

const declared = (updateOn: TtlOptions["updateOn"]) => {
  const ttl = { ttl: { after: AFTER_MS, updateOn } };
  return {
    value: valueState<number>(-1, ttl),
    list: listState<number>(ttl),
    map: mapState<string | number, number>(ttl),
    sum: reducingState<number>((a, b) => a + b, ttl),
    texts: aggregatingState(
      {
        createAccumulator: () => "",
        add: (all, n: number) => `${all}${n},`,
        getResult: (all) => `<${all}>`,
      },
      ttl,
    ),
  };
};

type Opened = KeyedState<ReturnType<typeof declared>>;

interface Held<T> {
  value: T;
  at: number;
}

/** The same by means of the language: what one key holds, with the time of each value. */
interface Model {
  value: Held<number> | undefined;
  list: Held<number>[];
  map: Map<string | number, Held<number>>;
  sum: Held<number> | undefined;
  texts: Held<string> | undefined;
}

const empty = (): Model => ({ value: undefined, list: [], map: new Map(), sum: undefined, texts: undefined });

const entry = fc.constantFrom<string | number>("1", 1, "", -3, "size");
const n = fc.nat(9);
const change = fc.oneof(
  fc.record({ do: fc.constant("value" as const), n }),
  fc.record({ do: fc.constant("add" as const), n }),
  fc.record({ do: fc.constant("setList" as const), ns: fc.array(n, { maxLength: 4 }) }),
  fc.record({ do: fc.constant("put" as const), entry, n }),
  fc.record({ do: fc.constant("put" as const), entry, n }),
  fc.record({ do: fc.constant("delete" as const), entry }),
  fc.record({ do: fc.constant("reduce" as const), n }),
  fc.record({ do: fc.constant("aggregate" as const), n }),
  fc.record({ do: fc.constant("clear" as const) }),
  fc.record({ do: fc.constant("read" as const) }),
);
type Change = typeof change extends fc.Arbitrary<infer T> ? T : never;
const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ key: fc.constantFrom("a", 7, "b"), change }) },
  { weight: 3, arbitrary: fc.record({ passes: fc.integer({ min: 1, max: AFTER_MS + 1 }) }) },
  { weight: 1, arbitrary: fc.constant("work off" as const) },
  { weight: 1, arbitrary: fc.constant("restore" as const) },
);

/** A state whose clock is moved by hand. */
class Bench {
  time = 1_000;
  /** What was told of: key, state, value, entry, when it expired. */
  readonly told: unknown[][] = [];
  state: Opened;
  readonly #open: OpenBackendUnderTest;
  readonly #updateOn: TtlOptions["updateOn"];

  constructor(open: OpenBackendUnderTest, updateOn: TtlOptions["updateOn"]) {
    this.#open = open;
    this.#updateOn = updateOn;
    this.state = this.#opened();
  }

  workOff(): void {
    for (const { rows } of this.state.expiring)
      while (rows.firstDue !== undefined && rows.firstDue <= this.time) rows.expireFirst(this.time);
  }

  restore(): void {
    const before = this.state;
    const cuts = before.snapshot().map(({ state, cursor }) => ({ state, bytes: bytesOf(drained(cursor)) }));
    before.close();
    this.state = this.#opened();
    for (const { state, bytes } of cuts) {
      if (bytes.byteLength === 0) continue;
      const restorer = this.state.restorer(state, { object: "cut", bytes });
      while (restorer.next());
    }
    const order = this.state.orderExpiring();
    while (order.step());
  }

  #opened(): Opened {
    const state = new KeyedState((options) => this.#open(options).backend, {
      operator: "op",
      descriptors: declared(this.#updateOn),
      keyGroups: keyGroupRangeOf(0, 1, MAX_PARALLELISM),
      maxParallelism: MAX_PARALLELISM,
    });
    const clock = { now: () => this.time, stamp: () => this.time };
    for (const one of state.expiring)
      one.rows.attach({
        clock,
        expired: (_, namespace, value, due) => {
          const told = one.expired(namespace, value);
          this.told.push([state.currentKey, one.name, told.value, told.entry, due]);
        },
        onEarlier: () => {},
      });
    return state;
  }
}

function lives<T>(held: Held<T> | undefined, time: number): held is Held<T> {
  return held !== undefined && held.at + AFTER_MS > time;
}

/** What the handles must say of the key, and what reading it renews. */
function seenIn(model: Model, time: number, renews: boolean) {
  const read = <T>(held: Held<T> | undefined): T | undefined => {
    if (!lives(held, time)) return undefined;
    if (renews) held.at = time;
    return held.value;
  };
  const list = model.list.filter((one) => lives(one, time));
  const map = [...model.map].filter(([, one]) => lives(one, time));
  return {
    size: [list.length, map.length],
    isEmpty: [list.length === 0, map.length === 0],
    value: read(model.value) ?? -1,
    list: list.map((one) => read(one)),
    map: new Map(map.map(([key, one]) => [key, read(one)])),
    sum: read(model.sum),
    texts: model.texts && lives(model.texts, time) ? `<${read(model.texts)}>` : undefined,
  };
}

/** What is counted and has not expired is what lives, and to count it changes nothing. */
function checkFigures({ state, time }: Bench, models: Iterable<Model>): void {
  const living = { value: 0, list: 0, map: 0, sum: 0, texts: 0 };
  const count = (held: readonly (Held<unknown> | undefined)[]) =>
    held.filter((one) => lives(one, time)).length;
  for (const { value, list, map, sum, texts } of models) {
    living.value += count([value]);
    living.list += count(list);
    living.map += count([...map.values()]);
    living.sum += count([sum]);
    living.texts += count([texts]);
  }
  const counted = state.expiring.map(({ name, rows }) => {
    const { values, expired } = rows.figures()!;
    return [name, values - expired];
  });
  expect(Object.fromEntries(counted)).toEqual(living);
}

function seen({ handles }: Opened) {
  const { value, list, map, sum, texts } = handles;
  const size = [list.size, map.size];
  const isEmpty = [list.isEmpty, map.isEmpty];
  return {
    size,
    isEmpty,
    value: value.get(),
    list: list.get(),
    map: new Map(map),
    sum: sum.get(),
    texts: texts.get(),
  };
}

function changeBoth({ handles }: Opened, model: Model, change: Change, time: number, renews: boolean): void {
  const at = time;
  switch (change.do) {
    case "value":
      handles.value.set(change.n);
      model.value = { value: change.n, at };
      return;
    case "add":
      handles.list.add(change.n);
      model.list.push({ value: change.n, at });
      return;
    case "setList":
      handles.list.set(change.ns);
      model.list = change.ns.map((value) => ({ value, at }));
      return;
    case "put":
      handles.map.set(change.entry as never, change.n);
      model.map.set(change.entry, { value: change.n, at });
      return;
    case "delete":
      expect(handles.map.delete(change.entry as never)).toBe(lives(model.map.get(change.entry), time));
      model.map.delete(change.entry);
      return;
    case "reduce": {
      const before = lives(model.sum, time) ? model.sum.value : undefined;
      handles.sum.add(change.n);
      model.sum = { value: before === undefined ? change.n : before + change.n, at };
      return;
    }
    case "aggregate": {
      const before = lives(model.texts, time) ? model.texts.value : "";
      handles.texts.add(change.n);
      model.texts = { value: `${before}${change.n},`, at };
      return;
    }
    case "clear":
      for (const handle of Object.values(handles)) handle.clear();
      Object.assign(model, empty());
      return;
    case "read":
      expect(seen({ handles } as Opened)).toEqual(seenIn(model, time, renews));
  }
}

/** @param many of so many values it is still told how many have expired, at least about */
export function describeTtlContract(name: string, open: OpenBackendUnderTest, many = 20_000): void {
  describe(`time to live, ${name}`, () => {
    for (const updateOn of ["write", "readAndWrite"] as const) {
      it(`lets all kinds of state forget what they should, renewed by ${updateOn}`, () => {
        fc.assert(
          fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
            const bench = new Bench(open, updateOn);
            const models = new Map<string | number, Model>();
            const renews = updateOn === "readAndWrite";
            for (const step of steps) {
              if (step === "work off") bench.workOff();
              else if (step === "restore") bench.restore();
              else if ("passes" in step) bench.time += step.passes;
              else {
                const model = models.get(step.key) ?? empty();
                models.set(step.key, model);
                bench.state.setCurrentKey(step.key);
                changeBoth(bench.state, model, step.change, bench.time, renews);
              }
              checkFigures(bench, models.values());
            }
            for (const [key, model] of models) {
              bench.state.setCurrentKey(key);
              expect(seen(bench.state)).toEqual(seenIn(model, bench.time, renews));
            }
            bench.time += 2 * AFTER_MS;
            bench.workOff();
            expect([...bench.state.keys()]).toEqual([]);
            bench.state.close();
          }),
          { numRuns: 200 },
        );
      });
    }

    it("holds a value until exactly the end of its time, and tells once of what it held", () => {
      const bench = new Bench(open, "write");
      const { value, list, map, sum, texts } = bench.state.handles;
      const at = (time: number, key = "a") => {
        bench.time = time;
        bench.state.setCurrentKey(key);
      };
      at(100);
      value.set(1);
      list.addAll([1, 2]);
      map.set("x", 3);
      sum.add(4);
      texts.add(5);
      at(105);
      list.add(6);
      map.set("y", 7);
      at(109);
      expect(seen(bench.state)).toMatchObject({ value: 1, list: [1, 2, 6], sum: 4, texts: "<5,>" });
      at(110);
      expect([value.get(), sum.get(), texts.get(), sum.isEmpty]).toEqual([-1, undefined, undefined, true]);
      expect([list.size, list.get(), map.size, [...map.keys()]]).toEqual([1, [6], 1, ["y"]]);
      expect([map.has("x"), map.get("x"), map.delete("x")]).toEqual([false, undefined, false]);
      expect(bench.told).toEqual([
        ["a", "value", 1, undefined, 110],
        ["a", "sum", 4, undefined, 110],
        ["a", "texts", "<5,>", undefined, 110],
        ["a", "list", 1, undefined, 110],
        ["a", "list", 2, undefined, 110],
        ["a", "map", 3, "x", 110],
      ]);
      bench.told.length = 0;
      bench.time = 115;
      bench.workOff();
      expect(bench.told).toEqual([
        ["a", "list", 6, undefined, 115],
        ["a", "map", 7, "y", 115],
      ]);
      expect([...bench.state.keys()]).toEqual([]);
      bench.state.close();
    });

    it("works off what has expired in one order, before and behind a restore", () => {
      const inOrder = (restores: boolean): unknown[][] => {
        const bench = new Bench(open, "write");
        for (const key of [5, "x", "y", 3, "z", 8]) {
          bench.state.setCurrentKey(key);
          bench.state.handles.list.addAll([1, 2, 3]);
          bench.state.handles.map.set(key as never, 1);
        }
        bench.state.setCurrentKey("x");
        bench.state.handles.map.set("x", 2);
        if (restores) bench.restore();
        bench.time += AFTER_MS;
        bench.workOff();
        bench.state.close();
        return bench.told;
      };
      expect(inOrder(true)).toEqual(inOrder(false));
      expect(inOrder(false)).toHaveLength(24);
    });

    it("tells how many values have expired and are still there, and what they take", () => {
      const bench = new Bench(open, "write");
      const figures = () => bench.state.expiring.find(({ name }) => name === "value")!.rows.figures();
      const write = (from: number, to: number) => {
        for (let key = from; key < to; key++) {
          bench.state.setCurrentKey(key);
          bench.state.handles.value.set(key);
        }
      };
      write(0, 300);
      bench.time += AFTER_MS - 1;
      write(250, 1000);
      expect(figures()).toEqual({ values: 1000, expired: 0 });
      bench.time += 1;
      expect(figures()).toEqual({ values: 1000, expired: 250 });
      bench.restore();
      const restored = figures()!;
      expect(restored).toMatchObject({ values: 1000, expired: 250 });
      expect(restored.expiredBytes).toBeGreaterThan(250 * 8);
      expect(restored.expiredBytes).toBeLessThan(250 * 200);
      // With many it is an estimate.
      bench.time += 1;
      write(1000, 1000 + many);
      bench.time += AFTER_MS - 1;
      write(1000 + many * 0.2, 1000 + many * 0.7);
      bench.time += 1;
      expect(figures()!.values).toBe(1000 + many);
      const expired = 1000 + many * 0.5;
      expect(figures()!.expired).toBeGreaterThan(expired * 0.8);
      expect(figures()!.expired).toBeLessThan(expired * 1.2);
      bench.workOff();
      expect(figures()).toMatchObject({ values: many * 0.5, expired: 0 });
      bench.state.close();
    });

    it("takes a clock that was set back for one that stands still", () => {
      const bench = new Bench(open, "write");
      bench.state.setCurrentKey("a");
      bench.state.handles.value.set(1);
      bench.time -= 500;
      bench.state.setCurrentKey("a");
      bench.state.handles.value.set(2);
      bench.time += 500 + AFTER_MS - 1;
      bench.workOff();
      bench.state.setCurrentKey("a");
      expect(bench.state.handles.value.get()).toBe(2);
      bench.time += 1;
      bench.workOff();
      expect(bench.told).toEqual([["a", "value", 2, undefined, 1_000 + AFTER_MS]]);
      bench.state.close();
    });
  });
}
