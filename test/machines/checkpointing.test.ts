/** When checkpoints are taken. A trace changes only with the protocol: update one only if you can say why. */
import {
  type CheckpointingEvent,
  type CheckpointingInput,
  checkpointingMachine,
} from "../../machines/checkpointing.ts";
import type { CheckpointReason } from "../../machines/protocol.ts";
import { describeTraces } from "./golden.ts";
import type { Scenario } from "./trace.ts";

const take = (event: CheckpointingEvent) => ({ event });
const running = take({ type: "generation.running" });
const stopped = take({ type: "generation.stopped" });
const requested = (reason: CheckpointReason) => take({ type: "checkpoint.requested", reason });
const completed = (checkpointId: number) => take({ type: "checkpoint.completed", checkpointId });
const aborted = (checkpointId: number) =>
  take({ type: "checkpoint.aborted", checkpointId, reason: "expired" });
const stored = take({ type: "record.stored" });
const lost = take({ type: "record.lost" });
const interval = take({ type: "timer.fired", timer: "trigger" });
const pause = take({ type: "timer.fired", timer: "pause" });

const story = (
  title: string,
  steps: Scenario["steps"],
  input: Partial<CheckpointingInput> = {},
): Scenario => ({
  title,
  actors: {
    checkpointing: {
      machine: checkpointingMachine,
      input: {
        intervalMs: 1000,
        minPauseMs: 0,
        retryMs: 200,
        reservedCheckpointId: 0,
        block: 1000,
        ...input,
      },
    },
  },
  steps,
});

describeTraces({
  machine: checkpointingMachine,
  scenarios: {
    periodic: story(
      "Periodic checkpoints: an id is reserved durably before a barrier carries it.   (G1, P3)",
      [
        running,
        "The interval has passed. The first id lies beyond the reserved ones.",
        interval,
        stored,
        completed(1),
        "The block lasts for the next thousand.",
        interval,
        completed(2),
      ],
    ),
    reservation: story(
      "The block is used up: no barrier leaves before the next one is durable.   (G1, P3, C1)",
      [
        "A restored leader goes on above everything that may have been used.",
        running,
        interval,
        stored,
        completed(2001),
        interval,
        stored,
      ],
      { reservedCheckpointId: 2000, block: 1 },
    ),
    "missed-interval": story(
      "A checkpoint outlasts the interval: the next follows at once.   (Flink's ScheduledTrigger)",
      [running, interval, stored, interval, completed(1), "So it is after an abort.", interval, aborted(2)],
    ),
    aborted: story("An abort leaves the rhythm alone, and its id is never used again.   (P3, C1)", [
      running,
      interval,
      stored,
      aborted(1),
      interval,
      "Late news of checkpoint 1 mean nothing to checkpoint 2.",
      aborted(1),
      completed(1),
      completed(2),
      "A timer of another name is not the interval.",
      take({ type: "timer.fired", timer: "pause" }),
    ]),
    "minimal-pause": story(
      "The pause counts from the completion, not from the trigger.   (G4, Flink's min-pause)",
      [
        running,
        interval,
        stored,
        completed(1),
        "The interval passes during the pause: it waits for its end.",
        interval,
        pause,
        completed(2),
        "The pause ends first: the interval goes on.",
        pause,
        interval,
        "A timer that was canceled too late.",
        pause,
        interval,
        completed(3),
      ],
      { intervalMs: 500, minPauseMs: 500 },
    ),
    "request-ignores-pause": story(
      "A request of the job's end does not wait for the pause.   (G4, Flink's min-pause)",
      [running, interval, stored, completed(1), requested("final"), completed(2)],
      { minPauseMs: 60_000 },
    ),
    final: story(
      "The final checkpoint is forced although no interval is set, and repeated until it completes.   (G2, P19)",
      [
        running,
        requested("final"),
        stored,
        "Expired. Again after a moment, with a new id.",
        aborted(1),
        pause,
        completed(2),
        "Served: nothing is triggered any more.",
      ],
      { intervalMs: null },
    ),
    "final-behind-periodic": story(
      "A checkpoint that is under way does not serve the request: its barriers left before the end.   (G2, P19)",
      [running, interval, stored, requested("final"), completed(1), completed(2)],
    ),
    "suspend-after-final": story(
      "Each request of the job's end is served by a checkpoint of its own.   (G2, P30)",
      [running, requested("final"), stored, completed(1), requested("suspend"), completed(2)],
    ),
    stopped: story("The generation stops: its checkpoint is canceled, and nothing is triggered.   (G3)", [
      running,
      interval,
      stored,
      requested("final"),
      stopped,
      "The decision was under way and has succeeded; its news change nothing here.",
      completed(1),
      aborted(1),
      "The next generation runs: its job has to ask for the final checkpoint anew.",
      running,
      interval,
    ]),
    "leadership-lost": story("Leadership is lost while ids are being reserved.   (P9)", [
      running,
      interval,
      lost,
    ]),
  },
});
