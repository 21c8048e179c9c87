import { describe, expect, test } from "vitest";
import { judge, verdictOf } from "./comparison/verdict.ts";
import { seeded } from "./jobs/workload.ts";
import { estimateRatio, type Pair } from "./statistics.ts";

describe("the ratio of medians and its interval", () => {
  test("what slows down both sides of a round does not widen it", () => {
    const pairs = [1, 5, 2, 9, 3, 4].map((slowness): Pair => [2 * slowness, slowness]);
    expect(estimateRatio(pairs)).toEqual({ ratio: 2, low: 2, high: 2 });
  });

  test("equal samples have the ratio 1, also zeros", () => {
    expect(
      estimateRatio([
        [0, 0],
        [0, 0],
      ]),
    ).toEqual({ ratio: 1, low: 1, high: 1 });
  });

  test("an outlier moves neither the ratio nor, in enough rounds, the interval", () => {
    const pairs = Array.from({ length: 15 }, (_, i): Pair => [i === 7 ? 500 : 100, 100]);
    expect(estimateRatio(pairs)).toEqual({ ratio: 1, low: 1, high: 1 });
  });

  test("the same pairs give the same interval, around the ratio", () => {
    const pairs: Pair[] = [
      [10, 9],
      [12, 10],
      [9, 10],
      [11, 10],
      [10, 11],
      [13, 10],
    ];
    const estimate = estimateRatio(pairs);
    expect(estimateRatio(pairs)).toEqual(estimate);
    expect(estimate.ratio).toBeCloseTo(10.5 / 10);
    expect(estimate.low).toBeLessThan(estimate.ratio);
    expect(estimate.high).toBeGreaterThan(estimate.ratio);
  });

  test("about nine of ten intervals hold the true ratio", () => {
    const random = seeded(1);
    const noise = () => 1 + 0.2 * (random() + random() + random() - 1.5);
    const experiments = Array.from({ length: 200 }, () =>
      estimateRatio(Array.from({ length: 12 }, (): Pair => [1.3 * noise(), noise()])),
    );
    const holding = experiments.filter(({ low, high }) => low <= 1.3 && 1.3 <= high).length;
    expect(holding).toBeGreaterThan(160);
    expect(holding).toBeLessThan(200);
  });
});

describe("verdicts", () => {
  test.each([
    // [ratio, low, high]
    ["ok", [1, 0.98, 1.02]],
    ["ok", [0.98, 0.94, 0.99]],
    ["ok", [0.96, 0.93, 1.01]],
    ["ok", [1.8, 1.5, 2.2]],
    ["worse", [0.96, 0.95, 0.98]],
    ["worse", [0.5, 0.3, 0.7]],
    ["unresolved", [1, 0.9, 1.1]],
    ["unresolved", [0.9, 0.8, 0.99]],
    ["unresolved", [Number.NaN, Number.NaN, Number.NaN]],
  ] as const)("%s: %j", (verdict, [ratio, low, high]) => {
    expect(verdictOf({ ratio, low, high })).toBe(verdict);
  });

  test("above 1 is better, whichever way the figure goes", () => {
    const pairs: Pair[] = [
      [2, 1],
      [4, 2],
    ];
    expect(judge("higher", pairs)).toMatchObject({ ratio: 2, verdict: "ok" });
    expect(judge("lower", pairs)).toMatchObject({ ratio: 0.5, verdict: "worse" });
  });
});
