/** One checkpoint. A trace changes only with the protocol: update one only if you can say why. */
import { checkpointMachine } from "../../../machines/leader/checkpoints/checkpoint.ts";
import type {
  CheckpointEvent,
  CheckpointInput,
} from "../../../machines/leader/checkpoints/checkpoint-events.ts";
import { describeTraces } from "../golden.ts";
import type { Scenario } from "../trace.ts";

const take = (event: CheckpointEvent) => ({ event });
const acknowledged = (
  subtask: string,
  {
    checkpointId = 7,
    generation = 3,
    finished = false,
  }: Partial<Record<"checkpointId" | "generation", number>> & {
    finished?: boolean;
  } = {},
) => take({ type: "subtask.acknowledged", generation, checkpointId, subtask, finished });
const declined = (subtask: string, checkpointId = 7, generation = 3) =>
  take({ type: "subtask.declined", generation, checkpointId, subtask, reason: "async-exception" });
const committed = (subtask: string, upTo = 7, generation = 3) =>
  take({ type: "subtask.committed", generation, subtask, upTo });
const both = [acknowledged("lines/0"), acknowledged("count/0")];
const manifest = take({ type: "manifest.stored" });
const stored = take({ type: "record.stored" });
const refused = (completed: number) => take({ type: "record.refused", facts: { completed } });
const subsumed = (checkpointId: number) => take({ type: "checkpoint.subsumed", checkpointId });
const lost = take({ type: "record.lost" });
const kept = take({ type: "savepoint.stored" });
const savepoint = { request: { request: "s1", reason: "savepoint", savepoint: "/savepoints" } } as const;
const stop = { request: { request: "s1", reason: "stop", savepoint: "/savepoints" } } as const;
const canceled = take({ type: "checkpoint.canceled" });
const expired = take({ type: "timer.fired", timer: "expiry" });

const story = (title: string, steps: Scenario["steps"], input: Partial<CheckpointInput> = {}): Scenario => ({
  title,
  actors: {
    checkpoint: {
      machine: checkpointMachine,
      input: {
        checkpointId: 7,
        generation: 3,
        generations: [3],
        request: { request: "", reason: "periodic", savepoint: null },
        timeoutMs: 600_000,
        subtasks: ["count/0", "lines/0"],
        ...input,
      },
    },
  },
  steps,
});

