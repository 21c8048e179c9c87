/**
 * One parallel instance of a vertex: restores, runs, answers barriers, commits, ends.
 *
 * Owns: the order of a subtask's work around a checkpoint and which transaction is committed next. Does not own:
 * records and their processing, when it is at a barrier (alignment.ts, barrier-tracker.ts), a transaction's own steps
 * (sink-transaction.ts).
 *
 * S1  At barrier n, in this order and before any later record: cut transactions, forward the barrier, take the
 *     synchronous part of the snapshot (Flink's SubtaskCheckpointCoordinatorImpl).
 * S2  n is acknowledged only when its snapshot, the records that its barrier has overtaken and every uncommitted
 *     transaction up to n are durable (P13). Several snapshots may be on their way.
 * S3  Decided transactions are committed oldest first, one at a time (P17).
 * S4  `restored` is reported only after everything that the restored checkpoint decided is committed (P17).
 * S5  Messages of another generation change nothing (P2).
 * S6  If checkpoint n was given up, a cancel marker is forwarded once in place of its barrier. What the leader does not
 *     know yet is declined.
 * S7  A state is cut at its barrier, whatever older cuts of it are still being read (P47).
 * S8  What says that a checkpoint was begun says that the generation was started: messages may overtake each other, and
 *     what was answered is not repeated.
 * S9  Behind the barrier that the job is to stop with, a source reads nothing, until that checkpoint is aborted (P38).
 */
import type { BarrierDecline, CheckpointOptions } from "../protocol.ts";
import { acknowledgeable } from "./open-snapshots.ts";
import { type Context, subtaskSetup } from "./subtask-setup.ts";

export type * from "./subtask-events.ts";

const commitOldest = [
  "beginCommit",
  {
    type: "tell.transaction",
    params: ({ context }: { context: Context }) => ({
      transaction: context.committing ?? "",
      event: { type: "commit.due" } as const,
    }),
  },
] as const;

interface AboutCheckpoint {
  readonly event: { readonly checkpointId: number };
}
interface AboutReason<Reason> extends AboutCheckpoint {
  readonly context: Context;
  readonly event: { readonly checkpointId: number; readonly reason: Reason };
}
const ofCheckpoint = ({ event }: AboutCheckpoint) => ({ checkpointId: event.checkpointId });

const cutAndForward = [
  { type: "cut.transactions", params: ofCheckpoint },
  {
    type: "emit.barrier",
    params: ({ event }: AboutCheckpoint & { readonly event: { readonly options: CheckpointOptions } }) => ({
      checkpointId: event.checkpointId,
      options: event.options,
    }),
  },
] as const;
/** The work at a barrier, in its order (S1). */
const snapshotAtBarrier = [
  "beginSnapshot",
  ...cutAndForward,
  { type: "take.snapshot", params: ofCheckpoint },
] as const;
const emitMarker = { type: "emit.cancelMarker", params: ofCheckpoint } as const;
const cancelSnapshot = [{ type: "cancel.snapshot", params: ofCheckpoint }, "closeSnapshot"] as const;
const discard = {
  type: "discard.snapshot",
  params: ({ context, event }: AboutCheckpoint & { readonly context: Context }) => ({
    subtask: context.subtask,
    generation: context.generation,
    checkpointId: event.checkpointId,
  }),
} as const;
const inject = {
  type: "inject.barrier",
  params: ({ event }: AboutCheckpoint & { readonly event: { readonly options: CheckpointOptions } }) => ({
    checkpointId: event.checkpointId,
    options: event.options,
  }),
} as const;
const drain = {
  type: "drain.source",
  params: ({ context }: { readonly context: Context }) => ({ subtask: context.subtask }),
} as const;
/** Keeps the source from reading behind the barrier of a stop (S9). */
const stopReading = ["beginStop", { type: "hold.source", params: ofCheckpoint }] as const;
const declining = ({ context, event }: AboutCheckpoint & { readonly context: Context }) => ({
  subtask: context.subtask,
  generation: context.generation,
  checkpointId: event.checkpointId,
});
const decline = {
  type: "send.decline",
  params: (facts: AboutReason<BarrierDecline>) => ({
    ...declining(facts),
    reason: facts.event.reason,
    detail: facts.event.reason,
  }),
} as const;
/** The snapshot could not be stored. */
const declineFailed = {
  type: "send.decline",
  params: (facts: AboutReason<string>) => ({
    ...declining(facts),
    reason: "async-exception" as const,
    detail: facts.event.reason,
  }),
} as const;

