import { describe, expect, it } from "vitest";
import type { GraphPlan, OperatorPlan, StateHandle, SubtaskSnapshot } from "../../machines/protocol.ts";
import { planRestore, snapshotsFor } from "../../src/job/restore-plan.ts";
import { manifestOf, subtaskSnapshot } from "../support/job-record.ts";

const source: OperatorPlan = { id: "log", kind: "source", inputs: [], connector: "memory" };
const one: OperatorPlan = { id: "one", kind: "map", inputs: ["log"] };
const count: OperatorPlan = { id: "count", kind: "process", inputs: ["one"], states: ["n"] };
const sink: OperatorPlan = { id: "out", kind: "sink", inputs: ["count"], connector: "file" };

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
const stateOf = (operator: string, subtaskIndex: number, kind: StateHandle["kind"]): StateHandle => ({
  operator,
  subtaskIndex,
  kind,
  inline: kind === "keyed" ? { state: "n" } : null,
  objects: kind === "keyed" ? [object(`${operator}-${subtaskIndex}`)] : [],
});
const transaction = (writer: number) => ({
  ...{ incarnation: "i1", sink: "out", writer, checkpointId: 7 },
  staged: [object(`staged-${writer}`, 3)],
  detail: null,
});
const subtasks: SubtaskSnapshot[] = [0, 1].flatMap((index) => [
  subtaskSnapshot({ subtask: `log/${index}`, states: [stateOf("log", index, "splits")] }),
  subtaskSnapshot({
    subtask: `count/${index}`,
    states: [stateOf("count", index, "keyed"), stateOf("out", index, "sink")],
    transactions: [transaction(index)],
  }),
]);
const manifest = manifestOf(7, { subtasks });

const restore = (to: GraphPlan, ...dropped: string[]) => planRestore({ plan: before, manifest }, to, dropped);
const fates = (to: GraphPlan, ...dropped: string[]) =>
  Object.fromEntries(restore(to, ...dropped).operators.map(({ operator, fate }) => [operator, fate]));

describe("what becomes of each operator", () => {
  it("matched by its id, with its states and bytes; stateless when it had nothing", () => {
    const { operators, problems } = restore(before);
    expect(problems).toEqual([]);
    expect(operators).toEqual([
      { operator: "log", fate: "matched", states: [], bytes: 0 },
      { operator: "one", fate: "stateless", states: [], bytes: 0 },
      { operator: "count", fate: "matched", states: ["n"], bytes: 10 },
      { operator: "out", fate: "matched", states: [], bytes: 6 },
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
        [{ id: "count", kind: "map", inputs: ["one"] }, sink],
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
      snapshotsFor(manifest, to, dropped).map(({ subtask, states, transactions }) => [
        subtask,
        [
          ...states.map(({ operator, subtaskIndex }) => `${operator} ${subtaskIndex}`),
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
