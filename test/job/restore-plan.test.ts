import { describe, expect, it } from "vitest";
import type { GraphPlan, OperatorPlan, SubtaskSnapshot } from "../../machines/protocol.ts";
import { memoryHandle } from "../../src/dataflow/operators/sink.ts";
import { splitsHandle } from "../../src/dataflow/operators/source.ts";
import { positionsOf, splitsOf } from "../../src/dataflow/source.ts";
import { planRestore, snapshotsFor } from "../../src/job/restore/restore-plan.ts";
import { newSplits, restoredSplits, type Splits } from "../../src/job/restore/restored-splits.ts";
import { ownerOf } from "../../src/state/key-groups.ts";
import { keyedHandle, manifestOf, subtaskSnapshot } from "../support/job-record.ts";

const source: OperatorPlan = { id: "log", kind: "source", inputs: [], connector: "memory" };
const one: OperatorPlan = { id: "one", kind: "map", inputs: [{ from: "log" }] };
const count: OperatorPlan = { id: "count", kind: "process", inputs: [{ from: "one" }], states: ["n"] };
const sink: OperatorPlan = { id: "out", kind: "sink", inputs: [{ from: "count" }], connector: "file" };

const plan = (vertices: readonly (readonly OperatorPlan[])[], parallelism = 2): GraphPlan => ({
  vertices: vertices.map((operators) => ({ id: operators[0]!.id, parallelism, operators })),
  edges: [],
  maxParallelism: 128,
});
const before = plan([
  [source, one],
  [count, sink],
]);

const object = (name: string, bytes = 5) => ({ name, bytes, digest: "sha256:00" });
const transaction = (writer: number) => ({
  ...{ incarnation: "i1", sink: "out", writer, checkpointId: 7 },
  staged: [object(`staged-${writer}`, 3)],
  detail: null,
});
const subtasks: SubtaskSnapshot[] = [0, 1].flatMap((index) => [
  subtaskSnapshot({ subtask: `log/${index}`, states: [splitsHandle("log", index, [])] }),
  subtaskSnapshot({
    subtask: `count/${index}`,
    states: [
      keyedHandle("count", [object(`count-${index}`)], index, 2),
      memoryHandle("out", index, "a path"),
    ],
    transactions: [transaction(index)],
  }),
]);
const manifest = manifestOf(7, { subtasks });

const restore = (to: GraphPlan, ...dropped: string[]) =>
  planRestore({ plan: before, splits: {}, manifest }, to, dropped);
const fates = (to: GraphPlan, ...dropped: string[]) =>
  Object.fromEntries(restore(to, ...dropped).operators.map(({ operator, fate }) => [operator, fate]));

describe("what becomes of each operator", () => {
  it("matched by its id, with its states and bytes; stateless when it had nothing", () => {
    const { operators, problems } = restore(before);
    expect(problems).toEqual([]);
    expect(operators).toEqual([
      { operator: "log", fate: "matched", finished: 0, states: [], bytes: 0 },
      { operator: "one", fate: "stateless", finished: 0, states: [], bytes: 0 },
      { operator: "count", fate: "matched", finished: 0, states: ["n"], bytes: 10 },
      { operator: "out", fate: "matched", finished: 0, states: [], bytes: 6 },
    ]);
  });

  it("new when it begins without state, which is no problem", () => {
    const added = { ...count, id: "more" };
    const to = plan([[source, one], [count, sink], [added]]);
    expect(restore(to).problems).toEqual([]);
    expect(fates(to)).toMatchObject({ more: "new" });
  });

  it("a stateless one comes and goes freely", () => {
    expect(restore(plan([[source], [count, sink]])).problems).toEqual([]);
  });

  it("orphaned refuses, and names what helps; dropped by name does not", () => {
    const to = plan([
      [source, one],
      [{ ...count, id: "tally" }, sink],
    ]);
    expect(fates(to)).toMatchObject({ count: "orphaned", tally: "new" });
    expect(restore(to).problems).toEqual([
      expect.stringMatching(/^operator count has state \(n\).*--drop count$/),
    ]);
    expect(restore(to, "count").problems).toEqual([]);
    expect(fates(to, "count")).toMatchObject({ count: "dropped" });
  });

  it("a sink that is gone is one, too: its output is not written yet", () => {
    expect(restore(plan([[source, one], [count]])).problems).toEqual([
      expect.stringMatching(/^operator out /),
    ]);
  });

  it("--drop of what has no state is refused, with what has", () => {
    expect(restore(before, "one").problems).toEqual([
      expect.stringMatching(/^--drop one: .* it has log, count, out$/),
    ]);
  });
});

