/**
 * Barriers at a subtask's input gate, exactly-once mode (Flink's SingleCheckpointBarrierHandler): aligned, unaligned,
 * and aligned with a timeout. One checkpoint at a time.
 *
 * Owns: which channels are blocked, when the subtask is at its barrier, which channels' records belong to it. Does not
 * own: the frames (blocked ones stay in their channels: backpressure, not memory), what happens at the barrier
 * (subtask.ts), barriers that no channel waits for (barrier-tracker.ts), a clock: what is left of the timeout comes
 * with the event.
 *
 * A barrier is *announced* when it arrives, *received* when everything in front of it has been processed. Those that
 * never overtake are only received.
 *
 * A1  From barrier n on a channel until n is aligned or given up, that channel is blocked.
 * A2  n is aligned when every channel has delivered it. Channels that ended still deliver barriers (P19), so that the
 *     end of a channel counts for nothing here (Flink's EndOfPartition counts as a barrier).
 * A3  A barrier at or below the highest one seen is late: its channel is not left blocked.
 * A4  A newer barrier gives up the older one, which is declined.
 * A5  An abort is remembered until the barriers come: the first of them is passed over, and a cancel marker takes its
 *     place. It gives up no older checkpoint: several may be on their way.
 * A6  A cancel marker says that its barrier will not come: the checkpoint is given up, declined, and canceled
 *     downstream.
 * A7  Unaligned: the subtask is at its barrier when the first one arrives, and no channel waits. What every channel
 *     still holds or brings in front of its own barrier is collected; it is complete when all barriers have arrived.
 * A8  Aligned with timeout becomes unaligned when the timeout ends, when a barrier arrives later than that, or behind a
 *     subtask where it has become so. Channels that have delivered flow again, the others are collected. A barrier that
 *     never overtakes may come beside others that do (P88): it counts when it is received. One that was in time leaves
 *     as it came, so that behind this subtask it overtakes no sooner.
 * A9  Where a loop begins, the barrier of a feedback channel is an answer to this subtask's own, so it is not waited
 *     for before that. Until it comes back, what the channel brings is processed and, if it is kept, collected as in
 *     A7. It may come first, since others send over it too: then the channel is blocked as in A1, because what follows
 *     is beyond the cut.
 */
import { assign, setup } from "xstate";
import { declareEffects } from "../effects.ts";
import type {
  BarrierAlignment,
  BarrierDecline,
  CheckpointOptions,
  TimerEffects,
  TimerFired,
} from "../protocol.ts";
import { forgetUpTo, type GivenUp, remember, wasGivenUp } from "./given-up.ts";
import type { SubtaskEvent } from "./subtask.ts";

/** The channels that lead back into the loop that begins here. */
export interface FeedbackChannels {
  readonly channels: readonly number[];
  /** Records that are on them when the subtask is at its barrier are part of the checkpoint. */
  readonly stored: boolean;
}

export interface AlignmentInput {
  readonly generation: number;
  /** The number of channels of all kinds. */
  readonly channels: number;
  readonly feedback?: FeedbackChannels;
  readonly restoredCheckpointId: number;
}

export type AlignmentEvent =
  /**
   * A barrier that overtakes, or will once its time has run out. 0: it does. null: it never will, and has come over a
   * feedback channel whose records are kept.
   */
  | {
      readonly type: "barrier.announced";
      readonly channel: number;
      readonly checkpointId: number;
      readonly options: CheckpointOptions;
      readonly remainingMs: number | null;
    }
  | {
      readonly type: "barrier.received";
      readonly channel: number;
      readonly checkpointId: number;
      readonly options: CheckpointOptions;
    }
  | { readonly type: "marker.received"; readonly channel: number; readonly checkpointId: number }
  | { readonly type: "checkpoint.aborted"; readonly generation: number; readonly checkpointId: number }
  | TimerFired;

export interface AlignmentEffects extends TimerEffects {
  "block.channel": { readonly channel: number };
  /** Lets blocked channels flow again, and drops what was collected. */
  "release.channels": { readonly checkpointId: number };
  /** Keeps the records in front of this barrier, those that wait and those to come, on these channels. */
  "begin.collection": { readonly checkpointId: number; readonly channels: readonly number[] };
  /** Makes the collected records durable: all of them are there. */
  "end.collection": { readonly checkpointId: number };
  "tell.subtask": { readonly event: SubtaskEvent };
}