describeTraces({
  machine: checkpointMachine,
  scenarios: {
    completed: story(
      "Prepared, persisted, decided, committed: the happy checkpoint.   (K1, P12, P13, P17, C2)",
      [
        "Every subtask says that its part is durable.",
        acknowledged("lines/0"),
        acknowledged("count/0"),
        "The manifest is durable: still no sink may commit.",
        manifest,
        "The record names the manifest. This is the decision.",
        stored,
        committed("lines/0"),
        committed("count/0"),
      ],
    ),
    "all-finished": story(
      "The final checkpoint says that every subtask had finished before it.   (P19)",
      [
        acknowledged("lines/0", { finished: true }),
        acknowledged("count/0", { finished: true }),
        manifest,
        stored,
      ],
      { request: { request: "", reason: "final", savepoint: null } },
    ),
    "partly-finished": story(
      "One subtask that had not finished is enough: not the final checkpoint.   (P19)",
      [acknowledged("lines/0", { finished: true }), acknowledged("count/0"), manifest, stored],
    ),
    "repeated-and-stale": story(
      "Repeated, stale and foreign acknowledgements change nothing, and nothing is deleted for them.   (P2, P16)",
      [
        acknowledged("lines/0"),
        "Sent again, since its answer was lost.",
        acknowledged("lines/0"),
        "Of the generation before.",
        acknowledged("count/0", { generation: 2 }),
        "Of a checkpoint that was given up.",
        acknowledged("count/0", { checkpointId: 6 }),
        "Of a subtask that this job does not have.",
        acknowledged("count/1"),
        "Declines are held to the same.",
        declined("count/0", 7, 2),
        declined("count/0", 6),
        declined("ghost/0"),
        acknowledged("count/0"),
      ],
    ),
    "late-acknowledgement": story(
      "A late acknowledgement does not bring an aborted checkpoint back.   (K4, P16)",
      [
        acknowledged("lines/0"),
        expired,
        "It reaches an actor that is gone; the host answers `unknown`. No answer makes the subtask delete anything.",
      ],
    ),
    expired: story(
      "One acknowledgement never comes: aborted exactly once, transactions untouched.   (K4, P14)",
      [acknowledged("lines/0"), "The timeout counts from the trigger.", expired],
    ),
    declined: story("One subtask declines: aborted. Its upload failed, its transactions stay.   (K4, P14)", [
      acknowledged("lines/0"),
      declined("count/0"),
    ]),
    "canceled-while-preparing": story("The generation stops before every subtask has acknowledged.   (K4)", [
      acknowledged("lines/0"),
      canceled,
    ]),
    "canceled-while-writing": story("The generation stops while the manifest is being written.   (K4)", [
      ...both,
      canceled,
    ]),
    "manifest-refused": story("The manifest cannot be written: nothing was decided, so abort.   (K1)", [
      ...both,
      take({ type: "manifest.refused", reason: "the bucket is full" }),
    ]),
    "decision-refused": story(
      "A newer generation has taken the record over: the decision is refused.   (D1, C5)",
      [
        ...both,
        manifest,
        "Nothing is committed; what it uploaded may go after the next successful write.",
        refused(3),
      ],
    ),
    "leadership-lost": story(
      "Leadership is lost while deciding: whether 7 counts is for the new leader to find out.   (K2, P8, P9)",
      [
        ...both,
        manifest,
        "The record shows a newer token: nothing is sent, nothing is deleted.",
        take({ type: "record.lost" }),
      ],
    ),
    "failure-during-decision": story(
      "A subtask dies while the decision's outcome is unknown: first the outcome, then the end.   (K2, K3, P8)",
      [
        ...both,
        manifest,
        "The host holds the actor until the write is settled, so the cancellation waits behind the outcome.",
        stored,
        "Decided: it will be committed by the next generation before its sources start.",
        canceled,
      ],
    ),
    "commits-outstanding": story("Decided and half committed when the generation ends.   (K3, P17)", [
      ...both,
      manifest,
      stored,
      committed("lines/0"),
      "Reports of another generation, of a stranger and of an older checkpoint do not count.",
      committed("count/0", 7, 2),
      committed("count/1"),
      committed("count/0", 6),
      "Repeated: counts once.",
      committed("lines/0"),
      canceled,
    ]),
    subsumed: story("A newer checkpoint completes first: this one is given up.   (CHECKPOINT_SUBSUMED)", [
      acknowledged("lines/0"),
      "An older one changes nothing.",
      subsumed(6),
      subsumed(8),
    ]),
    "subsumed-while-deciding": story(
      "A newer checkpoint is decided while this one's decision is under way.   (D1, CHECKPOINT_SUBSUMED)",
      [...both, manifest, "The record refuses it.", refused(8)],
    ),
    "decided-before-newer": story(
      "Two decisions in their order: the news of the second changes nothing about the first.   (C3)",
      [...both, manifest, stored, subsumed(8), committed("lines/0", 8), committed("count/0", 8)],
    ),
    savepoint: story(
      "A savepoint is complete without a decision: no sink commits, nothing is recovered from it.   (K5)",
      [
        acknowledged("lines/0"),
        "A newer checkpoint does not subsume it.",
        subsumed(8),
        acknowledged("count/0"),
        "What the transactions have staged is copied with it.",
        kept,
        stored,
      ],
      savepoint,
    ),
    "savepoint-refused": story(
      "The savepoint's directory cannot be written.   (K4)",
      [...both, take({ type: "savepoint.refused", reason: "no space left" })],
      savepoint,
    ),
    "savepoint-deposed": story(
      "Leadership is lost before the record remembers the savepoint: it is there, and the new leader is asked again.   (P9)",
      [...both, kept, lost],
      savepoint,
    ),
    "stop-with-savepoint": story(
      "The savepoint that a job stops with is durable before the decision, and then its transactions are committed.   (K5, P15)",
      [...both, kept, manifest, stored, committed("lines/0"), committed("count/0")],
      stop,
    ),
    "stop-failed": story(
      "The savepoint cannot be taken: the job is told, and goes on.   (K4, Flink's stop-with-savepoint)",
      [acknowledged("lines/0"), declined("count/0")],
      stop,
    ),
    "newer-commit": story("A report about a newer checkpoint covers this one.   (P17, P18)", [
      ...both,
      manifest,
      stored,
      committed("lines/0", 8),
      committed("count/0", 8),
    ]),
  },
});