describe("what does not fit is refused", () => {
  it.each([
    [
      "another connector",
      plan([
        [source, one],
        [count, { ...sink, connector: "jetstream" }],
      ]),
      /^operator out is a jetstream now and was a file/,
    ],
    [
      "another kind with the same name of state",
      plan([
        [source, one],
        [{ ...count, kind: "reduce" }, sink],
      ]),
      /^operator count is a reduce now and was a process/,
    ],
    [
      "a kind that has no state",
      plan([
        [source, one],
        [{ id: "count", kind: "map", inputs: [{ from: "one" }] }, sink],
      ]),
      /^operator count is a map now/,
    ],
    [
      "a state that is not declared any more",
      plan([
        [source, one],
        [{ ...count, states: ["m"] }, sink],
      ]),
      /^operator count has no state "n" any more/,
    ],
    [
      "no state at all any more",
      plan([
        [source, one],
        [{ ...count, states: [] }, sink],
      ]),
      /^operator count has no state "n" any more/,
    ],
  ] as const)("%s", (_, to, problem) => {
    expect(restore(to).problems).toEqual([expect.stringMatching(problem)]);
  });

  it("another parallelism, of each operator that has state", () => {
    expect(
      restore(
        plan(
          [
            [source, one],
            [count, sink],
          ],
          3,
        ),
      ).problems,
    ).toEqual(
      ["log", "count", "out"].map((id) =>
        expect.stringMatching(`^operator ${id} has parallelism 3, its state 2`),
      ),
    );
  });

  it("another number of key groups", () => {
    expect(restore({ ...before, maxParallelism: 64 }).problems).toEqual([
      expect.stringMatching(/^maxParallelism is 64, the state has 128/),
    ]);
  });
});

describe("the snapshots of the new job's subtasks", () => {
  const dealt = (to: GraphPlan, ...dropped: string[]) =>
    Object.fromEntries(
      snapshotsFor({ plan: before, manifest }, to, dropped).map(({ subtask, states, transactions }) => [
        subtask,
        [
          ...states.map((state) =>
            state.kind === "operator"
              ? `${state.operator} ${state.subtaskIndex}`
              : `${state.operator} ${ownerOf(state.keyGroups.first, 2, 128)}`,
          ),
          ...transactions.map(({ sink: of, writer }) => `${of}@${writer}`),
        ],
      ]),
    );

  it("hold state and transactions, not what a sink remembers of another job's target", () => {
    expect(dealt(before)).toEqual({
      "log/0": ["log 0"],
      "log/1": ["log 1"],
      "count/0": ["count 0", "out@0"],
      "count/1": ["count 1", "out@1"],
    });
  });

  it("when operators are chained otherwise, each gets its own", () => {
    expect(dealt(plan([[source], [one, count], [sink]]))).toEqual({
      "log/0": ["log 0"],
      "log/1": ["log 1"],
      "one/0": ["count 0"],
      "one/1": ["count 1"],
      "out/0": ["out@0"],
      "out/1": ["out@1"],
    });
  });

  it("hold nothing of what was dropped", () => {
    expect(dealt(before, "out", "log")).toEqual({
      "log/0": [],
      "log/1": [],
      "count/0": ["count 0"],
      "count/1": ["count 1"],
    });
  });
});

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
  const finishedAt = (...names: string[]) => ({
    ...manifest,
    subtasks: manifest.subtasks.map((snapshot) => ({
      ...snapshot,
      finished: names.includes(snapshot.subtask),
    })),
  });
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

  it("in front of a barrier that another has finished behind, as at-least-once leaves them, go on in the same graph", () => {
    const ahead = finishedAt("count/0");
    expect(problems(ahead, old)).toEqual([]);
    expect(finishedOf(ahead, old)).toEqual(["count/0"]);
  });

  it("in part keep their parallelism; as a whole they need not", () => {
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
    expect(problems(partly, less)).toEqual(
      ["log", "one"].map((id) =>
        expect.stringMatching(`^operator ${id} has parallelism 3, and 1 of its 2 subtasks have finished`),
      ),
    );
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

describe("records that lay on an edge", () => {
  it("go to the operator that reads from that edge now, whatever it is chained to", () => {
    const edges = [{ id: "one-count", from: "log", to: "count", partitioner: "hash" }];
    const handle = {
      edge: "one-count",
      from: 0,
      to: 1,
      records: 3,
      bytes: 9,
      inline: null,
      object: null,
      offset: 0,
    };
    const state = {
      ...manifest,
      subtasks: subtasks.map((snapshot) =>
        snapshot.subtask === "count/1" ? { ...snapshot, channels: [handle] } : snapshot,
      ),
    };
    const old = { ...before, edges };
    const channels = snapshotsFor({ plan: old, manifest: state }, old, []).map(
      (snapshot) => snapshot.channels,
    );
    expect(channels).toEqual([[], [], [], [handle]]);
  });
});

describe("splits of sources", () => {
  const known = { log: [{ id: "a" }, { id: "b" }, { id: "c" }] };
  const more = { log: [{ id: "x" }, { id: "b" }, { id: "a" }, { id: "y" }] };
  const finished = (...names: string[]) => ({
    ...manifest,
    subtasks: manifest.subtasks.map((one) => ({ ...one, finished: names.includes(one.subtask) })),
  });
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
    expect(problems(finished("log/0", "log/1"), known)).toEqual([]);
    expect(problems(finished("log/0"), more)).toEqual([
      'source log has finished in the state, and "y" would never be read: give what is new to a source with another id, or read all of log again with --drop log',
    ]);
    expect(problems(finished("log/0", "log/1"), more)[0]).toMatch(/"x", "y" would never be read/);
    expect(problems(finished("log/0"), more, "log", "one")).toEqual([]);
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
