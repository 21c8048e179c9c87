import { describe, expect, test } from "vitest";
import { createLocalChannel, NO_LOCAL_WINDOW } from "../../src/dataflow/channel/local-channel.ts";
import { InputGate } from "../../src/dataflow/input-gate.ts";
import { LoopEntrance } from "../../src/dataflow/loop-entrance.ts";
import { LoopOverflowError } from "../../src/errors.ts";

const FRAME = 100;
const frame = () => ({
  kind: "records" as const,
  values: Array.from({ length: FRAME }, (_, i) => i),
  timestamps: undefined,
  marks: undefined,
});

/** Channel 0 comes from outside, 1 and 2 lead back. */
function loopGate(waitingMax: number) {
  const channels = [
    createLocalChannel(),
    createLocalChannel(NO_LOCAL_WINDOW),
    createLocalChannel(NO_LOCAL_WINDOW),
  ];
  const inputs = channels.map(({ input }) => input);
  const entrance = new LoopEntrance({ loop: "loop", waitingMax, channels: inputs.slice(1), firstChannel: 1 });
  const gate = new InputGate(inputs, entrance);
  const send = (channel: number, frames: number) => {
    for (let i = 0; i < frames; i++) channels[channel]!.output.send(frame());
  };
  /** Which channels the next frames come from. */
  const read = (frames: number) => Array.from({ length: frames }, () => gate.nextFrame()?.channelIndex);
  return { gate, send, read };
}

describe("where a loop begins", () => {
  test("all channels take turns while little waits (LE1)", () => {
    const { send, read } = loopGate(1_000_000);
    send(0, 2);
    send(1, 3);
    expect(read(6)).toEqual([0, 1, 0, 1, 1, undefined]);
  });

  test("a channel that leads back always has room (P41)", () => {
    const { output } = createLocalChannel(NO_LOCAL_WINDOW);
    for (let i = 0; i < 10_000; i++) output.send(frame());
    expect(output.hasRoom()).toBe(true);
  });

  test("when much waits, one frame is let in each time all of it has come by (LE1)", () => {
    const { send, read } = loopGate(1_000_000);
    send(0, 10);
    send(1, 50);
    const first = read(1);
    expect(first).toEqual([0]);
    // The records that come back are as many as those that are taken: it never gets less.
    const letIn: number[] = [];
    for (let taken = 1; taken <= 150; taken++) {
      const [channel] = read(1);
      if (channel === 0) letIn.push(taken);
      else send(1, 1);
    }
    expect(letIn).toEqual([51, 102]);
  });

  test("beyond half the limit nothing is let in (LE1)", () => {
    const { send, read } = loopGate(10_000);
    send(0, 5);
    send(1, 60);
    expect(read(10)).not.toContain(0);
    expect(read(1)).toEqual([0]);
  });

  test("what cannot be read keeps nothing out (LE2)", () => {
    const { gate, send, read } = loopGate(10_000);
    send(0, 5);
    send(1, 60);
    send(2, 1);
    gate.block(1);
    expect(read(6).filter((channel) => channel === 0)).toHaveLength(5);
  });

  test("more than the limit fails for good, by the loop's name (LE3)", () => {
    const { send, read } = loopGate(10_000);
    send(1, 60);
    send(2, 41);
    expect(() => read(1)).toThrow(LoopOverflowError);
    expect(() => read(1)).toThrow(
      'loop "loop": 10100 records wait to go round again, and waitingMax is 10000',
    );
  });
});
