/**
 * One subtask in a loop, when nothing comes into the loop any more: finds out that nothing is left in it.
 *
 * Owns: the rounds that travel round the loop behind its records, and when the loop has ended. Does not own: records,
 * barriers (alignment.ts), what the end of the input means (subtask.ts).
 *
 * A round is a numbered marker that every subtask where the loop begins (a head) sends, and every other one of the loop
 * sends on. A head says with it whether it has taken a record from a feedback channel since its last one: then it is
 * dirty.
 *
 * LP1  A subtask takes no part in rounds before the channels have ended that come from outside the loop.
 * LP2  Round n leaves a subtask when all its channels inside the loop have brought it; dirty if one of them did. No
 *     channel is blocked meanwhile: a record that so gets in front of a round makes the next one dirty.
 * LP3  One round is under way per head: the next one is sent when the last one is back over every feedback channel.
 * LP4  The loop has ended when a round is back clean. Proof: take a record that is in the loop when the last head has
 *     sent that round, n, and look back to the last time that a head let one of its ancestors in. That was not between
 *     its rounds n-1 and n, or it had sent n dirty; and not before its round n-1, because all that is in front of it is
 *     back at a head before that head sends n, and none was taken then. Round 1 follows unknown times, so it counts as
 *     dirty.
 * LP5  A pointwise edge of a loop joins equal numbers of subtasks. If all edges are pointwise, each index is a loop of
 *     its own. Otherwise each head's rounds reach all heads, so they all see the same: none ends while another one goes
 *     on for ever.
 * LP6  A channel that has ended has brought all rounds, clean: after a restore other heads may have ended.
 */
import { assign, setup } from "xstate";
import { declareEffects } from "../effects.ts";
import type { SubtaskEvent } from "./subtask.ts";

export interface LoopInput {
  /** true: the loop begins with this subtask, and the channels are its feedback channels. */
  readonly head: boolean;
  /** The number of channels inside the loop. */
  readonly channels: number;
}

export type LoopEvent =
  /** All channels from outside the loop have ended. */
  | { readonly type: "inputs.ended" }
  /** `taken`: from a feedback channel, since this head's last round. */
  | {
      readonly type: "round.received";
      readonly channel: number;
      readonly round: number;
      readonly dirty: boolean;
      readonly taken: boolean;
    }
  | { readonly type: "channel.ended"; readonly channel: number };

export interface LoopEffects {
  /** Sends a round behind all records so far, on the edges inside the loop. */
  "send.round": { readonly round: number; readonly dirty: boolean };
  "tell.subtask": { readonly event: SubtaskEvent };
}

interface Round {
  readonly round: number;
  readonly channels: readonly number[];
  readonly dirty: boolean;
}

interface Context extends LoopInput {
  readonly ended: readonly number[];
  /** The rounds that some channels have brought, oldest first. */
  readonly rounds: readonly Round[];
  /** Whether a record was taken since the last round was sent. */
  readonly taken: boolean;
}

const withOne = (numbers: readonly number[], one: number) => [
  ...numbers.filter((other) => other !== one),
  one,
];

/** The oldest round that all channels have brought. */
function completeOne({ rounds, channels, ended }: Context): Round | undefined {
  return rounds.find((one) => new Set([...one.channels, ...ended]).size === channels);
}

const machine = setup({
  types: {} as { context: Context; events: LoopEvent; input: LoopInput },
  actions: {
    ...declareEffects<LoopEffects>({ "send.round": true, "tell.subtask": true }),
    addRound: assign(({ context, event }) => {
      if (event.type !== "round.received") return {};
      const { round, channel } = event;
      const known = context.rounds.find((one) => one.round === round);
      const entry = {
        round,
        channels: withOne(known?.channels ?? [], channel).sort((a, b) => a - b),
        dirty: known?.dirty === true || event.dirty,
      };
      const others = context.rounds.filter((one) => one.round !== round);
      return { rounds: [...others, entry].sort((a, b) => a.round - b.round), taken: event.taken };
    }),
    addEnd: assign(({ context, event }) =>
      event.type === "channel.ended" ? { ended: withOne(context.ended, event.channel) } : {},
    ),
    dropComplete: assign(({ context }) => {
      const complete = completeOne(context)?.round ?? 0;
      return { rounds: context.rounds.filter(({ round }) => round > complete) };
    }),
  },
  guards: {
    head: ({ context }) => context.head,
    complete: ({ context }) => completeOne(context) !== undefined,
    cleanAtHead: ({ context }) => context.head && completeOne(context)?.dirty === false,
    completeAtHead: ({ context }) => context.head && completeOne(context) !== undefined,
  },
});

interface Facts {
  readonly context: Context;
}

export const loopMachine = machine.createMachine({
  id: "loop",
  options: { maxIterations: 20 },
  context: ({ input }) => ({ ...input, ended: [], rounds: [], taken: false }),
  initial: "open",
  on: { "channel.ended": { actions: "addEnd" } },
  states: {
    open: {
      description: "Records still come in from outside; rounds of others wait here (LP1).",
      on: {
        "round.received": { actions: "addRound" },
        "inputs.ended": [
          {
            guard: "head",
            target: "draining",
            actions: { type: "send.round", params: { round: 1, dirty: true } },
          },
          { target: "draining" },
        ],
      },
    },
    draining: {
      description: "Rounds travel behind the records that are left.",
      always: [
        {
          guard: "cleanAtHead",
          target: "drained",
          actions: { type: "tell.subtask", params: { event: { type: "input.ended" } } },
        },
        {
          guard: "completeAtHead",
          actions: [
            {
              type: "send.round",
              params: ({ context }: Facts) => ({
                round: (completeOne(context)?.round ?? 0) + 1,
                dirty: context.taken,
              }),
            },
            "dropComplete",
          ],
        },
        {
          guard: "complete",
          actions: [
            {
              type: "send.round",
              params: ({ context }: Facts) => {
                const { round = 0, dirty = false } = completeOne(context) ?? {};
                return { round, dirty };
              },
            },
            "dropComplete",
          ],
        },
      ],
      on: { "round.received": { actions: "addRound" } },
    },
    drained: {
      description: "Nothing is left in the loop, and nothing comes any more.",
      on: { "round.received": {} },
    },
  },
});
