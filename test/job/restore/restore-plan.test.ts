/** Which state of one graph fits another, and what each subtask gets of it. */
import { describe, expect, it } from "vitest";
import type { GraphPlan, Manifest, TtlPlan } from "../../../machines/protocol.ts";
import { planRestore, snapshotsFor } from "../../../src/job/restore/restore-plan.ts";
import { ownerOf } from "../../../src/state/key-groups.ts";
import { before, count, manifest, one, plan, sink, source, subtasks } from "./checkpointed-job.ts";

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

describe("another time to live", () => {
  const hour = { afterMs: 3_600_000, time: "event", updateOn: "write", downtime: "count" } as const;
  const counting = (ttl: TtlPlan | undefined, kind?: string) =>
    plan([
      [source, one],
      [
        {
          ...count,
          ...(ttl && { stateTtls: { n: ttl } }),
          ...(kind !== undefined && { stateKinds: { n: kind } }),
        },
        sink,
      ],
    ]);
  const changed = (was: TtlPlan | undefined, is: TtlPlan | undefined, kind?: string) =>
    planRestore({ plan: counting(was, kind), splits: {}, manifest }, counting(is, kind), []);

  it.each([
    ["longer", hour, { ...hour, afterMs: 7_200_000 }, /2 ?h by event time now, 1 ?h.* before: .* by the new/],
    [
      "renewed by reads",
      hour,
      { ...hour, updateOn: "readAndWrite" },
      /renewed by reads now, .*by the new one/,
    ],
    ["by another clock", hour, { ...hour, time: "processing" }, /processing time now.* from the restore on$/],
    [
      "by a clock that pauses",
      { ...hour, time: "processing" },
      { ...hour, time: "processing", downtime: "pause" },
      /paused with the job now.* from the restore on$/,
    ],
    [
      "where there was none",
      undefined,
      hour,
      /^state "n" of operator count has a time .* from the restore on$/,
    ],
    ["none any more", hour, undefined, /^state "n" of operator count has no time to live any more.* stay$/],
  ] as const)("%s: is told and restored", (_, was, is, note) => {
    const { problems, notes } = changed(was, is);
    expect(problems).toEqual([]);
    expect(notes).toEqual([expect.stringMatching(note)]);
  });

  it("the same one is not told", () => {
    expect(changed(hour, { ...hour }).notes).toEqual([]);
    expect(changed(undefined, undefined).notes).toEqual([]);
  });

  it("is refused where lists got or lost it: they are stored in another way", () => {
    expect(changed(undefined, hour, "list").problems).toEqual([
      expect.stringMatching(/^list state "n" of operator count has a time to live now and had none/),
    ]);
    expect(changed(hour, undefined, "list").problems).toHaveLength(1);
    expect(changed(hour, { ...hour, afterMs: 1 }, "list").problems).toEqual([]);
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
      "a state of another kind",
      plan([
        [source, one],
        [{ ...count, stateKinds: { n: "list" } }, sink],
      ]),
      /^state "n" of operator count is of kind list now and was of kind value: give it another name, and drop all/,
    ],
    [
      "other windows",
      plan([
        [source, one],
        [{ ...count, windows: "tumbling 5 m" }, sink],
      ]),
      /^operator count has windows \(tumbling 5 m\) now and had others \(none\).*--drop count$/,
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

  it("under another parallelism each has the key groups, splits and transactions that are its own now", () => {
    const wide = plan(
      [
        [source, one],
        [count, sink],
      ],
      3,
    );
    expect(restore(wide).problems).toEqual([]);
    expect(dealt(wide)).toEqual({
      "log/0": ["log 0"],
      "log/1": ["log 1"],
      "log/2": ["log 2"],
      "count/0": ["count 0", "out@0"],
      "count/1": ["count 0", "count 1", "out@1"],
      "count/2": ["count 1"],
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

  it("between subtasks that the edge does not connect any more are refused", () => {
    const graphBy = (partitioner: string) => ({
      ...before,
      edges: [{ id: "one-count", from: "log", to: "count", partitioner }],
    });
    const lying = (from: number, to: number) => {
      const place = { bytes: 9, inline: null, object: null, offset: 0 };
      const channels = [{ edge: "one-count", from, to, records: 3, ...place }];
      return {
        ...manifest,
        subtasks: subtasks.map((one) => (one.subtask === `count/${to}` ? { ...one, channels } : one)),
      };
    };
    const problems = (from: number, to: number) =>
      planRestore(
        { plan: graphBy("rebalance"), splits: {}, manifest: lying(from, to) },
        graphBy("rescale"),
        [],
      ).problems;
    expect(problems(1, 1)).toEqual([]);
    expect(problems(0, 1)).toEqual([
      expect.stringMatching(
        /^3 records lay on edge one-count from subtask 0 to 1, which rescale does not connect: /,
      ),
    ]);
  });

  it("are refused where accumulators are to come, and the other way round", () => {
    const carrying = (accumulators: boolean) => ({
      ...before,
      edges: [
        {
          ...{ id: "one-count", from: "log", to: "count", partitioner: "hash" },
          ...(accumulators && { accumulators: true as const }),
        },
      ],
    });
    const place = { bytes: 9, inline: null, object: null, offset: 0 };
    const channels = [{ edge: "one-count", from: 0, to: 1, records: 3, ...place }];
    const lying = {
      ...manifest,
      subtasks: subtasks.map((one) => (one.subtask === "count/1" ? { ...one, channels } : one)),
    };
    const problems = (was: boolean, is: boolean, state: Manifest = lying) =>
      planRestore({ plan: carrying(was), splits: {}, manifest: state }, carrying(is), []).problems;
    expect(problems(true, true)).toEqual([]);
    expect(problems(true, false)).toEqual([
      expect.stringMatching(
        /^3 accumulators lay on edge one-count, and records travel there now: .*combine as it was/,
      ),
    ]);
    expect(problems(false, true)).toEqual([
      expect.stringMatching(/^3 records lay on edge one-count, and accumulators travel there now: /),
    ]);
    // Nothing lay there: the state of both is the same.
    expect(problems(false, true, manifest)).toEqual([]);
  });
});
