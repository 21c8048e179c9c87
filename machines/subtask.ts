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
 * S6  Where barrier n would have been forwarded and n was given up, a cancel marker is, once. What the leader does not know
 *     yet is declined.
 * S7  A state is cut when the older cuts of it are encoded. A barrier that comes earlier is forwarded and its transactions are
 *     cut at once; no record is taken until its cut, or until it is given up (P47).
 */
import { assign, setup } from "xstate";
import { declareEffects } from "./effects.ts";
import { forgetUpTo, type GivenUp, remember, wasGivenUp } from "./given-up.ts";
import {
  acknowledgeable,
  beginSnapshot,
  cutDue,
  isOpen,
  isReadingState,
  isWaiting,
  markSnapshot,
  type OpenSnapshot,
} from "./open-snapshots.ts";
import type { BarrierAlignment, BarrierDecline, SubtaskName, TransactionName } from "./protocol.ts";
import type { SinkTransactionEvent } from "./sink-transaction.ts";

export interface SubtaskInput {
  readonly subtask: SubtaskName;
  readonly generation: number;
  /** 0: nothing was restored. */
  readonly restoredCheckpointId: number;
  /** The restored snapshot was taken after `finish` ran; it never runs again (P19). */
  readonly finished: boolean;
}

interface PendingTransaction {
  readonly transaction: TransactionName;
  readonly checkpointId: number;
  readonly prepared: boolean;
}

export type SubtaskEvent =
  | {
      readonly type: "state.restored";
      readonly transactions: readonly Omit<PendingTransaction, "prepared">[];
    }
  | { readonly type: "generation.started"; readonly generation: number }
  | { readonly type: "generation.ended"; readonly generation: number }
  /** Unaligned, or with feedback: records are still being collected, `channels.stored` follows. */
  | {
      readonly type: "barrier.aligned";
      readonly checkpointId: number;
      readonly alignment: BarrierAlignment;
      readonly feedback?: true;
    }
  /** It will not come: the leader has aborted its checkpoint. */
  | { readonly type: "barrier.canceled"; readonly checkpointId: number }
  /** It will not come, or not everywhere: its checkpoint cannot complete. */
  | {
      readonly type: "barrier.declined";
      readonly checkpointId: number;
      readonly reason: BarrierDecline;
    }
  | {
      readonly type: "transactions.cut";
      readonly checkpointId: number;
      readonly transactions: readonly TransactionName[];
    }
  | { readonly type: "transaction.prepared"; readonly transaction: TransactionName }
  | { readonly type: "transaction.committed"; readonly transaction: TransactionName }
  /** Nothing of the state at its barrier is read any more. */
  | { readonly type: "snapshot.encoded"; readonly checkpointId: number }
  | { readonly type: "snapshot.stored"; readonly checkpointId: number }
  | { readonly type: "channels.stored"; readonly checkpointId: number }
  | { readonly type: "snapshot.failed"; readonly checkpointId: number; readonly reason: string }
  | { readonly type: "checkpoint.completed"; readonly generation: number; readonly checkpointId: number }
  | { readonly type: "checkpoint.aborted"; readonly generation: number; readonly checkpointId: number }
  | { readonly type: "input.ended" }
  | { readonly type: "finish.completed" }
  | { readonly type: "subtask.broke"; readonly reason: string; readonly retry: "restart" | "never" };

export interface SubtaskEffects {
  /** Open operators and sinks, load state. Answered by `state.restored`. */
  "restore.state": { readonly restoredCheckpointId: number };
  "send.restored": { readonly subtask: SubtaskName; readonly generation: number };
  /** Let records flow. */
  "run.input": { readonly finished: boolean };
  /** Answered by `transactions.cut` before any other event. */
  "cut.transactions": { readonly checkpointId: number };
  "emit.barrier": { readonly checkpointId: number; readonly alignment: BarrierAlignment };
  "emit.cancelMarker": { readonly checkpointId: number };
  /** No record is taken until `release.input` names it, too. Barriers are heard meanwhile. */
  "hold.input": { readonly checkpointId: number };
  "release.input": { readonly checkpointId: number };
  /**
   * Synchronous part now, the rest beside the records. Answered by `snapshot.encoded` and `snapshot.stored`, or by
   * `snapshot.failed`.
   */
  "take.snapshot": { readonly checkpointId: number };
  "cancel.snapshot": { readonly checkpointId: number };
  /**
   * The same for good, if there is one: when nothing of it is under way any more, the leader is told what it has left in the
   * storage, unless it was acknowledged (P48).
   */
  "discard.snapshot": {
    readonly subtask: SubtaskName;
    readonly generation: number;
    readonly checkpointId: number;
  };
  "send.acknowledgement": {
    readonly subtask: SubtaskName;
    readonly generation: number;
    readonly checkpointId: number;
    readonly finished: boolean;
  };
  "send.decline": {
    readonly subtask: SubtaskName;
    readonly generation: number;
    readonly checkpointId: number;
    readonly reason: string;
  };
  "tell.transaction": { readonly transaction: TransactionName; readonly event: SinkTransactionEvent };
  "send.committed": { readonly subtask: SubtaskName; readonly generation: number; readonly upTo: number };
  /** Sources tell their broker how far the job has got. */
  "report.progress": { readonly checkpointId: number };
  /** End-of-input hooks of the operators, then end of data downstream. Answered by `finish.completed`. */
  "run.finish": { readonly subtask: SubtaskName };
  "send.ended": { readonly subtask: SubtaskName; readonly generation: number };
  "send.failure": {
    readonly subtask: SubtaskName;
    readonly generation: number;
    readonly reason: string;
    readonly retry: "restart" | "never";
  };
  "close.operators": { readonly subtask: SubtaskName };
}

