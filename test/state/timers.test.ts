/** TS1 to TS5: timers as rows of keyed state, against a list that is searched for the next one each time. */
import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import type { Namespace } from "../../src/state/contract.ts";
import { type Key, stateTable } from "../../src/state/descriptor.ts";
import { HeapBackend } from "../../src/state/heap/backend.ts";
import { keyGroupOf, keyGroupRangeOf, ownerOf } from "../../src/state/key-groups.ts";
import { KeyedState, type OpenBackend } from "../../src/state/keyed-state.ts";
import { Rearming } from "../../src/state/timers/rearming.ts";
import { TimerSet } from "../../src/state/timers/timer-set.ts";
import { onDisk } from "../support/graphs/on-disk.ts";

const BACKENDS: Readonly<Record<string, OpenBackend>> = {
  heap: (options) => new HeapBackend(options),
  "disk, 1 row in memory": onDisk(1),
  "disk, 10 rows in memory": onDisk(10),
  "disk, 100 rows in memory": onDisk(100),
  "disk, all in memory": onDisk(1_000_000),
};

let openBackend: OpenBackend;

const MAX_PARALLELISM = 8;
const TABLE = "some timers";

interface Timer {
  readonly time: number;
  readonly key: Key;
  readonly namespace: Namespace;
}

interface Opened {
  readonly state: KeyedState;
  readonly timers: TimerSet;
  readonly earlier: number[];
}

function open(subtask = 0, parallelism = 1, pieces: readonly Uint8Array[] = []): Opened {
  const earlier: number[] = [];
  const state = new KeyedState(openBackend, {
    operator: "op",
    descriptors: { [TABLE]: stateTable() },
    keyGroups: keyGroupRangeOf(subtask, parallelism, MAX_PARALLELISM),
    maxParallelism: MAX_PARALLELISM,
  });
  const timers = new TimerSet({
    table: TABLE,
    state,
    rearming: new Rearming(),
    onEarlier: (time) => earlier.push(time),
  });
  for (const bytes of pieces) {
    const restorer = state.restorer(TABLE, { object: "state", bytes });
    while (bytes.length > 0 && restorer.next());
  }
  return { state, timers, earlier };
}

function cut({ state }: Opened): Uint8Array {
  const [named] = state.snapshot();
  const chunks: Uint8Array[] = [];
  for (let chunk = named!.cursor.next(); chunk !== undefined; chunk = named!.cursor.next())
    chunks.push(chunk.bytes);
  return Buffer.concat(chunks);
}

function register({ state, timers }: Opened, { key, time, namespace }: Timer): void {
  state.setCurrentKey(key);
  timers.register(time, namespace);
}

/** Fires all that are due, and answers them in order. */
function fired({ timers }: Opened, time: number): Timer[] {
  const seen: Timer[] = [];
  const slices = timers.fire(time, (key, time, namespace) => seen.push({ key, time, namespace }));
  while (slices?.step());
  return seen;
}

/** What the rules say, with no more than a list in the order of registration. */
class Model {
  timers: Timer[] = [];

  register(timer: Timer): void {
    if (!this.timers.some((one) => isSame(one, timer))) this.timers.push(timer);
  }

  delete(timer: Timer): void {
    this.timers = this.timers.filter((one) => !isSame(one, timer));
  }

  takeNext(time: number): Timer | undefined {
    const groupOf = ({ key }: Timer) => keyGroupOf(key, MAX_PARALLELISM);
    const [next] = this.timers
      .filter((one) => one.time <= time)
      .sort((a, b) => (a.time === b.time ? groupOf(a) - groupOf(b) : a.time - b.time));
    if (next !== undefined) this.delete(next);
    return next;
  }
}

const isSame = (a: Timer, b: Timer) =>
  a.time === b.time && Object.is(a.key, b.key) && a.namespace === b.namespace;

/** What a timer's function does: some register others, in the past and in the future. */
function follower({ time, key, namespace }: Timer): Timer | undefined {
  if (time % 4 === 0) return { time: time + 3, key, namespace };
  if (time % 7 === 0) return { time: time - 2, key, namespace: "again" };
  return undefined;
}

const timer: fc.Arbitrary<Timer> = fc.record({
  time: fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: -20, max: 20 }) },
    { weight: 1, arbitrary: fc.constantFrom(1_700_000_000_000, Number.POSITIVE_INFINITY) },
  ),
  key: fc.oneof(fc.nat(9), fc.constantFrom("a", "b", "1", "a longer key than most", true, 5n)),
  namespace: fc.constantFrom<Namespace>(undefined, undefined, "", "w 1", "7", 7),
});

type Step =
  | { readonly do: "register" | "delete"; readonly timers: readonly Timer[] }
  | { readonly do: "fire"; readonly time: number; readonly most: number }
  | { readonly do: "restore" };

const story: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        do: fc.constant("register" as const),
        timers: fc.array(timer, { maxLength: 12 }),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        do: fc.constant("delete" as const),
        timers: fc.array(timer, { maxLength: 12 }),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant("fire" as const),
        time: fc.integer({ min: -25, max: 30 }),
        most: fc.nat(20),
      }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("restore" as const) }) },
  ),
  { maxLength: 30 },
);

