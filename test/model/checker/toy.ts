/**
 * The checker's own subject: a small two-phase commit in the style of the real machines, and what breaks it.
 *
 * A coordinator process (`coordinator` and, for each checkpoint, a `round` that it creates) and some sinks. Bugs are
 * seeded from outside, by replaced guards, routes and orders of effects: the machines know nothing of them.
 */
import { type AnyStateMachine, assign, setup } from "xstate";
import { declareEffects } from "../../../machines/effects.ts";
import { composeProcess } from "../machine-process.ts";
import type { Effect, Event, ProcessModel } from "../process.ts";

/* ------------------------------------------------------------ coordinator */

interface CoordinatorDurable {
  readonly generation: number;
  readonly checkpointId: number;
  readonly completed: number;
}

interface CoordinatorContext extends CoordinatorDurable {
  readonly checkpointsMax: number;
}

type RoundEvent = { readonly type: "vote.received"; readonly checkpointId: number; readonly sink: string };

type CoordinatorEvent =
  | { readonly type: "checkpoint.requested" }
  | {
      readonly type: "sink.prepared";
      readonly generation: number;
      readonly checkpointId: number;
      readonly sink: string;
    }
  | { readonly type: "round.completed" }
  | { readonly type: "round.aborted" };

interface CoordinatorEffects {
  "store.record": Partial<CoordinatorDurable>;
  "send.restore": { readonly generation: number; readonly completed: number };
  "start.round": { readonly checkpointId: number; readonly generation: number; readonly completed: number };
  "tell.round": { readonly event: RoundEvent };
  "send.commit": { readonly generation: number; readonly checkpointId: number };
  "send.abort": { readonly generation: number; readonly checkpointId: number };
}

const coordinator = setup({
  types: {} as {
    context: CoordinatorContext;
    events: CoordinatorEvent;
    input: { readonly durable: CoordinatorDurable; readonly checkpointsMax: number };
  },
  actions: {
    ...declareEffects<CoordinatorEffects>({
      "store.record": true,
      "send.restore": true,
      "start.round": true,
      "tell.round": true,
      "send.commit": true,
      "send.abort": true,
    }),
    raiseId: assign({ checkpointId: ({ context }) => context.checkpointId + 1 }),
    complete: assign({ completed: ({ context }) => context.checkpointId }),
  },
  guards: {
    mayTrigger: ({ context }) => context.checkpointId < context.checkpointsMax,
    current: ({ context, event }) =>
      event.type === "sink.prepared" &&
      event.generation === context.generation &&
      event.checkpointId === context.checkpointId,
  },
});

const address = ({ context }: { context: CoordinatorContext }) => ({
  generation: context.generation,
  checkpointId: context.checkpointId,
});

export const coordinatorMachine = coordinator.createMachine({
  id: "coordinator",
  options: { maxIterations: 20 },
  context: ({ input }) => ({
    ...input.durable,
    generation: input.durable.generation + 1,
    checkpointsMax: input.checkpointsMax,
  }),
  initial: "recovering",
  states: {
    recovering: {
      description: "Fences the previous life off, then tells every sink what is complete.",
      entry: [
        { type: "store.record", params: ({ context }) => ({ generation: context.generation }) },
        {
          type: "send.restore",
          params: ({ context }) => ({ generation: context.generation, completed: context.completed }),
        },
      ],
      always: { target: "idle" },
    },
    idle: {
      description: "No checkpoint is under way.",
      on: {
        "checkpoint.requested": {
          guard: "mayTrigger",
          target: "collecting",
          actions: [
            "raiseId",
            { type: "store.record", params: ({ context }) => ({ checkpointId: context.checkpointId }) },
            {
              type: "start.round",
              params: ({ context }) => ({
                checkpointId: context.checkpointId,
                generation: context.generation,
                completed: context.completed,
              }),
            },
          ],
        },
      },
    },
    collecting: {
      description: "A round is under way.",
      on: {
        "sink.prepared": {
          guard: "current",
          actions: {
            type: "tell.round",
            params: ({ event }) => ({
              event: { type: "vote.received", checkpointId: event.checkpointId, sink: event.sink },
            }),
          },
        },
        "round.completed": {
          target: "idle",
          actions: [
            "complete",
            { type: "store.record", params: ({ context }) => ({ completed: context.completed }) },
            { type: "send.commit", params: address },
          ],
        },
        "round.aborted": { target: "idle", actions: { type: "send.abort", params: address } },
      },
    },
  },
});

