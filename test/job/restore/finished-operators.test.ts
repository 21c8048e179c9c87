import { describe, expect, it } from "vitest";
import type { GraphPlan, OperatorPlan } from "../../../machines/protocol.ts";
import { planRestore, snapshotsFor } from "../../../src/job/restore/restore-plan.ts";
import { subtaskSnapshot } from "../../support/job-record.ts";
import { count, finishedAt, manifest, one, plan, sink, source } from "./checkpointed-job.ts";

/** Flink's VertexFinishedStateChecker (P46). */
describe("operators that have finished", () => {
  const edge = (from: string, to: string, partitioner: string, feedback?: true) => ({
    ...{ id: `${from}-${to}`, from, to, partitioner },
    ...(feedback && { feedback }),
  });
  const graph = (
    vertices: readonly (readonly OperatorPlan[])[],
    edges: GraphPlan["edges"],
    parallelism = 2,
  ): GraphPlan => ({ ...plan(vertices, parallelism), edges });
  const chains = [
    [source, one],
    [count, sink],
  ] as const;
  const extra: OperatorPlan = { id: "extra", kind: "map", inputs: [{ from: "log" }] };
  const old = graph(chains, [edge("log", "count", "hash")]);
  const everything = finishedAt("log/0", "log/1", "count/0", "count/1");
  const sources = finishedAt("log/0", "log/1");
  const halves = finishedAt("log/0", "count/0");

  const problems = (
    state: typeof manifest,
    to: GraphPlan,
    dropped: readonly string[] = [],
    from: GraphPlan = old,
  ) => planRestore({ plan: from, splits: {}, manifest: state }, to, dropped).problems;
  const finishedOf = (state: typeof manifest, to: GraphPlan, ...dropped: string[]) =>
    snapshotsFor({ plan: old, manifest: state }, to, dropped)
      .filter(({ finished }) => finished)
      .map(({ subtask }) => subtask);

  it("stay finished in the same graph, whichever of them have", () => {
    for (const state of [everything, sources, finishedAt("log/1")]) {
      expect(problems(state, old)).toEqual([]);
      expect(finishedOf(state, old)).toEqual(
        ["log/0", "log/1", "count/0", "count/1"].filter((subtask) =>
          state.subtasks.some((one) => one.finished && one.subtask === subtask),
        ),
      );
    }
    expect(planRestore({ plan: old, splits: {}, manifest: sources }, old, []).operators).toMatchObject([
      { operator: "log", finished: 2 },
      { operator: "one", finished: 2 },
      { operator: "count", finished: 0 },
      { operator: "out", finished: 0 },
    ]);
  });

  it("are not behind one that was added, chained or not", () => {
    const counted = { ...count, inputs: [{ from: "extra" }] };
    const apart = graph(
      [[source, one], [extra], [counted, sink]],
      [edge("log", "extra", "rebalance"), edge("extra", "count", "hash")],
    );
    expect(problems(everything, apart)).toEqual([
      expect.stringMatching(/^operator count has finished, and operator extra, .* is new: .*--drop count$/),
    ]);
    const chained = graph(
      [
        [source, one, extra],
        [counted, sink],
      ],
      [edge("log", "count", "hash")],
    );
    expect(problems(everything, chained)).toEqual([
      expect.stringMatching(
        /^operator log has finished, and operator extra, which is chained to it, is new: .*--drop log$/,
      ),
    ]);
    expect(problems(finishedAt(), apart)).toEqual([]);
    expect(problems(finishedAt(), chained)).toEqual([]);
  });

  it("may be in front of one that was added: it hears of their end only", () => {
    const more: OperatorPlan = { id: "more", kind: "sink", inputs: [{ from: "one" }], connector: "file" };
    const to = graph([...chains, [more]], [edge("log", "count", "hash"), edge("log", "more", "rebalance")]);
    expect(problems(everything, to)).toEqual([]);
    expect(finishedOf(everything, to)).toEqual(["log/0", "log/1", "count/0", "count/1"]);
  });

  it("are not behind a source that was added", () => {
    const second: OperatorPlan = { id: "second", kind: "source", inputs: [], connector: "memory" };
    const to = graph(
      [[source, one], [second], [{ ...count, inputs: [{ from: "one" }, { from: "second" }] }, sink]],
      [edge("log", "count", "hash"), edge("second", "count", "hash")],
    );
    expect(problems(everything, to)).toEqual([
      expect.stringMatching(/^operator count has finished, and operator second, .* is new/),
    ]);
    expect(problems(sources, to)).toEqual([]);
  });

  it("are not behind one whose state is dropped, and may be dropped with it", () => {
    expect(problems(everything, old, ["log"])).toEqual([
      expect.stringMatching(
        /^operator one has finished, and operator log, which is chained to it, begins anew/,
      ),
    ]);
    expect(problems(everything, old, ["log", "one"])).toEqual([
      expect.stringMatching(
        /^operator count has finished, and operator one, .* begins anew, since its state is dropped: .*--drop count$/,
      ),
    ]);
    const all = ["log", "one", "count", "out"];
    expect(problems(everything, old, all)).toEqual([]);
    expect(finishedOf(everything, old, ...all)).toEqual([]);
    expect(problems(everything, old, ["count", "out"])).toEqual([]);
    expect(finishedOf(everything, old, "count", "out")).toEqual(["log/0", "log/1"]);
  });

  it("of one vertex have finished together", () => {
    const merged = graph([[source, one, count, sink]], []);
    expect(problems(everything, merged)).toEqual([]);
    expect(finishedOf(everything, merged)).toEqual(["log/0", "log/1"]);
    expect(problems(sources, merged)).toEqual([
      expect.stringMatching(/^operator log has finished, and operator count, .* has not finished: /),
    ]);
    expect(problems(finishedAt("log/0", "log/1", "count/0"), merged)).toEqual([
      expect.stringMatching(/operator (count|out), .* has finished in part \(1 of its 2 subtasks\): /),
    ]);
  });

  it("take their end with them when they are chained otherwise", () => {
    const split = graph(
      [[source], [{ ...one, inputs: [{ from: "log" }] }], [count], [sink]],
      [edge("log", "one", "rebalance"), edge("one", "count", "hash"), edge("count", "out", "forward")],
    );
    expect(problems(everything, split)).toEqual([]);
    expect(finishedOf(everything, split)).toHaveLength(8);
    expect(problems(sources, split)).toEqual([]);
    expect(finishedOf(sources, split)).toEqual(["log/0", "log/1", "one/0", "one/1"]);
  });

  it("in part only have predecessors that have finished: all of them, or those that send to them", () => {
    const forward = graph(chains, [edge("log", "count", "forward")]);
    expect(problems(halves, forward, [], forward)).toEqual([]);
    expect(finishedOf(halves, forward)).toEqual(["log/0", "count/0"]);
    expect(problems(halves, old, [], forward)).toEqual([
      expect.stringMatching(
        /^operator count has finished in part \(1 of its 2 subtasks\), and operator one, .* has finished in part/,
      ),
    ]);
  });

  it("in part have predecessors that have finished, where an edge rescales: those that it connects", () => {
    const rescaled = graph(chains, [edge("log", "count", "rescale")]);
    expect(problems(halves, rescaled, [], rescaled)).toEqual([]);
    expect(finishedOf(halves, rescaled)).toEqual(["log/0", "count/0"]);
    expect(problems(halves, old, [], rescaled)).toEqual([
      expect.stringMatching(/^operator count has finished in part .* operator one, .* has finished in part/),
    ]);
  });

  it("in front of a barrier that another has finished behind, as at-least-once leaves them, go on in the same graph", () => {
    const ahead = finishedAt("count/0");
    expect(problems(ahead, old)).toEqual([]);
    expect(finishedOf(ahead, old)).toEqual(["count/0"]);
  });

  it("as a whole stay finished under another parallelism; where some ran on, all of them run", () => {
    const less = graph(
      [[source, one], [{ id: "count", kind: "map", inputs: [{ from: "one" }] }]],
      old.edges,
      3,
    );
    const stateless = {
      ...everything,
      subtasks: everything.subtasks.map((one) => ({ ...one, states: [], transactions: [] })),
    };
    expect(problems(stateless, less)).toEqual([]);
    expect(finishedOf(stateless, less)).toHaveLength(6);
    const partly = {
      ...stateless,
      subtasks: stateless.subtasks.map((one) => ({ ...one, finished: one.subtask === "log/0" })),
    };
    expect(problems(partly, less)).toEqual([]);
    expect(finishedOf(partly, less)).toEqual([]);
  });

  it("in a loop are told of by its head: what comes back is not asked", () => {
    const head: OperatorPlan = { id: "loop", kind: "iterate", inputs: [{ from: "log" }], feedback: ["body"] };
    const body: OperatorPlan = { id: "body", kind: "map", inputs: [{ from: "loop" }] };
    const loop = graph(
      [[source], [head], [body]],
      [edge("log", "loop", "forward"), edge("loop", "body", "hash"), edge("body", "loop", "forward", true)],
    );
    const state = {
      ...manifest,
      subtasks: ["log/0", "log/1", "loop/0", "loop/1", "body/0", "body/1"].map((subtask) =>
        subtaskSnapshot({ subtask, finished: !subtask.startsWith("body") }),
      ),
    };
    expect(problems(state, loop, [], loop)).toEqual([]);
  });
});
