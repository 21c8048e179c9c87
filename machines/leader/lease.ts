/**
 * Leadership among coordinators: a lease with a fencing token (P11).
 *
 * Owns: when this coordinator may consider itself the leader. Does not own: safety. That rests on the compare-and-set
 * of the job records alone; the lease only keeps two leaders from working against each other for long.
 *
 * L1  The token is the revision of the write that took the lease over; every job record carries it.
 * L2  A candidate takes over what it has seen unchanged for longer than the lease, measured on its own clock.
 * L3  A leader that cannot renew keeps trying: if no candidate took over meanwhile, it is still the leader, with the
 *     same token and the same generations (P2).
 * L4  It has lost only when the lease shows another holder.
 * L5  What is to be given back is not competed for any more, also when it was lost in the meantime.
 */
import { assign, setup } from "xstate";
import { declareEffects } from "../effects.ts";
import type { TimerEffects, TimerFired } from "../protocol.ts";

export interface LeaseInput {
  readonly holder: string;
  readonly leaseMs: number;
}

/** What a leader read of the lease says. */
export interface LeaseSeen {
  /** The revision of the lease's key; 0: there is no such key. */
  readonly revision: number;
  readonly holder: string;
  readonly released: boolean;
}

export type LeaseEvent =
  | { readonly type: "lease.seen"; readonly seen: LeaseSeen }
  | { readonly type: "lease.unreadable" }
  | { readonly type: "lease.stored"; readonly revision: number }
  | { readonly type: "lease.refused" }
  | { readonly type: "lease.unknown" }
  | { readonly type: "release.requested" }
  | TimerFired;

export interface LeaseEffects extends TimerEffects {
  "read.lease": { readonly holder: string };
  "store.lease": {
    readonly holder: string;
    readonly token: number;
    readonly revision: number;
    readonly released: boolean;
  };
  "begin.leadership": { readonly token: number };
  "end.leadership": { readonly token: number };
  /** The lease is not held here, and is not competed for any more. */
  "end.candidature": Record<never, never>;
}

export interface LeaseAnswers {
  readonly "read.lease": "lease.seen" | "lease.unreadable";
  readonly "store.lease": "lease.stored" | "lease.refused" | "lease.unknown";
}

interface Context extends LeaseInput {
  readonly revision: number;
  /** The fencing token; 0 while following. */
  readonly token: number;
  readonly seen: LeaseSeen;
}

const NOTHING_SEEN: LeaseSeen = { revision: -1, holder: "", released: false };
/** A lease is renewed and watched this many times while it lasts. */
const CHECKS_PER_LEASE = 4;
/** Clocks of two machines may run at rates this much apart. */
const CLOCK_DRIFT = 1.1;

const machine = setup({
  types: {} as { context: Context; events: LeaseEvent; input: LeaseInput },
  actions: {
    ...declareEffects<LeaseEffects>({
      "read.lease": true,
      "store.lease": true,
      "begin.leadership": true,
      "end.leadership": true,
      "end.candidature": true,
      "timer.start": true,
      "timer.cancel": true,
    }),
    remember: assign(({ event }) => (event.type === "lease.seen" ? { seen: event.seen } : {})),
    takeOver: assign(({ event }) =>
      event.type === "lease.stored" ? { revision: event.revision, token: event.revision } : {},
    ),
    adoptOwn: assign(({ event }) =>
      event.type === "lease.seen" ? { revision: event.seen.revision, token: event.seen.revision } : {},
    ),
    renew: assign(({ event }) => (event.type === "lease.stored" ? { revision: event.revision } : {})),
    renewOwn: assign(({ event }) => (event.type === "lease.seen" ? { revision: event.seen.revision } : {})),
    stepDown: assign({ token: 0, seen: NOTHING_SEEN }),
  },
  guards: {
    free: ({ event }) => event.type === "lease.seen" && (event.seen.revision === 0 || event.seen.released),
    unchanged: ({ context, event }) =>
      event.type === "lease.seen" && event.seen.revision === context.seen.revision,
    mine: ({ context, event }) => event.type === "lease.seen" && event.seen.holder === context.holder,
    takeoverTimer: ({ event }) => event.type === "timer.fired" && event.timer === "takeover",
    checkTimer: ({ event }) => event.type === "timer.fired" && event.timer === "check",
  },
});

const read = {
  type: "read.lease",
  params: ({ context }: { context: Context }) => ({ holder: context.holder }),
} as const;
const check = {
  type: "timer.start",
  params: ({ context }: { context: Context }) => ({ timer: "check", ms: context.leaseMs / CHECKS_PER_LEASE }),
} as const;
const write = {
  type: "store.lease",
  params: ({ context }: { context: Context }) => ({
    holder: context.holder,
    token: context.token,
    revision: context.token === 0 ? context.seen.revision : context.revision,
    released: false,
  }),
} as const;