interface RoundContext {
  readonly checkpointId: number;
  readonly generation: number;
  readonly completed: number;
  readonly sinks: readonly string[];
  readonly votes: readonly string[];
}

interface RoundEffects {
  "send.prepare": { readonly checkpointId: number; readonly generation: number; readonly completed: number };
  "timer.start": { readonly timer: string; readonly ms: number };
  "tell.coordinator": { readonly event: CoordinatorEvent };
}

const round = setup({
  types: {} as {
    context: RoundContext;
    events: RoundEvent | { readonly type: "timer.fired" };
    input: Omit<RoundContext, "votes">;
  },
  actions: {
    ...declareEffects<RoundEffects>({ "send.prepare": true, "timer.start": true, "tell.coordinator": true }),
    addVote: assign({
      votes: ({ context, event }) =>
        event.type === "vote.received" && !context.votes.includes(event.sink)
          ? [...context.votes, event.sink].sort()
          : context.votes,
    }),
  },
  guards: { allPrepared: ({ context }) => context.votes.length === context.sinks.length },
});

export const roundMachine = round.createMachine({
  id: "round",
  options: { maxIterations: 20 },
  context: ({ input }) => ({ ...input, votes: [] }),
  initial: "collecting",
  states: {
    collecting: {
      description: "The barrier is out; every sink has to prepare.",
      entry: [
        {
          type: "send.prepare",
          params: ({ context }) => ({
            checkpointId: context.checkpointId,
            generation: context.generation,
            completed: context.completed,
          }),
        },
        { type: "timer.start", params: { timer: "expiry", ms: 1000 } },
      ],
      always: { guard: "allPrepared", target: "completed" },
      on: {
        "vote.received": { actions: "addVote" },
        "timer.fired": { target: "aborted" },
      },
    },
    completed: {
      type: "final",
      entry: { type: "tell.coordinator", params: { event: { type: "round.completed" } } },
    },
    aborted: {
      type: "final",
      entry: { type: "tell.coordinator", params: { event: { type: "round.aborted" } } },
    },
  },
});

/* ------------------------------------------------------------------- sink */

type Phase = "prepared" | "committed" | "aborted";

export interface SinkDurable {
  readonly generation: number;
  readonly transactions: Readonly<Record<number, Phase>>;
}

interface SinkContext extends SinkDurable {
  readonly sink: string;
}

type SinkEvent =
  | {
      readonly type: "prepare.received";
      readonly generation: number;
      readonly checkpointId: number;
      readonly completed: number;
    }
  | { readonly type: "commit.received"; readonly generation: number; readonly checkpointId: number }
  | { readonly type: "abort.received"; readonly generation: number; readonly checkpointId: number }
  | { readonly type: "restore.received"; readonly generation: number; readonly completed: number };

interface SinkEffects {
  "store.transactions": SinkDurable;
  "send.vote": { readonly generation: number; readonly checkpointId: number; readonly sink: string };
}

/** Everything up to `completed` is committed, every other open transaction is rolled back. */
function settle(transactions: SinkDurable["transactions"], completed: number): SinkDurable["transactions"] {
  const settled = Object.entries(transactions).map(([id, phase]): [string, Phase] => {
    if (phase !== "prepared") return [id, phase];
    return [id, Number(id) <= completed ? "committed" : "aborted"];
  });
  return Object.fromEntries(settled);
}

const ids = (context: SinkContext) => Object.keys(context.transactions).map(Number);

const sink = setup({
  types: {} as {
    context: SinkContext;
    events: SinkEvent;
    input: { readonly sink: string; readonly durable: SinkDurable };
  },
  actions: {
    ...declareEffects<SinkEffects>({ "store.transactions": true, "send.vote": true }),
    adoptGeneration: assign({
      generation: ({ context, event }) => Math.max(context.generation, event.generation),
    }),
    settle: assign(({ context, event }) =>
      "completed" in event ? { transactions: settle(context.transactions, event.completed) } : {},
    ),
    setPhase: assign(({ context, event }, { phase }: { phase: Phase }) =>
      "checkpointId" in event
        ? { transactions: { ...context.transactions, [event.checkpointId]: phase } }
        : {},
    ),
  },
  guards: {
    fenced: ({ context, event }) => event.generation < context.generation,
    /** Newer than every transaction it knows: a late prepare must not settle the one that overtook it. */
    unseen: ({ context, event }) =>
      "checkpointId" in event && ids(context).every((known) => known < event.checkpointId),
    isPrepared: ({ context, event }) =>
      "checkpointId" in event && context.transactions[event.checkpointId] === "prepared",
    newer: ({ context, event }) => event.generation > context.generation,
  },
});

