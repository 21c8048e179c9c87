import { expect, test } from "vitest";
import type { StateHandle } from "../../../../machines/protocol.ts";
import type { ChannelId } from "../../../../src/dataflow/channel/frame.ts";
import { createLocalChannel } from "../../../../src/dataflow/channel/local-channel.ts";
import { InputGate } from "../../../../src/dataflow/input-gate.ts";
import { EventTimeFlow } from "../../../../src/runtime/worker/subtask/input/event-time.ts";
import { GateInput } from "../../../../src/runtime/worker/subtask/input/gate.ts";
import { marked, records } from "../../../contracts/suites/channel.contract.ts";
import { barrierFrame } from "../../../support/frames.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

interface Options {
  readonly channels?: number;
  /** Steps that each watermark takes. */
  readonly stepsPerWatermark?: number;
  readonly restored?: readonly StateHandle[];
  /** The watermark that the chain was working off at the restored cut. */
  readonly unfinished?: number;
}

/** A subtask's input whose chain writes down what it is given, and in which order. */
function inputOf({ channels = 1, stepsPerWatermark = 0, restored = [], unfinished }: Options = {}) {
  const story: string[] = [];
  const pipes = Array.from({ length: channels }, () => createLocalChannel());
  const ids: ChannelId[] = pipes.map((_, from) => ({ edge: "in", from, to: 0 }));
  const time = new EventTimeFlow({
    operator: "count",
    subtaskIndex: 0,
    chain: {
      unfinishedTime: () => unfinished,
      becameIdle: () => void story.push("became idle"),
      advance(watermark) {
        story.push(`advance ${watermark}`);
        let left = stepsPerWatermark;
        if (left === 0) return undefined;
        return {
          step() {
            story.push(`step ${left}`);
            return --left > 0;
          },
        };
      },
    },
    outputs: [{ mark: (watermark, isIdle) => void story.push(`tell ${watermark}${isIdle ? " idle" : ""}`) }],
    channels: ids,
    restored,
  });
  const input = new GateInput({
    gate: new InputGate(pipes.map(({ input }) => input)),
    clock: new ManualClock(),
    heads: pipes.map(() => (value: unknown) => void story.push(String(value))),
    origins: pipes.map(() => "a test"),
    time,
    onCheckpointFrame: (_, frame) => void story.push(`${frame.kind} ${frame.checkpointId}`),
  });
  const outputs = pipes.map(({ output }) => output);
  const take = () => {
    story.length = 0;
    for (let taken = input.take(); taken !== "idle"; taken = input.take()) {
      if (taken === "ended") {
        story.push("ended");
        break;
      }
    }
    return [...story];
  };
  return { input, time, outputs, take, story };
}

test("a mark acts in its place between two records", () => {
  const { outputs, take } = inputOf();
  outputs[0]!.send(marked(["a", "b", "c"], [0, 1, false], [2, 5, false], [3, 8, false]));
  const expected = ["advance 1", "tell 1", "a", "b", "advance 5", "tell 5", "c", "advance 8", "tell 8"];
  expect(take()).toEqual(expected);
});

test("no record and no mark is taken while a watermark is worked off, and the outputs hear of it afterwards", () => {
  const { outputs, take } = inputOf({ channels: 2, stepsPerWatermark: 2 });
  outputs[0]!.send(marked(["a"], [1, 5, false]));
  outputs[1]!.send(marked(["b"], [0, 6, false]));
  outputs[0]!.send(records("c"));
  expect(take()).toEqual(["a", "advance 5", "step 2", "step 1", "tell 5", "b", "c"]);
});

test("a barrier with nothing in front of it passes while a watermark is worked off", () => {
  const { outputs, input, story } = inputOf({ stepsPerWatermark: 3 });
  outputs[0]!.send(marked([], [0, 5, false]));
  input.take();
  input.take();
  outputs[0]!.send(barrierFrame(1));
  for (let i = 0; i < 4; i++) input.take();
  expect(story).toEqual(["advance 5", "step 3", "barrier 1", "step 2", "step 1", "tell 5"]);
});

test("idle channels do not hold event time back, and the idleness of all is told on", () => {
  const { outputs, take } = inputOf({ channels: 2 });
  outputs[0]!.send(marked([], [0, 7, false]));
  outputs[1]!.send(marked([], [0, 3, true]));
  expect(take()).toEqual(["advance 7", "tell 7"]);
  outputs[0]!.send(marked([], [0, 7, true]));
  expect(take()).toEqual(["became idle", "tell 7 idle"]);
  outputs[1]!.send(records("a"));
  expect(take()).toEqual(["tell 7", "a"]);
});

test("a restored input that was idle at the cut has become so only when it was active in between", () => {
  const before = inputOf();
  before.outputs[0]!.send(marked([], [0, 7, true]));
  expect(before.take()).toEqual(["advance 7", "became idle", "tell 7 idle"]);
  const after = inputOf({ restored: before.input.cut() });
  after.input.start();
  after.outputs[0]!.send(marked([], [0, 7, true]));
  expect([...after.story, ...after.take()]).toEqual(["tell 7 idle"]);
  after.outputs[0]!.send(marked(["a"], [1, 8, true]));
  expect(after.take()).toEqual(["tell 7", "a", "advance 8", "became idle", "tell 8 idle"]);
});

test("the end of all channels is the last watermark, and no mark tells it on", () => {
  const { outputs, take } = inputOf({ channels: 2, stepsPerWatermark: 1 });
  outputs[0]!.send({ kind: "endOfData" });
  outputs[1]!.send(marked(["a"], [1, 4, false]));
  expect(take()).toEqual(["a", "advance 4", "step 1", "tell 4"]);
  outputs[1]!.send({ kind: "endOfData" });
  expect(take()).toEqual(["advance Infinity", "step 1", "ended"]);
});

test("records that lie behind a mark are stored with what is left of the marks", () => {
  const { outputs, input } = inputOf({ stepsPerWatermark: 1 });
  outputs[0]!.send(marked(["a", "b"], [1, 5, false], [2, 6, false]));
  input.take();
  expect(input.unprocessed(0)).toEqual(marked(["b"], [1, 6, false]));
});

test("a restored input goes on where the checkpoint was cut", () => {
  const before = inputOf({ channels: 2, stepsPerWatermark: 2 });
  before.outputs[0]!.send(marked([], [0, 8, false]));
  before.outputs[1]!.send(marked([], [0, 3, true]));
  for (let i = 0; i < 3; i++) before.input.take();
  const after = inputOf({ channels: 2, stepsPerWatermark: 1, restored: before.input.cut(), unfinished: 8 });
  after.input.start();
  after.outputs[0]!.send(marked(["a"], [1, 9, false]));
  expect([...after.story, ...after.take()]).toEqual([
    ...["advance 8", "step 1", "tell 8"],
    ...["a", "advance 9", "step 1", "tell 9"],
  ]);
});

test("a job without event time stores nothing of it", () => {
  const { outputs, take, input } = inputOf();
  outputs[0]!.send(records("a"));
  expect(take()).toEqual(["a"]);
  expect(input.cut()).toEqual([]);
});

test("a barrier waits for the records of a frame that is being processed", () => {
  const { outputs, take } = inputOf({ stepsPerWatermark: 2 });
  outputs[0]!.send(marked(["a", "b"], [1, 5, false]));
  outputs[0]!.send(barrierFrame(1));
  expect(take()).toEqual(["a", "advance 5", "step 2", "step 1", "tell 5", "b", "barrier 1"]);
});
