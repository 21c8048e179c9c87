/** One parallel instance. A trace changes only with the protocol: update one only if you can say why. */
import type { BarrierAlignment, BarrierDecline } from "../../../machines/protocol.ts";
import { type SubtaskEvent, type SubtaskInput, subtaskMachine } from "../../../machines/worker/subtask.ts";
import { barrierOptions } from "../../support/checkpoint-options.ts";
import { describeTraces } from "../golden.ts";
import type { Scenario } from "../trace.ts";

const take = (event: SubtaskEvent) => ({ event });
const restored = (...checkpointIds: number[]) =>
  take({
    type: "state.restored",
    transactions: checkpointIds.map((checkpointId) => ({ transaction: `out@${checkpointId}`, checkpointId })),
  });
const started = (generation = 3) => take({ type: "generation.started", generation });
const generationEnded = (generation = 3) => take({ type: "generation.ended", generation });
const aligned = (checkpointId: number, alignment: BarrierAlignment = "aligned") =>
  take({ type: "barrier.aligned", checkpointId, options: barrierOptions(alignment) });
const canceled = (checkpointId: number) => take({ type: "barrier.canceled", checkpointId });
const declined = (checkpointId: number, reason: BarrierDecline = "declined-on-cancellation-barrier") =>
  take({ type: "barrier.declined", checkpointId, reason });
const channelsStored = (checkpointId: number) => take({ type: "channels.stored", checkpointId });
const cut = (checkpointId: number, ...transactions: string[]) =>
  take({ type: "transactions.cut", checkpointId, transactions });
const prepared = (transaction: string) => take({ type: "transaction.prepared", transaction });
const committed = (transaction: string) => take({ type: "transaction.committed", transaction });
const stored = (checkpointId: number) => take({ type: "snapshot.stored", checkpointId });
const failed = (checkpointId: number) =>
  take({ type: "snapshot.failed", checkpointId, reason: "the bucket is full" });
const completed = (checkpointId: number, generation = 3) =>
  take({ type: "checkpoint.completed", generation, checkpointId });
const aborted = (checkpointId: number, generation = 3) =>
  take({ type: "checkpoint.aborted", generation, checkpointId });
const broke = take({ type: "subtask.broke", reason: "division by zero", retry: "restart" });
const triggered = (checkpointId: number, { stop = false, generation = 3 } = {}) =>
  take({
    type: "checkpoint.triggered",
    generation,
    checkpointId,
    options: barrierOptions("aligned", { stop }),
  });
/** The barrier of a source; the job is to stop with it. */
const stopBarrier = (checkpointId: number) =>
  take({ type: "barrier.aligned", checkpointId, options: barrierOptions("aligned", { stop: true }) });
const drain = (generation = 3) => take({ type: "drain.requested", generation });
const SOURCE = { source: true };
const running = [restored(), started()];
/** Barrier n, one transaction, both parts durable. */
const acknowledge = (checkpointId: number) => [
  aligned(checkpointId),
  cut(checkpointId, `out@${checkpointId}`),
  prepared(`out@${checkpointId}`),
  stored(checkpointId),
];

const story = (title: string, steps: Scenario["steps"], input: Partial<SubtaskInput> = {}): Scenario => ({
  title,
  actors: {
    subtask: {
      machine: subtaskMachine,
      input: {
        subtask: "count/0",
        generation: 3,
        restoredCheckpointId: 0,
        finished: false,
        source: false,
        ...input,
      },
    },
  },
  steps,
});