interface Context extends Omit<AlignmentInput, "restoredCheckpointId"> {
  /** The highest checkpoint id seen. */
  readonly checkpointId: number;
  /** The options that the checkpoint's first barrier came with; null: none has come. */
  readonly options: CheckpointOptions | null;
  readonly arrived: readonly number[];
  /** The channels whose barrier has arrived, with records in front of it. */
  readonly announced: readonly number[];
  readonly givenUp: GivenUp;
}

interface Facts {
  readonly context: Context;
}

/** The channels whose barrier has not arrived, of the checkpoint whose barriers are coming in. */
export function missingChannels({ channels, arrived, announced }: Context): number[] {
  return indices(channels).filter((channel) => !arrived.includes(channel) && !announced.includes(channel));
}

const indices = (count: number) => Array.from({ length: count }, (_, index) => index);
const withChannel = (channels: readonly number[], channel: number) =>
  channels.includes(channel) ? channels : [...channels, channel].sort((a, b) => a - b);

const isPresent = ({ context, event }: Facts & { readonly event: AlignmentEvent }) =>
  "checkpointId" in event && event.checkpointId === context.checkpointId;
const isOvertaking = (event: AlignmentEvent) => event.type === "barrier.announced" && event.remainingMs === 0;
const isFeedback = ({ feedback }: Context, channel: number) => feedback?.channels.includes(channel) === true;
/** The channels whose barriers make up this subtask's. */
const ordinary = (context: Context) =>
  indices(context.channels).filter((channel) => !isFeedback(context, channel));
/** The channels whose records up to their own barrier belong to the checkpoint. */
const collected = (context: Context) =>
  indices(context.channels).filter(
    (channel) => context.feedback?.stored !== false || !isFeedback(context, channel),
  );
const haveArrived = ({ arrived }: Context, channels: readonly number[]) =>
  channels.every((channel) => arrived.includes(channel));

const machine = setup({
  types: {} as { context: Context; events: AlignmentEvent; input: AlignmentInput },
  actions: {
    ...declareEffects<AlignmentEffects>({
      "block.channel": true,
      "release.channels": true,
      "begin.collection": true,
      "end.collection": true,
      "tell.subtask": true,
      "timer.start": true,
      "timer.cancel": true,
    }),
    begin: assign(({ event }) =>
      event.type === "barrier.received"
        ? {
            checkpointId: event.checkpointId,
            options: event.options,
            arrived: [event.channel],
            announced: [],
          }
        : {},
    ),
    beginAnnounced: assign(({ event }) =>
      event.type === "barrier.announced"
        ? {
            checkpointId: event.checkpointId,
            options: event.options,
            arrived: [],
            announced: [event.channel],
          }
        : {},
    ),
    addArrived: assign(({ context, event }) =>
      "channel" in event ? { arrived: withChannel(context.arrived, event.channel) } : {},
    ),
    addAnnounced: assign(({ context, event }) =>
      "channel" in event ? { announced: withChannel(context.announced, event.channel) } : {},
    ),
    /** A barrier counts from now on when it arrives. */
    countAnnounced: assign(({ context }) => ({
      arrived: context.announced.reduce(withChannel, context.arrived),
      announced: [],
    })),
    passBarrier: assign(({ context, event }) =>
      "checkpointId" in event
        ? { checkpointId: event.checkpointId, givenUp: forgetUpTo(context.givenUp, event.checkpointId) }
        : {},
    ),
    rememberAbort: assign(({ context, event }) =>
      "checkpointId" in event ? { givenUp: remember(context.givenUp, event.checkpointId) } : {},
    ),
  },
  guards: {
    otherGeneration: ({ context, event }) => "generation" in event && event.generation !== context.generation,
    late: ({ context, event }) => "checkpointId" in event && event.checkpointId <= context.checkpointId,
    older: ({ context, event }) => "checkpointId" in event && event.checkpointId < context.checkpointId,
    newer: ({ context, event }) => "checkpointId" in event && event.checkpointId > context.checkpointId,
    present: isPresent,
    again: (facts) =>
      isPresent(facts) && "channel" in facts.event && facts.context.arrived.includes(facts.event.channel),
    aborted: ({ context, event }) =>
      "checkpointId" in event && wasGivenUp(context.givenUp, event.checkpointId),
    overtaking: ({ event }) => isOvertaking(event),
    presentOvertaking: (facts) => isPresent(facts) && isOvertaking(facts.event),
    neverOvertakes: ({ event }) => event.type === "barrier.announced" && event.remainingMs === null,
    complete: ({ context }) => haveArrived(context, ordinary(context)),
    completeKeeping: ({ context }) =>
      context.feedback?.stored === true && haveArrived(context, ordinary(context)),
    collected: ({ context }) => haveArrived(context, collected(context)),
  },
});