describe.each(Object.entries(BACKENDS))("%s", (_, of) => {
  beforeEach(() => {
    openBackend = of;
  });

  test("timers fire as a list of them would, also restored from a cut in the middle of firing", () => {
    fc.assert(
      fc.property(story, (steps) => {
        let opened = open();
        const model = new Model();
        for (const step of steps) {
          switch (step.do) {
            case "register":
              for (const one of step.timers) {
                register(opened, one);
                model.register(one);
              }
              break;
            case "delete":
              for (const one of step.timers) {
                opened.state.setCurrentKey(one.key);
                opened.timers.delete(one.time, one.namespace);
                model.delete(one);
              }
              break;
            case "restore":
              opened = open(0, 1, [cut(opened)]);
              break;
            case "fire": {
              const { timers } = opened;
              const seen: Timer[] = [];
              const slices = timers.fire(step.time, (key, time, namespace) => {
                const one = { key, time, namespace };
                seen.push(one);
                expect(opened.state.currentKey).toBe(key);
                const next = follower(one);
                if (next !== undefined) timers.register(next.time, next.namespace);
              });
              const expected: Timer[] = [];
              for (let left = step.most; left > 0; left--) {
                const next = model.takeNext(step.time);
                if (next === undefined) break;
                expected.push(next);
                const more = follower(next);
                if (more !== undefined) model.register(more);
              }
              for (let left = step.most; left > 0 && slices?.step(); left--);
              expect(seen).toEqual(expected);
              break;
            }
          }
        }
        expect(opened.timers.firstTime).toBe(
          model.timers.length === 0 ? undefined : Math.min(...model.timers.map(({ time }) => time)),
        );
        const left: Timer[] = [];
        for (let next = model.takeNext(Infinity); next !== undefined; next = model.takeNext(Infinity))
          left.push(next);
        expect(fired(open(0, 1, [cut(opened)]), Infinity)).toEqual(left);
        expect(fired(opened, Infinity)).toEqual(left);
        expect(cut(opened)).toHaveLength(0);
      }),
      { numRuns: 300 },
    );
  });

  describe("a set of timers", () => {
    const keys: Key[] = Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? i : `key ${i}`));

    test("is dealt out by key group, each part in its order (TS1, TS3)", () => {
      const one = open();
      for (let i = 0; i < 200; i++) register(one, { key: keys[(i * 7) % 40]!, time: i % 5, namespace: i });
      const bytes = cut(one);
      const all = fired(one, 10);
      expect(all).toHaveLength(200);
      const parts = [0, 1, 2].map((subtask) => fired(open(subtask, 3, [bytes]), 10));
      for (const [subtask, part] of parts.entries())
        expect(part).toEqual(
          all.filter(({ key }) => ownerOf(keyGroupOf(key, MAX_PARALLELISM), 3, MAX_PARALLELISM) === subtask),
        );
      const merged = open(
        0,
        1,
        [0, 1, 2].map((subtask) => cut(open(subtask, 3, [bytes]))),
      );
      register(merged, { key: keys[0]!, time: 4, namespace: "new" });
      const withNew = fired(merged, 10);
      expect(withNew.filter(({ namespace }) => namespace !== "new")).toEqual(all);
      const ofKey = withNew.filter(({ key, time }) => key === keys[0] && time === 4);
      expect(ofKey.at(-1)).toEqual({ key: keys[0], time: 4, namespace: "new" });
    });

    test("restores in slices, in which nothing fires yet", () => {
      const one = open();
      for (let i = 0; i < 2000; i++) register(one, { key: i, time: 2000 - i, namespace: undefined });
      const again = open(0, 1, [cut(one)]);
      const slices = again.timers.order();
      let steps = 1;
      while (slices.step()) steps++;
      expect(steps).toBeGreaterThan(4);
      expect(again.timers.firstTime).toBe(1);
      expect(fired(again, 5).map(({ key }) => key)).toEqual([1999, 1998, 1997, 1996, 1995]);
    });

    test("tells when the next time is an earlier one, and only then", () => {
      const one = open();
      for (const time of [50, 60, 40, 40, 70, 30]) register(one, { key: "k", time, namespace: undefined });
      expect(one.earlier).toEqual([50, 40, 30]);
    });

    test("forgets timers that are moved on again and again, and keeps the others (TH2)", () => {
      const one = open();
      for (const key of keys) register(one, { key, time: 1500, namespace: "stays" });
      for (let round = 0; round < 100; round++) {
        for (const key of keys) {
          one.state.setCurrentKey(key);
          one.timers.delete(1000 + round);
          one.timers.register(1001 + round);
        }
      }
      expect(fired(one, 1099)).toEqual([]);
      expect(new Set(fired(one, 1100).map(({ key }) => key))).toEqual(new Set(keys));
      expect(one.timers.firstTime).toBe(1500);
      expect(fired(one, 1500)).toHaveLength(keys.length);
    });

    test("refuses a timer that registers itself for ever at the end of input (TS5)", () => {
      const one = open();
      register(one, { key: "k", time: 5, namespace: undefined });
      let calls = 0;
      const again = (): void => {
        calls++;
        one.timers.register(5);
      };
      const slices = one.timers.fire(Infinity, again)!;
      expect(() => {
        while (slices.step());
      }).toThrow(/the job would never end/);
      expect(calls).toBe(1001);
    });

    test("lets all go", () => {
      const one = open();
      for (const key of keys) register(one, { key, time: 7, namespace: undefined });
      const slices = one.timers.clear();
      while (slices?.step());
      expect(one.timers.clear()).toBeUndefined();
      expect(cut(one)).toHaveLength(0);
    });
  });
});
