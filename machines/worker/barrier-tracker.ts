/**
 * Barriers at a subtask's input gate that no channel waits for: at-least-once mode (Flink's CheckpointBarrierTracker).
 *
 * Owns: counting barriers; several checkpoints may be open. Does not own: barriers that are waited for or that overtake
 * (alignment.ts), what happens at the barrier (subtask.ts).
 *
 * B1  No channel is ever blocked: a record behind barrier n may be in n's state, and comes again after a restore.
 * B2  The last barrier of n is the subtask's barrier n. Older checkpoints that are still open are dropped without a
 *     word: some channel never delivered theirs.
 * B3  At most 50 checkpoints are tracked; the oldest is dropped.
 * B4  A cancel marker gives up its checkpoint and all older ones, each of them once. It counts as a barrier, so that
 *     the last channel ends the tracking.
 * B5  A gate of one channel tracks nothing: every new barrier is the subtask's.
 */
import { assign, setup } from "xstate";
import { declareEffects } from "../effects.ts";
import type { CheckpointOptions } from "../protocol.ts";
import type { SubtaskEvent } from "./subtask.ts";

export interface BarrierTrackerInput {
  readonly channels: number;
  readonly restoredCheckpointId: number;
}

export type BarrierTrackerEvent =
  | {
      readonly type: "barrier.received";
      readonly channel: number;
      readonly checkpointId: number;
      readonly options: CheckpointOptions;
    }
  | { readonly type: "marker.received"; readonly channel: number; readonly checkpointId: number };

export interface BarrierTrackerEffects {
  "tell.subtask": { readonly event: SubtaskEvent };
}

interface Tracked {
  readonly checkpointId: number;
  /** The options that the checkpoint's first barrier came with; null: none has come. */
  readonly options: CheckpointOptions | null;
  /** The channels that have delivered a barrier or a marker. */
  readonly channels: readonly number[];
  readonly canceled: boolean;
}

interface Context {
  readonly channels: number;
  /** The highest id ever tracked: an id that is not above it and not tracked is late. */
  readonly newest: number;
  /** The open checkpoints, oldest first. */
  readonly tracked: readonly Tracked[];
  /** The checkpoints to be declined. */
  readonly givenUp: readonly number[];
}

const TRACKED_MAX = 50;

/** The channels whose barrier has not come; undefined: the checkpoint is not tracked. */
export function missingFromTracker(
  { channels, tracked }: Context,
  checkpointId: number,
): number[] | undefined {
  const arrived = tracked.find((one) => one.checkpointId === checkpointId)?.channels;
  const all = Array.from({ length: channels }, (_, channel) => channel);
  return arrived && all.filter((channel) => !arrived.includes(channel));
}

function track(tracked: readonly Tracked[], event: BarrierTrackerEvent): Tracked[] {
  const { checkpointId, channel, type } = event;
  const known = tracked.find((one) => one.checkpointId === checkpointId);
  const channels = known?.channels ?? [];
  const entry = {
    checkpointId,
    options: known?.options ?? ("options" in event ? event.options : null),
    channels: channels.includes(channel) ? channels : [...channels, channel].sort((a, b) => a - b),
    canceled: known?.canceled === true || type === "marker.received",
  };
  if (known !== undefined) return tracked.map((one) => (one === known ? entry : one));
  return [...tracked, entry].slice(-TRACKED_MAX);
}

const machine = setup({
  types: {} as { context: Context; events: BarrierTrackerEvent; input: BarrierTrackerInput },
  actions: {
    ...declareEffects<BarrierTrackerEffects>({ "tell.subtask": true }),
    addBarrier: assign(({ context, event }) => ({
      newest: Math.max(context.newest, event.checkpointId),
      tracked: track(context.tracked, event),
    })),
    addMarker: assign(({ context, event }) => ({
      newest: Math.max(context.newest, event.checkpointId),
      tracked: track(
        context.tracked.filter((one) => one.checkpointId >= event.checkpointId),
        event,
      ),
      givenUp: [
        ...context.tracked.filter((one) => !one.canceled && one.checkpointId < event.checkpointId),
        ...(context.tracked.some((one) => one.canceled && one.checkpointId === event.checkpointId)
          ? []
          : [event]),
      ].map((one) => one.checkpointId),
    })),
    pass: assign(({ event }) => ({ newest: event.checkpointId })),
    dropOldestGivenUp: assign(({ context }) => ({ givenUp: context.givenUp.slice(1) })),
    dropComplete: assign(({ context }) => {
      const complete = completeOne(context)?.checkpointId ?? 0;
      return { tracked: context.tracked.filter((one) => one.checkpointId > complete) };
    }),
  },
  guards: {
    late: ({ context, event }) =>
      event.checkpointId <= context.newest &&
      !context.tracked.some((one) => one.checkpointId === event.checkpointId),
    only: ({ context }) => context.channels === 1,
    someGivenUp: ({ context }) => context.givenUp.length > 0,
    complete: ({ context }) => completeOne(context)?.canceled === false,
    completeCanceled: ({ context }) => completeOne(context)?.canceled === true,
  },
});

function completeOne({ tracked, channels }: Context): Tracked | undefined {
  return tracked.find((one) => one.channels.length === channels);
}

const atBarrier = ({ checkpointId, options }: Pick<Tracked, "checkpointId" | "options">) =>
  ({ event: { type: "barrier.aligned", checkpointId, options: options as CheckpointOptions } }) as const;
const declined = (checkpointId: number) =>
  ({
    event: { type: "barrier.declined", checkpointId, reason: "declined-on-cancellation-barrier" },
  }) as const;

export const barrierTrackerMachine = machine.createMachine({
  id: "barrier-tracker",
  // One marker may give up everything that is tracked.
  options: { maxIterations: 2 * TRACKED_MAX },
  context: ({ input }) => ({
    channels: input.channels,
    newest: input.restoredCheckpointId,
    tracked: [],
    givenUp: [],
  }),
  initial: "tracking",
  states: {
    tracking: {
      description: "Every channel is read, whatever its barriers.",
      always: [
        {
          guard: "someGivenUp",
          actions: [
            { type: "tell.subtask", params: ({ context }) => declined(context.givenUp[0] ?? 0) },
            "dropOldestGivenUp",
          ],
        },
        {
          guard: "complete",
          actions: [
            {
              type: "tell.subtask",
              params: ({ context }) => atBarrier(completeOne(context) as Tracked),
            },
            "dropComplete",
          ],
        },
        { guard: "completeCanceled", actions: "dropComplete" },
      ],
      on: {
        "barrier.received": [
          { guard: "late" },
          {
            guard: "only",
            actions: ["pass", { type: "tell.subtask", params: ({ event }) => atBarrier(event) }],
          },
          { actions: "addBarrier" },
        ],
        "marker.received": [
          { guard: "late" },
          {
            guard: "only",
            actions: ["pass", { type: "tell.subtask", params: ({ event }) => declined(event.checkpointId) }],
          },
          { actions: "addMarker" },
        ],
      },
    },
  },
});
