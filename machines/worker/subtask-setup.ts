/**
 * What the subtask machine remembers, how that changes, and what its transitions ask: its context, its changes of
 * context and its guards. When which of them is taken, subtask.ts says.
 */
import { assign, setup } from "xstate";
import { declareEffects } from "../effects.ts";
import type { TransactionName } from "../protocol.ts";
import { forgetUpTo, type GivenUp, remember, wasGivenUp } from "./given-up.ts";
import { acknowledgeable, beginSnapshot, isOpen, markSnapshot, type OpenSnapshot } from "./open-snapshots.ts";
import type { PendingTransaction, SubtaskEffects, SubtaskEvent, SubtaskInput } from "./subtask-events.ts";

export interface Context extends SubtaskInput {
  readonly pending: readonly PendingTransaction[];
  /** The transaction whose commit is under way. */
  readonly committing: TransactionName | null;
  readonly decidedUpTo: number;
  /** Highest barrier that was taken or passed over; older ones are late (Flink's SingleCheckpointBarrierHandler). */
  readonly lastBarrier: number;
  readonly givenUp: GivenUp;
  /** The snapshots that are not acknowledged yet, oldest first. */
  readonly snapshots: readonly OpenSnapshot[];
  /** The checkpoint that the job is to stop with (S9); 0: none. */
  readonly stoppingWith: number;
}

export const subtaskSetup = setup({
  types: {} as { context: Context; events: SubtaskEvent; input: SubtaskInput },
  actions: {
    ...declareEffects<SubtaskEffects>({
      "restore.state": true,
      "send.restored": true,
      "run.input": true,
      "inject.barrier": true,
      "hold.source": true,
      "resume.source": true,
      "drain.source": true,
      "cut.transactions": true,
      "emit.barrier": true,
      "emit.cancelMarker": true,
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
            snapshots: [...context.snapshots, beginSnapshot(event, context)],
          },
    ),
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
    beginStop: assign(({ event }) =>
      event.type === "barrier.aligned" ? { stoppingWith: event.checkpointId } : {},
    ),
    endStop: assign({ stoppingWith: 0 }),
  },
  guards: {
    otherGeneration: ({ context, event }) => "generation" in event && event.generation !== context.generation,
    lateBarrier: ({ context, event }) => "checkpointId" in event && event.checkpointId <= context.lastBarrier,
    aborted: ({ context, event }) =>
      "checkpointId" in event && wasGivenUp(context.givenUp, event.checkpointId),
    snapshotOpen: ({ context, event }) => isOpen(context, event),
    otherSnapshot: ({ context, event }) => !isOpen(context, event),
    acknowledgeable: ({ context }) => acknowledgeable(context) !== undefined,
    noSnapshotOpen: ({ context }) => context.snapshots.length === 0,
    commitDue: ({ context }) => {
      const oldest = context.pending[0];
      return oldest?.prepared === true && oldest.checkpointId <= context.decidedUpTo;
    },
    alreadyFinished: ({ context }) => context.finished,
    isSource: ({ context }) => context.source,
    stopsHere: ({ context, event }) =>
      context.source &&
      event.type === "barrier.aligned" &&
      event.options.stop &&
      event.checkpointId > context.lastBarrier &&
      !wasGivenUp(context.givenUp, event.checkpointId),
    stopIsOff: ({ context, event }) => "checkpointId" in event && event.checkpointId === context.stoppingWith,
  },
});
