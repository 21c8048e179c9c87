/**
 * What the checkpointing machine remembers, how that changes, and what its transitions ask: its context, its changes
 * of context and its guards. When which of them is taken, checkpointing.ts says.
 */
import { assign, setup } from "xstate";
import { declareEffects } from "../../effects.ts";
import type { AbortReason, CheckpointRequest } from "../../protocol.ts";
import {
  endsTheJob,
  enqueued,
  isOfStop,
  isOfTheEnd,
  isPeriodic,
  isSavepoint,
  PERIODIC,
} from "./checkpoint-requests.ts";
import { type Hold, holdOf, isKnown, isRefused, isStartable, type Pending } from "./checkpoint-turn.ts";
import type { CheckpointingEffects, CheckpointingEvent, CheckpointingInput } from "./checkpointing-events.ts";

export interface Context extends CheckpointingInput {
  /** The last id that was used, or might have been. */
  readonly lastId: number;
  readonly queue: readonly CheckpointRequest[];
  readonly pending: readonly Pending[];
  /** The one whose end has just been heard of. */
  readonly ended: Pending | null;
  readonly abortReason: AbortReason;
  readonly lastCompleted: number;
  readonly failures: number;
  readonly cleaning: number;
  /** Some subtasks have ended, others have not, and that matters. */
  readonly partlyEnded: boolean;
  /** The hold as it was reported last. */
  readonly hold: Hold | null;
  readonly pausing: boolean;
  readonly retrying: boolean;
}

/** Flink's CheckpointFailureReason: what goes against the tolerable failures. */
const COUNTED: ReadonlySet<AbortReason> = new Set([
  "expired",
  "declined",
  "async-exception",
  "io-exception",
  "finalize-failure",
]);
/** A failed savepoint counts only if a subtask reports the failure, not if the leader itself could not do its part. */
const OF_SUBTASKS: ReadonlySet<AbortReason> = new Set(["declined", "async-exception"]);

/** Uniform between the pause and the interval, both included. */
export function firstDelayMs({ intervalMs, minPauseMs, chance }: Context): number {
  return minPauseMs + Math.floor(chance * ((intervalMs ?? 0) - minPauseMs + 1));
}

function counts({ ended, abortReason, lastCompleted }: Context): boolean {
  if (ended === null || ended.checkpointId <= lastCompleted) return false;
  return (isSavepoint(ended.request) ? OF_SUBTASKS : COUNTED).has(abortReason);
}

