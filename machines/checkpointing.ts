/**
 * When a checkpoint is taken (Flink's CheckpointRequestDecider, for one checkpoint at a time).
 *
 * Owns: the interval, the pause, requests from the job's life, ids and their durable reservation. Does not own: the life
 * of one checkpoint (checkpoint.ts).
 *
 * G1  Ids strictly grow and are reserved durably before a barrier carries them (P3, C1).
 * G2  A request of the job's end (`final`, `suspend`) is repeated until a checkpoint that serves it completes (P19).
 * G3  Nothing is triggered unless the whole generation runs.
 * G4  The minimal pause counts from the last completion and holds back periodic checkpoints only (Flink's min-pause).
 */
import { assign, setup } from "xstate";
import type { CheckpointEvent } from "./checkpoint.ts";
import { declareEffects } from "./effects.ts";
import type { AbortReason, CheckpointReason, TimerEffects, TimerFired } from "./protocol.ts";

export interface CheckpointingInput {
  /** null: no periodic checkpoints. */
  readonly intervalMs: number | null;
  readonly minPauseMs: number;
  /** Pause before a checkpoint of the job's end is tried again. */
  readonly retryMs: number;
  /** Ids up to here may have been used. */
  readonly reservedCheckpointId: number;
  /** How many ids one reservation adds. */
  readonly block: number;
}

export type CheckpointingEvent =
  | { readonly type: "generation.running" }
  | { readonly type: "generation.stopped" }
  | { readonly type: "checkpoint.requested"; readonly reason: CheckpointReason }
  | { readonly type: "checkpoint.completed"; readonly checkpointId: number }
  | { readonly type: "checkpoint.aborted"; readonly checkpointId: number; readonly reason: AbortReason }
  | { readonly type: "record.stored" }
  | { readonly type: "record.lost" }
  | TimerFired;

export interface CheckpointingEffects extends TimerEffects {
  /** Answered by `record.stored` or `record.lost`. */
  "store.reservation": { readonly reservedCheckpointId: number };
  /** A new checkpoint actor comes to life. */
  "start.checkpoint": { readonly checkpointId: number; readonly reason: CheckpointReason };
  /** To every checkpoint of the generation that is still alive. */
  "tell.checkpoints": { readonly event: CheckpointEvent };
}

interface Context extends CheckpointingInput {
  /** The last id that was used, or might have been. */
  readonly lastId: number;
  readonly reason: CheckpointReason;
  /** A request of the job's end that no completed checkpoint has served yet. */
  readonly wanted: CheckpointReason | null;
  /** The interval has passed while a checkpoint was under way. */
  readonly late: boolean;
}

const machine = setup({
  types: {} as { context: Context; events: CheckpointingEvent; input: CheckpointingInput },
  actions: {
    ...declareEffects<CheckpointingEffects>({
      "store.reservation": true,
      "start.checkpoint": true,
      "tell.checkpoints": true,
      "timer.start": true,
      "timer.cancel": true,
    }),
    want: assign(({ event }) => (event.type === "checkpoint.requested" ? { wanted: event.reason } : {})),
    forget: assign({ wanted: null, late: false }),
    satisfied: assign({ wanted: null }),
    takeId: assign(({ context }) => ({
      lastId: context.lastId + 1,
      reason: context.wanted ?? "periodic",
      late: false,
    })),
    reserve: assign(({ context }) => ({
      reservedCheckpointId: context.reservedCheckpointId + context.block,
    })),
    markLate: assign({ late: true }),
  },
  guards: {
    otherCheckpoint: ({ context, event }) => "checkpointId" in event && event.checkpointId !== context.lastId,
    otherTimer: ({ event }) => event.type === "timer.fired" && event.timer !== "trigger",
    triggerTimer: ({ event }) => event.type === "timer.fired" && event.timer === "trigger",
    outOfIds: ({ context }) => context.lastId >= context.reservedCheckpointId,
    wanted: ({ context }) => context.wanted !== null,
    late: ({ context }) => context.late,
    due: ({ context }) => context.late || context.wanted !== null,
    pausing: ({ context }) =>
      context.minPauseMs > 0 && context.intervalMs !== null && context.wanted === null,
    servesWanted: ({ context }) => context.reason === context.wanted,
    periodic: ({ context }) => context.intervalMs !== null,
  },
});

