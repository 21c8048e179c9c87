/** Which subtasks an edge connects, for all numbers of subtasks up to eight. */
import { describe, expect, it } from "vitest";
import { type EdgeEnds, receiversOf, sendersOf } from "../../../machines/graph/topology.ts";

const COUNTS = [1, 2, 3, 4, 5, 6, 7, 8];
const range = (count: number) => Array.from({ length: count }, (_, index) => index);
const channels = (ends: EdgeEnds) => range(ends.senders).map((sender) => receiversOf(ends, sender));

describe("the channels of an edge (P89)", () => {
  it.each<[number, number, number[][]]>([
    [
      2,
      6,
      [
        [0, 1, 2],
        [3, 4, 5],
      ],
    ],
    [6, 2, [[0], [0], [0], [1], [1], [1]]],
    [3, 3, [[0], [1], [2]]],
    [2, 3, [[0, 1], [2]]],
    [3, 2, [[0], [1], [1]]],
    [4, 6, [[0, 1], [2], [3, 4], [5]]],
    [1, 3, [[0, 1, 2]]],
  ])("by rescale from %i to %i are those of Flink's pointwise edges", (senders, receivers, expected) => {
    expect(channels({ partitioner: "rescale", senders, receivers })).toEqual(expected);
  });

  for (const partitioner of ["forward", "rescale", "rebalance", "hash", "broadcast", "custom"]) {
    it(`by ${partitioner} are named alike by both sides, and leave no subtask out`, () => {
      for (const senders of COUNTS)
        for (const receivers of partitioner === "forward" ? [senders] : COUNTS) {
          const ends = { partitioner, senders, receivers };
          const to = range(senders).flatMap((s) => receiversOf(ends, s).map((r) => `${s}>${r}`));
          const from = range(receivers).flatMap((r) => sendersOf(ends, r).map((s) => `${s}>${r}`));
          expect(to.sort()).toEqual(from.sort());
          expect(new Set(to).size).toBe(to.length);
          for (const s of range(senders)) expect(receiversOf(ends, s)).not.toEqual([]);
          for (const r of range(receivers)) expect(sendersOf(ends, r)).not.toEqual([]);
        }
    });
  }

  it("by rescale are as few and as even as the numbers allow", () => {
    for (const senders of COUNTS)
      for (const receivers of COUNTS) {
        const ends = { partitioner: "rescale", senders, receivers };
        const [more, perOne] =
          senders < receivers
            ? [receivers, range(senders).map((s) => receiversOf(ends, s).length)]
            : [senders, range(receivers).map((r) => sendersOf(ends, r).length)];
        expect(perOne.reduce((sum, count) => sum + count)).toBe(more);
        expect(Math.max(...perOne) - Math.min(...perOne)).toBeLessThanOrEqual(1);
      }
  });
});
