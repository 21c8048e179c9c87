/**
 * When a checkpoint is taken (Flink's CheckpointRequestDecider and CheckpointFailureManager).
 *
 * Owns: the interval, the pause, the queue of requests, ids and their durable reservation, how many failures in a row
 * are too many. Does not own: the life of one checkpoint (checkpoint.ts), who waits for a request (the host).
 *
 * G1  Ids strictly grow and are reserved durably before a barrier carries them (P3, C1).
 * G2  A request of the job's end (`final`, `suspend`) is repeated until a checkpoint that serves it completes (P19): any in which
 *     every subtask has finished is the final one.
 * G3  Nothing is triggered unless all regions of the job run. A client's request waits for that, bounded.
 * G4  The minimal pause counts from the last completion, of a savepoint too, and holds back periodic checkpoints only.
 * G5  A suspension goes first, then savepoints, then other requests in their order, the interval's last; of those at most one waits.
 * G6  No more than `maxConcurrent` are pending, except savepoints where no records of channels are stored. Of savepoints no more
 *     than `savepointsMax` are, the others wait in the queue; a suspension waits for none of them. None is started while more than
 *     `maxConcurrent` old ones are still being deleted.
 * G7  A completed checkpoint subsumes every older pending one. Savepoints never are; only that of a stop subsumes.
 * G8  Behind the savepoint that a job stops with nothing begins unless that is given up.
 * G9  Without `afterTasksFinish` nothing begins while some subtasks have ended and others have not, except what the job
 *     ends with: the interval rests, and requests are refused (Flink's NOT_ALL_REQUIRED_TASKS_RUNNING).
 * G10 So many failed checkpoints in a row are tolerated, one more fails the job. A completed one ends the streak;
 *     what fails behind it does not count.
 * G11 While a job is drained nothing begins but the savepoint that it stops with, and any other request is refused.
 */
import { assign, setup } from "xstate";
import { declareEffects } from "../effects.ts";
import type { AbortReason, CheckpointRequest, TimerEffects, TimerFired } from "../protocol.ts";
import type { CheckpointEvent } from "./checkpoint.ts";
import {
  endsTheJob,
  enqueued,
  isOfTheEnd,
  isPeriodic,
  isSavepoint,
  PERIODIC,
} from "./checkpoint-requests.ts";
import { type Hold, holdOf, isKnown, isRefused, isStartable, type Pending } from "./checkpoint-turn.ts";
import type { JobEvent } from "./job-events.ts";

export interface CheckpointingInput {
  /** null: no periodic checkpoints. Not less than `minPauseMs`. */
  readonly intervalMs: number | null;
  readonly minPauseMs: number;
  readonly maxConcurrent: number;
  /** Failures in a row that do not fail the job; null: any number. */
  readonly tolerableFailures: number | null;
  /** Savepoints do not wait for a free place: no barrier overtakes, and no loop's records are kept. */
  readonly forcesSavepoints: boolean;
  /** So many savepoints are pending at most. Flink begins any number of them at once. */
  readonly savepointsMax: number;
  /** Checkpoints go on when some subtasks have ended. */
  readonly afterTasksFinish: boolean;
  /** How long a request waits for the job to run. */
  readonly readyTimeoutMs: number;
  /** Pause before a checkpoint of the job's end is tried again. */
  readonly retryMs: number;
  /** Requests that may wait. Flink's is 1000. */
  readonly queueMax: number;
  /** Ids up to here may have been used. */
  readonly reservedCheckpointId: number;
  /** How many ids one reservation adds. */
  readonly block: number;
  /** Uniform in [0, 1): when the first checkpoint comes. */
  readonly chance: number;
}

export type CheckpointingEvent =
  | { readonly type: "generation.running" }
  | { readonly type: "generation.stopped" }
  /** Its sources end as if their input did. Until it is "running" again it takes no checkpoint. */
  | { readonly type: "generation.draining" }
  | { readonly type: "checkpoint.requested"; readonly request: CheckpointRequest }
  /** `allFinished`: decided, and every subtask had finished before it, so it is the last one of the job. */
  | { readonly type: "checkpoint.completed"; readonly checkpointId: number; readonly allFinished: boolean }
  | { readonly type: "checkpoint.aborted"; readonly checkpointId: number; readonly reason: AbortReason }
  /** One more subtask has processed all of its input. */
  | { readonly type: "subtask.ended"; readonly all: boolean }
  /** So many subsumed checkpoints are still being deleted. */
  | { readonly type: "cleanup.changed"; readonly checkpoints: number }
  | { readonly type: "record.stored" }
  | { readonly type: "record.lost" }
  | TimerFired;