const store = {
  type: "store.transactions",
  params: ({ context }: { context: SinkContext }) => ({
    generation: context.generation,
    transactions: context.transactions,
  }),
} as const;

const vote = {
  type: "send.vote",
  params: ({ context, event }: { context: SinkContext; event: SinkEvent }) => ({
    generation: event.generation,
    checkpointId: "checkpointId" in event ? event.checkpointId : 0,
    sink: context.sink,
  }),
} as const;

const become = (phase: Phase) => ({ type: "setPhase", params: { phase } }) as const;

const sinkMachine = sink.createMachine({
  id: "sink",
  options: { maxIterations: 20 },
  context: ({ input }) => ({ sink: input.sink, ...input.durable }),
  initial: "serving",
  states: {
    serving: {
      description: "Prepares, commits and aborts transactions.",
      on: {
        "prepare.received": [
          { guard: "fenced" },
          { guard: "unseen", actions: ["adoptGeneration", "settle", become("prepared"), store, vote] },
          { guard: "isPrepared", actions: ["adoptGeneration", store, vote] },
        ],
        "commit.received": [
          { guard: "fenced" },
          { guard: "isPrepared", actions: [become("committed"), store] },
        ],
        "abort.received": [{ guard: "fenced" }, { guard: "isPrepared", actions: [become("aborted"), store] }],
        "restore.received": { guard: "newer", actions: ["adoptGeneration", "settle", store] },
      },
    },
  },
});

/* ------------------------------------------------------------------ model */

export type Bug = "late-prepare" | "commit-before-decision" | "no-fencing" | "reused-id";

export interface ToyOptions {
  readonly sinks: readonly string[];
  readonly checkpointsMax: number;
  readonly bug?: Bug;
  readonly lettersWaitingMax?: number;
}

export function toyModel(options: ToyOptions): ProcessModel[] {
  return [coordinatorProcess(options), ...options.sinks.map((id) => sinkProcess(id, options.bug))];
}

function coordinatorProcess({ sinks, checkpointsMax, bug, lettersWaitingMax = 0 }: ToyOptions): ProcessModel {
  const process = composeProcess<CoordinatorDurable>({
    id: "coordinator",
    lettersWaitingMax,
    durable: { generation: 0, checkpointId: 0, completed: 0 },
    actors: (durable) => ({
      coordinator: { machine: coordinatorMachine, input: { durable, checkpointsMax } },
    }),
    address: (event) => [{ actor: "coordinator", event }],
    environment: () => [{ type: "checkpoint.requested" }],
    route({ type, params }) {
      if (type === "start.round") {
        return [{ kind: "create", actor: "round", machine: roundMachine, input: { ...params, sinks } }];
      }
      if (type === "store.record")
        return bug === "reused-id" && "checkpointId" in params ? [] : [{ kind: "store", patch: params }];
      if (!type.startsWith("send.")) return undefined;
      const message = { ...params, type: `${type.slice("send.".length)}.received` };
      return sinks.map((to) => ({ kind: "send", to, message }));
    },
  });
  return bug === "commit-before-decision" ? sendingFirst(process) : process;
}

function sinkProcess(id: string, bug?: Bug): ProcessModel {
  return composeProcess<SinkDurable>({
    id,
    durable: { generation: 0, transactions: {} },
    actors: (durable) => ({ sink: { machine: buggySink(bug), input: { sink: id, durable } } }),
    route: ({ type, params }) =>
      type === "store.transactions"
        ? [{ kind: "store", patch: params }]
        : [{ kind: "send", to: "coordinator", message: { ...params, type: "sink.prepared" } }],
  });
}

function buggySink(bug?: Bug): AnyStateMachine {
  if (bug === "no-fencing")
    return sinkMachine.provide({ guards: { fenced: () => false, newer: () => true } });
  if (bug !== "late-prepare") return sinkMachine;
  return sinkMachine.provide({
    guards: {
      unseen: ({ context, event }) => "checkpointId" in event && !ids(context).includes(event.checkpointId),
    },
  });
}

/** The same steps, with everything sent before anything is stored. */
function sendingFirst<State, Durable>(process: ProcessModel<State, Durable>): ProcessModel<State, Durable> {
  const order = (effect: Effect) => (effect.kind === "send" ? 0 : 1);
  return {
    ...process,
    step: (state: State, event: Event) =>
      process
        .step(state, event)
        .map((step) => ({ ...step, effects: step.effects.toSorted((a, b) => order(a) - order(b)) })),
  };
}
