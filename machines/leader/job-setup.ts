/**
 * What the job machine remembers, how that changes, and what its transitions ask: its context, its changes of context
 * and its guards. When which of them is taken, job.ts says.
 */
import { assign, setup } from "xstate";
import { declareEffects } from "../effects.ts";
import type { CheckpointRequest, SubtaskName } from "../protocol.ts";
import { isTerminal } from "../record.ts";
import { reasonInWords } from "../words.ts";
import { isOfStop } from "./checkpoints/checkpoint-requests.ts";
import type { JobEffects, JobEvent, JobInput, RecordFacts } from "./job-events.ts";

export interface Context extends JobInput, RecordFacts {
  readonly restored: readonly SubtaskName[];
  readonly ended: readonly SubtaskName[];
  /** Subtasks that have committed everything up to the latest completed checkpoint. */
  readonly committed: readonly SubtaskName[];
  /** Places of the regions that have no generation, or one that has failed. */
  readonly down: readonly number[];
  readonly suspending: boolean;
  readonly suspendBoundMs: number;
  readonly stop: CheckpointRequest | null;
  readonly draining: boolean;
  readonly unsettled: boolean;
  readonly where: string;
  readonly reason: string;
  readonly recoverable: boolean;
  readonly delayMs: number;
}

const withName = (names: readonly SubtaskName[], name: SubtaskName): readonly SubtaskName[] =>
  names.includes(name) ? names : [...names, name].sort();

export const everyRegion = ({ regions }: Pick<JobInput, "regions">): number[] =>
  regions.map((_, region) => region);

/** The regions that a failure has hit and that were not down before: the job does not wait for a second failure. */
function hitBy({ generations, down }: Context, event: JobEvent): number[] {
  const failed = "generations" in event ? event.generations : "generation" in event ? [event.generation] : [];
  return failed
    .map((generation) => generations.indexOf(generation))
    .filter((region) => region >= 0 && !down.includes(region));
}

const withoutRegions = (names: readonly SubtaskName[], { regions, down }: Context): SubtaskName[] =>
  names.filter((name) => !down.some((region) => regions[region]?.includes(name)));