export interface CheckpointingEffects extends TimerEffects {
  /** Answered by `record.stored` or `record.lost`. */
  "store.reservation": { readonly reservedCheckpointId: number };
  /** A new checkpoint actor comes to life. */
  "start.checkpoint": { readonly checkpointId: number; readonly request: CheckpointRequest };
  /** They will never be started; whoever waits is told why. */
  "refuse.requests": { readonly requests: readonly string[]; readonly reason: RefusalReason };
  /** Why none begins at present, for whoever asks; null: nothing is in the way. */
  "report.hold": { readonly hold: Hold | null };
  /** To every checkpoint of the generation that is still alive. */
  "tell.checkpoints": { readonly event: CheckpointEvent };
  "tell.job": { readonly event: JobEvent };
}

/** Flink's pre-flight reasons NOT_ALL_REQUIRED_TASKS_RUNNING, twice, and TOO_MANY_CHECKPOINT_REQUESTS; and that the job is drained (G11). */
export type RefusalReason =
  | "not-all-subtasks-running"
  | "some-subtasks-ended"
  | "too-many-requests"
  | "job-draining";

interface Context extends CheckpointingInput {
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
  /** As it was reported last. */
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
/** Of a savepoint only what a subtask reports is counted, not what the leader itself could not do. */
const OF_SUBTASKS: ReadonlySet<AbortReason> = new Set(["declined", "async-exception"]);

/** Uniform between the pause and the interval, both included. */
function firstDelayMs({ intervalMs, minPauseMs, chance }: Context): number {
  return minPauseMs + Math.floor(chance * ((intervalMs ?? 0) - minPauseMs + 1));
}

function counts({ ended, abortReason, lastCompleted }: Context): boolean {
  if (ended === null || ended.checkpointId <= lastCompleted) return false;
  return (isSavepoint(ended.request) ? OF_SUBTASKS : COUNTED).has(abortReason);
}

const machine = setup({
  types: {} as { context: Context; events: CheckpointingEvent; input: CheckpointingInput },
  actions: {
    ...declareEffects<CheckpointingEffects>({
      "store.reservation": true,
      "start.checkpoint": true,
      "refuse.requests": true,
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
    /** The interval's gives way to what somebody asked for. */
    dropPeriodic: assign(({ context }) => ({
      queue: context.queue.filter((request) => !isPeriodic(request)),
    })),
    dropQueue: assign({ queue: [] }),
    dropRefused: assign(({ context }) => ({
      queue: context.queue.filter((request) => !isRefused(context, request)),
    })),
    /** Nobody waits for what has no name: the next generation asks anew. The job machine has forgotten a stop. */
    forget: assign(({ context }) => ({
      queue: context.queue.filter(({ request, reason }) => request !== "" && reason !== "stop"),
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
    stops: ({ event }) => event.type === "checkpoint.requested" && event.request.reason === "stop",
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
      (!isSavepoint(ended.request) || ended.request.reason === "stop") &&
      pending.some((one) => one.checkpointId < ended.checkpointId && !isSavepoint(one.request)),
    endsTheJob: ({ context: { ended } }) => ended !== null && endsTheJob(ended.request),
    pauseDue: ({ context }) => context.minPauseMs > 0 && context.intervalMs !== null,
    tooManyFailures: ({ context }) =>
      context.tolerableFailures !== null && counts(context) && context.failures >= context.tolerableFailures,
    counted: ({ context }) => counts(context),
    repeated: ({ context: { ended } }) => ended !== null && isOfTheEnd(ended.request),
  },
});

const interval = {
  type: "timer.start",
  params: ({ context }: { context: Context }) => ({ timer: "trigger", ms: context.intervalMs ?? 0 }),
} as const;
const cancel = (timer: string) => ({ type: "timer.cancel", params: { timer } }) as const;
const fired = (timer: string) => ({ type: "timerIs", params: { timer } }) as const;
const refusal = (reason: RefusalReason) =>
  ({
    type: "refuse.requests",
    params: ({ event }: { event: CheckpointingEvent }) => ({
      requests: event.type === "checkpoint.requested" ? [event.request.request] : [],
      reason,
    }),
  }) as const;
/** What a full queue does with one more (Flink's CheckpointRequestDecider): the interval's gives way. */
const onRequest = [
  { guard: "known" },
  { guard: "fullOfRequests", actions: refusal("too-many-requests") },
  { guard: "full", actions: ["dropPeriodic", "enqueue"] },
  { actions: "enqueue" },
] as const;

export const checkpointingMachine = machine.createMachine({
  id: "checkpointing",
  options: { maxIterations: 50 },
  context: ({ input }) => ({
    ...input,
    lastId: input.reservedCheckpointId,
    queue: [],
    pending: [],
    ended: null,
    abortReason: "job-stopped",
    lastCompleted: 0,
    failures: 0,
    cleaning: 0,
    partlyEnded: false,
    hold: null,
    pausing: false,
    retrying: false,
  }),
  initial: "stopped",
  on: {
    "record.lost": { target: ".deposed" },
    "cleanup.changed": { actions: "noteCleaning" },
  },
  states: {
    stopped: {
      description: "No generation runs.",
      initial: "idle",
      on: {
        "generation.running": { target: "running" },
        // Of checkpoints that outlive their generation.
        "checkpoint.completed": {},
        "checkpoint.aborted": {},
      },
      states: {
        idle: {
          always: { guard: "awaited", target: "awaiting" },
          on: { "checkpoint.requested": { actions: "enqueue" } },
        },
        awaiting: {
          description: "Somebody waits for a checkpoint of a job that does not run yet, for so long (G3).",
          entry: {
            type: "timer.start",
            params: ({ context }) => ({ timer: "ready", ms: context.readyTimeoutMs }),
          },
          exit: cancel("ready"),
          on: {
            // The interval's are forgotten with the generation: none could give way.
            "checkpoint.requested": [onRequest[0], onRequest[1], onRequest[3]],
            "timer.fired": [
              {
                guard: fired("ready"),
                target: "idle",
                actions: [
                  {
                    type: "refuse.requests",
                    params: ({ context }) => ({
                      requests: context.queue.map(({ request }) => request),
                      reason: "not-all-subtasks-running",
                    }),
                  },
                  "dropQueue",
                ],
              },
              {},
            ],
          },
        },
      },
    },
    running: {
      description: "Every subtask of the generation runs: checkpoints are taken (G3).",
      initial: "scheduling",
      exit: [cancel("trigger"), cancel("pause"), cancel("retry"), "forget"],
      on: {
        // To a job that stops without a drain it is nothing new.
        "generation.running": {},
        "subtask.ended": [
          { guard: "goesOnAfterEnds" },
          { guard: "allEnded", actions: "noteSubtaskEnd" },
          { actions: ["noteSubtaskEnd", "dropPeriodic", cancel("trigger")] },
        ],
      },
      states: {
        scheduling: {
          description: "The first one comes at a random time, so that not all jobs begin at once.",
          always: [
            {
              guard: "periodic",
              target: "deciding",
              actions: {
                type: "timer.start",
                params: ({ context }) => ({ timer: "trigger", ms: firstDelayMs(context) }),
              },
            },
            { target: "deciding" },
          ],
        },
        deciding: {
          description: "The first request of the queue begins as soon as it may (G4, G5, G6, G9).",
          always: [
            {
              guard: "holdChanged",
              actions: [
                "noteHold",
                { type: "report.hold", params: ({ context }) => ({ hold: context.hold }) },
              ],
            },
            {
              guard: "refused",
              actions: [
                {
                  type: "refuse.requests",
                  params: ({ context }) => ({
                    requests: context.queue
                      .filter((request) => isRefused(context, request))
                      .map(({ request }) => request),
                    reason: "some-subtasks-ended",
                  }),
                },
                "dropRefused",
              ],
            },
            { guard: "startable", target: "reserving" },
          ],
          on: {
            "generation.stopped": {
              target: "#checkpointing.stopped",
              actions: { type: "tell.checkpoints", params: { event: { type: "checkpoint.canceled" } } },
            },
            "generation.draining": {
              target: "#checkpointing.draining",
              actions: { type: "tell.checkpoints", params: { event: { type: "checkpoint.canceled" } } },
            },
            "checkpoint.requested": onRequest,
            "timer.fired": [
              { guard: fired("pause"), actions: "endPause" },
              { guard: fired("retry"), actions: "endRetry" },
              { guard: "resting", actions: interval },
              { guard: fired("trigger"), actions: "enqueuePeriodic" },
              {},
            ],
            "checkpoint.completed": [{ guard: "notPending" }, { target: "completing" }],
            "checkpoint.aborted": [{ guard: "notPending" }, { target: "failing" }],
          },
        },
        reserving: {
          description: "The next id must be one that was reserved durably (G1).",
          initial: "checking",
          states: {
            checking: {
              always: [
                { guard: "outOfIds", target: "storing", actions: "reserve" },
                { target: "#checkpointing.running.triggering" },
              ],
            },
            storing: {
              description: "Ids are reserved durably, a block at a time, before a barrier carries one (P3).",
              entry: {
                type: "store.reservation",
                params: ({ context }) => ({ reservedCheckpointId: context.reservedCheckpointId }),
              },
              on: { "record.stored": { target: "checking" } },
            },
          },
        },
        triggering: {
          description: "A checkpoint begins; the interval is counted from here.",
          entry: [
            "takeNext",
            {
              type: "start.checkpoint",
              params: ({ context }) => ({
                checkpointId: context.lastId,
                request: context.pending.at(-1)?.request ?? PERIODIC,
              }),
            },
          ],
          always: [{ guard: "tookPeriodic", target: "deciding", actions: interval }, { target: "deciding" }],
        },
        completing: {
          description: "A checkpoint is decided, or a savepoint is complete.",
          initial: "noting",
          entry: ["noteEnd", "noteSuccess"],
          states: {
            noting: {
              always: [
                {
                  guard: "subsumes",
                  target: "pausing",
                  actions: {
                    type: "tell.checkpoints",
                    params: ({ context }) => ({
                      event: {
                        type: "checkpoint.subsumed",
                        checkpointId: context.ended?.checkpointId ?? 0,
                      },
                    }),
                  },
                },
                { target: "pausing" },
              ],
            },
            pausing: {
              always: [
                {
                  guard: "endsTheJob",
                  target: "#checkpointing.running.deciding",
                  actions: cancel("trigger"),
                },
                {
                  guard: "pauseDue",
                  target: "#checkpointing.running.deciding",
                  actions: [
                    "beginPause",
                    {
                      type: "timer.start",
                      params: ({ context }) => ({ timer: "pause", ms: context.minPauseMs }),
                    },
                  ],
                },
                { target: "#checkpointing.running.deciding" },
              ],
            },
          },
        },
        failing: {
          description: "A checkpoint was aborted: does it go against the tolerable failures?",
          initial: "counting",
          entry: "noteEnd",
          states: {
            counting: {
              always: [
                {
                  guard: "tooManyFailures",
                  target: "repeating",
                  actions: [
                    "resetFailures",
                    {
                      type: "tell.job",
                      params: ({ context }) => ({
                        event: {
                          type: "checkpoints.failed",
                          checkpointId: context.ended?.checkpointId ?? 0,
                          reason: context.abortReason,
                        },
                      }),
                    },
                  ],
                },
                { guard: "counted", target: "repeating", actions: "countFailure" },
                { target: "repeating" },
              ],
            },
            repeating: {
              always: [
                {
                  guard: "repeated",
                  target: "#checkpointing.running.deciding",
                  actions: [
                    "repeat",
                    {
                      type: "timer.start",
                      params: ({ context }) => ({ timer: "retry", ms: context.retryMs }),
                    },
                  ],
                },
                { target: "#checkpointing.running.deciding" },
              ],
            },
          },
        },
      },
    },
    draining: {
      description:
        "Sources end as if their input did; only the savepoint that the job then stops with is taken (G11).",
      entry: [
        {
          type: "refuse.requests",
          params: ({ context }) => ({
            requests: context.queue.map(({ request }) => request),
            reason: "job-draining",
          }),
        },
        "dropQueue",
      ],
      on: {
        "generation.running": { target: "running" },
        "generation.stopped": { target: "stopped" },
        "checkpoint.requested": [
          { guard: "stops", actions: "enqueue" },
          { actions: refusal("job-draining") },
        ],
        // What was given up, or outlives it.
        "checkpoint.completed": {},
        "checkpoint.aborted": {},
      },
    },
    deposed: { type: "final", description: "Another leader has taken over (P9)." },
  },
});
