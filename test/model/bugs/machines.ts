/** Rules taken out of the machines, by other guards and assignments under the same names. */
import { type AnyStateMachine, assign, createMachine } from "xstate";
import { theProtocol } from "../protocol/variant.ts";
import { type SeededBug, seeded } from "./seeded.ts";

const { job, checkpoint, checkpointing, subtask } = theProtocol;

interface Pending {
  readonly transaction: string;
  readonly checkpointId: number;
  readonly prepared: boolean;
}

interface SubtaskContext {
  readonly pending: readonly Pending[];
  readonly snapshots: readonly object[];
  readonly decidedUpTo: number;
}

interface CutEvent {
  readonly checkpointId: number;
  readonly transactions: readonly string[];
}

type GuardArguments = { readonly context: never; readonly event: { readonly type: string } };

export function withGuards(
  machine: AnyStateMachine,
  guards: Readonly<Record<string, (facts: GuardArguments) => boolean>>,
): AnyStateMachine {
  return machine.provide({ guards } as never);
}

const isDue = ({ decidedUpTo }: SubtaskContext, { prepared, checkpointId }: Pending) =>
  prepared && checkpointId <= decidedUpTo;

const acknowledgeEarly = subtask.provide({
  actions: {
    addTransactions: assign((({ context, event }: { context: SubtaskContext; event: CutEvent }) => ({
      snapshots: context.snapshots.map((one) => ({ ...one, wasCut: true })),
      pending: [
        ...context.pending,
        ...event.transactions.map((transaction) => ({
          transaction,
          checkpointId: event.checkpointId,
          prepared: true,
        })),
      ],
    })) as never),
  },
} as never);

const runFirst = withGuards(subtask, {
  commitDue: ({ context, event }) => {
    const state = context as SubtaskContext;
    const [oldest] = state.pending;
    return event.type !== "state.restored" && oldest !== undefined && isDue(state, oldest);
  },
});

const newestFirst = withGuards(subtask, {
  commitDue: ({ context }) => (context as SubtaskContext).pending.some((one) => isDue(context, one)),
}).provide({
  actions: {
    beginCommit: assign((({ context }: { context: SubtaskContext }) => ({
      committing: context.pending.findLast((one) => isDue(context, one))?.transaction ?? null,
    })) as never),
  },
} as never);

/** The machine with one state in which it takes no notice of an event. */
export const deaf = (machine: AnyStateMachine, path: readonly string[], event: string): AnyStateMachine =>
  withState(machine, path, ({ on }) => ({ on: { ...on, [event]: {} } }));

interface Node {
  readonly on?: Readonly<Record<string, unknown>>;
  readonly states?: Readonly<Record<string, Node>>;
  readonly always?: unknown;
}

/** The machine with one state that is another one in part. */
export function withState(
  machine: AnyStateMachine,
  path: readonly string[],
  altered: (node: Node) => Partial<Node>,
): AnyStateMachine {
  const alter = (node: Node, [state, ...inner]: readonly string[]): Node => {
    if (state !== undefined)
      return { ...node, states: { ...node.states, [state]: alter(node.states![state]!, inner) } };
    return { ...node, ...altered(node) };
  };
  return createMachine(alter(machine.config as Node, path) as never).provide(
    machine.implementations as never,
  );
}

interface CheckpointingContext {
  readonly ended: { readonly checkpointId: number } | null;
  readonly lastCompleted: number;
  readonly failures: number;
}

/** Everything that a completed checkpoint notes but the end of the streak. */
const streakGoesOn = checkpointing.provide({
  actions: {
    noteSuccess: assign((({ context: { ended, lastCompleted } }: { context: CheckpointingContext }) => ({
      lastCompleted: Math.max(lastCompleted, ended?.checkpointId ?? 0),
    })) as never),
  },
} as never);

/** Those of before the latest completed checkpoint count, too. */
const outdatedCount = checkpointing.provide({
  actions: { noteSuccess: assign({ failures: 0 }) },
} as never);

const ALONE = { subtasks: { s: ["X"] }, records: 1 };
const never = { otherGeneration: () => false };

