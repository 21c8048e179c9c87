/** The gate's barriers. A trace changes only with the protocol: update one only if you can say why. */
import { type AlignmentEvent, alignmentMachine } from "../../../machines/worker/alignment.ts";
import { barrierOptions } from "../../support/checkpoint-options.ts";
import { describeTraces } from "../golden.ts";
import type { Scenario } from "../trace.ts";

const take = (event: AlignmentEvent) => ({ event });
const barrier = (channel: number, checkpointId: number) =>
  take({ type: "barrier.received", channel, checkpointId, options: barrierOptions() });
/** Its frame has arrived, with so much of its timeout left. */
const announced = (channel: number, checkpointId: number, remainingMs: number | null = 0) => {
  const alignment =
    remainingMs === null ? "aligned" : remainingMs === 0 ? "unaligned" : "aligned-with-timeout";
  const options = barrierOptions(alignment);
  return take({ type: "barrier.announced", channel, checkpointId, options, remainingMs });
};
/** An aligned one, in a subtask that lets barriers overtake what is held up (P88). */
const heldUp = (channel: number, checkpointId: number, remainingMs: number) =>
  take({ type: "barrier.announced", channel, checkpointId, options: barrierOptions("aligned"), remainingMs });
const marker = (channel: number, checkpointId: number) =>
  take({ type: "marker.received", channel, checkpointId });
const timeout = take({ type: "timer.fired", timer: "alignment" });
const aborted = (checkpointId: number, generation = 3) =>
  take({ type: "checkpoint.aborted", generation, checkpointId });

const story = (title: string, channels: number, steps: Scenario["steps"]): Scenario => ({
  title,
  actors: {
    alignment: { machine: alignmentMachine, input: { generation: 3, channels, restoredCheckpointId: 4 } },
  },
  steps,
});