describeTraces({
  machine: subtaskMachine,
  scenarios: {
    checkpoint: story(
      "A checkpoint at one subtask, from its barrier to its commit.   (S1, S2, S3, P13, P17)",
      [
        ...running,
        "The barrier: cut, forward, snapshot, before any later record.",
        aligned(7),
        cut(7, "out@7"),
        "Both must be durable before it is acknowledged, in whichever order they get there.",
        stored(7),
        prepared("out@7"),
        "Decided: the sources report how far the job has got, the sinks commit.",
        completed(7),
        committed("out@7"),
      ],
    ),
    "without-sink": story("Nothing was cut: the snapshot alone is acknowledged.   (S2)", [
      ...running,
      aligned(7),
      cut(7),
      stored(7),
      completed(7),
    ]),
    restore: story(
      "What the restored checkpoint decided is committed before any record flows.   (S3, S4, P17)",
      [
        restored(5, 6),
        committed("out@5"),
        committed("out@6"),
        "The start of another generation means nothing.",
        started(2),
        started(),
      ],
      { restoredCheckpointId: 6 },
    ),
    "restored-finished": story(
      "Restored as finished: its hooks never run again, and it still answers barriers.   (P19)",
      [restored(), started(), aligned(7), cut(7), stored(7)],
      { restoredCheckpointId: 6, finished: true },
    ),
    "end-of-input": story(
      "The end of input: hooks once, then barriers are answered until the job settles.   (P19)",
      [
        ...running,
        take({ type: "input.ended" }),
        "A barrier before the hooks are done: this checkpoint is not the final one.",
        aligned(7),
        cut(7),
        take({ type: "finish.completed" }),
        stored(7),
        "A barrier after it.",
        aligned(8),
        cut(8, "out@8"),
        prepared("out@8"),
        stored(8),
      ],
    ),
    "aborted-while-snapshotting": story(
      "An abort cancels the upload; the transaction stays and commits with the next checkpoint.   (P4, P14, S3)",
      [
        ...running,
        aligned(7),
        cut(7, "out@7"),
        "Messages of another generation, news of another snapshot.",
        aborted(7, 2),
        stored(6),
        failed(6),
        aborted(7),
        "It goes on becoming durable.",
        prepared("out@7"),
        ...acknowledge(8),
        "8 is decided: out@7 first, as itself.",
        completed(8),
        committed("out@7"),
        committed("out@8"),
      ],
    ),
    "aborted-before-barrier": story(
      "An abort overtakes its barrier: a cancel marker goes in its place.   (S6, Flink's SubtaskCheckpointCoordinatorImpl)",
      [
        ...running,
        aborted(7, 2),
        aborted(7),
        aligned(7),
        "Repeated, and so late itself; a trigger that comes again, too.",
        aborted(7),
        aligned(7),
        "One checkpoint is on its way, a newer one is aborted.",
        aligned(8),
        aborted(9),
        aligned(9),
        cut(8),
        stored(8),
        "Far older than the newest one that was aborted: it is not remembered, and no subtask waits for it.",
        aborted(200),
        aligned(10),
      ],
    ),
    canceled: story("Its barrier will not come: a cancel marker goes in its place, once.   (S6)", [
      ...running,
      "The leader has aborted 7 while its barriers were coming in.",
      canceled(7),
      aborted(7),
      canceled(7),
      "A channel brought a marker of 8: the leader may not know.",
      declined(8),
      declined(8),
    ]),
    "collecting-given-up": story(
      "A barrier that has overtaken records cannot come everywhere: the snapshot goes, a marker follows.   (S2, S6)",
      [
        ...running,
        aligned(7, "unaligned"),
        cut(7, "out@7"),
        stored(7),
        declined(7, "declined-subsumed"),
        "Its transaction stays (P14).",
        prepared("out@7"),
        channelsStored(7),
      ],
    ),
    unaligned: story(
      "A barrier that overtakes: acknowledged when the records in front of it are durable, too.   (S1, S2)",
      [
        ...running,
        aligned(7, "unaligned"),
        cut(7, "out@7"),
        stored(7),
        prepared("out@7"),
        "Of another snapshot.",
        channelsStored(6),
        channelsStored(7),
      ],
    ),
    feedback: story(
      "Where a loop begins: an aligned barrier, and what was on its way back has still to come.   (S2, A9)",
      [
        ...running,
        take({ type: "barrier.aligned", checkpointId: 7, options: barrierOptions(), feedback: true }),
        cut(7),
        stored(7),
        "The barrier has come back, and all in front of it is durable.",
        channelsStored(7),
      ],
    ),
    "late-barrier": story("A barrier comes twice: the second one is late.   (P3, S1)", [
      ...running,
      aligned(7),
      aligned(7),
      cut(7),
      stored(7),
      aligned(7),
    ]),
    concurrent: story(
      "Two checkpoints at once: each is acknowledged when its own part is durable.   (S2, P13, P14)",
      [
        ...running,
        aligned(7),
        cut(7, "out@7"),
        aligned(8),
        cut(8, "out@8"),
        stored(7),
        stored(8),
        "8 lists every uncommitted transaction up to 8, so it waits for out@7 too; 7 does not wait for out@8.",
        prepared("out@8"),
        prepared("out@7"),
      ],
    ),
    "several-cuts": story(
      "The state at 7 is still being read when the next barrier comes: it is cut once more, and records go on.   (S1, S7, P14, P47)",
      [
        ...running,
        aligned(7),
        cut(7, "out@7"),
        aligned(8),
        cut(8, "out@8"),
        aligned(9),
        cut(9),
        "News about another snapshot.",
        stored(6),
        "The middle one is given up.",
        aborted(8),
        stored(9),
        stored(7),
        prepared("out@8"),
        prepared("out@7"),
      ],
    ),
    "several-cuts-unaligned": story(
      "What a barrier has overtaken can be stored before the state of an older one, or fail to be.   (S2, S7)",
      [
        ...running,
        aligned(7),
        cut(7),
        aligned(8, "unaligned"),
        cut(8),
        channelsStored(8),
        aligned(9, "unaligned"),
        cut(9),
        failed(9),
        stored(8),
        stored(7),
      ],
    ),
    declined: story(
      "The upload fails: declined, and the subtask lives on.   (Flink's AsyncCheckpointRunnable)",
      [...running, aligned(7), cut(7, "out@7"), failed(7), prepared("out@7"), ...acknowledge(8)],
    ),
    "commits-in-order": story(
      "One commit at a time, oldest first, however fast decisions come.   (S3, P17, C3)",
      [
        ...running,
        ...acknowledge(7),
        ...acknowledge(8),
        completed(7),
        "Decided while out@7 is being committed. Messages of another generation change nothing.",
        completed(8, 2),
        completed(8),
        committed("out@7"),
        committed("out@8"),
        "The notification is repeated: so is the report.",
        completed(8),
        completed(8, 2),
      ],
    ),
    "undecided-transactions": story(
      "What is not decided is not committed, even when it is durable.   (T1, C2)",
      [
        ...running,
        ...acknowledge(7),
        ...acknowledge(8),
        "Only 7 is decided.",
        completed(7),
        committed("out@7"),
      ],
    ),
    failed: story(
      "A user function throws: the coordinator decides, the subtask waits to be torn down.   (P2)",
      [
        ...running,
        aligned(7),
        broke,
        "Nothing it still hears makes it act.",
        stored(7),
        completed(7),
        generationEnded(2),
        generationEnded(),
      ],
    ),
    stop: story(
      "A source reads nothing behind the barrier that the job is to stop with.   (S9, P38)",
      [
        ...running,
        triggered(7),
        "An ordinary one: it reads on.",
        aligned(7),
        cut(7),
        stored(7),
        "Triggers of another generation mean nothing.",
        triggered(8, { generation: 2 }),
        triggered(8, { stop: true }),
        stopBarrier(8),
        cut(8),
        stored(8),
        "Aborts of others, and of other generations, do not let it go on.",
        aborted(7),
        aborted(8, 2),
        "It is replaced by another one, and aborted.",
        triggered(9, { stop: true }),
        stopBarrier(9),
        cut(9),
        aborted(8),
        aborted(9),
      ],
      SOURCE,
    ),
    "stop-aborted-early": story(
      "The abort comes before the barrier of the source: there is nothing to stop with.   (S6, S9)",
      [
        ...running,
        triggered(8, { stop: true }),
        aborted(8),
        stopBarrier(8),
        "Nor is there when it is late.",
        stopBarrier(8),
      ],
      SOURCE,
    ),
    "start-overtaken": story(
      "A trigger overtakes the start of the generation: it says that all run.   (S8)",
      [
        restored(),
        "Of another generation: nothing.",
        triggered(7, { generation: 2 }),
        triggered(7),
        aligned(7),
        cut(7),
        stored(7),
        "The start comes late.",
        started(),
      ],
      SOURCE,
    ),
    "start-overtaken-downstream": story(
      "The same behind a source, which has barriers of its own to wait for.   (S8)",
      [restored(), triggered(7), triggered(8)],
    ),
    "start-overtaken-by-abort": story(
      "An abort overtakes the start: it says so, too, and is remembered for the barrier.   (S6, S8)",
      [restored(), aborted(7, 2), aborted(7), aligned(7)],
    ),
    drain: story(
      "A source ends as if there were no more input; what is behind it ends with its channels.   (P19)",
      [...running, drain(2), drain(), take({ type: "input.ended" }), take({ type: "finish.completed" })],
      SOURCE,
    ),
    "drain-overtakes-start": story(
      "A drain before the start: the source ends at once when it starts.",
      [restored(), drain(2), drain(), started()],
      SOURCE,
    ),
    "drain-downstream": story("It is no business of a subtask that has channels.", [
      restored(),
      drain(),
      started(),
      drain(),
    ]),
    "failed-restoring": story("Its state cannot be restored.   (P20)", [
      take({ type: "subtask.broke", reason: "object count-0.0 is missing", retry: "never" }),
    ]),
    "ended-while-committing": story(
      "The generation ends in the middle of a commit: the next one repeats it.   (P17)",
      [restored(6), generationEnded()],
      { restoredCheckpointId: 6 },
    ),
  },
  unhandled: ["subtask.failed: checkpoint.completed", "subtask.failed: snapshot.stored"],
});
