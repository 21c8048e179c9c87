/** Who holds event time back, found from what subtasks of different workers have reported. */
import { describe, expect, test } from "vitest";
import type { EdgePlan, GraphPlan, SubtaskName } from "../../../../machines/protocol.ts";
import type { SubtaskTime, TimeHold } from "../../../../src/control/event-time-messages.ts";
import { timesOfOperators } from "../../../../src/runtime/leader/report/time-holders.ts";

/** in (2) -> mid (2) -> out (1), and side (1) -> out. */
const plan: GraphPlan = {
  vertices: (
    [
      ["in", 2],
      ["side", 1],
      ["mid", 2],
      ["out", 1],
    ] as const
  ).map(([id, parallelism]) => ({
    id,
    parallelism,
    operators: [{ id, kind: "map", inputs: [] }],
  })),
  edges: [edge("in", "mid"), edge("mid", "out"), edge("side", "out")],
  maxParallelism: 128,
};

function edge(from: string, to: string): EdgePlan {
  return { id: `${from}-${to}`, from, to, partitioner: "rebalance" };
}

type Reported = Partial<Record<SubtaskName, SubtaskTime>>;

const at = (watermark: number | null, ...holds: readonly Partial<TimeHold>[]): SubtaskTime => ({
  makesWatermarks: false,
  status: "active",
  watermark,
  sinceMs: 10,
  holds: holds.map((hold) => ({ watermark, sinceMs: 5, reason: "upstream", ...hold })),
});
const source = (watermark: number | null, hold: Partial<TimeHold> = {}): SubtaskTime => ({
  ...at(watermark, { split: "s", reason: "silent", ...hold }),
  makesWatermarks: true,
});
const idle = (watermark: number | null): SubtaskTime => ({ ...source(watermark), status: "idle", holds: [] });

function timesOf(reported: Reported) {
  const subtasks = Object.entries(reported).map(([subtask, eventTime]) => ({
    subtask: subtask as SubtaskName,
    eventTime: eventTime!,
  }));
  return new Map(timesOfOperators(plan, subtasks).map((time) => [time.operators[0]!, time]));
}

const mids = (in0: number, in1: number): Reported => {
  const least = Math.min(in0, in1);
  const slowest = in0 <= in1 ? "in/0" : "in/1";
  return {
    "mid/0": at(least, { from: slowest }),
    "mid/1": at(least, { from: slowest }),
  };
};

describe("event time of operators", () => {
  test("is that of their slowest subtask, and the way to the split that holds it goes over all exchanges", () => {
    const times = timesOf({
      "in/0": source(300, { split: "a" }),
      "in/1": source(100, { split: "b", pending: 7, sinceMs: 3 }),
      "side/0": source(200),
      ...mids(300, 100),
      "out/0": at(100, { from: "mid/0" }, { from: "mid/1" }),
    });
    const holder = {
      operator: "in",
      subtask: "in/1",
      split: "b",
      reason: "silent",
      watermark: 100,
      sinceMs: 3,
      pending: 7,
    };
    for (const operator of ["in", "mid", "out"])
      expect(times.get(operator)).toMatchObject({ status: "active", watermark: 100, holders: [holder] });
    expect(times.get("side")).toMatchObject({ watermark: 200, holders: [{ subtask: "side/0" }] });
  });

  test("one that has none yet is behind all others, and each that is there holds it", () => {
    const times = timesOf({
      "in/0": source(null, { split: "a", reason: "noRecord", sinceMs: 9 }),
      "in/1": source(null, { split: "b", reason: "noRecord", sinceMs: 8 }),
      "side/0": source(200),
      "mid/0": at(null, { from: "in/0" }, { from: "in/1" }),
      "mid/1": at(null, { from: "in/0" }, { from: "in/1" }),
      "out/0": at(null, { from: "mid/0" }, { from: "mid/1" }),
    });
    expect(times.get("out")!.watermark).toBeNull();
    expect(times.get("out")!.holders.map(({ split }) => split)).toEqual(["b", "a"]);
  });

  test.each(["noRoom", "requests", "stopped"] as const)(
    "what a sender has told and a subtask does not take is held there: %s",
    (reason) => {
      const reported = (told: number): Reported => ({
        "in/0": source(told),
        "in/1": source(told),
        "mid/0": at(100, { from: "in/0", reason }),
        "mid/1": at(300, { from: "in/1" }),
        "side/0": source(500),
      });
      expect(timesOf(reported(300)).get("mid")).toMatchObject({
        watermark: 100,
        holders: [{ operator: "mid", subtask: "mid/0", reason }],
      });
      // Where the sender is no further, it is the sender that holds.
      expect(timesOf(reported(100)).get("mid")!.holders).toMatchObject([
        { subtask: "in/0", reason: "silent" },
      ]);
    },
  );

  test("a mark on its way is no holder, and what lies behind it is told", () => {
    const times = timesOf({
      "in/0": source(300),
      "in/1": source(300),
      ...mids(200, 200),
      "side/0": source(900),
    });
    expect(times.get("mid")).toMatchObject({ watermark: 200, holders: [{ subtask: "in/0" }] });
  });

  test("an input that waits for another one holds, however far its sender is", () => {
    const times = timesOf({ "side/0": source(50), "out/0": at(null, { from: "side/0", reason: "rules" }) });
    expect(times.get("out")!.holders).toMatchObject([{ operator: "out", reason: "rules" }]);
  });

  test("subtasks that are idle or have ended hold nothing", () => {
    const times = timesOf({ "in/0": idle(400), "in/1": source(300), "side/0": idle(null) });
    expect(times.get("in")).toMatchObject({
      status: "active",
      watermark: 300,
      holders: [{ subtask: "in/1" }],
    });
    expect(times.get("side")).toMatchObject({ status: "idle", watermark: null, holders: [] });
    expect(timesOf({ "in/0": idle(400), "in/1": idle(500) }).get("in")).toMatchObject({
      status: "idle",
      watermark: 500,
    });
    const ended: SubtaskTime = { ...idle(null), status: "ended" };
    expect(timesOf({ "in/0": ended, "in/1": ended }).get("in")).toMatchObject({ status: "ended" });
    expect(timesOf({ "in/0": ended, "in/1": idle(7) }).get("in")).toMatchObject({
      status: "idle",
      watermark: 7,
    });
  });

  test("what no source with watermarks leads to is left out", () => {
    const without: SubtaskTime = { ...source(null, { reason: "noWatermarks" }), makesWatermarks: false };
    const times = timesOf({
      "in/0": without,
      "in/1": without,
      "mid/0": at(null, { from: "in/0" }),
      "mid/1": at(null, { from: "in/1" }),
      "side/0": source(5),
      "out/0": at(null, { from: "mid/0" }),
    });
    expect([...times.keys()]).toEqual(["side", "out"]);
    expect(times.get("out")!.holders).toMatchObject([{ subtask: "in/0", reason: "noWatermarks" }]);
  });

  test("of many holders ten are told, and how many more there are", () => {
    const splits = Array.from({ length: 14 }, (_, i) => ({
      split: `s${i}`,
      reason: "noRecord" as const,
      sinceMs: i,
    }));
    const times = timesOf({ "side/0": { ...at(null, ...splits), makesWatermarks: true } });
    expect(times.get("side")!.holders.map(({ sinceMs }) => sinceMs)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(times.get("side")!.holdersMore).toBe(4);
  });
});
