/** BE1, BE2: equal copies of broadcast state are stored once, unequal ones are told, and each subtask has its own. */
import { describe, expect, test } from "vitest";
import type {
  ChannelStateHandle,
  GraphPlan,
  OperatorStateHandle,
  SubtaskSnapshot,
} from "../../../machines/protocol.ts";
import { assign } from "../../../src/job/restore/assignment.ts";
import { unequalCopies, withEqualCopiesOnce } from "../../../src/job/restore/broadcast-copies.ts";
import { subtaskSnapshot } from "../../support/job-record.ts";

const planOf = (parallelism: number): GraphPlan => ({
  vertices: [
    { id: "rules", parallelism: 1, operators: [{ id: "rules", kind: "source", inputs: [] }] },
    {
      id: "v",
      parallelism,
      operators: [
        { id: "v", kind: "any", inputs: [{ from: "rules" }], operatorStates: { rules: "broadcast" } },
      ],
    },
  ],
  edges: [
    { id: "rules", from: "rules", to: "v", partitioner: "broadcast" },
    { id: "values", from: "rules", to: "v", partitioner: "hash" },
  ],
  maxParallelism: 128,
});

/** A copy that holds one entry for each letter. */
const copy = (subtaskIndex: number, letters: string, state = "rules"): OperatorStateHandle => ({
  ...{ kind: "operator", operator: "v", state, distribution: "broadcast", subtaskIndex },
  entries: [...letters].map((letter) => Buffer.from(letter)),
});

const overtaken = (edge: string): ChannelStateHandle => ({
  ...{ edge, from: 0, to: 0, records: 1, bytes: 1, inline: new Uint8Array(1), object: null, offset: 0 },
});

/** One subtask for each of the copies. */
const snapshotsOf = (copies: readonly string[], some: Partial<SubtaskSnapshot> = {}): SubtaskSnapshot[] =>
  copies.map((letters, index) =>
    subtaskSnapshot({ subtask: `v/${index}`, states: [copy(index, letters)], ...some }),
  );

const stored = (snapshots: readonly SubtaskSnapshot[]) =>
  withEqualCopiesOnce(snapshots).flatMap(({ subtask, states }) =>
    states.flatMap((state) =>
      state.kind === "operator"
        ? [{ subtask, entries: state.entries.map(String).join(""), equalIn: state.equalIn }]
        : [],
    ),
  );

describe("what is stored", () => {
  test("is one copy where all are equal, with those that had it", () => {
    expect(stored(snapshotsOf(["ab", "ab", "ab"]))).toEqual([
      { subtask: "v/0", entries: "ab", equalIn: [1, 2] },
    ]);
  });

  test("is each other copy, too: by content, length and order", () => {
    expect(stored(snapshotsOf(["ab", "ba", "ab", "a", "ba"]))).toEqual([
      { subtask: "v/0", entries: "ab", equalIn: [2] },
      { subtask: "v/1", entries: "ba", equalIn: [4] },
      { subtask: "v/3", entries: "a", equalIn: undefined },
    ]);
  });

  test("is the state of other distributions as it was", () => {
    const list = { ...copy(0, "ab"), distribution: "list" } as const;
    const snapshots = [0, 1].map((index) =>
      subtaskSnapshot({ subtask: `v/${index}`, states: [{ ...list, subtaskIndex: index }] }),
    );
    expect(withEqualCopiesOnce(snapshots)).toEqual(snapshots);
  });

  test("comes back to every subtask as if each copy had been stored, under any parallelism", () => {
    const letters = ["ab", "", "ba"];
    for (let was = 1; was <= 4; was++)
      for (let drawn = 0; drawn < letters.length ** was; drawn++) {
        const copies = Array.from(
          { length: was },
          (_, index) => letters[Math.floor(drawn / letters.length ** index) % letters.length]!,
        );
        const snapshots = snapshotsOf(copies);
        for (let is = 1; is <= 4; is++) {
          const dealt = assign({ subtasks: withEqualCopiesOnce(snapshots) }, planOf(was), planOf(is));
          expect(dealt).toEqual(assign({ subtasks: snapshots }, planOf(was), planOf(is)));
          for (let index = 0; index < is; index++)
            expect(dealt.get(`v/${index}`)!.states).toEqual([copy(index, copies[index % was]!)]);
        }
      }
  });
});

describe("what is told", () => {
  const told = (snapshots: readonly SubtaskSnapshot[]) =>
    unequalCopies(planOf(snapshots.length), { subtasks: withEqualCopiesOnce(snapshots) });

  test("are operator, state and subtasks, and what helps", () => {
    expect(told(snapshotsOf(["ab", "ba", "ab"]))).toEqual([
      'broadcast state "rules" of operator v is not the same in all subtasks: one thing in 0, 2, another in 1; all are ' +
        "stored, and each subtask gets back its own. Let onBroadcast follow from the record and broadcast state alone: " +
        "no clock, no random numbers, no keyed state, no variables of the process",
    ]);
  });

  test("of many subtasks are the first ones and the number of the others", () => {
    const letters = Array.from({ length: 20 }, (_, index) => (index < 12 ? "a" : `a${"b".repeat(index)}`));
    expect(told(snapshotsOf(letters))[0]).toContain(
      "one thing in 0, 1, 2, 3, 4 and 7 more, another in 12, another in 13, another in 14, another in 15 and 4 more;",
    );
  });

  test("is nothing where all are equal, and nothing of what the operator keeps for itself", () => {
    expect(told(snapshotsOf(["ab", "ab"]))).toEqual([]);
    const own = ["a", "b"].map((letters, index) =>
      subtaskSnapshot({ subtask: `v/${index}`, states: [copy(index, letters, "wait over")] }),
    );
    expect(told(own)).toEqual([]);
  });

  test("is nothing where a barrier has overtaken broadcast records, which some subtasks had and others not", () => {
    expect(told(snapshotsOf(["ab", "a"], { channels: [overtaken("rules")] }))).toEqual([]);
    expect(told(snapshotsOf(["ab", "a"], { channels: [overtaken("values")] }))).toHaveLength(1);
  });
});