export const leaseMachine = machine.createMachine({
  id: "lease",
  options: { maxIterations: 20 },
  context: ({ input }) => ({ ...input, revision: 0, token: 0, seen: NOTHING_SEEN }),
  initial: "following",
  on: { "release.requested": { target: ".released" } },
  states: {
    following: {
      description:
        "Watching the holder renew. What stays unchanged for longer than the lease may be taken over (L2).",
      initial: "reading",
      exit: { type: "timer.cancel", params: { timer: "takeover" } },
      states: {
        reading: {
          entry: read,
          on: {
            "lease.seen": [
              { guard: "free", target: "#lease.acquiring", actions: "remember" },
              { guard: "unchanged", target: "pausing" },
              {
                target: "pausing",
                actions: [
                  "remember",
                  {
                    type: "timer.start",
                    params: ({ context }) => ({ timer: "takeover", ms: context.leaseMs * CLOCK_DRIFT }),
                  },
                ],
              },
            ],
            "lease.unreadable": { target: "pausing" },
            "timer.fired": { guard: "takeoverTimer", target: "confirming" },
          },
        },
        pausing: {
          entry: check,
          on: {
            "timer.fired": [
              { guard: "takeoverTimer", target: "confirming" },
              { guard: "checkTimer", target: "reading" },
            ],
          },
        },
        confirming: {
          description: "One more read: still unchanged, so its holder is gone or cut off.",
          entry: read,
          on: {
            "lease.seen": [
              { guard: "free", target: "#lease.acquiring", actions: "remember" },
              { guard: "unchanged", target: "#lease.acquiring" },
              {
                target: "pausing",
                actions: [
                  "remember",
                  {
                    type: "timer.start",
                    params: ({ context }) => ({ timer: "takeover", ms: context.leaseMs * CLOCK_DRIFT }),
                  },
                ],
              },
            ],
            "lease.unreadable": { target: "unseen" },
          },
        },
        unseen: {
          description: "Unreadable at the moment of take-over; the old observation still counts.",
          entry: check,
          on: { "timer.fired": { guard: "checkTimer", target: "confirming" } },
        },
      },
    },
    acquiring: {
      description:
        "Writes my name over the very revision that was seen; that write's own revision becomes the token (L1).",
      entry: write,
      on: {
        "lease.stored": { target: "leading", actions: "takeOver" },
        "lease.refused": { target: "following" },
        "lease.unknown": { target: "settling" },
      },
    },
    settling: {
      description: "The outcome of the take-over is unknown: the lease itself says whether it is mine.",
      entry: read,
      on: {
        "lease.seen": [
          { guard: "mine", target: "leading", actions: ["remember", "adoptOwn"] },
          { guard: "unchanged", target: "acquiring" },
          { target: "following" },
        ],
        "lease.unreadable": { target: "settlingAgain" },
      },
    },
    settlingAgain: {
      description: "The lease cannot be read yet; whether it is mine stays open until it can (P8).",
      entry: check,
      on: { "timer.fired": { guard: "checkTimer", target: "settling" } },
    },
    leading: {
      description: "The leader, until the lease shows another holder (L4).",
      entry: { type: "begin.leadership", params: ({ context }) => ({ token: context.token }) },
      initial: "resting",
      states: {
        resting: {
          entry: check,
          on: { "timer.fired": { guard: "checkTimer", target: "renewing" } },
        },
        renewing: {
          entry: write,
          on: {
            "lease.stored": { target: "resting", actions: "renew" },
            "lease.refused": { target: "doubting" },
            "lease.unknown": { target: "doubting" },
          },
        },
        doubting: {
          description:
            "The renewal failed or its outcome is unknown; only another holder's name ends this term (L3, L4).",
          entry: read,
          on: {
            "lease.seen": [
              { guard: "mine", target: "renewing", actions: "renewOwn" },
              { target: "#lease.following", actions: lost() },
            ],
            "lease.unreadable": { target: "pausing" },
          },
        },
        pausing: {
          entry: check,
          on: { "timer.fired": { guard: "checkTimer", target: "doubting" } },
        },
      },
      on: { "release.requested": { target: "releasing" } },
    },
    releasing: {
      description: "Orderly end: a standby need not wait.",
      entry: [
        { type: "end.leadership", params: ({ context }) => ({ token: context.token }) },
        {
          type: "store.lease",
          params: ({ context }) => ({
            holder: context.holder,
            token: context.token,
            revision: context.revision,
            released: true,
          }),
        },
      ],
      on: {
        "lease.stored": { target: "released" },
        "lease.refused": { target: "released" },
        "lease.unknown": { target: "released" },
      },
    },
    released: {
      type: "final",
      description: "Given back, lost before it could be, or as good as given back: a standby takes over.",
      entry: { type: "end.candidature", params: {} },
    },
  },
});

function lost() {
  return [
    { type: "end.leadership", params: ({ context }: { context: Context }) => ({ token: context.token }) },
    "stepDown",
  ] as const;
}
