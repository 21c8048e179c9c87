/** How far the sources of a group may read (P87). */
import { describe, expect, it } from "vitest";
import {
  isBehind,
  isComplete,
  isInForce,
  isPaused,
  limitOf,
  longerThan,
  NOTHING_YET,
  type ToldWatermark,
} from "../../machines/watermark-alignment.ts";

const group = { maxDriftMs: 100, intervalMs: 1000 };
const told = (
  watermark: number | null,
  holds = true,
  atMs = 0,
  pending: number | null = null,
): ToldWatermark => ({
  watermark,
  holds,
  pending,
  atMs,
});

describe("the limit of a group", () => {
  it("is the least watermark of those that hold event time back, and the drift (WL1)", () => {
    expect(limitOf([told(500), told(300), told(10, false)], group, 0)).toBe(400);
  });

  it("is below all watermarks while one has none (WL2)", () => {
    expect(limitOf([told(500), told(null)], group, 0)).toBe(NOTHING_YET);
  });

  it("is not there where none holds event time back (WL2)", () => {
    expect(limitOf([told(500, false), told(null, false)], group, 0)).toBeNull();
    expect(limitOf([], group, 0)).toBeNull();
  });

  it("leaves out who was not heard for three intervals (WL3)", () => {
    const silent = told(300, true, 0);
    expect(limitOf([silent, told(900, true, 2500)], group, 3000)).toBe(400);
    expect(limitOf([silent, told(900, true, 2500)], group, 3001)).toBe(1000);
  });

  it("stays a number that can be told", () => {
    expect(limitOf([told(Number.MAX_SAFE_INTEGER - 5)], group, 0)).toBe(Number.MAX_SAFE_INTEGER);
  });
});

describe("a group", () => {
  it("waits for members that were never heard, for three intervals from the first report (WL4)", () => {
    expect(isComplete({ heard: 2, members: 2 }, 0, 0, 1000)).toBe(true);
    expect(isComplete({ heard: 1, members: 2 }, 0, 3000, 1000)).toBe(false);
    expect(isComplete({ heard: 1, members: 2 }, 0, 3001, 1000)).toBe(true);
  });
});

describe("one of the group", () => {
  it("is paused where it is further than the limit, and never without one", () => {
    expect([isPaused(400, 400), isPaused(401, 400), isPaused(401, null)]).toEqual([false, true, false]);
    expect(isPaused(Number.NEGATIVE_INFINITY, NOTHING_YET)).toBe(false);
  });

  it("believes what it has heard for three intervals", () => {
    expect([isInForce(10, 3010, 1000), isInForce(10, 3011, 1000)]).toEqual([true, false]);
  });
});

describe("one that keeps pace while it is behind", () => {
  it("is behind from so many records on, until a quarter of that is left (WL5)", () => {
    expect([isBehind(999, 1000, false), isBehind(1000, 1000, false)]).toEqual([false, true]);
    expect([isBehind(250, 1000, true), isBehind(249, 1000, true)]).toEqual([true, false]);
  });

  it("waits for those that have as much left as it has, or more, so one of them waits for none (WL7)", () => {
    const [few, many] = [told(300, true, 0, 500), told(100, true, 0, 9000)];
    const limitFor = (pending: number) => limitOf(longerThan([few, many], pending), group, 0);
    expect([limitFor(500), limitFor(501), limitFor(9000), limitFor(9001)]).toEqual([200, 200, 200, null]);
    expect(limitOf(longerThan([told(100, false, 0, 9000)], 1), group, 0)).toBeNull();
  });
});
