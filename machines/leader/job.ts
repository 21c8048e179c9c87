/**
 * The life of a job, as its leading coordinator sees it.
 *
 * Owns: when a generation is deployed, restarted, settled and ended. Does not own: checkpoints (checkpointing.ts,
 * checkpoint.ts), whether a restart is granted (restart.ts), placement and delivery (the host).
 *
 * J1  The first act of a leader is to write its token into the record, which fences the old one (P11).
 * J2  A generation is raised durably before anything is deployed for it (P2).
 * J3  Sources start only when every subtask is restored, and with it all decided transactions are committed (P17).
 * J4  A terminal status is reached only through settling: every decided transaction is committed first (P18). Only a
 *     job that cannot go on by itself ends without it: what it is to restore is gone, or its commits are refused for
 *     good (P20, P24).
 * J5  A leader that has lost the record sends nothing and deletes nothing (P9).
 * J6  A failure takes down only the regions that it hit, each with its generation (regions.ts); the others go on,
 *     without checkpoints, until all run again. A job that settles, or is drained, goes down as a whole.
 * J7  No end waits for what only hangs (P49): a suspension gives its checkpoint up after a bound, and a job that is
 *     ended while it restores does not wait for its subtasks, but has another generation commit.
 */
import type { CheckpointRequest } from "../protocol.ts";
import { type Context, everyRegion, jobSetup } from "./job-setup.ts";

/** Tells checkpointing, which decides whether checkpoints go on when some subtasks have ended. */
const tellEnded = {
  type: "tell.checkpointing",
  params: ({ context: { ended, regions } }: { readonly context: Context }) => ({
    event: { type: "subtask.ended", all: ended.length === regions.flat().length } as const,
  }),
} as const;

const FINAL: CheckpointRequest = { request: "", reason: "final", savepoint: null };
const SUSPEND: CheckpointRequest = { request: "", reason: "suspend", savepoint: null };

const failing = { target: ".failing", actions: ["noteFailure", "takeDown"] } as const;
const failingWhole = { target: "#job.failing", actions: ["noteFailure", "takeAllDown"] } as const;
/** A failure while the job drains takes it down as a whole: only new sources read what the drained ones have not. */
const failingDrained = { guard: "draining", ...failingWhole } as const;
/**
 * While settling what fails is tried again (P18), except what no repetition mends: that stops the job resumably (P24).
 */
const resettling = { target: "#job.resettling", actions: "noteFailure" } as const;
const unsettled = { target: "#job.unsettled", actions: "noteFailure" } as const;
const resettlingIfSettling = { guard: "settling", ...resettling } as const;
const stale = { guard: "stale" } as const;
const onFailure = <const S extends readonly object[], T extends readonly object[]>(ofSubtask: S, other: T) =>
  ({
    "subtask.failed": [stale, ...ofSubtask],
    "worker.lost": [stale, ...other],
    "deployment.failed": [stale, ...other],
  }) as const;
const onEnded = [stale, { guard: "endedBefore" }, { actions: ["addEnded", tellEnded] }] as const;
/** The job stops, even when the generation fails meanwhile: the record says so already (RC4). */
const stopped = {
  guard: "completedForStop",
  target: "#job.settling",
  actions: ["noteCompleted", "settleToStopped"],
} as const;
const canceled = { target: "#job.settling", actions: "settleToCanceled" } as const;
/** The job is suspended with the last completed checkpoint. */
const suspended = { target: "#job.settling", actions: "settleToSuspended" } as const;