interface Context extends SubtaskInput {
  readonly pending: readonly PendingTransaction[];
  /** The transaction whose commit is under way. */
  readonly committing: TransactionName | null;
  readonly decidedUpTo: number;
  /** Highest barrier that was taken or passed over; older ones are late (Flink's SingleCheckpointBarrierHandler). */
  readonly lastBarrier: number;
  readonly givenUp: GivenUp;
  /** Oldest first. */
  readonly snapshots: readonly OpenSnapshot[];
  /** Checkpoints whose barrier holds the input (S7). */
  readonly holding: readonly number[];
}

/** The first one that has no reason to hold the input any more. */
const holdOver = (context: Context): number | undefined =>
  context.holding.find((checkpointId) => !isWaiting(context, checkpointId));

const machine = setup({
  types: {} as { context: Context; events: SubtaskEvent; input: SubtaskInput },
  actions: {
    ...declareEffects<SubtaskEffects>({
      "restore.state": true,
      "send.restored": true,
      "run.input": true,
      "cut.transactions": true,
      "emit.barrier": true,
      "emit.cancelMarker": true,
      "hold.input": true,
      "release.input": true,
      "take.snapshot": true,
      "cancel.snapshot": true,
      "discard.snapshot": true,
      "send.acknowledgement": true,
      "send.decline": true,
      "tell.transaction": true,
      "send.committed": true,
      "report.progress": true,
      "run.finish": true,
      "send.ended": true,
      "send.failure": true,
      "close.operators": true,
    }),
    adoptTransactions: assign(({ context, event }) =>
      event.type !== "state.restored"
        ? {}
        : {
            pending: event.transactions.map((transaction) => ({ ...transaction, prepared: true })),
            decidedUpTo: context.restoredCheckpointId,
          },
    ),
    beginSnapshot: assign(({ context, event }) =>
      event.type !== "barrier.aligned"
        ? {}
        : {
            lastBarrier: event.checkpointId,
            givenUp: forgetUpTo(context.givenUp, event.checkpointId),
            snapshots: [...context.snapshots, beginSnapshot(event, "encoding", context.finished)],
          },
    ),
    beginWaiting: assign(({ context, event }) =>
      event.type !== "barrier.aligned"
        ? {}
        : {
            lastBarrier: event.checkpointId,
            givenUp: forgetUpTo(context.givenUp, event.checkpointId),
            snapshots: [...context.snapshots, beginSnapshot(event, "waiting", context.finished)],
            holding: [...context.holding, event.checkpointId],
          },
    ),
    beginCut: assign(({ context }) => ({
      snapshots: markSnapshot(context, cutDue(context) ?? {}, { stage: "encoding" }),
    })),
    endHold: assign(({ context }) => {
      const over = holdOver(context);
      return { holding: context.holding.filter((checkpointId) => checkpointId !== over) };
    }),
    passBarrier: assign(({ context, event }) =>
      "checkpointId" in event
        ? { lastBarrier: event.checkpointId, givenUp: forgetUpTo(context.givenUp, event.checkpointId) }
        : {},
    ),
    rememberAbort: assign(({ context, event }) =>
      "checkpointId" in event ? { givenUp: remember(context.givenUp, event.checkpointId) } : {},
    ),
    closeSnapshot: assign(({ context, event }) =>
      "checkpointId" in event
        ? { snapshots: context.snapshots.filter((one) => one.checkpointId !== event.checkpointId) }
        : {},
    ),
    dropAcknowledged: assign(({ context }) => {
      const acknowledged = acknowledgeable(context);
      return { snapshots: context.snapshots.filter((one) => one !== acknowledged) };
    }),
    addTransactions: assign(({ context, event }) =>
      event.type !== "transactions.cut"
        ? {}
        : {
            snapshots: markSnapshot(context, event, { wasCut: true }),
            pending: [
              ...context.pending,
              ...event.transactions.map((transaction) => ({
                transaction,
                checkpointId: event.checkpointId,
                prepared: false,
              })),
            ],
          },
    ),
    markPrepared: assign(({ context, event }) =>
      event.type !== "transaction.prepared"
        ? {}
        : {
            pending: context.pending.map((pending) =>
              pending.transaction === event.transaction ? { ...pending, prepared: true } : pending,
            ),
          },
    ),
    markEncoded: assign(({ context, event }) => ({
      snapshots: markSnapshot(context, event, { stage: "storing" }),
    })),
    markStored: assign(({ context, event }) => ({
      snapshots: markSnapshot(context, event, { stage: "stored" }),
    })),
    markChannelsStored: assign(({ context, event }) => ({
      snapshots: markSnapshot(context, event, { channelsStored: true }),
    })),
    markDecided: assign(({ context, event }) =>
      event.type !== "checkpoint.completed"
        ? {}
        : { decidedUpTo: Math.max(context.decidedUpTo, event.checkpointId) },
    ),
    beginCommit: assign(({ context }) => ({ committing: context.pending[0]?.transaction ?? null })),
    dropCommitted: assign(({ context, event }) =>
      event.type !== "transaction.committed"
        ? {}
        : {
            committing: null,
            pending: context.pending.filter((pending) => pending.transaction !== event.transaction),
          },
    ),
    markFinished: assign({ finished: true }),
  },
  guards: {
    otherGeneration: ({ context, event }) => "generation" in event && event.generation !== context.generation,
    lateBarrier: ({ context, event }) => "checkpointId" in event && event.checkpointId <= context.lastBarrier,
    aborted: ({ context, event }) =>
      "checkpointId" in event && wasGivenUp(context.givenUp, event.checkpointId),
    snapshotOpen: ({ context, event }) => isOpen(context, event),
    otherSnapshot: ({ context, event }) => !isOpen(context, event),
    readingState: ({ context }) => isReadingState(context),
    cutDue: ({ context }) => cutDue(context) !== undefined,
    holdOver: ({ context }) => holdOver(context) !== undefined,
    acknowledgeable: ({ context }) => acknowledgeable(context) !== undefined,
    noSnapshotOpen: ({ context }) => context.snapshots.length === 0,
    commitDue: ({ context }) => {
      const oldest = context.pending[0];
      return oldest?.prepared === true && oldest.checkpointId <= context.decidedUpTo;
    },
    alreadyFinished: ({ context }) => context.finished,
  },
});

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
const ofCheckpoint = ({ event }: AboutCheckpoint) => ({ checkpointId: event.checkpointId });

