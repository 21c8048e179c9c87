/** One parallel instance. A trace changes only with the protocol: update one only if you can say why. */
import { type SubtaskEvent, type SubtaskInput, subtaskMachine } from "../../machines/subtask.ts";
import { describeTraces } from "./golden.ts";
import type { Scenario } from "./trace.ts";

const take = (event: SubtaskEvent) => ({ event });
const restored = (...checkpointIds: number[]) =>
  take({
    type: "state.restored",
    transactions: checkpointIds.map((checkpointId) => ({ transaction: `out@${checkpointId}`, checkpointId })),
  });
const started = (generation = 3) => take({ type: "generation.started", generation });
const generationEnded = (generation = 3) => take({ type: "generation.ended", generation });
const aligned = (checkpointId: number) => take({ type: "barrier.aligned", checkpointId });
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
      input: { subtask: "count/0", generation: 3, restoredCheckpointId: 0, finished: false, ...input },
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
      "An abort overtakes its barrier: the barrier is late.   (Flink's SubtaskCheckpointCoordinatorImpl)",
      [
        ...running,
        aborted(7, 2),
        aborted(7),
        aligned(7),
        "Repeated, and so late itself.",
        aborted(7),
        "While a snapshot is under way it can only be about a newer checkpoint.",
        aligned(8),
        aborted(9),
        aligned(9),
        cut(8),
        stored(8),
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
    superseded: story(
      "A newer barrier gives up the snapshot of the older one, not its transaction.   (S1, S2, P14)",
      [
        ...running,
        aligned(7),
        cut(7, "out@7"),
        aligned(8),
        cut(8, "out@8"),
        "The upload of 7 was canceled too late: its news are about another snapshot.",
        stored(7),
        stored(8),
        "8 lists every uncommitted transaction up to 8, so it waits for out@7 too.",
        prepared("out@8"),
        prepared("out@7"),
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