export const jobMachine = jobSetup.createMachine({
  id: "job",
  options: { maxIterations: 50 },
  context: ({ input }) => ({
    ...input,
    generation: 0,
    generations: [],
    status: "created",
    settleTo: null,
    reservedCheckpointId: 0,
    completed: 0,
    allFinished: false,
    restored: [],
    ended: [],
    committed: [],
    down: everyRegion(input),
    suspending: false,
    suspendBoundMs: 0,
    stop: null,
    draining: false,
    unsettled: false,
    where: "",
    reason: "",
    recoverable: true,
    delayMs: 0,
  }),
  initial: "claiming",
  on: {
    "record.lost": { target: ".deposed" },
    // Regions that keep running report only once, so these are taken in every state.
    "subtask.restored": [stale, { guard: "restoredBefore" }, { actions: "addRestored" }],
    "subtask.ended": [stale, { actions: "addEnded" }],
    "subtask.committed": [stale, { actions: "addCommitted" }],
    // Failures of every region that is up (J6).
    ...onFailure([failing], [failing]),
  },
  states: {
    claiming: {
      description: "My token goes into the record, which fences the leader before me (J1).",
      entry: { type: "store.claim", params: ({ context }) => ({ subtasks: context.regions.flat().length }) },
      on: { "record.stored": { target: "claimed", actions: "adoptFacts" } },
    },
    claimed: {
      description: "The record is mine: what it says decides where the job goes on.",
      entry: {
        type: "start.policies",
        params: ({ context }) => ({ reservedCheckpointId: context.reservedCheckpointId }),
      },
      always: [
        { guard: "terminal", target: "ended" },
        { guard: "settling", target: "recovering" },
        { guard: "allFinished", target: "settling", actions: "settleToFinished" },
        { target: "recovering" },
      ],
    },
    recovering: {
      description: "Facts found in storage decide what is restored (recovery.ts).",
      entry: { type: "plan.recovery", params: ({ context }) => ({ completed: context.completed }) },
      on: {
        "recovery.planned": { target: "waiting" },
        "recovery.impossible": { target: "unsettled", actions: "noteFailure" },
        "cancel.requested": [{ guard: "settling" }, canceled],
        "suspend.requested": [{ guard: "settling" }, suspended],
      },
    },
    waiting: {
      description: "Until the workers offer enough slots.",
      entry: { type: "await.slots", params: ({ context }) => ({ settle: context.settleTo !== null }) },
      on: {
        "slots.available": { target: "deploying" },
        "cancel.requested": [{ guard: "settling" }, canceled],
        "suspend.requested": [{ guard: "settling" }, suspended],
      },
    },
    deploying: {
      description: "A new generation is raised, deployed and restored; no record flows yet.",
      initial: "raising",
      states: {
        raising: {
          description: "The new generation is durable before any worker hears of it (J2).",
          entry: {
            type: "store.generation",
            params: ({ context }) => ({
              generation: context.generation + 1,
              regions: context.down,
              completed: context.completed,
            }),
          },
          on: {
            "record.stored": { target: "restoring", actions: "adoptFacts" },
            "record.refused": { target: "#job.recovering", actions: "adoptFacts" },
          },
        },
        restoring: {
          description: "Subtasks load state, sinks take their markers over and commit what was decided.",
          entry: [
            {
              type: "timer.start",
              params: ({ context }) => ({ timer: "deploy", ms: context.deployTimeoutMs }),
            },
            {
              type: "send.deployment",
              params: ({ context }) => ({
                generations: context.down.flatMap((region) => context.generations[region] ?? []),
                completed: context.completed,
                settle: context.settleTo !== null,
              }),
            },
            "beginGeneration",
          ],
          exit: { type: "timer.cancel", params: { timer: "deploy" } },
          always: [{ guard: "allRestored", target: "restored" }],
          on: {
            "timer.fired": [
              { guard: { type: "otherTimer", params: { timer: "deploy" } } },
              resettlingIfSettling,
              { target: "#job.failing", actions: ["noteFailure", "takeUnrestoredDown"] },
            ],
            ...onFailure(
              [{ guard: "settlingUnmendable", ...unsettled }, resettlingIfSettling],
              [resettlingIfSettling],
            ),
            "cancel.requested": [{ guard: "settling" }, canceled],
            "suspend.requested": [{ guard: "settling" }, suspended],
          },
        },
        restored: {
          description: "Every subtask is restored and has committed what was decided (J3).",
          always: [{ guard: "settling", target: "#job.settling.committing" }, { target: "#job.running" }],
        },
      },
    },
    running: {
      description: "Records flow.",
      entry: [
        { type: "send.start", params: ({ context }) => ({ generations: context.generations }) },
        { type: "report.recovery", params: ({ context }) => ({ generation: context.generation }) },
        { type: "tell.checkpointing", params: { event: { type: "generation.running" } } },
      ],
      exit: [{ type: "tell.checkpointing", params: { event: { type: "generation.stopped" } } }, "forgetStop"],
      initial: "beginning",
      on: {
        ...onFailure([failingDrained], [failingDrained]),
        "checkpoints.failed": failingWhole,
        "cancel.requested": canceled,
        "checkpoint.completed": [
          stopped,
          { guard: "completedFinal", target: "settling", actions: ["noteCompleted", "settleToFinished"] },
          {
            guard: "completedForSuspend",
            target: "settling",
            actions: ["noteCompleted", "settleToSuspended"],
          },
          { actions: "noteCompleted" },
        ],
      },
      states: {
        beginning: {
          description: "Subtasks whose region has gone on may have ended meanwhile.",
          always: [
            { guard: "someEnded", target: "processing", actions: tellEnded },
            { target: "processing" },
          ],
        },
        processing: {
          description: "At least one subtask still has input.",
          always: [
            { guard: "suspending", target: "suspending" },
            { guard: "draining", target: "draining" },
            { guard: "stopping", target: "stopping" },
            { guard: "allEnded", target: "finishing" },
          ],
          on: {
            "subtask.ended": onEnded,
            "suspend.requested": { actions: "wantSuspend" },
            "stop.requested": { actions: "wantStop" },
          },
        },
        draining: {
          description:
            "Sources end as if their input did, and every operator finishes. No checkpoint is taken: a job that was restored from it would never read the rest.",
          entry: [
            { type: "tell.checkpointing", params: { event: { type: "generation.draining" } } },
            { type: "send.drain", params: ({ context }) => ({ generations: context.generations }) },
          ],
          always: { guard: "allEnded", target: "stopping" },
        },
        stopping: {
          description:
            "The savepoint that the job stops with; sources emit nothing behind its barrier. If it fails, the job goes on.",
          entry: [
            {
              type: "tell.checkpointing",
              params: ({ context }) => ({
                event: { type: "checkpoint.requested", request: context.stop ?? FINAL },
              }),
            },
            // A drain had stopped checkpointing; it goes on here.
            { type: "tell.checkpointing", params: { event: { type: "generation.running" } } },
          ],
          on: {
            "subtask.ended": onEnded,
            "stop.failed": [
              { guard: "otherStop" },
              failingDrained,
              { target: "processing", actions: "forgetStop" },
            ],
            "requests.refused": [
              { guard: "otherRequests" },
              failingDrained,
              { target: "processing", actions: "forgetStop" },
            ],
          },
        },
        suspending: {
          description:
            "One more checkpoint, then stop; the job can be resumed from it (P30). One that does not complete in time is given up (J7).",
          entry: [
            {
              type: "tell.checkpointing",
              params: { event: { type: "checkpoint.requested", request: SUSPEND } },
            },
            {
              type: "timer.start",
              params: ({ context }) => ({ timer: "suspend", ms: context.suspendBoundMs }),
            },
          ],
          exit: { type: "timer.cancel", params: { timer: "suspend" } },
          on: {
            "timer.fired": [{ guard: { type: "otherTimer", params: { timer: "suspend" } } }, suspended],
          },
        },
        finishing: {
          description:
            "All input is processed; the final checkpoint is forced and repeated until complete (P19).",
          entry: {
            type: "tell.checkpointing",
            params: { event: { type: "checkpoint.requested", request: FINAL } },
          },
        },
      },
    },
    failing: {
      description: "What has failed is torn down; the restart strategy is asked.",
      entry: [
        {
          type: "send.teardown",
          params: ({ context }) => ({
            generations: context.down.flatMap((region) => context.generations[region] ?? []),
          }),
        },
        {
          type: "report.failure",
          params: ({ context }) => ({
            where: context.where,
            reason: context.reason,
            recoverable: context.recoverable,
          }),
        },
      ],
      on: {
        "restart.granted": { target: "backingOff", actions: "noteDelay" },
        "restart.denied": { target: "settling", actions: "settleToFailed" },
        "checkpoint.completed": [stopped, { actions: "noteCompleted" }],
      },
    },
    backingOff: {
      description: "Waiting before the next deployment.",
      entry: { type: "timer.start", params: ({ context }) => ({ timer: "restart", ms: context.delayMs }) },
      exit: { type: "timer.cancel", params: { timer: "restart" } },
      always: { guard: "suspending", ...suspended },
      on: {
        "timer.fired": [
          { guard: { type: "otherTimer", params: { timer: "restart" } } },
          { target: "recovering" },
        ],
        "cancel.requested": canceled,
        "suspend.requested": suspended,
        "checkpoint.completed": [stopped, { actions: "noteCompleted" }],
      },
    },
    settling: {
      description: "No new input; every decided transaction is committed before the job ends (J4).",
      initial: "storing",
      states: {
        storing: {
          description: "From here on the record refuses every further decision (RC1).",
          entry: {
            type: "store.settling",
            params: ({ context }) => ({ settleTo: context.settleTo ?? "failed", reason: context.reason }),
          },
          on: {
            "record.stored": { target: "judging", actions: "adoptFacts" },
          },
        },
        judging: {
          description: "Is anything decided still uncommitted, and is a subtask there to commit it?",
          always: [
            { guard: "allCommitted", target: "#job.ending" },
            { guard: "ableToCommit", target: "committing" },
            { guard: "dead", target: "#job.recovering" },
            { target: "#job.resettling" },
          ],
        },
        committing: {
          description: "The committers of the last generation are still at it.",
          always: { guard: "allCommitted", target: "#job.ending" },
          on: {
            ...onFailure([{ guard: "unmendable", ...unsettled }, resettling], [resettling]),
          },
        },
      },
    },
    resettling: {
      description: "Not every committer is there while settling: another generation, only to commit (P18).",
      entry: [
        "takeAllDown",
        { type: "send.teardown", params: ({ context }) => ({ generations: context.generations }) },
        { type: "timer.start", params: ({ context }) => ({ timer: "restart", ms: context.settleRetryMs }) },
      ],
      on: {
        "timer.fired": [
          { guard: { type: "otherTimer", params: { timer: "restart" } } },
          { target: "recovering" },
        ],
      },
    },
    unsettled: {
      description:
        "What the record names cannot be read (P20), or a decided transaction cannot be committed (P24): the job stops by name, nothing is deleted, and it can be resumed.",
      entry: [
        {
          type: "report.failure",
          params: ({ context }) => ({ where: context.where, reason: context.reason, recoverable: false }),
        },
        "settleToFailed",
        "noteUnsettled",
      ],
      always: { target: "ending" },
    },
    ending: {
      description: "The terminal status is made durable; only then may anything be deleted.",
      entry: [
        {
          type: "store.terminal",
          params: ({ context }) => ({
            status: context.settleTo ?? "failed",
            keepsAll: context.unsettled || context.settleTo === "suspended",
          }),
        },
      ],
      on: { "record.stored": { target: "ended", actions: "adoptFacts" } },
    },
    ended: {
      type: "final",
      description: "The terminal status is durable; what it does not retain may go (P16).",
      entry: [
        { type: "send.teardown", params: ({ context }) => ({ generations: context.generations }) },
        { type: "release.job", params: ({ context }) => ({ status: context.status }) },
      ],
    },
    deposed: { type: "final", description: "Another leader has taken over (J5)." },
  },
});