const cutAndForward = [
  { type: "cut.transactions", params: ofCheckpoint },
  {
    type: "emit.barrier",
    params: ({ event }: AboutCheckpoint & { readonly event: { readonly alignment: BarrierAlignment } }) => ({
      checkpointId: event.checkpointId,
      alignment: event.alignment,
    }),
  },
] as const;
/** S1 */
const snapshotAtBarrier = [
  "beginSnapshot",
  ...cutAndForward,
  { type: "take.snapshot", params: ofCheckpoint },
] as const;
/** S7 */
const waitAtBarrier = [
  "beginWaiting",
  ...cutAndForward,
  { type: "hold.input", params: ofCheckpoint },
] as const;
const takeDue = [
  {
    type: "take.snapshot",
    params: ({ context }: { readonly context: Context }) => ({
      checkpointId: cutDue(context)?.checkpointId ?? 0,
    }),
  },
  "beginCut",
] as const;
const releaseInput = [
  {
    type: "release.input",
    params: ({ context }: { readonly context: Context }) => ({ checkpointId: holdOver(context) ?? 0 }),
  },
  "endHold",
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
const decline = {
  type: "send.decline",
  params: ({
    context,
    event,
  }: AboutCheckpoint & { readonly context: Context; readonly event: { readonly reason: string } }) => ({
    subtask: context.subtask,
    generation: context.generation,
    checkpointId: event.checkpointId,
    reason: event.reason,
  }),
} as const;

export const subtaskMachine = machine.createMachine({
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
    holding: [],
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
      on: { "generation.started": [{ guard: "otherGeneration" }, { target: "running" }] },
    },
    running: {
      description: "Input, snapshot and commit go on beside each other.",
      type: "parallel",
      entry: { type: "run.input", params: ({ context }) => ({ finished: context.finished }) },
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
              { guard: "readingState", actions: waitAtBarrier },
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
            "snapshot.encoded": [{ guard: "otherSnapshot" }, { actions: "markEncoded" }],
            "snapshot.stored": [{ guard: "otherSnapshot" }, { actions: "markStored" }],
            "channels.stored": [{ guard: "otherSnapshot" }, { actions: "markChannelsStored" }],
            "snapshot.failed": [{ guard: "otherSnapshot" }, { actions: ["closeSnapshot", decline] }],
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
                { guard: "cutDue", actions: takeDue },
                { guard: "holdOver", actions: releaseInput },
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
