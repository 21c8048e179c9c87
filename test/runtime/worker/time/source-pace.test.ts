/** Which splits of a subtask wait for others, and for how long they do. */
import { describe, expect, test } from "vitest";
import type { ShortAnswer } from "../../../../src/control/shapes.ts";
import type { WatermarkReport } from "../../../../src/control/source-messages.ts";
import { WatermarkCombiner } from "../../../../src/dataflow/time/watermark-combiner.ts";
import { SourcePace } from "../../../../src/runtime/worker/subtask/input/source-pace.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

function paceOf(watermarks: number[], answer: () => number | null | undefined) {
  const clock = new ManualClock();
  const senders = new WatermarkCombiner(watermarks.length);
  const told: WatermarkReport[] = [];
  let wakes = 0;
  const pace = new SourcePace({
    alignment: { group: "g", maxDriftMs: 100, intervalMs: 1000 },
    subtask: "in/0",
    generation: 1,
    members: 1,
    splitIds: watermarks.map((_, i) => `s${i}`),
    splitTime: { watermark: (split) => watermarks[split]! },
    senders,
    clock,
    ask: async (report): Promise<ShortAnswer | undefined> => {
      told.push(report);
      const limit = answer();
      // A leader that is not there answers nothing.
      return limit === undefined ? new Promise(() => {}) : { answer: "accepted", limit };
    },
    wake: () => wakes++,
  });
  const paused = () => {
    pace.look();
    return watermarks.map((_, split) => pace.isPaused(split));
  };
  return { pace, clock, senders, told, paused, wakes: () => wakes };
}

describe("the pace of a subtask", () => {
  test("within one subtask only the fast splits wait", async () => {
    const watermarks = [50, 500, 140];
    const { pace, clock, paused, senders } = paceOf(watermarks, () => null);
    pace.start();
    await clock.pass(10);
    expect(paused()).toEqual([false, true, false]);
    expect(pace.report()).toEqual({ splits: ["s1"], pausedMs: 0, byDefault: false });
    await clock.pass(100);
    watermarks[0] = 450;
    watermarks[2] = 480;
    expect(paused()).toEqual([false, false, false]);
    watermarks[1] = 900;
    senders.becameIdle(0);
    senders.finished(2);
    expect(paused()).toEqual([false, false, false]);
    expect(pace.report()).toEqual({ splits: [], pausedMs: 100, byDefault: false });
    pace.close();
  });

  test("the limit of the group counts, and is asked for more often while it does", async () => {
    let limit = 400;
    const watermarks = [500, 350];
    const { pace, clock, paused, told, wakes } = paceOf(watermarks, () => limit);
    pace.start();
    await clock.pass(10);
    expect(told).toMatchObject([{ subtask: "in/0", watermark: 350, holds: true, maxDriftMs: 100 }]);
    expect(paused()).toEqual([true, false]);
    expect(pace.isAtLimit).toBe(false);
    await clock.pass(1000);
    expect(told.length).toBeGreaterThan(8);
    limit = 600;
    watermarks[1] = 450;
    const before = wakes();
    await clock.pass(200);
    expect(wakes()).toBeGreaterThan(before);
    expect(paused()).toEqual([false, false]);
    expect(pace.report()).toMatchObject({ splits: [] });
    expect(pace.report()!.pausedMs).toBeGreaterThan(1000);
    pace.close();
  });

  test("nothing is read ahead of subtasks that were not heard yet, for three intervals at most", async () => {
    const { pace, clock, paused, wakes } = paceOf([500], () => undefined);
    pace.start();
    expect(paused()).toEqual([true]);
    expect(pace.isAtLimit).toBe(true);
    await clock.pass(3000);
    expect(paused()).toEqual([true]);
    const before = wakes();
    await clock.pass(1001);
    expect(wakes()).toBeGreaterThan(before);
    expect(paused()).toEqual([false]);
    pace.close();
    expect(clock.pending).toEqual([]);
  });

  test("a subtask without splits, or whose splits are idle, tells that it holds nothing back", async () => {
    const { pace, clock, senders, told } = paceOf([Number.NEGATIVE_INFINITY], () => null);
    pace.start();
    await clock.pass(10);
    senders.becameIdle(0);
    await clock.pass(1000);
    expect(told[0]).toMatchObject({ watermark: null, holds: true });
    expect(told.at(-1)).toMatchObject({ watermark: null, holds: false });
    pace.close();
  });
});