export const checkpointingSetup = setup({
  types: {} as { context: Context; events: CheckpointingEvent; input: CheckpointingInput },
  actions: {
    ...declareEffects<CheckpointingEffects>({
      "store.reservation": true,
      "start.checkpoint": true,
      "tell.requests": true,
      "report.hold": true,
      "tell.checkpoints": true,
      "tell.job": true,
      "timer.start": true,
      "timer.cancel": true,
    }),
    enqueue: assign(({ context, event }) =>
      event.type !== "checkpoint.requested" ? {} : { queue: enqueued(context.queue, event.request) },
    ),
    enqueuePeriodic: assign(({ context }) => ({ queue: enqueued(context.queue, PERIODIC) })),
    /** The interval's request gives way to what a client asked for. */
    dropPeriodic: assign(({ context }) => ({
      queue: context.queue.filter((request) => !isPeriodic(request)),
    })),
    dropQueue: assign({ queue: [] }),
    dropRefused: assign(({ context }) => ({
      queue: context.queue.filter((request) => !isRefused(context, request)),
    })),
    /**
     * Unnamed requests are dropped (they are made again after the restart); so is a stop, which the job machine drops,
     * too.
     */
    forget: assign(({ context }) => ({
      queue: context.queue.filter((request) => request.request !== "" && !isOfStop(request)),
      pending: [],
      partlyEnded: false,
      hold: null,
      pausing: false,
      retrying: false,
    })),
    takeNext: assign(({ context: { queue, pending, lastId } }) => {
      const [request, ...rest] = queue;
      return {
        lastId: lastId + 1,
        queue: rest,
        pending: request === undefined ? pending : [...pending, { checkpointId: lastId + 1, request }],
      };
    }),
    reserve: assign(({ context }) => ({
      reservedCheckpointId: context.reservedCheckpointId + context.block,
    })),
    noteEnd: assign(({ context: { pending, queue }, event }) => {
      if (event.type !== "checkpoint.completed" && event.type !== "checkpoint.aborted") return {};
      const { checkpointId } = event;
      const isFinal = event.type === "checkpoint.completed" && event.allFinished;
      return {
        queue: isFinal ? queue.filter(({ reason }) => reason !== "final") : queue,
        ended: pending.find((one) => one.checkpointId === checkpointId) ?? null,
        pending: pending.filter((one) => one.checkpointId !== checkpointId),
        ...(event.type === "checkpoint.aborted" ? { abortReason: event.reason } : {}),
      };
    }),
    noteSuccess: assign(({ context: { ended, lastCompleted } }) => ({
      lastCompleted: Math.max(lastCompleted, ended?.checkpointId ?? 0),
      failures: 0,
    })),
    countFailure: assign(({ context }) => ({ failures: context.failures + 1 })),
    resetFailures: assign({ failures: 0 }),
    repeat: assign(({ context: { queue, ended } }) =>
      ended === null ? {} : { queue: enqueued(queue, ended.request), retrying: true },
    ),
    noteCleaning: assign(({ event }) =>
      event.type === "cleanup.changed" ? { cleaning: event.checkpoints } : {},
    ),
    noteSubtaskEnd: assign(({ event }) =>
      event.type === "subtask.ended" ? { partlyEnded: !event.all } : {},
    ),
    noteHold: assign(({ context }) => ({ hold: holdOf(context) })),
    beginPause: assign({ pausing: true }),
    endPause: assign({ pausing: false }),
    endRetry: assign({ retrying: false }),
  },
  guards: {
    timerIs: ({ event }, params: { timer: string }) =>
      event.type === "timer.fired" && event.timer === params.timer,
    notPending: ({ context, event }) =>
      "checkpointId" in event && !context.pending.some((one) => one.checkpointId === event.checkpointId),
    known: ({ context, event }) => event.type === "checkpoint.requested" && isKnown(context, event.request),
    stops: ({ event }) => event.type === "checkpoint.requested" && isOfStop(event.request),
    full: ({ context }) => context.queue.length >= context.queueMax,
    fullOfRequests: ({ context }) =>
      context.queue.length >= context.queueMax && !context.queue.some(isPeriodic),
    awaited: ({ context }) => context.queue.length > 0,
    outOfIds: ({ context }) => context.lastId >= context.reservedCheckpointId,
    startable: ({ context }) => isStartable(context),
    holdChanged: ({ context }) => holdOf(context) !== context.hold,
    refused: ({ context }) => context.queue.some((request) => isRefused(context, request)),
    goesOnAfterEnds: ({ context }) => context.afterTasksFinish,
    allEnded: ({ event }) => event.type === "subtask.ended" && event.all,
    periodic: ({ context }) => context.intervalMs !== null,
    tookPeriodic: ({ context }) => context.pending.at(-1)?.request.reason === "periodic",
    /** The interval has passed while the job is about to end, or while one that it asked for waits already. */
    resting: ({ context: { queue, pending }, event }) =>
      event.type === "timer.fired" &&
      event.timer === "trigger" &&
      (queue.some((request) => endsTheJob(request) || isPeriodic(request)) ||
        pending.some(({ request }) => endsTheJob(request))),
    subsumes: ({ context: { ended, pending } }) =>
      ended !== null &&
      (!isSavepoint(ended.request) || isOfStop(ended.request)) &&
      pending.some((one) => one.checkpointId < ended.checkpointId && !isSavepoint(one.request)),
    endsTheJob: ({ context: { ended } }) => ended !== null && endsTheJob(ended.request),
    pauseDue: ({ context }) => context.minPauseMs > 0 && context.intervalMs !== null,
    tooManyFailures: ({ context }) =>
      context.tolerableFailures !== null && counts(context) && context.failures >= context.tolerableFailures,
    counted: ({ context }) => counts(context),
    repeated: ({ context: { ended } }) => ended !== null && isOfTheEnd(ended.request),
  },
});
