/** Windows that share panes, against all records of each window: whatever is late, goes, and comes again. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { cumulateWindows, slidingWindows, type WindowAssigner } from "../../../../src/index.ts";
import { WindowChain, windowOperator } from "../window-chain.ts";

interface Bounds {
  readonly pane: number;
  /** Start and end of the windows that hold a time. */
  readonly windowsOf: (time: number) => (readonly [start: number, end: number])[];
}

function sliding(size: number, slide: number, pane: number): Bounds {
  return {
    pane,
    windowsOf(time) {
      const windows: [number, number][] = [];
      for (let start = Math.floor(time / slide) * slide; start + size > time; start -= slide) {
        windows.push([start, start + size]);
      }
      return windows;
    },
  };
}

function cumulating(size: number, step: number): Bounds {
  return {
    pane: step,
    windowsOf(time) {
      const start = Math.floor(time / size) * size;
      const windows: [number, number][] = [];
      for (let end = Math.floor(time / step) * step + step; end <= start + size; end += step) {
        windows.push([start, end]);
      }
      return windows;
    },
  };
}

const cases: [string, WindowAssigner, Bounds][] = [
  ["sliding 20 by 1", slidingWindows({ size: 20, slide: 1 }), sliding(20, 1, 1)],
  ["sliding 12 by 5", slidingWindows({ size: 12, slide: 5 }), sliding(12, 5, 1)],
  ["cumulating 20 by 4", cumulateWindows({ size: 20, step: 4 }), cumulating(20, 4)],
];

type Step = { readonly key: number; readonly at: number } | { readonly ahead: number };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    { weight: 8, arbitrary: fc.record({ key: fc.nat(12), at: fc.integer({ min: -15, max: 15 }) }) },
    { weight: 2, arbitrary: fc.record({ ahead: fc.nat(6) }) },
  ),
  { minLength: 50, maxLength: 250 },
);

/** The records of each key and window in the order of their panes, in each pane as they came. */
class Oracle {
  readonly told: string[] = [];
  private readonly held = new Map<string, { pane: number; value: number }[]>();
  private readonly bounds: Bounds;
  private watermark = Number.NEGATIVE_INFINITY;

  constructor(bounds: Bounds) {
    this.bounds = bounds;
  }

  record(key: string, value: number, time: number): void {
    const pane = Math.floor(time / this.bounds.pane) * this.bounds.pane;
    for (const [start, end] of this.bounds.windowsOf(time)) {
      if (end - 1 <= this.watermark) continue;
      const window = `${key} [${start}, ${end})`;
      this.held.set(window, [...(this.held.get(window) ?? []), { pane, value }]);
    }
  }

  advance(watermark: number): void {
    this.watermark = watermark;
    for (const [window, records] of this.held) {
      if (Number(/ (-?\d+)\)/.exec(window)![1]) - 1 > watermark) continue;
      this.held.delete(window);
      const values = records.sort((a, b) => a.pane - b.pane).map(({ value }) => value);
      this.told.push(`${window}: ${values}`);
    }
  }
}

test.each(cases)("%s: each window holds its records, in the order of panes", (_, windows, bounds) => {
  const operator = windowOperator((items) =>
    items.window(windows).aggregate(
      "windows",
      {
        createAccumulator: (): readonly number[] => [],
        add: (values, { value }) => [...values, value],
        merge: (a, b) => [...a, ...b],
        getResult: (values) => values,
      },
      (values, { key, window }) => `${key} [${window.start}, ${window.end}): ${values}`,
    ),
  );
  let late = 0;
  fc.assert(
    fc.property(steps, fc.boolean(), (story, cuts) => {
      const chain = new WindowChain(operator, 2);
      const oracle = new Oracle(bounds);
      let watermark = 0;
      for (const [value, step] of story.entries()) {
        if ("ahead" in step) {
          watermark += step.ahead;
          chain.watermark(watermark, cuts);
          oracle.advance(watermark);
        } else {
          const time = watermark + step.at;
          if (step.at < 0) late++;
          chain.record(`k${step.key}`, value, time);
          oracle.record(`k${step.key}`, value, time);
        }
      }
      chain.watermark(Number.POSITIVE_INFINITY, cuts);
      oracle.advance(Number.POSITIVE_INFINITY);
      expect(chain.main.map(([told]) => told).sort()).toEqual(oracle.told.sort());
      expect(chain.rows).toBe(0);
    }),
    { numRuns: 20 },
  );
  expect(late).toBeGreaterThan(300);
});
