/** Which subtasks restart together. */
import { describe, expect, it } from "vitest";
import { regionsOf } from "../../../machines/leader/regions.ts";
import type { GraphPlan } from "../../../machines/protocol.ts";

type Edge = readonly [from: string, to: string, partitioner: string];

function regions(vertices: Readonly<Record<string, number>>, ...edges: Edge[]) {
  const plan: GraphPlan = {
    vertices: Object.entries(vertices).map(([id, parallelism]) => ({ id, parallelism, operators: [] })),
    edges: edges.map(([from, to, partitioner]) => ({ id: `${from}-${to}`, from, to, partitioner })),
    maxParallelism: 128,
  };
  return regionsOf(plan);
}

describe("regions (F1)", () => {
  it("hold everybody whom records reach over an edge from all to all", () => {
    expect(regions({ in: 2, out: 3 }, ["in", "out", "hash"])).toEqual([
      ["in/0", "in/1", "out/0", "out/1", "out/2"],
    ]);
    expect(regions({ in: 3, out: 1 }, ["in", "out", "rebalance"])).toEqual([
      ["in/0", "in/1", "in/2", "out/0"],
    ]);
  });

  it("are one for each index where every edge goes forward", () => {
    expect(regions({ in: 2, out: 2 }, ["in", "out", "forward"])).toEqual([
      ["in/0", "out/0"],
      ["in/1", "out/1"],
    ]);
  });

  it("are as small as the subtasks of one side allow where an edge rescales", () => {
    expect(regions({ in: 2, out: 6 }, ["in", "out", "rescale"])).toEqual([
      ["in/0", "out/0", "out/1", "out/2"],
      ["in/1", "out/3", "out/4", "out/5"],
    ]);
    expect(regions({ in: 3, out: 2 }, ["in", "out", "rescale"])).toEqual([
      ["in/0", "out/0"],
      ["in/1", "in/2", "out/1"],
    ]);
    expect(
      regions({ in: 2, mid: 4, out: 1 }, ["in", "mid", "rescale"], ["mid", "out", "rescale"]),
    ).toHaveLength(1);
  });

  it("are each of the parts of a job that nothing connects", () => {
    expect(regions({ a: 1, b: 2, c: 1, d: 1 }, ["a", "b", "hash"], ["c", "d", "forward"])).toEqual([
      ["a/0", "b/0", "b/1"],
      ["c/0", "d/0"],
    ]);
  });

  it("join what meets further down, whatever parts them before", () => {
    const one = regions(
      { in: 2, even: 2, odd: 2, out: 1 },
      ["in", "even", "forward"],
      ["in", "odd", "forward"],
      ["odd", "out", "hash"],
    );
    expect(one).toEqual([["even/0", "even/1", "in/0", "in/1", "odd/0", "odd/1", "out/0"]]);
  });

  it("are found in a job as wide as there are key groups", () => {
    expect(regions({ in: 32_768, out: 32_768 }, ["in", "out", "hash"])).toHaveLength(1);
    expect(regions({ in: 32_768, out: 32_768 }, ["in", "out", "forward"])).toHaveLength(32_768);
  });

  it("of a vertex that exchanges nothing are its subtasks", () => {
    expect(regions({ lone: 3 })).toEqual([["lone/0"], ["lone/1"], ["lone/2"]]);
  });
});