export const jobSetup = setup({
  types: {} as { context: Context; events: JobEvent; input: JobInput },
  actions: {
    ...declareEffects<JobEffects>({
      "store.claim": true,
      "start.policies": true,
      "plan.recovery": true,
      "await.slots": true,
      "store.generation": true,
      "send.deployment": true,
      "send.start": true,
      "send.drain": true,
      "send.teardown": true,
      "store.settling": true,
      "store.terminal": true,
      "release.job": true,
      "tell.checkpointing": true,
      "report.failure": true,
      "report.recovery": true,
      "timer.start": true,
      "timer.cancel": true,
    }),
    adoptFacts: assign(({ context, event }) =>
      event.type !== "record.stored" && event.type !== "record.refused"
        ? {}
        : {
            ...event.facts,
            committed: event.facts.completed === context.completed ? context.committed : [],
          },
    ),
    beginGeneration: assign(({ context }) => ({
      restored: withoutRegions(context.restored, context),
      ended: withoutRegions(context.ended, context),
      committed: withoutRegions(context.committed, context),
      down: [],
    })),
    takeDown: assign(({ context, event }) => ({
      down: [...context.down, ...hitBy(context, event)].sort((a, b) => a - b),
    })),
    takeAllDown: assign(({ context }) => ({ down: everyRegion(context) })),
    takeUnrestoredDown: assign(({ context: { regions, restored } }) => ({
      down: everyRegion({ regions }).filter(
        (region) => !regions[region]?.every((subtask) => restored.includes(subtask)),
      ),
    })),
    addRestored: assign(({ context, event }) =>
      event.type !== "subtask.restored"
        ? {}
        : {
            restored: withName(context.restored, event.subtask),
            committed: withName(context.committed, event.subtask),
          },
    ),
    addEnded: assign(({ context, event }) =>
      event.type !== "subtask.ended" ? {} : { ended: withName(context.ended, event.subtask) },
    ),
    addCommitted: assign(({ context, event }) =>
      event.type !== "subtask.committed" || event.upTo < context.completed
        ? {}
        : { committed: withName(context.committed, event.subtask) },
    ),
    noteCompleted: assign(({ event }) =>
      event.type !== "checkpoint.completed"
        ? {}
        : { completed: event.checkpointId, allFinished: event.allFinished, committed: [] },
    ),
    noteFailure: assign(({ event }) => {
      switch (event.type) {
        case "subtask.failed":
          return { where: event.subtask, reason: event.reason, recoverable: event.retry === "restart" };
        case "worker.lost":
          return { where: `worker ${event.worker}`, reason: event.reason, recoverable: true };
        case "deployment.failed":
          return { where: "deployment", reason: event.reason, recoverable: true };
        case "recovery.impossible":
          return { where: "recovery", reason: event.reason, recoverable: false };
        case "checkpoints.failed":
          return {
            where: "checkpointing",
            reason: `checkpoint ${event.checkpointId} was given up, one more in a row than are tolerated: ${reasonInWords(event.reason)}`,
            recoverable: true,
          };
        case "stop.failed":
        case "requests.refused":
          return {
            where: "stop",
            reason: `the savepoint of the drained job was given up, so the job goes on from its last checkpoint: ${reasonInWords(event.reason)}`,
            recoverable: true,
          };
        case "timer.fired":
          return { where: "deployment", reason: "not every subtask was restored in time", recoverable: true };
        default:
          return {};
      }
    }),
    noteDelay: assign(({ event }) => (event.type === "restart.granted" ? { delayMs: event.delayMs } : {})),
    settleToFinished: assign({ settleTo: "finished" }),
    settleToStopped: assign({ settleTo: "stopped" }),
    settleToCanceled: assign({ settleTo: "canceled" }),
    settleToSuspended: assign({ settleTo: "suspended" }),
    settleToFailed: assign({ settleTo: "failed" }),
    wantSuspend: assign(({ event }) =>
      event.type !== "suspend.requested" ? {} : { suspending: true, suspendBoundMs: event.boundMs },
    ),
    wantStop: assign(({ event }) =>
      event.type !== "stop.requested"
        ? {}
        : {
            stop: {
              request: event.request,
              reason: event.drain ? "drain" : "stop",
              savepoint: event.savepoint,
            },
            draining: event.drain,
          },
    ),
    forgetStop: assign({ stop: null, draining: false }),
    noteUnsettled: assign({ unsettled: true }),
  },
  guards: {
    /**
     * Whether the event is out of date: its generation is not that of a region that is up, or its subtask is not in
     * that region.
     */
    stale: ({ context, event }) =>
      hitBy(context, event).length === 0 ||
      ("subtask" in event &&
        !context.regions[context.generations.indexOf(event.generation)]?.includes(event.subtask)),
    /** A report may come again; by then more may be decided than it knew of (P16). */
    restoredBefore: ({ context, event }) =>
      event.type === "subtask.restored" && context.restored.includes(event.subtask),
    endedBefore: ({ context, event }) =>
      event.type === "subtask.ended" && context.ended.includes(event.subtask),
    otherTimer: ({ event }, params: { timer: string }) =>
      event.type === "timer.fired" && event.timer !== params.timer,
    terminal: ({ context }) => isTerminal(context.status),
    settling: ({ context }) => context.settleTo !== null,
    unmendable: ({ event }) => event.type === "subtask.failed" && event.retry === "never",
    settlingUnmendable: ({ context, event }) =>
      context.settleTo !== null && event.type === "subtask.failed" && event.retry === "never",
    allFinished: ({ context }) => context.allFinished,
    allRestored: ({ context }) => context.restored.length === context.regions.flat().length,
    someEnded: ({ context }) => context.ended.length > 0,
    allEnded: ({ context }) => context.ended.length === context.regions.flat().length,
    allCommitted: ({ context }) =>
      context.completed === 0 || context.committed.length === context.regions.flat().length,
    /** Each committer is there and has said that it is. */
    ableToCommit: ({ context }) =>
      context.down.length === 0 && context.restored.length === context.regions.flat().length,
    dead: ({ context }) => context.down.length === context.regions.length,
    suspending: ({ context }) => context.suspending,
    stopping: ({ context }) => context.stop !== null,
    draining: ({ context }) => context.draining,
    otherStop: ({ context: { stop }, event }) =>
      event.type === "stop.failed" && event.request !== stop?.request,
    otherRequests: ({ context: { stop }, event }) =>
      event.type === "requests.refused" && !event.requests.includes(stop?.request ?? ""),
    completedForStop: ({ event }) => event.type === "checkpoint.completed" && isOfStop(event),
    completedFinal: ({ event }) => event.type === "checkpoint.completed" && event.allFinished,
    completedForSuspend: ({ context, event }) =>
      event.type === "checkpoint.completed" && context.suspending && event.reason === "suspend",
  },
});
