/**
 * When a checkpoint is taken (Flink's CheckpointRequestDecider and CheckpointFailureManager).
 *
 * Owns: the interval, the pause, the queue of requests, ids and their durable reservation, how many failures in a row
 * are too many. Does not own: the life of one checkpoint (checkpoint.ts), the clients that wait for a request
 * (request.ts).
 *
 * G1  Ids strictly grow and are reserved durably before a barrier carries them (P3, C1).
 * G2  A request of the job's end (`final`, `suspend`) is repeated until a checkpoint that serves it completes (P19):
 *     any in which every subtask has finished is the final one.
 * G3  Nothing is triggered unless all regions of the job run. A client's request waits for that, bounded.
 * G4  The minimal pause counts from the last completion, of a savepoint too, and holds back periodic checkpoints only.
 * G5  A suspension goes first, then savepoints, then other requests in their order, the interval's last; of those at
 *     most one waits.
 * G6  No more than `maxConcurrent` are pending, except savepoints where no records of channels are stored. Of
 *     savepoints no more than `savepointsMax` are, the others wait in the queue; a suspension waits for none of them.
 *     None is started while more than `maxConcurrent` old ones are still being deleted.
 * G7  A completed checkpoint subsumes every older pending one. Savepoints never are; only that of a stop subsumes.
 * G8  Behind the savepoint that a job stops with nothing begins unless that is given up.
 * G9  Without `afterTasksFinish` nothing begins while some subtasks have ended and others have not, except what the job
 *     ends with: the interval rests, and requests are refused (Flink's NOT_ALL_REQUIRED_TASKS_RUNNING).
 * G10 So many failed checkpoints in a row are tolerated, one more fails the job. A completed one ends the streak;
 *     what fails behind it does not count.
 * G11 While a job is drained nothing begins but the savepoint that it stops with, and any other request is refused.
 */
import type { CheckpointRequest } from "../../protocol.ts";
import { PERIODIC } from "./checkpoint-requests.ts";
import { isRefused } from "./checkpoint-turn.ts";
import type { CheckpointingEvent, RefusalReason } from "./checkpointing-events.ts";
import { type Context, checkpointingSetup, firstDelayMs } from "./checkpointing-setup.ts";

interface Facts {
  readonly context: Context;
  readonly event: CheckpointingEvent;
}

const interval = {
  type: "timer.start",
  params: ({ context }: { context: Context }) => ({ timer: "trigger", ms: context.intervalMs ?? 0 }),
} as const;
const cancel = (timer: string) => ({ type: "timer.cancel", params: { timer } }) as const;
const fired = (timer: string) => ({ type: "timerIs", params: { timer } }) as const;
/** Their clients hear why. */
const refusal = (reason: RefusalReason, those: (facts: Facts) => readonly CheckpointRequest[]) =>
  ({
    type: "tell.requests",
    params: (facts: Facts) => ({
      requests: those(facts).flatMap(({ request }) => request || []),
      event: { type: "request.refused", reason } as const,
    }),
  }) as const;
/** The job may be waiting for one of them: the savepoint that it is to stop with. */
const tellRefused = (reason: RefusalReason, those: (facts: Facts) => readonly CheckpointRequest[]) =>
  ({
    type: "tell.job",
    params: (facts: Facts) => ({
      event: {
        type: "requests.refused",
        requests: those(facts).map(({ request }) => request),
        reason,
      } as const,
    }),
  }) as const;
const asked = ({ event }: Facts) => (event.type === "checkpoint.requested" ? [event.request] : []);
const queued = ({ context }: Facts) => context.queue;
const refusedBy = ({ context }: Facts) => context.queue.filter((request) => isRefused(context, request));
/** What a full queue does with one more (Flink's CheckpointRequestDecider): the interval's gives way. */
const onRequest = [
  { guard: "known" },
  {
    guard: "fullOfRequests",
    actions: [refusal("too-many-requests", asked), tellRefused("too-many-requests", asked)],
  },
  { guard: "full", actions: ["dropPeriodic", "enqueue"] },
  { actions: "enqueue" },
] as const;

export const checkpointingMachine = checkpointingSetup.createMachine({
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
        // Checkpoints that outlive their generation report here.
        "checkpoint.completed": {},
        "checkpoint.aborted": {},
      },
      states: {
        idle: {
          always: { guard: "awaited", target: "awaiting" },
          on: { "checkpoint.requested": { actions: "enqueue" } },
        },
        awaiting: {
          description: "A client waits for a checkpoint of a job that does not run yet, for so long (G3).",
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
                actions: [refusal("not-all-subtasks-running", queued), "dropQueue"],
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
        // This is nothing new to a job that stops without a drain.
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
                refusal("some-subtasks-ended", refusedBy),
                tellRefused("some-subtasks-ended", refusedBy),
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
      entry: [refusal("job-draining", queued), "dropQueue"],
      on: {
        "generation.running": { target: "running" },
        "generation.stopped": { target: "stopped" },
        "checkpoint.requested": [
          { guard: "stops", actions: "enqueue" },
          { actions: refusal("job-draining", asked) },
        ],
        // What was given up, or outlives it.
        "checkpoint.completed": {},
        "checkpoint.aborted": {},
      },
    },
    deposed: { type: "final", description: "Another leader has taken over (P9)." },
  },
});
