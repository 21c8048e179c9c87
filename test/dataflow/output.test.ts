import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Frame } from "../../src/dataflow/channel/frame.ts";
import { createLocalChannel } from "../../src/dataflow/channel/local-channel.ts";
import type { Partitioner } from "../../src/dataflow/graph.ts";
import { createEdgeOutput } from "../../src/dataflow/output.ts";
import { NO_TIMESTAMP } from "../../src/dataflow/source.ts";
import { InvariantError } from "../../src/errors.ts";
import { keyGroupOf, ownerOf } from "../../src/state/key-groups.ts";
import { marked, takeAll } from "../contracts/suites/channel.contract.ts";
import { barrierFrame } from "../support/frames.ts";

const BY_VALUE: Partitioner = { kind: "hash", key: (value) => value as number };

function outputOf(
  partitioner: Partitioner,
  count: number,
  { subtaskIndex = 0, framesMax = 4, recordsPerFrame = 10 } = {},
) {
  const channels = Array.from({ length: count }, () =>
    createLocalChannel({ framesMax, recordsMax: Number.MAX_SAFE_INTEGER, recordsPerFrame }),
  );
  const output = createEdgeOutput({
    partitioner,
    channels: channels.map((channel) => channel.output),
    subtaskIndex,
    maxParallelism: 128,
  });
  return { output, inputs: channels.map((channel) => channel.input) };
}

function valuesOf(frames: readonly Frame[]): unknown[] {
  return frames.flatMap((frame) => (frame.kind === "records" ? frame.values : []));
}

describe("routing", () => {
  it("forward: everything to the one channel", () => {
    const { output, inputs } = outputOf({ kind: "forward" }, 1);
    for (let i = 0; i < 25; i++) output.collect(i, NO_TIMESTAMP);
    expect(output.flush()).toBe(true);
    const frames = takeAll(inputs[0]!);
    expect(frames.map((frame) => frame.kind === "records" && frame.values.length)).toEqual([10, 10, 5]);
    expect(valuesOf(frames)).toEqual(Array.from({ length: 25 }, (_, i) => i));
    expect(() => outputOf({ kind: "forward" }, 2)).toThrow(InvariantError);
  });

  it("rebalance: in turns, each sender beginning elsewhere", () => {
    const { output, inputs } = outputOf({ kind: "rebalance" }, 3, { subtaskIndex: 4 });
    for (let i = 0; i < 7; i++) output.collect(i, NO_TIMESTAMP);
    output.flush();
    expect(inputs.map((input) => valuesOf(takeAll(input)))).toEqual([
      [2, 5],
      [0, 3, 6],
      [1, 4],
    ]);
  });

  it("rescale: in turns, to the channels that there are", () => {
    const { output, inputs } = outputOf({ kind: "rescale" }, 3);
    for (let i = 0; i < 7; i++) output.collect(i, NO_TIMESTAMP);
    output.flush();
    expect(inputs.map((input) => valuesOf(takeAll(input)))).toEqual([
      [0, 3, 6],
      [1, 4],
      [2, 5],
    ]);
  });

  it("hash: to the owner of the key's group", () => {
    for (const count of [1, 2, 3, 7]) {
      const { output, inputs } = outputOf(BY_VALUE, count, { framesMax: 1000 });
      for (let i = 0; i < 1000; i++) output.collect(i, NO_TIMESTAMP);
      output.flush();
      let total = 0;
      for (const [subtask, input] of inputs.entries()) {
        for (const value of valuesOf(takeAll(input))) {
          expect(ownerOf(keyGroupOf(value as number, 128), count, 128)).toBe(subtask);
          total++;
        }
      }
      expect(total).toBe(1000);
    }
  });
});

describe("timestamps", () => {
  it("take no array while no record has one, and are filled up from the first that has", () => {
    const { output, inputs } = outputOf({ kind: "forward" }, 1, { recordsPerFrame: 3 });
    for (const timestamp of [NO_TIMESTAMP, NO_TIMESTAMP, NO_TIMESTAMP, NO_TIMESTAMP, 5, NO_TIMESTAMP, 7]) {
      output.collect("x", timestamp);
    }
    output.flush();
    expect(takeAll(inputs[0]!).map((frame) => frame.kind === "records" && frame.timestamps)).toEqual([
      undefined,
      [NO_TIMESTAMP, 5, NO_TIMESTAMP],
      [7],
    ]);
  });
});

describe("backpressure", () => {
  it("has no credit while one channel has a full frame that it cannot send, and goes on by itself", () => {
    const { output, inputs } = outputOf({ kind: "rebalance" }, 2, { framesMax: 2, recordsPerFrame: 5 });
    let collected = 0;
    while (output.hasRoom()) output.collect(collected++, NO_TIMESTAMP);
    expect(collected).toBe(29);
    expect(output.hasRoom()).toBe(false);
    let wakes = 0;
    output.onRoom(() => wakes++);
    inputs[0]!.take();
    expect(wakes).toBe(1);
    expect(output.hasRoom()).toBe(true);
    expect(output.flush()).toBe(false);
    takeAll(inputs[1]!);
    expect(output.flush()).toBe(true);
  });

  it("takes what one record makes, however much, and sends it in frames", () => {
    const { output, inputs } = outputOf({ kind: "forward" }, 1);
    for (let i = 0; i < 1000; i++) output.collect(i, NO_TIMESTAMP);
    expect(output.hasRoom()).toBe(false);
    const got: unknown[] = [];
    let longest = 0;
    while (got.length < 1000) {
      const frames = takeAll(inputs[0]!);
      longest = Math.max(longest, frames.length);
      got.push(...valuesOf(frames));
      output.hasRoom();
    }
    expect(longest).toBe(4);
    expect(got).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    expect(output.hasRoom()).toBe(true);
  });
});