export const subtaskMachine = subtaskSetup.createMachine({
  id: "subtask",
  options: { maxIterations: 100 },
  context: ({ input }) => ({
    ...input,
    pending: [],
    committing: null,
    decidedUpTo: input.restoredCheckpointId,
    lastBarrier: input.restoredCheckpointId,
    givenUp: [],
    snapshots: [],
    stoppingWith: 0,
  }),
  initial: "restoring",
  on: {
    "subtask.broke": {
      target: ".failed",
      actions: {
        type: "send.failure",
        params: ({ context, event }) => ({
          subtask: context.subtask,
          generation: context.generation,
          reason: event.reason,
          retry: event.retry,
        }),
      },
    },
    "generation.ended": [{ guard: "otherGeneration" }, { target: ".closed" }],
  },
  states: {
    restoring: {
      description: "Opening operators and sinks (which fences older generations, P23) and loading state.",
      entry: {
        type: "restore.state",
        params: ({ context }) => ({ restoredCheckpointId: context.restoredCheckpointId }),
      },
      on: { "state.restored": { target: "recommitting", actions: "adoptTransactions" } },
    },
    recommitting: {
      description: "Committing what the restored checkpoint decided, before any source starts (P17).",
      initial: "choosing",
      states: {
        choosing: {
          always: [{ guard: "commitDue", target: "committing" }, { target: "#subtask.restored" }],
        },
        committing: {
          entry: commitOldest,
          on: { "transaction.committed": { target: "choosing", actions: "dropCommitted" } },
        },
      },
    },
    restored: {
      description: "Waiting for every other subtask of the generation.",
      entry: {
        type: "send.restored",
        params: ({ context }) => ({ subtask: context.subtask, generation: context.generation }),
      },
      on: {
        "generation.started": [{ guard: "otherGeneration" }, { target: "running" }],
        "checkpoint.triggered": [
          { guard: "otherGeneration" },
          { guard: "isSource", target: "running", actions: inject },
          { target: "running" },
        ],
        "checkpoint.aborted": [
          { guard: "otherGeneration" },
          { target: "running", actions: ["rememberAbort", discard] },
        ],
        "drain.requested": [{ guard: "otherGeneration" }, { guard: "isSource", actions: drain }, {}],
      },
    },
    running: {
      description: "Input, snapshot and commit go on beside each other.",
      type: "parallel",
      entry: { type: "run.input", params: ({ context }) => ({ finished: context.finished }) },
      on: {
        // A trigger had overtaken it (S8).
        "generation.started": {},
        "checkpoint.triggered": [{ guard: "otherGeneration" }, { guard: "isSource", actions: inject }, {}],
        "drain.requested": [{ guard: "otherGeneration" }, { guard: "isSource", actions: drain }, {}],
      },
      states: {
        input: {
          initial: "deciding",
          states: {
            deciding: { always: [{ guard: "alreadyFinished", target: "ended" }, { target: "processing" }] },
            processing: { on: { "input.ended": { target: "finishing" } } },
            finishing: {
              description: "End-of-input hooks run once in the life of the job (P19).",
              entry: { type: "run.finish", params: ({ context }) => ({ subtask: context.subtask }) },
              on: { "finish.completed": { target: "ended", actions: "markFinished" } },
            },
            ended: {
              description: "Goes on answering barriers until the job is settled (P19).",
              entry: {
                type: "send.ended",
                params: ({ context }) => ({ subtask: context.subtask, generation: context.generation }),
              },
            },
          },
        },
        snapshot: {
          initial: "idle",
          on: {
            "barrier.aligned": [
              { guard: "lateBarrier" },
              { guard: "aborted", actions: ["passBarrier", emitMarker] },
              { target: ".snapshotting", actions: snapshotAtBarrier },
            ],
            "barrier.canceled": [{ guard: "lateBarrier" }, { actions: ["passBarrier", emitMarker] }],
            "barrier.declined": [
              { guard: "snapshotOpen", actions: [...cancelSnapshot, emitMarker, decline] },
              { guard: "lateBarrier" },
              { actions: ["passBarrier", emitMarker, decline] },
            ],
            "transactions.cut": { actions: "addTransactions" },
            "transaction.prepared": { actions: "markPrepared" },
            "snapshot.stored": [{ guard: "otherSnapshot" }, { actions: "markStored" }],
            "channels.stored": [{ guard: "otherSnapshot" }, { actions: "markChannelsStored" }],
            "snapshot.failed": [{ guard: "otherSnapshot" }, { actions: ["closeSnapshot", declineFailed] }],
            "checkpoint.aborted": [
              { guard: "otherGeneration" },
              { guard: "snapshotOpen", actions: [discard, "closeSnapshot"] },
              { guard: "lateBarrier", actions: discard },
              { actions: ["rememberAbort", discard] },
            ],
          },
          states: {
            idle: {},
            snapshotting: {
              description: "Snapshots are being uploaded, the cut transactions are becoming durable.",
              always: [
                {
                  guard: "acknowledgeable",
                  actions: [
                    {
                      type: "send.acknowledgement",
                      params: ({ context }) => ({
                        subtask: context.subtask,
                        generation: context.generation,
                        checkpointId: acknowledgeable(context)?.checkpointId ?? 0,
                        finished: acknowledgeable(context)?.finished ?? false,
                      }),
                    },
                    "dropAcknowledged",
                  ],
                },
                { guard: "noSnapshotOpen", target: "idle" },
              ],
            },
          },
        },
        stop: {
          initial: "off",
          states: {
            off: {
              on: { "barrier.aligned": { guard: "stopsHere", target: "holding", actions: stopReading } },
            },
            holding: {
              description: "The job is to stop with this barrier: nothing is read behind it (S9).",
              on: {
                "barrier.aligned": { guard: "stopsHere", actions: stopReading },
                "checkpoint.aborted": [
                  { guard: "otherGeneration" },
                  {
                    guard: "stopIsOff",
                    target: "off",
                    actions: [{ type: "resume.source", params: ofCheckpoint }, "endStop"],
                  },
                ],
              },
            },
          },
        },
        commit: {
          initial: "idle",
          states: {
            idle: {
              on: {
                "checkpoint.completed": [
                  { guard: "otherGeneration" },
                  {
                    target: "choosing",
                    actions: [
                      "markDecided",
                      {
                        type: "report.progress",
                        params: ({ event }) => ({ checkpointId: event.checkpointId }),
                      },
                    ],
                  },
                ],
              },
            },
            choosing: {
              always: [
                { guard: "commitDue", target: "committing" },
                {
                  target: "idle",
                  actions: {
                    type: "send.committed",
                    params: ({ context }) => ({
                      subtask: context.subtask,
                      generation: context.generation,
                      upTo: context.decidedUpTo,
                    }),
                  },
                },
              ],
            },
            committing: {
              description: "One transaction at a time, oldest first (S3).",
              entry: commitOldest,
              on: {
                "transaction.committed": { target: "choosing", actions: "dropCommitted" },
                "checkpoint.completed": [
                  { guard: "otherGeneration" },
                  {
                    actions: [
                      "markDecided",
                      {
                        type: "report.progress",
                        params: ({ event }) => ({ checkpointId: event.checkpointId }),
                      },
                    ],
                  },
                ],
              },
            },
          },
        },
      },
    },
    failed: {
      description: "Waits to be torn down; the coordinator restarts the job from its last checkpoint.",
    },
    closed: {
      type: "final",
      description: "Its generation is over.",
      entry: { type: "close.operators", params: ({ context }) => ({ subtask: context.subtask }) },
    },
  },
});
