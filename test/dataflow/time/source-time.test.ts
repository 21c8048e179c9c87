import { describe, expect, test } from "vitest";
import type { PollStatus } from "../../../src/dataflow/source.ts";
import { type SourceEventTime, SourceTime } from "../../../src/dataflow/time/source-time.ts";
import { WatermarkCombiner } from "../../../src/dataflow/time/watermark-combiner.ts";
import {
  ascendingTimestamps,
  boundedOutOfOrderness,
  punctuatedWatermarks,
} from "../../../src/job/time/watermarks.ts";

const INTERVAL_MS = 200;

function timeOf(options: Partial<SourceEventTime>, splits = 1) {
  const senders = new WatermarkCombiner(splits);
  const restored = Array.from({ length: splits }, () => undefined);
  const time = new SourceTime("in", { intervalMs: INTERVAL_MS, ...options }, restored);
  let nowMs = 1000;
  const look = (statusOf: (split: number) => PollStatus = () => "idle", passedMs = INTERVAL_MS) => {
    nowMs += passedMs;
    time.look(nowMs, senders, statusOf);
  };
  look();
  return { time, senders, look };
}

test("splits that are restored at their end are found by a first look, although none of them speaks", () => {
  const senders = new WatermarkCombiner(2);
  const options = { watermarks: boundedOutOfOrderness("1 s"), intervalMs: INTERVAL_MS };
  const time = new SourceTime("in", options, [undefined, undefined]);
  expect(time.nextLookMs(senders)).toBeLessThan(1000);
  time.look(1000, senders, (split) => (split === 0 ? "ended" : "more"));
  expect([senders.senderIsActive(0), senders.senderIsActive(1)]).toEqual([false, true]);
  expect(time.nextLookMs(senders)).toBeUndefined();
});

describe("the watermark of a split", () => {
  test("is behind the largest timestamp by what records may be out of order, and 1 ms", () => {
    const { time, senders, look } = timeOf({ watermarks: boundedOutOfOrderness("1 s") });
    for (const timestamp of [5000, 9000, 7000]) time.passed(0, "a record", timestamp);
    expect(senders.watermark).toBe(Number.NEGATIVE_INFINITY);
    look();
    expect(senders.watermark).toBe(7999);
  });

  test("follows each record where the interval is 0", () => {
    const { time } = timeOf({ watermarks: ascendingTimestamps(), intervalMs: 0 });
    expect(time.passed(0, "a record", 10)).toBe(true);
    expect(time.watermark(0)).toBe(9);
    expect(time.passed(0, "an older one", 4)).toBe(false);
  });

  test("is what the records say where they carry it", () => {
    const { time } = timeOf({ watermarks: punctuatedWatermarks<number | undefined>((mark) => mark) });
    expect([time.passed(0, undefined, 50), time.passed(0, 40, 51)]).toEqual([false, true]);
    expect(time.watermark(0)).toBe(40);
  });

  test("goes on from a snapshot", () => {
    const options = { watermarks: boundedOutOfOrderness("1 s"), intervalMs: INTERVAL_MS };
    const { time } = timeOf(options);
    time.passed(0, "a record", 9000);
    time.look(2000, new WatermarkCombiner(1), () => "idle");
    const senders = new WatermarkCombiner(1);
    const restored = new SourceTime("in", options, [time.snapshot(0, false)]);
    restored.passed(0, "an older one", 3000);
    restored.look(3000, senders, () => "idle");
    expect(restored.watermark(0)).toBe(7999);
  });

  test.each([
    [
      "timestamp answered the number 1.5; a whole number of ms since 1970, such as date.getTime(),",
      () => 1.5,
    ],
    ["timestamp answered the number NaN", () => Number.NaN],
    ["timestamp answered a text of 4 characters", () => "noon" as unknown as number],
    ["timestamp answered undefined", () => undefined as unknown as number],
  ])("refuses a timestamp that is none: %s", (message, timestamp) => {
    const { time } = timeOf({ timestamp });
    expect(() => time.timestampOf("a record", 0)).toThrow(`operator "in"`);
    expect(() => time.timestampOf("a record", 0)).toThrow(message);
  });

  test("refuses a watermark that is none", () => {
    const { time } = timeOf({ watermarks: punctuatedWatermarks(() => Number.POSITIVE_INFINITY) });
    expect(() => time.passed(0, "a record", 1)).toThrow(
      "onRecord of its watermarks answered the number Infinity",
    );
  });
});

describe("a split is idle", () => {
  const options = { watermarks: ascendingTimestamps(), idleAfterMs: 1000 };

  test("when nothing was to be read from it for long enough, and until it has a record again", () => {
    const { time, senders, look } = timeOf(options, 2);
    time.passed(1, "a record", 500);
    look();
    for (let i = 0; i < 3; i++) look();
    expect(senders.senderIsIdle(0)).toBe(false);
    for (let i = 0; i < 2; i++) look();
    expect([senders.senderIsIdle(0), senders.senderIsIdle(1)]).toEqual([true, true]);
    expect([senders.watermark, senders.isIdle]).toEqual([499, true]);
    senders.spoke(1);
    time.passed(1, "a record", 900);
    look();
    expect(senders.watermark).toBe(899);
  });

  test("not while its broker has something for it", () => {
    const { senders, look } = timeOf(options);
    for (let i = 0; i < 20; i++) look(() => "more");
    expect(senders.senderIsIdle(0)).toBe(false);
  });

  test("not by time in which the subtask could not read", () => {
    const { senders, look } = timeOf(options);
    look(() => "idle", 60_000);
    expect(senders.senderIsIdle(0)).toBe(false);
  });

  test("not when it has ended: then it does not count at all", () => {
    const { time, senders, look } = timeOf(options, 2);
    time.passed(1, "a record", 500);
    look((split) => (split === 0 ? "ended" : "more"));
    expect([senders.watermark, senders.isIdle]).toEqual([499, false]);
  });
});
