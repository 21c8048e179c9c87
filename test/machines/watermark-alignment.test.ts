/** How far the sources of a group may read (P87). */
import { describe, expect, it } from "vitest";
import {
  isComplete,
  isInForce,
  isPaused,
  limitOf,
  NOTHING_YET,
  type ToldWatermark,
} from "../../machines/watermark-alignment.ts";

const group = { maxDriftMs: 100, intervalMs: 1000 };
const told = (watermark: number | null, holds = true, atMs = 0): ToldWatermark => ({
  watermark,
  holds,
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