type BarrierFacts = Facts & {
  readonly event: { readonly channel: number; readonly checkpointId: number };
};

const release = {
  type: "release.channels",
  params: ({ context }: Facts) => ({ checkpointId: context.checkpointId }),
} as const;
const block = {
  type: "block.channel",
  params: ({ event }: BarrierFacts) => ({ channel: event.channel }),
} as const;
/** The barrier leaves with the options that it came with, and with what this subtask has made of its alignment. */
const aligned = ({ checkpointId, options }: Context, alignment: BarrierAlignment) =>
  ({
    type: "barrier.aligned",
    checkpointId,
    options: { ...(options as CheckpointOptions), alignment },
  }) as const;
/** An aligned barrier that gives way here to what is held up need not do so elsewhere. */
const inTime = ({ options }: Context): BarrierAlignment =>
  options?.alignment === "aligned" ? "aligned" : "aligned-with-timeout";
/** The subtask snapshots now, although its barriers may not all have arrived. */
const atBarrier = (alignment: BarrierAlignment) =>
  ({
    type: "tell.subtask",
    params: ({ context }: Facts) => ({ event: aligned(context, alignment) }),
  }) as const;
/** The same, in time. */
const atBarrierInTime = {
  type: "tell.subtask",
  params: ({ context }: Facts) => ({ event: aligned(context, inTime(context)) }),
} as const;
const atBarrierKeeping = (alignment: BarrierAlignment) =>
  ({
    type: "tell.subtask",
    params: ({ context }: Facts) => ({ event: { ...aligned(context, alignment), feedback: true } as const }),
  }) as const;
/** Declines the pending checkpoint. */
const declinePresent = (reason: BarrierDecline) =>
  ({
    type: "tell.subtask",
    params: ({ context }: Facts) => ({
      event: { type: "barrier.declined", checkpointId: context.checkpointId, reason } as const,
    }),
  }) as const;
const cancelPresent = {
  type: "tell.subtask",
  params: ({ context }: Facts) => ({
    event: { type: "barrier.canceled", checkpointId: context.checkpointId } as const,
  }),
} as const;

const passOver = ["passBarrier", cancelPresent] as const;
const passMarker = ["passBarrier", declinePresent("declined-on-cancellation-barrier")] as const;
const subsume = [release, declinePresent("declined-subsumed")] as const;
const startTimer = {
  type: "timer.start",
  params: ({ event }: { readonly event: { readonly remainingMs: number | null } }) => ({
    timer: "alignment",
    ms: event.remainingMs ?? 0,
  }),
} as const;
/**
 * The params read the context before `countAnnounced`: barriers that were received have nothing left in front of them.
 */
const collect = [
  {
    type: "begin.collection",
    params: ({ context }: Facts) => ({
      checkpointId: context.checkpointId,
      channels: collected(context).filter((channel) => !context.arrived.includes(channel)),
    }),
  },
  "countAnnounced",
] as const;
const overtake = [...collect, atBarrier("unaligned")] as const;
/** Collects what feedback channels bring until their barrier comes back (A9). */
const keepFeedback = (alignment: BarrierAlignment) =>
  [release, ...collect, atBarrierKeeping(alignment)] as const;

const giveUpWaiting = [release, ...overtake] as const;