/** Channels 0 and 1 come from outside, channel 2 leads back. */
const loopStory = (title: string, stored: boolean, steps: Scenario["steps"]): Scenario => ({
  title,
  actors: {
    alignment: {
      machine: alignmentMachine,
      input: {
        generation: 3,
        channels: 3,
        feedback: { channels: [2], stored },
        restoredCheckpointId: 4,
      },
    },
  },
  steps,
});
const cameBack = (checkpointId: number) => announced(2, checkpointId, null);

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
    "held-up-in-time": story("An aligned barrier that gives way here leaves as an aligned one.   (A8)", 2, [
      "Channel 0 may bring what is held up: its barrier overtakes when a second is over.",
      heldUp(0, 5, 900),
      "What was in front of the barriers has been processed in time.",
      barrier(0, 5),
      barrier(1, 5),
    ]),
    "held-up-beside-aligned": story(
      "A barrier that never overtakes counts when it is received, beside one that has overtaken.   (A8)",
      2,
      [
        "Channel 0 is held up, so its barrier overtakes. That of channel 1 is not announced.",
        heldUp(0, 5, 0),
        "The records in front of it are processed, and kept: all is there.",
        barrier(1, 5),
        "The next checkpoint.",
        barrier(1, 6),
        barrier(0, 6),
      ],
    ),
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
    "abort-before-barrier": story(
      "An abort overtakes its barriers: the first is passed over, a cancel marker takes its place.   (A3, A5)",
      2,
      [
        aborted(5, 2),
        aborted(4),
        aborted(5),
        "Told twice.",
        aborted(5),
        barrier(0, 5),
        barrier(1, 5),
        "The same with one that would have overtaken.",
        aborted(6),
        announced(1, 6),
        announced(0, 6),
        barrier(1, 6),
        barrier(0, 6),
      ],
    ),
    superseded: story("A newer barrier gives up the older one, which is declined.   (A4, P14)", 2, [
      barrier(0, 5),
      "Channel 1 never delivers 5: its sender had heard of the abort. It delivers 6.",
      barrier(1, 6),
      barrier(0, 6),
    ]),
    "abort-of-newer": story(
      "Two checkpoints are on their way, and the newer one is aborted: the older one goes on.   (A5)",
      2,
      [barrier(0, 5), aborted(6), "5 is aligned as if nothing had been said.", barrier(1, 5), barrier(0, 6)],
    ),
    canceled: story("A cancel marker instead of a barrier: what has waited for it is released.   (A6)", 2, [
      barrier(0, 5),
      marker(1, 5),
      "Its sender on channel 0 has heard of it as well: nothing new.",
      marker(0, 5),
      "A marker is the first that is heard of checkpoint 6: its barriers are late.",
      marker(0, 6),
      barrier(1, 6),
      "While 7 is aligned, a marker of 6 comes late.",
      barrier(0, 7),
      marker(1, 6),
      "And one of 8, over a channel that never delivered 7: both are given up.",
      marker(1, 8),
    ]),
    unaligned: story("No channel waits: the first barrier that arrives is the subtask's.   (A7)", 3, [
      "It lies behind records that are not processed. They, and what the other channels bring, are collected.",
      announced(1, 5),
      announced(0, 5),
      "The frame of the first one is read at last: it was counted when it arrived.",
      barrier(1, 5),
      announced(2, 5),
      "The others are read after the checkpoint is complete.",
      barrier(0, 5),
      barrier(2, 5),
    ]),
    "unaligned-one-channel": story(
      "A gate of one channel: everything in front of the barrier is there at once.   (A7)",
      1,
      [announced(0, 5), barrier(0, 5)],
    ),
    "unaligned-given-up": story(
      "What has been collected is dropped when its checkpoint is.   (A4, A6, A7)",
      2,
      [
        announced(0, 5),
        "Late news change nothing.",
        announced(0, 4),
        aborted(4),
        "The leader gives it up; what the subtask does with its snapshot it hears from the leader as well.",
        aborted(5),
        announced(1, 5),
        "By a newer barrier, over a channel that never delivers 6.",
        announced(0, 6),
        announced(1, 7),
        "By one that has time.",
        announced(0, 8, 100),
        "By a savepoint, whose barriers overtake nothing.",
        barrier(1, 9),
        "By a cancel marker.",
        announced(0, 10),
        marker(1, 10),
      ],
    ),
    "timed-aligned": story(
      "All barriers are in before the timeout: aligned, and nothing is stored.   (A8)",
      2,
      [
        "The checkpoint is 20 ms old; 80 of its 100 ms are left.",
        announced(0, 5, 80),
        "Its channel waits from here on, as in every alignment.",
        barrier(0, 5),
        announced(1, 5, 30),
        barrier(0, 5),
        barrier(1, 5),
      ],
    ),
    "timed-out": story("The timeout ends before all barriers are there: they overtake.   (A8)", 3, [
      announced(0, 5, 80),
      barrier(0, 5),
      announced(1, 5, 60),
      "Channel 0 flows again, and nothing lies in front of its barrier. Channel 1 has records in front of it.",
      timeout,
      announced(2, 5, 0),
    ]),
    "timed-late": story(
      "A barrier arrives when the timeout has ended, or it has overtaken already.   (A8)",
      2,
      [
        announced(0, 5, 80),
        "An upstream subtask has switched: its barrier says so.",
        announced(1, 5, 0),
        "So late that alignment does not even begin.",
        announced(1, 6, 0),
      ],
    ),
    "timed-given-up": story("Given up before its timeout: the timer goes with it.   (A4, A6, A8)", 2, [
      announced(0, 5, 80),
      barrier(0, 5),
      "By an abort; one of a newer checkpoint is none of its business.",
      aborted(7),
      aborted(5),
      "By a newer barrier.",
      announced(0, 6, 80),
      announced(1, 8, 60),
      "By a cancel marker.",
      marker(0, 8),
    ]),
    feedback: loopStory(
      "Where a loop begins: the records on their way back belong to the checkpoint, up to the barrier behind them.   (A9)",
      true,
      [
        barrier(0, 5),
        "Nothing can have come back yet. All that is on the way is collected from here on, and no channel waits.",
        barrier(1, 5),
        "The barrier has gone round the loop. Those in front of it are still to be processed.",
        cameBack(5),
        barrier(2, 5),
        "The next one is aborted while it goes round: what was collected is dropped, the barrier is late.",
        barrier(0, 6),
        barrier(1, 6),
        aborted(6),
        cameBack(6),
        "Another one is given up in the same place by a savepoint.",
        barrier(0, 7),
        barrier(1, 7),
        barrier(0, 8),
      ],
    ),
    "feedback-early": loopStory(
      "The barrier comes back from a subtask that another head has brought to its barrier.   (A9)",
      true,
      [
        "It arrives with records in front of it: they are processed, and no channel waits.",
        cameBack(5),
        "It is read: what follows lies beyond the cut.",
        barrier(2, 5),
        barrier(0, 5),
        "Aligned: nothing is left to collect.",
        barrier(1, 5),
        "Again, but not all in front of it has been processed: that is collected.",
        barrier(1, 6),
        cameBack(6),
        barrier(0, 6),
        "7 was given up at the others, and 8 comes back first.",
        cameBack(7),
        cameBack(8),
        "9 is aborted before anything of it is heard here.",
        aborted(9),
        cameBack(9),
      ],
    ),
    "feedback-timed": loopStory("The same when barriers may overtake after a while.   (A8, A9)", true, [
      announced(0, 5, 80),
      barrier(0, 5),
      announced(1, 5, 60),
      barrier(1, 5),
      "It was aligned in time, so its barriers overtake nothing. The one that comes back is late for that, and counts all the same.",
      announced(2, 5, 0),
      "Not in time: the channel that leads back is collected like the other ones.",
      announced(0, 6, 80),
      timeout,
      announced(2, 6, 0),
      announced(1, 6, 0),
    ]),
    "feedback-lost": loopStory(
      "Feedback is not kept: what is on the way back belongs to no checkpoint, and nothing counts twice.   (A9)",
      false,
      [
        barrier(0, 5),
        barrier(1, 5),
        barrier(2, 5),
        "A barrier that comes first still blocks: records behind it would be sent again after a restore.",
        barrier(2, 6),
        barrier(0, 6),
        barrier(1, 6),
        "One that overtakes is the subtask's barrier; only what comes from outside is collected.",
        announced(2, 7),
        announced(0, 7),
        announced(1, 7),
      ],
    ),
  },
});
