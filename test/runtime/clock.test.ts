/** Durations are as long as options allow: up to 365 d. */
import { getEventListeners } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { systemClock, timeoutSignal } from "../../src/clock.ts";
import { pause, startTimer } from "../../src/timer.ts";

const DAY_MS = 24 * 3_600_000;
/** What the platform's timers can wait at most. */
const PLATFORM_MS_MAX = 2 ** 31 - 1;

describe("a timer of any length", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test.each([1, PLATFORM_MS_MAX, PLATFORM_MS_MAX + 1, 30 * DAY_MS, 365 * DAY_MS])(
    "of %d ms fires once, then",
    (ms) => {
      const run = vi.fn();
      systemClock.after(ms, run);
      vi.advanceTimersByTime(ms - 1);
      expect(run).toHaveBeenCalledTimes(0);
      vi.advanceTimersByTime(1);
      expect(run).toHaveBeenCalledTimes(1);
      vi.advanceTimersByTime(365 * DAY_MS);
      expect(run).toHaveBeenCalledTimes(1);
    },
  );

  test("can be canceled after months, too", () => {
    const run = vi.fn();
    const timer = systemClock.after(100 * DAY_MS, run);
    vi.advanceTimersByTime(99 * DAY_MS);
    timer.cancel();
    vi.advanceTimersByTime(365 * DAY_MS);
    expect(run).not.toHaveBeenCalled();
    expect(vi.getTimerCount()).toBe(0);
  });

  test("that never ends does not fire", () => {
    const run = vi.fn();
    startTimer(Number.POSITIVE_INFINITY, run);
    vi.advanceTimersByTime(1000 * DAY_MS);
    expect(run).not.toHaveBeenCalled();
  });

  test("aborts a signal with a TimeoutError", () => {
    const signal = timeoutSignal(systemClock, 30 * DAY_MS);
    vi.advanceTimersByTime(30 * DAY_MS - 1);
    expect(signal.aborted).toBe(false);
    vi.advanceTimersByTime(1);
    expect(signal.reason).toMatchObject({ name: "TimeoutError" });
  });
});

test("30 days do not pass at once on the real clock", async () => {
  let fired = false;
  const timer = systemClock.after(30 * DAY_MS, () => {
    fired = true;
  });
  const signal = timeoutSignal(systemClock, 30 * DAY_MS);
  // Timers of the platform fire in the order of their times.
  await sleep(20);
  expect(fired).toBe(false);
  expect(signal.aborted).toBe(false);
  timer.cancel();
});

test("a pause leaves no listener behind at its signal, and ends at once when that has aborted", async () => {
  const controller = new AbortController();
  for (let i = 0; i < 20; i++) await pause(0, controller.signal);
  expect(getEventListeners(controller.signal, "abort")).toEqual([]);
  const paused = pause(365 * DAY_MS, controller.signal);
  controller.abort();
  await paused;
  await pause(365 * DAY_MS, controller.signal);
});
