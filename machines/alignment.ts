/**
 * Barriers at a subtask's input gate, exactly-once mode (Flink's SingleCheckpointBarrierHandler, "Aligned").
 *
 * Owns: which channels are blocked and when the barrier counts as arrived. Does not own: the frames (blocked ones stay
 * in their channels: backpressure, not memory) and what happens at the barrier (subtask.ts).
 *
 * A1  From barrier n on a channel until n is aligned or given up, that channel is blocked.
 * A2  n is aligned when every channel has delivered it. Channels that ended still deliver barriers (P19).
 * A3  A barrier at or below the highest one seen is late: its channel is not left blocked.
 * A4  A newer barrier gives up the older one.
 */
import { assign, setup } from "xstate";
import { declareEffects } from "./effects.ts";
import type { SubtaskEvent } from "./subtask.ts";

export interface AlignmentInput {
  readonly generation: number;
  readonly channels: number;
  readonly restoredCheckpointId: number;
}

export type AlignmentEvent =
  | { readonly type: "barrier.received"; readonly channel: number; readonly checkpointId: number }
  | { readonly type: "checkpoint.aborted"; readonly generation: number; readonly checkpointId: number };

export interface AlignmentEffects {
  "block.channel": { readonly channel: number };
  "unblock.channels": { readonly checkpointId: number };
  "tell.subtask": { readonly event: SubtaskEvent };
}

interface Context {
  readonly generation: number;
  readonly channels: number;
  readonly checkpointId: number;
  readonly arrived: readonly number[];
}

const machine = setup({
  types: {} as { context: Context; events: AlignmentEvent; input: AlignmentInput },
  actions: {
    ...declareEffects<AlignmentEffects>({
      "block.channel": true,
      "unblock.channels": true,
      "tell.subtask": true,
    }),
    begin: assign(({ event }) =>
      event.type === "barrier.received" ? { checkpointId: event.checkpointId, arrived: [event.channel] } : {},
    ),
    addChannel: assign(({ context, event }) =>
      event.type === "barrier.received"
        ? { arrived: [...context.arrived, event.channel].sort((a, b) => a - b) }
        : {},
    ),
    passBarrier: assign(({ context, event }) => ({
      checkpointId: Math.max(context.checkpointId, event.checkpointId),
    })),
  },
  guards: {
    otherGeneration: ({ context, event }) => "generation" in event && event.generation !== context.generation,
    late: ({ context, event }) => event.checkpointId <= context.checkpointId,
    older: ({ context, event }) => event.checkpointId < context.checkpointId,
    newer: ({ context, event }) => event.checkpointId > context.checkpointId,
    again: ({ context, event }) =>
      event.type === "barrier.received" && context.arrived.includes(event.channel),
    complete: ({ context }) => context.arrived.length === context.channels,
  },
});

const unblock = {
  type: "unblock.channels",
  params: ({ context }: { context: Context }) => ({ checkpointId: context.checkpointId }),
} as const;

export const alignmentMachine = machine.createMachine({
  id: "alignment",
  options: { maxIterations: 20 },
  context: ({ input }) => ({
    generation: input.generation,
    channels: input.channels,
    checkpointId: input.restoredCheckpointId,
    arrived: [],
  }),
  initial: "flowing",
  states: {
    flowing: {
      description: "No barrier is pending; every channel is read.",
      on: {
        "barrier.received": [
          { guard: "late" },
          {
            target: "aligning",
            actions: [
              "begin",
              { type: "block.channel", params: ({ event }) => ({ channel: event.channel }) },
            ],
          },
        ],
        "checkpoint.aborted": [{ guard: "otherGeneration" }, { guard: "late" }, { actions: "passBarrier" }],
      },
    },
    aligning: {
      description: "Channels that delivered the barrier wait, the others flow.",
      always: {
        guard: "complete",
        target: "flowing",
        actions: [
          {
            type: "tell.subtask",
            params: ({ context }) => ({
              event: { type: "barrier.aligned", checkpointId: context.checkpointId },
            }),
          },
          unblock,
        ],
      },
      on: {
        "barrier.received": [
          { guard: "older" },
          {
            guard: "newer",
            actions: [
              unblock,
              "begin",
              { type: "block.channel", params: ({ event }) => ({ channel: event.channel }) },
            ],
          },
          { guard: "again" },
          {
            actions: [
              "addChannel",
              { type: "block.channel", params: ({ event }) => ({ channel: event.channel }) },
            ],
          },
        ],
        "checkpoint.aborted": [
          { guard: "otherGeneration" },
          { guard: "older" },
          { target: "flowing", actions: ["passBarrier", unblock] },
        ],
      },
    },
  },
});
