import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createLocalChannel } from "../../src/dataflow/channel/local-channel.ts";
import { InputGate } from "../../src/dataflow/input-gate.ts";
import { InvariantError } from "../../src/errors.ts";
import { records } from "../contracts/suites/channel.contract.ts";
import { barrierFrame } from "../support/frames.ts";

function gateOf(count: number) {
  const channels = Array.from({ length: count }, () => createLocalChannel());
  const gate = new InputGate(channels.map(({ input }) => input));
  const outputs = channels.map(({ output }) => output);
  const drain = () => {
    const indices: number[] = [];
    for (let next = gate.nextFrame(); next !== undefined; next = gate.nextFrame()) {
      indices.push(next.channelIndex);
    }
    return indices;
  };
  return { gate, outputs, drain };
}

describe("input gate", () => {
  it("takes turns among the channels that have frames (IG1)", () => {
    const { outputs, drain } = gateOf(3);
    for (let i = 0; i < 4; i++) outputs[0]!.send(records(i));
    for (let i = 0; i < 2; i++) outputs[2]!.send(records(i));
    expect(drain()).toEqual([0, 2, 0, 2, 0, 0]);
  });

  it("goes on where it stopped", () => {
    const { gate, outputs } = gateOf(2);
    for (const output of outputs) for (let i = 0; i < 2; i++) output.send(records(i));
    expect(gate.nextFrame()?.channelIndex).toBe(0);
    expect(gate.nextFrame()?.channelIndex).toBe(1);
    expect(gate.nextFrame()?.channelIndex).toBe(0);
  });

  it("hands control frames out like others, with their channel", () => {
    const { gate, outputs } = gateOf(2);
    outputs[1]!.send(barrierFrame(4));
    expect(gate.nextFrame()).toEqual({ channelIndex: 1, frame: barrierFrame(4) });
    expect(gate.nextFrame()).toBeUndefined();
  });

  it("takes no records of a held channel, restored ones included, and gives them first afterwards (IG5)", () => {
    const { gate, outputs } = gateOf(2);
    gate.restore(0, records(1));
    gate.restore(1, records(2));
    gate.hold(0);
    outputs[0]!.send(barrierFrame(4));
    outputs[1]!.send(records(3));
    const taken = (frame: ReturnType<typeof records>, channelIndex: number) => ({ channelIndex, frame });
    expect(gate.nextFrame()).toEqual(taken(records(2), 1));
    expect(gate.nextFrame()).toEqual(taken(records(3), 1));
    // The barrier lies behind a restored record.
    expect(gate.nextFrame()).toBeUndefined();
    expect(gate.nextCheckpointFrame()).toBeUndefined();
    const collected: unknown[] = [];
    gate.collectBefore(0, 4, (frame) => collected.push(frame));
    expect(collected).toEqual([records(1)]);
    gate.releaseHeld();
    expect(gate.nextFrame()).toEqual(taken(records(1), 0));
    expect(gate.nextFrame()).toEqual({ channelIndex: 0, frame: barrierFrame(4) });
  });

  it("takes control frames of a held channel that no records lie in front of (IG5)", () => {
    const { gate, outputs } = gateOf(1);
    gate.hold(0);
    outputs[0]!.send(barrierFrame(4));
    outputs[0]!.send(records(1));
    outputs[0]!.send(barrierFrame(5));
    expect(gate.nextFrame()).toEqual({ channelIndex: 0, frame: barrierFrame(4) });
    expect(gate.nextFrame()).toBeUndefined();
  });

  it("leaves frames of a blocked channel in the channel, whose writer runs out of credit (IG2)", () => {
    const { gate, outputs, drain } = gateOf(2);
    gate.block(0);
    expect(gate.isBlocked(0)).toBe(true);
    let sent = 0;
    while (outputs[0]!.hasRoom()) {
      outputs[0]!.send(records(sent++));
      outputs[1]!.send(records(sent));
      gate.nextFrame();
    }
    expect(sent).toBe(64);
    expect(drain()).toEqual([]);
    gate.unblockAll();
    expect(drain()).toHaveLength(64);
    expect(outputs[0]!.hasRoom()).toBe(true);
  });

  it("wakes for frames of open channels, not for those of blocked ones, and when it is unblocked", () => {
    const { gate, outputs } = gateOf(2);
    let wakes = 0;
    gate.onFrame(() => wakes++);
    gate.unblockAll();
    expect(wakes).toBe(0);
    gate.block(1);
    outputs[1]!.send(records(1));
    expect(wakes).toBe(0);
    outputs[0]!.send(records(1));
    expect(wakes).toBe(1);
    gate.unblock(1);
    expect(wakes).toBe(2);
    gate.unblock(1);
    expect(wakes).toBe(2);
  });

  it("goes on reading a channel that has ended: barriers may follow (IG3)", () => {
    const { gate, outputs } = gateOf(2);
    outputs[0]!.send({ kind: "endOfData" });
    outputs[0]!.send(barrierFrame(1));
    expect(gate.hasEnded(0)).toBe(false);
    expect(gate.nextFrame()?.frame.kind).toBe("endOfData");
    expect(gate.hasEnded(0)).toBe(true);
    expect(gate.allEnded()).toBe(false);
    expect(gate.nextFrame()?.frame.kind).toBe("barrier");
    outputs[1]!.send({ kind: "endOfData" });
    gate.nextFrame();
    expect(gate.allEnded()).toBe(true);
  });

  it("hands out restored records before any frame of a channel (IG4)", () => {
    const { gate, outputs } = gateOf(2);
    outputs[0]!.send(records("live"));
    gate.restore(1, records("b"));
    gate.restore(0, records("a"));
    const frames = [gate.nextFrame(), gate.nextFrame(), gate.nextFrame()];
    expect(frames).toEqual([
      { channelIndex: 1, frame: records("b") },
      { channelIndex: 0, frame: records("a") },
      { channelIndex: 0, frame: records("live") },
    ]);
  });

  it("collects restored records that are left, then what lies in the channel (IG4, CN5)", () => {
    const { gate, outputs } = gateOf(2);
    for (const value of ["a", "b"]) gate.restore(0, records(value));
    gate.restore(1, records("other"));
    outputs[0]!.send(records("live"));
    outputs[0]!.send(barrierFrame(1));
    gate.nextFrame();
    const collected: unknown[] = [];
    gate.collectBefore(0, 1, (one) => collected.push(one));
    expect(collected).toEqual([records("b"), records("live")]);
  });

  it("tells which channel a barrier has arrived on", () => {
    const { gate, outputs } = gateOf(2);
    const heard: unknown[] = [];
    gate.onArrival((channel, frame) => heard.push([channel, frame]));
    outputs[1]!.send(records(1));
    outputs[1]!.send(barrierFrame(3));
    expect(heard).toEqual([[1, barrierFrame(3)]]);
  });

  it("knows its channels", () => {
    const { gate } = gateOf(2);
    expect(gate.channelCount).toBe(2);
    expect(() => gate.block(2)).toThrow(InvariantError);
  });

  it("loses and reorders nothing under any blocking", () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("send" as const), channel: fc.nat(3) }),
      fc.record({ kind: fc.constant("block" as const), channel: fc.nat(3) }),
      fc.record({ kind: fc.constant("unblock" as const), channel: fc.nat(3) }),
      fc.record({ kind: fc.constant("next" as const), channel: fc.constant(0) }),
      fc.record({ kind: fc.constant("unblockAll" as const), channel: fc.constant(0) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const { gate, outputs } = gateOf(4);
        const sent = [0, 0, 0, 0];
        const taken = [0, 0, 0, 0];
        const take = () => {
          const next = gate.nextFrame();
          if (next === undefined) return false;
          expect(gate.isBlocked(next.channelIndex)).toBe(false);
          expect(next.frame).toEqual(records(taken[next.channelIndex]));
          taken[next.channelIndex]!++;
          return true;
        };
        for (const { kind, channel } of steps) {
          if (kind === "send" && outputs[channel]!.hasRoom())
            outputs[channel]!.send(records(sent[channel]!++));
          if (kind === "block") gate.block(channel);
          if (kind === "unblock") gate.unblock(channel);
          if (kind === "unblockAll") gate.unblockAll();
          if (kind === "next") take();
        }
        gate.unblockAll();
        while (take());
        expect(taken).toEqual(sent);
      }),
      { numRuns: 200 },
    );
  });
});