const interval = {
  type: "timer.start",
  params: ({ context }: { context: Context }) => ({
    timer: "trigger",
    ms: Math.max(context.intervalMs ?? 0, context.minPauseMs),
  }),
} as const;
const stop = { type: "timer.cancel", params: { timer: "trigger" } } as const;

export const checkpointingMachine = machine.createMachine({
  id: "checkpointing",
  options: { maxIterations: 50 },
  context: ({ input }) => ({
    ...input,
    lastId: input.reservedCheckpointId,
    reason: "periodic",
    wanted: null,
    late: false,
  }),
  initial: "stopped",
  on: { "record.lost": { target: ".deposed" } },
  states: {
    stopped: {
      description: "No generation runs.",
      on: {
        "generation.running": { target: "running" },
        // Of checkpoints that outlive their generation.
        "checkpoint.completed": {},
        "checkpoint.aborted": {},
      },
    },
    running: {
      description: "Every subtask of the generation runs: checkpoints are taken, one at a time (G3).",
      initial: "scheduling",
      exit: [stop, "forget"],
      on: {
        "generation.stopped": {
          target: "stopped",
          actions: { type: "tell.checkpoints", params: { event: { type: "checkpoint.canceled" } } },
        },
        "checkpoint.requested": { actions: "want" },
      },
      states: {
        scheduling: {
          description: "Arms the interval, unless checkpoints are only taken on demand.",
          always: [{ guard: "periodic", target: "waiting", actions: interval }, { target: "waiting" }],
        },
        waiting: {
          description: "For the interval to pass or for a request of the job's end.",
          always: { guard: "wanted", target: "reserving" },
          on: { "timer.fired": [{ guard: "otherTimer" }, { target: "reserving" }] },
        },
        pausing: {
          description:
            "The minimal pause after a completion, which a request of the job's end does not wait for; or a moment before such a request is tried again (G4).",
          entry: {
            type: "timer.start",
            params: ({ context }) => ({
              timer: "pause",
              ms: context.wanted === null ? context.minPauseMs : context.retryMs,
            }),
          },
          exit: { type: "timer.cancel", params: { timer: "pause" } },
          on: {
            "timer.fired": [
              { guard: "triggerTimer", actions: "markLate" },
              { guard: "due", target: "reserving" },
              { target: "waiting" },
            ],
            "checkpoint.requested": { target: "reserving", actions: "want" },
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
            "takeId",
            {
              type: "start.checkpoint",
              params: ({ context }) => ({ checkpointId: context.lastId, reason: context.reason }),
            },
          ],
          always: [{ guard: "periodic", target: "pending", actions: interval }, { target: "pending" }],
        },
        pending: {
          description: "One checkpoint is between trigger and decision.",
          on: {
            "timer.fired": [{ guard: "otherTimer" }, { actions: "markLate" }],
            "checkpoint.completed": [
              { guard: "otherCheckpoint" },
              { guard: "servesWanted", target: "settled", actions: "satisfied" },
              { guard: "pausing", target: "pausing" },
              { guard: "late", target: "reserving" },
              { target: "waiting" },
            ],
            "checkpoint.aborted": [
              { guard: "otherCheckpoint" },
              { guard: "wanted", target: "pausing" },
              { guard: "late", target: "reserving" },
              { target: "waiting" },
            ],
          },
        },
        settled: {
          description: "The checkpoint that the job's end asked for is decided.",
          entry: stop,
          always: { guard: "wanted", target: "waiting" },
        },
      },
    },
    deposed: { type: "final", description: "Another leader has taken over (P9)." },
  },
});
