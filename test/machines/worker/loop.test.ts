/** When a loop has ended. A trace changes only with the protocol: update one only if you can say why. */
import { type LoopEvent, loopMachine } from "../../../machines/worker/loop.ts";
import { describeTraces } from "../golden.ts";
import type { Scenario } from "../trace.ts";

const take = (event: LoopEvent) => ({ event });
const inputsEnded = take({ type: "inputs.ended" });
const ended = (channel: number) => take({ type: "channel.ended", channel });
/** Dirty: says so itself. Taken: a record has come back here since. */
const round = (channel: number, number: number, state: "" | "dirty" | "taken" = "") =>
  take({
    type: "round.received",
    channel,
    round: number,
    dirty: state === "dirty",
    taken: state === "taken",
  });

const story = (title: string, head: boolean, steps: Scenario["steps"]): Scenario => ({
  title,
  actors: { loop: { machine: loopMachine, input: { head, channels: 2 } } },
  steps,
});

describeTraces({
  machine: loopMachine,
  scenarios: {
    head: story("A head sends rounds until one is back clean.   (LP1 - LP4)", true, [
      "Another head has ended its inputs first.",
      round(1, 1, "dirty"),
      "Round 1 follows records of unknown age.",
      inputsEnded,
      "A record has come back meanwhile: round 2 is dirty as well.",
      round(0, 1, "taken"),
      round(0, 2, "dirty"),
      round(1, 2, "dirty"),
      "Round 3 is clean here, but not at another head.",
      round(1, 3),
      round(0, 3, "dirty"),
      round(0, 4),
      round(1, 4),
      "The end comes back, and rounds of heads that do not know yet.",
      round(0, 5),
      ended(0),
    ]),
    body: story(
      "Every other subtask sends a round on when all of its channels have brought it.   (LP2)",
      false,
      [
        "Records from outside the loop still come in here, and every round waits for their end.",
        round(0, 1, "dirty"),
        round(1, 1),
        inputsEnded,
        "The head behind channel 0 is ahead: it was told of round 2 by others.",
        round(0, 2),
        round(0, 3),
        round(1, 2),
        round(1, 3, "dirty"),
      ],
    ),
    "after-restore": story("The head behind channel 0 had ended before the checkpoint.   (LP6)", false, [
      ended(0),
      inputsEnded,
      round(1, 1, "dirty"),
      round(1, 2),
    ]),
    "ended-late": story("A round waits for a channel that ends instead.   (LP6)", false, [
      inputsEnded,
      round(1, 1, "dirty"),
      ended(0),
      round(1, 2),
    ]),
  },
});
