import { describe, expect, it } from "vitest";
import type { GraphPlan } from "../../../machines/protocol.ts";
import { positionsOf, splitsOf } from "../../../src/dataflow/source.ts";
import { planRestore } from "../../../src/job/restore/restore-plan.ts";
import { newSplits, restoredSplits, type Splits } from "../../../src/job/restore/restored-splits.ts";
import { before, count, finishedAt, manifest, one, plan, sink, source } from "./checkpointed-job.ts";

describe("splits of sources", () => {
  const known = { log: [{ id: "a" }, { id: "b" }, { id: "c" }] };
  const more = { log: [{ id: "x" }, { id: "b" }, { id: "a" }, { id: "y" }] };
  const problems = (state: typeof manifest, now: Splits, ...dropped: string[]) =>
    planRestore({ plan: before, splits: known, manifest: state }, before, dropped, now).problems;

  it("keep their places, so that each stays with its subtask; new ones come behind, and what is gone is read on", () => {
    expect(restoredSplits(known, more, [])).toEqual({
      log: [{ id: "a" }, { id: "b" }, { id: "c" }, { id: "x" }, { id: "y" }],
    });
    expect(restoredSplits(known, more, ["log"])).toEqual(more);
    expect(restoredSplits({}, more, [])).toEqual(more);
    expect(newSplits(known.log, more.log)).toEqual(["x", "y"]);
    const at = (id: string) => ({ split: { id }, position: 7 });
    const dealt = splitsOf(restoredSplits(known, more, []).log ?? [], 1, 2);
    expect(positionsOf([at("b")], dealt, more.log)).toEqual([
      at("b"),
      { split: { id: "x" }, position: undefined },
    ]);
  });

  it("that are new are refused where a finished subtask would have to read them", () => {
    expect(problems(manifest, more)).toEqual([]);
    expect(problems(finishedAt("log/0", "log/1"), known)).toEqual([]);
    expect(problems(finishedAt("log/0"), more)).toEqual([
      'source log has finished in the state, and "y" would never be read: give what is new to a source with another id, or read all of log again with --drop log',
    ]);
    expect(problems(finishedAt("log/0", "log/1"), more)[0]).toMatch(/"x", "y" would never be read/);
    expect(problems(finishedAt("log/0"), more, "log", "one")).toEqual([]);
  });

  it("of one id are not read from another input than before", () => {
    const read = (input: string): Splits => ({ log: [{ id: "all", input }] });
    const restored = (now: Splits, ...dropped: string[]) =>
      planRestore({ plan: before, splits: read("stream ORDERS"), manifest }, before, dropped, now).problems;
    expect(restored(read("stream ORDERS"))).toEqual([]);
    expect(restored(read("stream BIDS"))).toEqual([
      "source log has read stream ORDERS, and its positions mean nothing in stream BIDS: give the source another id, or begin anew with --drop log",
    ]);
    expect(restored(read("stream BIDS"), "log")).toEqual([]);
  });

  it("that are new have no messages of known ones: these are read on, and the new ones begin anew", () => {
    const read = (...filters: string[][]): Splits => ({
      log: filters.map((some) => ({ id: some.join() || "all", stream: "ORDERS", filters: some })),
    });
    const restored = (was: Splits, now: Splits, ...dropped: string[]) =>
      planRestore({ plan: before, splits: was, manifest }, before, dropped, now).problems;
    expect(restored(read(["orders.eu"]), read(["orders.eu"], ["orders.us"]))).toEqual([]);
    expect(restored(read(["orders.>"]), read(["orders.0.>"], ["orders.1.>"]))).toEqual([
      'source log has read "orders.>" of stream ORDERS as one split, and reads "orders.0.>" as another one now: records of both would be read twice: give the source another id, or begin anew with --drop log',
    ]);
    expect(restored(read([]), read(["orders.0.>"]))).toHaveLength(1);
    expect(restored(read(["orders.0.>"]), read([]))).toHaveLength(1);
    expect(restored(read(["orders.>"]), read(["orders.0.>"]), "log")).toEqual([]);
    const elsewhere = { log: [{ id: "orders.0.>", stream: "BIDS", filters: ["orders.0.>"] }] };
    expect(restored(read(["orders.>"]), elsewhere)).toEqual([]);
  });

  it("of a stream that was made anew are read on only where the user accepts it as a copy", () => {
    const read = (created: string, accepted?: true): Splits => {
      const split = { id: "all", input: "stream ORDERS", created, ...(accepted && { accepted }) };
      return { log: [split] };
    };
    const restored = (now: Splits, ...dropped: string[]) =>
      planRestore({ plan: before, splits: read("monday"), manifest }, before, dropped, now).problems;
    expect(restored(read("tuesday"))).toEqual([
      expect.stringMatching(/--accept-stream log.*or begin anew with --drop log/),
    ]);
    expect(restored(read("tuesday", true))).toEqual([]);
    expect(restored(read("tuesday"), "log")).toEqual([]);
  });

  it("of a source that was bounded and is not, or the other way round, are refused", () => {
    const bounded = (value: boolean): GraphPlan =>
      plan([
        [{ ...source, bounded: value }, one],
        [count, sink],
      ]);
    for (const was of [true, false])
      expect(
        planRestore({ plan: bounded(was), splits: known, manifest }, bounded(!was), []).problems,
      ).toEqual([expect.stringMatching(/^source log is (un)?bounded now and was (un)?bounded.*--drop log/)]);
  });
});
