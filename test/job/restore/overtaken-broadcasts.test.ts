/** P103: broadcast records that a barrier has overtaken, under another number of subtasks. */
import { describe, expect, test } from "vitest";
import type { GraphPlan } from "../../../machines/protocol.ts";
import { planRestore } from "../../../src/job/restore/restore-plan.ts";
import { manifestOf, subtaskSnapshot } from "../../support/job-record.ts";

const planOf = (receivers: number, partitioner = "broadcast"): GraphPlan => ({
  vertices: [
    { id: "rules", parallelism: 2, operators: [{ id: "rules", kind: "source", inputs: [] }] },
    {
      id: "meet",
      parallelism: receivers,
      operators: [{ id: "meet", kind: "any", inputs: [{ from: "rules" }], states: ["kept"] }],
    },
  ],
  edges: [{ id: "e", from: "rules", to: "meet", partitioner }],
  maxParallelism: 12,
});

const waiting = (to: number, counts: readonly number[]) =>
  counts.map((records, from) => ({
    ...{ edge: "e", from, to, records },
    ...{ bytes: 9, inline: new Uint8Array(9), object: null, offset: 0 },
  }));

/** @param counts for each receiver: how many records of each sender wait in front of it */
const problems = (receivers: number, counts: readonly (readonly number[])[], partitioner?: string) => {
  const subtasks = counts.map((one, index) => ({
    ...subtaskSnapshot({ subtask: `meet/${index}` }),
    channels: waiting(index, one),
  }));
  const from = {
    plan: planOf(counts.length, partitioner),
    splits: {},
    manifest: manifestOf(1, { subtasks }),
  };
  return planRestore(from, planOf(receivers, partitioner), []).problems;
};

describe("broadcast records that a barrier has overtaken", () => {
  test("in front of some receivers only are refused under fewer subtasks, and under more", () => {
    const refusal =
      /^operator meet was cut while some of its subtasks had had broadcast records that others had not, .* with parallelism 2 and take a savepoint/;
    expect(
      problems(1, [
        [0, 0],
        [1, 0],
      ]),
    ).toEqual([expect.stringMatching(refusal)]);
    expect(
      problems(3, [
        [1, 0],
        [0, 1],
      ]),
    ).toEqual([expect.stringMatching(refusal)]);
  });

  test("in front of all alike are dealt out", () =>
    expect(
      problems(1, [
        [2, 1],
        [2, 1],
      ]),
    ).toEqual([]));

  test("are each receiver's own under the same number of subtasks", () =>
    expect(
      problems(2, [
        [0, 0],
        [1, 0],
      ]),
    ).toEqual([]));

  test("and other records go with their keys", () =>
    expect(
      problems(
        1,
        [
          [0, 0],
          [1, 0],
        ],
        "hash",
      ),
    ).toEqual([]));
});
