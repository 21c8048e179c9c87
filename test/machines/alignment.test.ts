/** The gate's barriers. A trace changes only with the protocol: update one only if you can say why. */
import { type AlignmentEvent, alignmentMachine } from "../../machines/alignment.ts";
import { describeTraces } from "./golden.ts";
import type { Scenario } from "./trace.ts";

const take = (event: AlignmentEvent) => ({ event });
const barrier = (channel: number, checkpointId: number) =>
  take({ type: "barrier.received", channel, checkpointId });
const aborted = (checkpointId: number, generation = 3) =>
  take({ type: "checkpoint.aborted", generation, checkpointId });

const story = (title: string, channels: number, steps: Scenario["steps"]): Scenario => ({
  title,
  actors: {
    alignment: { machine: alignmentMachine, input: { generation: 3, channels, restoredCheckpointId: 4 } },
  },
  steps,
});

describeTraces({
  machine: alignmentMachine,
  scenarios: {
    aligned: story("Each channel waits behind its barrier until the last one has come.   (A1, A2, C4)", 3, [
      "Channel 1 delivers barrier 5 first: what lies behind it belongs to the next checkpoint.",
      barrier(1, 5),
      barrier(0, 5),
      "The last barrier: the subtask takes its snapshot before any channel flows again.",
      barrier(2, 5),
      "The next checkpoint begins at another channel.",
      barrier(2, 6),
    ]),
    "one-channel": story("A gate of one channel is aligned by every barrier at once.   (A2)", 1, [
      barrier(0, 5),
      barrier(0, 6),
    ]),
    late: story("Late barriers block nothing.   (A3)", 2, [
      "What the restored checkpoint covers is late from the beginning.",
      barrier(0, 4),
      barrier(0, 6),
      "Checkpoint 5 was given up before its barrier came over the slower channel.",
      barrier(1, 5),
      "Repeated on a channel that has delivered it: counts once.",
      barrier(0, 6),
      barrier(1, 6),
      "And once more after the alignment: late.",
      barrier(1, 6),
    ]),
    "abort-while-aligning": story("An abort while aligning releases the channels at once.   (A1, P14)", 2, [
      barrier(0, 5),
      "Aborts of another generation and of an older checkpoint change nothing.",
      aborted(5, 2),
      aborted(4),
      aborted(5),
      "The barrier that was still on its way is late now: it blocks nothing.",
      barrier(1, 5),
      "The next checkpoint is not touched by it.",
      barrier(1, 6),
      barrier(0, 6),
    ]),
    "abort-before-barrier": story("An abort that overtakes its barriers makes them late.   (A3)", 2, [
      aborted(5, 2),
      aborted(4),
      aborted(5),
      barrier(0, 5),
      barrier(1, 5),
    ]),
    superseded: story("A newer barrier gives up the older one.   (A4)", 2, [
      barrier(0, 5),
      "Channel 1 never delivers 5: its sender had heard of the abort. It delivers 6.",
      barrier(1, 6),
      barrier(0, 6),
    ]),
    "abort-of-newer": story(
      "The abort of a newer checkpoint gives the older alignment up as well.   (A4)",
      2,
      [
        "Checkpoint 6 can only have been triggered after 5 was given up.",
        barrier(0, 5),
        aborted(6),
        barrier(1, 5),
      ],
    ),
  },
});