export const machineBugs: readonly SeededBug[] = [
  seeded({
    name: "acknowledge-before-durable",
    rule: "P13, S2",
    what: "A subtask acknowledges while its transaction is still being staged.",
    alters: { subtask: acknowledgeEarly },
    bounds: { subtasks: { s: ["X"] }, slowSnapshots: true, losses: 1 },
    foundBy: "C2 no commit before the decision",
  }),
  seeded({
    name: "sources-before-recovered-commits",
    rule: "P17, S4",
    what: "A restored subtask reports and runs before it has committed what its checkpoint decided.",
    alters: { subtask: runFirst },
    bounds: { losses: 1 },
    foundBy: "P17 recovered commits come first",
  }),
  seeded({
    name: "newest-first",
    rule: "P17, S3",
    what: "Of two decided transactions the newer one is committed first.",
    alters: { subtask: newestFirst },
    bounds: { expiries: 1 },
    foundBy: "C3 exactly once, in order",
  }),
  seeded({
    name: "generation-ignored",
    rule: "P2",
    what: "The generation of a message is not looked at.",
    alters: {
      job: withGuards(job, { stale: () => false }),
      checkpoint: withGuards(checkpoint, never),
      subtask: withGuards(subtask, never),
      faults: { ignoresGenerations: true },
    },
    bounds: { losses: 2, restart: { strategy: "none" }, triggers: 1, records: 1 },
    foundBy: "P18 terminal only when settled",
  }),
  seeded({
    name: "terminal-before-commits",
    rule: "P18, J4",
    what: "The job ends while decided transactions are uncommitted.",
    alters: { job: withGuards(job, { allCommitted: () => true }) },
    bounds: { cancels: 1 },
    foundBy: "P18 terminal only when settled",
  }),
  seeded({
    name: "repeated-report-counts",
    rule: "P16",
    what: "A repeated `subtask.restored` counts as a commit of what was decided since.",
    alters: { job: withGuards(job, { restoredBefore: () => false }) },
    bounds: { cancels: 1 },
    foundBy: "P18 terminal only when settled",
  }),
  seeded({
    name: "dead-committers-awaited",
    rule: "P18",
    what: "The settling job waits for committers that are gone, instead of deploying others.",
    alters: { job: withGuards(job, { ableToCommit: () => true }) },
    bounds: {
      subtasks: { s: ["X"] },
      triggers: 1,
      records: 1,
      losses: 1,
      restart: { strategy: "none" },
      bounded: true,
      goal: "ended",
    },
    foundBy: "goal",
  }),
  seeded({
    name: "one-acknowledgement-is-enough",
    rule: "K1, C4",
    what: "A checkpoint is decided when the first subtask has acknowledged.",
    alters: {
      checkpoint: withGuards(checkpoint, {
        allAcknowledged: ({ context }) => (context as { acknowledged: string[] }).acknowledged.length > 0,
      }),
    },
    bounds: { subtasks: { s: ["X"], t: ["Z"] }, triggers: 1, records: 1 },
    foundBy: "C4 what is decided is complete",
  }),
  seeded({
    name: "failures-never-forgotten",
    rule: "G10",
    what: "A completed checkpoint does not end the streak of failed ones.",
    alters: { checkpointing: streakGoesOn },
    bounds: { ...ALONE, triggers: 3, expiries: 2, tolerableFailures: 1 },
    foundBy: "G10 so many failures in a row are tolerated",
  }),
  seeded({
    name: "one-failure-more-tolerated",
    rule: "G10",
    what: "The job goes on after one failed checkpoint more than it tolerates.",
    alters: {
      checkpointing: withGuards(checkpointing, { tooManyFailures: () => false }),
    },
    bounds: { ...ALONE, triggers: 2, expiries: 2, tolerableFailures: 1 },
    foundBy: "G10 so many failures in a row are tolerated",
  }),
  seeded({
    name: "outdated-failures-count",
    rule: "G10",
    what: "A checkpoint that fails after a newer one has completed counts as a failure.",
    alters: { checkpointing: outdatedCount },
    bounds: { ...ALONE, triggers: 2, maxConcurrent: 2, manifestFailures: 1, tolerableFailures: 0 },
    foundBy: "G10 so many failures in a row are tolerated",
  }),
];