const receivedOnce = [{ guard: "again" }, { guard: "present", actions: ["addArrived", block] }] as const;

export const alignmentMachine = machine.createMachine({
  id: "alignment",
  options: { maxIterations: 20 },
  context: ({ input }) => ({
    generation: input.generation,
    channels: input.channels,
    ...(input.feedback && { feedback: input.feedback }),
    checkpointId: input.restoredCheckpointId,
    options: null,
    arrived: [],
    announced: [],
    givenUp: [],
  }),
  initial: "flowing",
  states: {
    flowing: {
      description: "No barrier is pending; every channel is read.",
      on: {
        "barrier.announced": [
          { guard: "late" },
          { guard: "aborted", actions: passOver },
          { guard: "overtaking", target: "pending.collecting", actions: ["beginAnnounced", ...overtake] },
          { guard: "neverOvertakes", target: "pending.aligning", actions: "beginAnnounced" },
          { target: "pending.timed", actions: ["beginAnnounced", startTimer] },
        ],
        "barrier.received": [
          { guard: "late" },
          { guard: "aborted", actions: passOver },
          { target: "pending.aligning", actions: ["begin", block] },
        ],
        "marker.received": [{ guard: "late" }, { actions: passMarker }],
        "checkpoint.aborted": [{ guard: "otherGeneration" }, { guard: "late" }, { actions: "rememberAbort" }],
      },
    },
    pending: {
      description: "Some channels have delivered the barrier.",
      initial: "aligning",
      on: {
        "barrier.announced": [
          { guard: "late" },
          {
            guard: "overtaking",
            target: ".collecting",
            actions: [...subsume, "beginAnnounced", ...overtake],
          },
          { guard: "neverOvertakes", target: ".aligning", actions: [...subsume, "beginAnnounced"] },
          { target: ".timed", actions: [...subsume, "beginAnnounced", startTimer] },
        ],
        "barrier.received": [
          { guard: "late" },
          { target: ".aligning", actions: [...subsume, "begin", block] },
        ],
        "marker.received": [
          { guard: "older" },
          { guard: "newer", target: "flowing", actions: [...subsume, ...passMarker] },
          { target: "flowing", actions: [release, ...passMarker] },
        ],
        "checkpoint.aborted": [
          { guard: "otherGeneration" },
          { guard: "older" },
          { guard: "newer", actions: "rememberAbort" },
          { target: "flowing", actions: [release, cancelPresent] },
        ],
      },
      states: {
        aligning: {
          description: "Channels that delivered the barrier wait, the others flow.",
          always: [
            { guard: "completeKeeping", target: "collecting", actions: keepFeedback("aligned") },
            { guard: "complete", target: "#alignment.flowing", actions: [atBarrier("aligned"), release] },
          ],
          on: {
            "barrier.announced": { guard: "present", actions: "addAnnounced" },
            "barrier.received": receivedOnce,
          },
        },
        timed: {
          description: "The same, until the checkpoint has grown too old for it (A8).",
          exit: { type: "timer.cancel", params: { timer: "alignment" } },
          always: [
            {
              guard: "completeKeeping",
              target: "collecting",
              actions: keepFeedback("aligned-with-timeout"),
            },
            { guard: "complete", target: "#alignment.flowing", actions: [atBarrierInTime, release] },
          ],
          on: {
            "barrier.announced": [
              {
                guard: "presentOvertaking",
                target: "collecting",
                actions: ["addAnnounced", ...giveUpWaiting],
              },
              { guard: "present", actions: "addAnnounced" },
            ],
            "barrier.received": receivedOnce,
            "timer.fired": { target: "collecting", actions: giveUpWaiting },
          },
        },
        collecting: {
          description: "Every channel flows; the records in front of their barriers are kept (A7, A9).",
          always: {
            guard: "collected",
            target: "#alignment.flowing",
            actions: {
              type: "end.collection",
              params: ({ context }) => ({ checkpointId: context.checkpointId }),
            },
          },
          on: {
            "barrier.announced": { guard: "present", actions: "addArrived" },
            "barrier.received": { guard: "present", actions: "addArrived" },
          },
        },
      },
    },
  },
});
