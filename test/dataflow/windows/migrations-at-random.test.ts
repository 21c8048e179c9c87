/** Windows that change between any two slices of a firing: each of the former ones fires once, and holds the same. */
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  cumulateWindows,
  sessionWindows,
  slidingWindows,
  tumblingWindows,
  type WindowAssigner,
} from "../../../src/index.ts";
import { type Item, WindowChain, windowOperator } from "./window-chain.ts";

const sum = (a: Item, b: Item): Item => ({ key: a.key, value: a.value + b.value });
const kinds: readonly WindowAssigner[] = [
  tumblingWindows({ size: 10 }),
  tumblingWindows({ size: 15, offset: 4 }),
  slidingWindows({ size: 12, slide: 4 }),
  slidingWindows({ size: 4, slide: 6 }),
  cumulateWindows({ size: 12, step: 4 }),
  sessionWindows({ gap: 5 }),
];

interface Way {
  readonly windows: WindowAssigner;
  readonly lateness: number;
  readonly lists: boolean;
}

const windowsOf = ({ windows, lateness, lists }: Way) =>
  windowOperator((items) => {
    const windowed = items.window(windows, { allowedLateness: lateness, migrateWindows: "finish-old" });
    return lists
      ? windowed.process("windows", (all, { key, window }) => ({
          ...{ key, ...window, all: all.map(({ value }) => value).toSorted() },
        }))
      : windowed.reduce("windows", sum, ({ value }, { key, window }) => ({ key, ...window, value }));
  });

const records = fc.array(fc.record({ key: fc.nat(40), at: fc.nat(40), value: fc.nat(9) }), {
  maxLength: 120,
});
const ways = fc.record({
  before: fc.constantFrom(...kinds),
  after: fc.constantFrom(...kinds),
  lateness: fc.constantFrom(0, 7),
  lists: fc.boolean(),
});

const CHANGED_AT = 25;

test("any change, at any slice", () => {
  const property = fc.property(ways, records, records, fc.nat(60), (way, first, second, slices) => {
    const before = windowsOf({ ...way, windows: way.before });
    const after = windowsOf({ ...way, windows: way.after });
    const take = (chain: WindowChain, some: typeof first, from: number) => {
      for (const { key, at, value } of some) chain.record(`k${key}`, value, from + at);
    };
    const allOf = (operator: typeof before, some: typeof first, from: number): unknown[] => {
      const chain = new WindowChain(operator, 1);
      take(chain, some, from);
      chain.finish();
      return chain.main.map(([result]) => result);
    };
    const chain = new WindowChain(before, 1);
    take(chain, first, 0);
    if (before === after) return;
    chain.changeAt(CHANGED_AT, slices, after);
    take(chain, second, CHANGED_AT + 1);
    chain.finish();
    const found = chain.main.map(([result]) => JSON.stringify(result));
    const wanted = [...allOf(before, first, 0), ...allOf(after, second, CHANGED_AT + 1)];
    expect(found.toSorted()).toEqual(wanted.map((result) => JSON.stringify(result)).toSorted());
    expect(chain.rows).toBe(0);
  });
  fc.assert(property, { numRuns: 200 });
});
