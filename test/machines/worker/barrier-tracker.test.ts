/** Barriers that no channel waits for. A trace changes only with the protocol: update one only if you can say why. */
import { type BarrierTrackerEvent, barrierTrackerMachine } from "../../../machines/worker/barrier-tracker.ts";
import { barrierOptions } from "../../support/checkpoint-options.ts";
import { describeTraces } from "../golden.ts";
import type { Scenario } from "../trace.ts";

const take = (event: BarrierTrackerEvent) => ({ event });
const barrier = (channel: number, checkpointId: number) =>
  take({ type: "barrier.received", channel, checkpointId, options: barrierOptions("at-least-once") });
const marker = (channel: number, checkpointId: number) =>
  take({ type: "marker.received", channel, checkpointId });

const story = (title: string, channels: number, steps: Scenario["steps"]): Scenario => ({
  title,
  actors: { tracker: { machine: barrierTrackerMachine, input: { channels, restoredCheckpointId: 4 } } },
  steps,
});

describeTraces({
  machine: barrierTrackerMachine,
  scenarios: {
    "last-barrier": story("The last barrier is the subtask's; no channel has waited for it.   (B1, B2)", 2, [
      barrier(0, 5),
      "Channel 0 is read on, and even delivers the next barrier.",
      barrier(0, 6),
      barrier(1, 5),
      barrier(1, 6),
    ]),
    subsumed: story("A channel skips 5: it is dropped when 6 is complete.   (B2)", 2, [
      barrier(0, 5),
      barrier(1, 6),
      barrier(0, 6),
      "Nothing is left of 5.",
      barrier(0, 5),
    ]),
    late: story("What was restored, and what was never tracked, is late.   (B2)", 2, [
      barrier(0, 4),
      barrier(1, 6),
      barrier(0, 5),
      marker(0, 5),
      "Repeated: counts once.",
      barrier(1, 6),
      barrier(0, 6),
    ]),
    canceled: story("A marker gives up its checkpoint and all older ones, each once.   (B4)", 3, [
      barrier(0, 5),
      barrier(0, 6),
      barrier(0, 7),
      marker(1, 6),
      "The second marker says nothing new.",
      marker(2, 6),
      "The last channel ends the tracking of 6; 7 has its own.",
      barrier(1, 7),
      barrier(2, 7),
    ]),
    "canceled-first": story("The marker is the first that is heard of 5.   (B4)", 2, [
      marker(0, 5),
      "Its barrier on the other channel only ends the tracking.",
      barrier(1, 5),
    ]),
    "one-channel": story(
      "One channel: every new barrier is the subtask's, every new marker a decline.   (B5)",
      1,
      [barrier(0, 5), barrier(0, 5), marker(0, 6), barrier(0, 6), marker(0, 6), barrier(0, 7)],
    ),
  },
});
