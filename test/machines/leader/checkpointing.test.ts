/** When checkpoints are taken. A trace changes only with the protocol: update one only if you can say why. */
import { checkpointingMachine } from "../../../machines/leader/checkpoints/checkpointing.ts";
import type {
  CheckpointingEvent,
  CheckpointingInput,
} from "../../../machines/leader/checkpoints/checkpointing-events.ts";
import type { AbortReason, CheckpointReason } from "../../../machines/protocol.ts";
import { describeTraces } from "../golden.ts";
import type { Scenario } from "../trace.ts";

const take = (event: CheckpointingEvent) => ({ event });
const running = take({ type: "generation.running" });
const stopped = take({ type: "generation.stopped" });
const requested = (reason: CheckpointReason, request = "") => {
  const savepoint = ["savepoint", "stop", "cancel"].includes(reason) ? "/savepoints" : null;
  return take({ type: "checkpoint.requested", request: { request, reason, savepoint } });
};
const completed = (checkpointId: number, allFinished = false) =>
  take({ type: "checkpoint.completed", checkpointId, allFinished });
const aborted = (checkpointId: number, reason: AbortReason = "expired") =>
  take({ type: "checkpoint.aborted", checkpointId, reason });
const stored = take({ type: "record.stored" });
const draining = take({ type: "generation.draining" });
const lost = take({ type: "record.lost" });
const fired = (timer: string) => take({ type: "timer.fired", timer });
const interval = fired("trigger");
const pause = fired("pause");
const retry = fired("retry");
const ended = (all = false) => take({ type: "subtask.ended", all });
const cleaning = (checkpoints: number) => take({ type: "cleanup.changed", checkpoints });

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
        maxConcurrent: 1,
        tolerableFailures: null,
        forcesSavepoints: true,
        savepointsMax: 8,
        afterTasksFinish: true,
        readyTimeoutMs: 30_000,
        retryMs: 200,
        queueMax: 1000,
        reservedCheckpointId: 0,
        block: 1000,
        chance: 0.5,
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
        "The first one comes at a random time between the pause and the interval.",
        running,
        "The first id lies beyond the reserved ones.",
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
      "A checkpoint outlasts the interval: the next follows at once, and no more than one.   (G5, Flink's ScheduledTrigger)",
      [
        running,
        interval,
        stored,
        interval,
        "It passes once more: one waits already.",
        interval,
        completed(1),
        "So it is after an abort.",
        interval,
        aborted(2),
      ],
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
      fired("expiry"),
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
        completed(3),
      ],
      { intervalMs: 500, minPauseMs: 500 },
    ),
    "pause-after-savepoint": story(
      "A savepoint moves the pause, an aborted checkpoint does not.   (G4)",
      [
        running,
        interval,
        stored,
        aborted(1),
        interval,
        "What a client asks for ignores the pause.",
        completed(2),
        requested("savepoint", "s1"),
        completed(3),
        requested("manual", "m1"),
        completed(4),
      ],
      { intervalMs: 500, minPauseMs: 500 },
    ),
    "request-ignores-pause": story(
      "A request of the job's end does not wait for the pause.   (G4, Flink's min-pause)",
      [running, interval, stored, completed(1), requested("final"), completed(2)],
      { intervalMs: 60_000, minPauseMs: 60_000 },
    ),
    final: story(
      "The final checkpoint is forced although no interval is set, and repeated until it completes.   (G2, P19)",
      [
        running,
        requested("final"),
        stored,
        "Expired. Again after a moment, with a new id.",
        aborted(1),
        "Asked for again: one waits already.",
        requested("final"),
        retry,
        completed(2),
        "Served: nothing is triggered any more.",
      ],
      { intervalMs: null },
    ),
    "final-behind-periodic": story(
      "A checkpoint that is under way does not serve the request: its barriers left before the end.   (G2, P19)",
      [
        running,
        interval,
        stored,
        requested("final"),
        "The job is about to end: the interval rests.",
        interval,
        completed(1),
        interval,
        completed(2),
      ],
    ),
    "final-not-needed": story(
      "One that was under way holds the end of every subtask: it is the final one, and no other begins.   (G2, P19)",
      [running, interval, stored, requested("final"), completed(1, true), retry],
    ),
    "suspend-after-final": story(
      "Each request of the job's end is served by a checkpoint of its own.   (G2, P30)",
      [running, requested("final"), stored, completed(1), requested("suspend"), completed(2)],
    ),
    priorities: story(
      "Savepoints first, then what a client asked for, the interval's last.   (G5, CheckpointRequestDecider)",
      [
        running,
        interval,
        stored,
        interval,
        requested("manual", "m1"),
        requested("manual", "m2"),
        requested("savepoint", "s1"),
        "A repeated request is the same one.",
        requested("manual", "m1"),
        completed(1),
        requested("savepoint", "s1"),
        completed(2),
        completed(3),
        completed(4),
        completed(5),
      ],
      { forcesSavepoints: false },
    ),
    "forced-savepoint": story(
      "With unaligned checkpoints off a savepoint does not wait for a free place, and subsumes nothing.   (G6, G7)",
      [running, interval, stored, requested("savepoint", "s1"), completed(2), completed(1)],
    ),
    "full-queue": story(
      "A full queue: the interval's request gives way, then nothing is taken any more.   (G5, TOO_MANY_CHECKPOINT_REQUESTS)",
      [
        running,
        interval,
        stored,
        interval,
        requested("manual", "m1"),
        requested("manual", "m2"),
        requested("manual", "m3"),
      ],
      { queueMax: 2 },
    ),
    concurrent: story(
      "Two may be pending; the one that completes subsumes the older.   (G6, G7, CHECKPOINT_SUBSUMED)",
      [
        running,
        interval,
        stored,
        interval,
        "Both places are taken.",
        interval,
        completed(2),
        aborted(1, "subsumed"),
        completed(3),
      ],
      { maxConcurrent: 2 },
    ),
    "cleanup-backpressure": story(
      "Too many old checkpoints are still being deleted: nothing is started.   (G6)",
      [running, cleaning(2), interval, cleaning(1), stored],
    ),
    "some-ended": story(
      "Some subtasks have ended: the interval rests and requests are refused; what is pending goes on.   (G9, NOT_ALL_REQUIRED_TASKS_RUNNING)",
      [
        running,
        interval,
        stored,
        requested("manual", "m1"),
        interval,
        ended(),
        "One of several, and none of the others.",
        ended(),
        completed(1),
        requested("savepoint", "s1"),
        requested("stop", "s2"),
        "All of them: the checkpoint that the job ends with.",
        ended(true),
        requested("final"),
        completed(2),
      ],
      { afterTasksFinish: false },
    ),
    "some-ended-suspend": story(
      "A client that suspends the job gets a checkpoint all the same; the next generation begins anew.   (G9, P30)",
      [running, ended(), requested("suspend"), stored, stopped, running, interval],
      { afterTasksFinish: false },
    ),
    "some-ended-go-on": story("By default checkpoints go on.   (G9, FLIP-147)", [
      running,
      ended(),
      interval,
      stored,
    ]),
    "tolerable-failures": story(
      "One failure more in a row than is tolerated fails the job; a success begins anew.   (CheckpointFailureManager)",
      [
        running,
        interval,
        stored,
        aborted(1, "expired"),
        interval,
        completed(2),
        interval,
        aborted(3, "async-exception"),
        "Not everything is counted.",
        interval,
        aborted(4, "declined-task-not-ready"),
        interval,
        aborted(5, "finalize-failure"),
        "Counted from zero again.",
        interval,
        aborted(6, "declined"),
      ],
      { tolerableFailures: 1 },
    ),
    "failed-savepoints": story(
      "Of a savepoint only what a subtask reports is counted.   (CheckpointFailureManager)",
      [
        running,
        requested("savepoint", "s1"),
        stored,
        aborted(1, "expired"),
        requested("savepoint", "s2"),
        aborted(2, "io-exception"),
        requested("savepoint", "s3"),
        aborted(3, "declined"),
      ],
      { intervalMs: null, tolerableFailures: 0 },
    ),
    "failure-of-an-older-one": story(
      "A failure of one that is older than a success is not counted.   (CheckpointFailureManager)",
      [running, interval, stored, requested("savepoint", "s1"), completed(2), aborted(1, "declined")],
      { tolerableFailures: 0 },
    ),
    stop: story(
      "The savepoint that a job stops with rests the interval; if it fails the interval goes on.   (Flink's stop-with-savepoint)",
      [
        running,
        interval,
        stored,
        completed(1),
        requested("stop", "s1"),
        interval,
        "It subsumes nothing that is a savepoint, and is tried once.",
        aborted(2, "declined"),
        interval,
        completed(3),
        requested("stop", "s2"),
        completed(4),
      ],
    ),
    "behind-a-stop": story(
      "Nothing begins behind the savepoint that a job stops with, unless that is given up.   (G8)",
      [
        running,
        requested("stop", "s1"),
        stored,
        "Said with the request, which may not have been the first to say so.",
        running,
        requested("savepoint", "s2"),
        aborted(1, "declined"),
      ],
    ),
    drained: story(
      "A job that is being drained takes no checkpoints: what is pending is given up, the request of its end comes first.   (P19)",
      [
        running,
        interval,
        stored,
        draining,
        aborted(1, "job-stopped"),
        requested("stop", "s1"),
        running,
        "The generation fails.",
        stopped,
      ],
    ),
    "drained-with-requests": story(
      "A job is drained while savepoints wait for their turn: they are refused, as those are that come later.   (G11)",
      [
        running,
        requested("savepoint", "s1"),
        stored,
        requested("savepoint", "s2"),
        draining,
        requested("savepoint", "s3"),
        "The one that has begun is being copied: it outlives the generation.",
        completed(1),
        "The generation fails.",
        stopped,
      ],
      { intervalMs: null, savepointsMax: 1 },
    ),
    "suspend-before-savepoints": story(
      "A suspension waits neither for savepoints that wait for their turn nor for those that are under way.   (G5, G6, P49)",
      [
        running,
        requested("savepoint", "s1"),
        stored,
        requested("savepoint", "s2"),
        requested("suspend"),
        completed(2),
        completed(1),
      ],
      { savepointsMax: 1 },
    ),
    "suspend-waits": story(
      "Where savepoints are not forced they take the place that a suspension waits for.   (G6)",
      [running, requested("savepoint", "s1"), stored, requested("suspend"), completed(1)],
      { forcesSavepoints: false },
    ),
    "cancel-with-savepoint": story(
      "A savepoint that the job is canceled after: the interval rests, nothing is subsumed.   (Flink's cancel-with-savepoint)",
      [running, interval, stored, requested("cancel", "c1"), interval, completed(2), completed(1)],
    ),
    "stop-subsumes": story(
      "The savepoint that a job stops with is a decision: it subsumes what is older.   (G7)",
      [running, interval, stored, requested("stop", "s1"), completed(2), aborted(1, "subsumed")],
    ),
    "not-running-yet": story(
      "Requests wait for the job to run, but not for ever.   (G3, NOT_ALL_REQUIRED_TASKS_RUNNING)",
      [
        requested("savepoint", "s1"),
        "The same one again.",
        requested("savepoint", "s1"),
        running,
        stored,
        stopped,
        requested("manual", "m1"),
        requested("savepoint", "s2"),
        "A timer of another name.",
        fired("trigger"),
        fired("ready"),
        running,
      ],
      { intervalMs: null },
    ),
    "too-many-savepoints": story(
      "Of savepoints not more than so many are begun at once; the next one begins when one is complete.   (G6)",
      [
        running,
        requested("savepoint", "s1"),
        stored,
        requested("savepoint", "s2"),
        requested("savepoint", "s3"),
        completed(1),
      ],
      { intervalMs: null, savepointsMax: 2 },
    ),
    "too-many-while-stopped": story(
      "The queue is bounded for a job that does not run, too.   (G5)",
      [requested("manual", "m1"), requested("manual", "m2")],
      { queueMax: 1 },
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