describe("control frames", () => {
  it("go to every channel, behind all that was collected (OU1)", () => {
    const { output, inputs } = outputOf({ kind: "rebalance" }, 2);
    for (let i = 0; i < 3; i++) output.collect(i, 100);
    output.broadcast(barrierFrame(1));
    output.collect(3, 100);
    output.broadcast({ kind: "endOfData" });
    const kinds = inputs.map((input) => takeAll(input).map((frame) => frame.kind));
    expect(kinds).toEqual([
      ["records", "barrier", "endOfData"],
      ["records", "barrier", "records", "endOfData"],
    ]);
  });

  it("overdraw at most two frames a channel for a caller that asks before each record (OU3)", () => {
    const { output, inputs } = outputOf({ kind: "forward" }, 1);
    let collected = 0;
    while (output.hasRoom()) output.collect(collected++, NO_TIMESTAMP);
    output.collect(collected++, NO_TIMESTAMP);
    output.broadcast(barrierFrame(1));
    expect(output.hasRoom()).toBe(true);
    const frames = takeAll(inputs[0]!);
    expect(frames).toHaveLength(4 + 2 + 1);
    expect(frames.at(-1)).toEqual(barrierFrame(1));
    expect(valuesOf(frames)).toHaveLength(collected);
  });
});

describe("any interleaving", () => {
  it("keeps each channel's order, and each barrier between the records before and after it", () => {
    const step = fc.constantFrom(
      "collect",
      "collect",
      "collect",
      "burst",
      "take",
      "take",
      "flush",
      "barrier",
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), fc.array(step, { maxLength: 150 }), (count, steps) => {
        const { output, inputs } = outputOf(BY_VALUE, count, { framesMax: 2, recordsPerFrame: 3 });
        const expected: unknown[][] = inputs.map(() => []);
        const taken: unknown[][] = inputs.map(() => []);
        const note = (frames: Frame[], into: unknown[]) => {
          for (const frame of frames) {
            if (frame.kind === "records") into.push(...frame.values);
            else into.push(frame);
          }
        };
        let next = 0;
        const collect = () => {
          output.collect(next, NO_TIMESTAMP);
          expected[ownerOf(keyGroupOf(next, 128), count, 128)]!.push(next);
          next++;
        };
        for (const [i, kind] of steps.entries()) {
          if (kind === "collect" && output.hasRoom()) collect();
          if (kind === "burst") for (let n = 0; n < 20; n++) collect();
          if (kind === "flush") output.flush();
          if (kind === "take") {
            const frame = inputs[i % count]!.take();
            if (frame !== undefined) note([frame], taken[i % count]!);
          }
          if (kind === "barrier") {
            const barrier = barrierFrame(i);
            output.broadcast(barrier);
            for (const list of expected) list.push(barrier);
          }
        }
        for (let rounds = 0; !output.flush() && rounds < 1000; rounds++) {
          for (const [i, input] of inputs.entries()) note(takeAll(input), taken[i]!);
        }
        for (const [i, input] of inputs.entries()) note(takeAll(input), taken[i]!);
        expect(taken).toEqual(expected);
        expect(output.hasRoom()).toBe(true);
      }),
      { numRuns: 200 },
    );
  });
});

describe("marks of event time (OU4)", () => {
  it("lie in their place among the records of every channel", () => {
    const { output, inputs } = outputOf({ kind: "rebalance" }, 2, { subtaskIndex: 0 });
    for (const value of ["a", "b", "c"]) output.collect(value, NO_TIMESTAMP);
    output.mark(10, false);
    output.collect("d", NO_TIMESTAMP);
    output.flush();
    expect(inputs.map((input) => takeAll(input))).toEqual([
      [marked(["a", "c"], [2, 10, false])],
      [marked(["b", "d"], [1, 10, false])],
    ]);
  });

  it("need room like records, and wait for it without becoming many", () => {
    const { output, inputs } = outputOf({ kind: "forward" }, 1, { framesMax: 1, recordsPerFrame: 10 });
    for (let watermark = 1; watermark <= 100; watermark++) {
      output.mark(watermark, false);
      output.flush();
    }
    output.mark(101, true);
    expect(takeAll(inputs[0]!)).toEqual([marked([], [0, 1, false])]);
    output.flush();
    expect(takeAll(inputs[0]!)).toEqual([marked([], [0, 101, true])]);
  });

  it("go in front of a barrier that comes behind them", () => {
    const { output, inputs } = outputOf({ kind: "forward" }, 1);
    output.mark(5, false);
    output.broadcast(barrierFrame(1));
    expect(takeAll(inputs[0]!)).toEqual([marked([], [0, 5, false]), barrierFrame(1)]);
  });
});
