/** Which splits of a subtask wait for others while they are behind, and that they always go on (P80). */
import { describe, expect, test } from "vitest";
import type { ShortAnswer } from "../../../../src/control/shapes.ts";
import type { WatermarkReport } from "../../../../src/control/source-messages.ts";
import { WatermarkCombiner } from "../../../../src/dataflow/time/watermark-combiner.ts";
import { BacklogPace } from "../../../../src/runtime/worker/subtask/input/backlog-pace.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

const INTERVAL_MS = 500;
const FAR = 10_000;

interface Split {
  watermark: number;
  pending: number;
  mayWait?: boolean;
}

/** @param answer of the leader: a limit, null for none, undefined for a leader that is not there */
function paceOf(splits: Split[], members = 1, answer: () => number | null | undefined = () => null) {
  const clock = new ManualClock();
  const senders = new WatermarkCombiner(splits.length);
  const told: WatermarkReport[] = [];
  let wakes = 0;
  const pace = new BacklogPace({
    alignment: { group: "g", maxDriftMs: 100, intervalMs: INTERVAL_MS, whileBehind: 1000, isDefault: true },
    subtask: "in/0",
    generation: 1,
    members,
    splitIds: splits.map((_, i) => `s${i}`),
    reader: {
      splitPending: (split) => splits[split]!.pending,
      splitMayWait: (split) => splits[split]!.mayWait ?? true,
    },
    splitTime: { watermark: (split) => splits[split]!.watermark },
    senders,
    clock,
    ask: async (report): Promise<ShortAnswer | undefined> => {
      told.push(report);
      const limit = answer();
      return limit === undefined ? new Promise(() => {}) : { answer: "accepted", limit };
    },
    wake: () => wakes++,
  });
  pace.start();
  /** The paused splits at the next look. */
  const paused = async () => {
    await clock.pass(10);
    pace.look();
    return splits.flatMap((_, split) => (pace.isPaused(split) ? [split] : []));
  };
  return { pace, clock, senders, told, paused, wakes: () => wakes };
}

describe("the pace of a subtask that is behind", () => {
  test("its fast splits wait for the slow one, until that has come up or is caught up", async () => {
    const splits = [
      { watermark: 50, pending: 9000 },
      { watermark: 500, pending: 5000 },
    ];
    const { pace, paused } = paceOf(splits);
    expect(await paused()).toEqual([1]);
    expect(pace.report()).toMatchObject({ splits: ["s1"], byDefault: true });
    splits[0]!.watermark = 450;
    expect(await paused()).toEqual([]);
    splits[1]!.watermark = 900;
    expect(await paused()).toEqual([1]);
    splits[0]!.pending = 250;
    expect(await paused()).toEqual([1]);
    splits[0]!.pending = 249;
    expect(await paused()).toEqual([]);
  });

  test("a split that is nearly read is not paused, nor one whose input might not stay", async () => {
    const splits = [
      { watermark: 50, pending: 9000 },
      { watermark: 500, pending: 999 },
      { watermark: 500, pending: 5000, mayWait: false },
      { watermark: 500, pending: 5000 },
    ];
    const { pace, paused } = paceOf(splits);
    expect(await paused()).toEqual([3]);
    expect(pace.isAtLimit).toBe(false);
  });

  test("a split that has not begun holds the others of its subtask, and so does none that stands still", async () => {
    const splits = [
      { watermark: Number.NEGATIVE_INFINITY, pending: 9000 },
      { watermark: 500, pending: 5000 },
    ];
    const { clock, paused, wakes } = paceOf(splits);
    expect(await paused()).toEqual([1]);
    const before = wakes();
    await clock.pass(3 * INTERVAL_MS);
    expect(wakes()).toBeGreaterThan(before);
    expect(await paused()).toEqual([]);
    splits[0]!.watermark = 10;
    expect(await paused()).toEqual([1]);
  });

  test("a group of one asks no leader", async () => {
    const splits = [
      { watermark: 50, pending: 9000 },
      { watermark: 500, pending: 5000 },
    ];
    const { clock, told, paused } = paceOf(splits);
    await paused();
    await clock.pass(5 * INTERVAL_MS);
    expect(told).toEqual([]);
  });
});

describe("several subtasks", () => {
  test("one that is caught up asks no leader, is not paused, and has no timer", async () => {
    const { clock, told, paused } = paceOf([{ watermark: FAR, pending: 999 }], 2, () => 100);
    expect(await paused()).toEqual([]);
    await clock.pass(10 * INTERVAL_MS);
    expect([told, clock.pending]).toEqual([[], []]);
  });

  test("nothing waits before the leader has answered", async () => {
    const { paused } = paceOf([{ watermark: FAR, pending: 5000 }], 2, () => undefined);
    expect(await paused()).toEqual([]);
  });

  test("it tells what it has left, waits for the limit, and asks more often meanwhile", async () => {
    const splits = [
      { watermark: 500, pending: 5000 },
      { watermark: 450, pending: 2000 },
    ];
    let limit = 480;
    const { pace, clock, told, paused, wakes } = paceOf(splits, 2, () => limit);
    await paused();
    expect(told).toMatchObject([{ subtask: "in/0", group: "g", watermark: 450, holds: true, pending: 7000 }]);
    expect(await paused()).toEqual([0]);
    limit = 400;
    await clock.pass(INTERVAL_MS);
    expect(told.length).toBeGreaterThan(8);
    expect(await paused()).toEqual([0, 1]);
    expect(pace.isAtLimit).toBe(true);
    limit = 1000;
    const before = wakes();
    await clock.pass(INTERVAL_MS / 5);
    expect(wakes()).toBeGreaterThan(before);
    expect(await paused()).toEqual([]);
  });

  test("the leader's limit counts for three intervals", async () => {
    let limit: number | undefined = 100;
    const { clock, paused, wakes } = paceOf([{ watermark: FAR, pending: 5000 }], 2, () => limit);
    await paused();
    expect(await paused()).toEqual([0]);
    limit = undefined;
    await clock.pass(3 * INTERVAL_MS - 20);
    expect(await paused()).toEqual([0]);
    const before = wakes();
    await clock.pass(INTERVAL_MS / 5);
    expect(wakes()).toBeGreaterThan(before);
    expect(await paused()).toEqual([]);
  });

  test("a subtask that stands still tells that it holds nothing, and none is told when all is read", async () => {
    const splits = [{ watermark: 500, pending: 5000 }];
    const { pace, clock, told, paused } = paceOf(splits, 2);
    await paused();
    await clock.pass(4 * INTERVAL_MS);
    expect(told.at(-1)).toMatchObject({ holds: false, watermark: null, pending: 5000 });
    splits[0]!.pending = 0;
    await paused();
    const before = told.length;
    await clock.pass(4 * INTERVAL_MS);
    expect(told.length - before).toBeLessThanOrEqual(1);
    expect(clock.pending).toEqual([]);
    pace.close();
  });

  test("nothing is left behind when it is closed", async () => {
    const { pace, clock, paused } = paceOf([{ watermark: FAR, pending: 5000 }], 2, () => 100);
    await paused();
    await paused();
    pace.close();
    expect(clock.pending).toEqual([]);
  });
});
