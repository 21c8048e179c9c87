/**
 * One transaction of one sink subtask: the sink's half of the two-phase commit.
 *
 * Owns: the order open, cut, durable, decided, committed. Does not own: when it is decided (the coordinator), whose
 * turn it is (subtask.ts commits oldest first), how records are staged and written (the connector).
 *
 * T1  It is committed only after `commit.due`, which follows the decision (C2).
 * T2  No checkpoint's abort reaches it: once cut it stays until it is committed (P14).
 * T3  A commit is repeated until it succeeds; only a refusal that no repetition can mend ends it (P17, P24).
 * T4  The way over `aborting` is open only to a transaction that was never cut, when its generation ends (P14).
 */
import { assign, setup } from "xstate";
import { declareEffects } from "../effects.ts";
import type { TimerEffects, TimerFired, TransactionName } from "../protocol.ts";
import type { SubtaskEvent } from "./subtask.ts";

export interface SinkTransactionInput {
  /** The transaction that a manifest names, cut and made durable by an older generation; null: a new one. */
  readonly restored: TransactionName | null;
  readonly retryMs: number;
}

export type SinkTransactionEvent =
  | { readonly type: "barrier.reached"; readonly transaction: TransactionName }
  | { readonly type: "transaction.staged" }
  | { readonly type: "staging.failed"; readonly reason: string }
  | { readonly type: "commit.due" }
  | { readonly type: "transaction.committed" }
  | { readonly type: "commit.failed"; readonly reason: string }
  | { readonly type: "commit.refused"; readonly reason: string }
  | { readonly type: "transaction.aborted" }
  | { readonly type: "generation.ended" }
  | TimerFired;

export interface SinkTransactionEffects extends TimerEffects {
  /** Makes all that the transaction holds durable, for as long as that takes. */
  "stage.transaction": { readonly transaction: TransactionName };
  /** `commit.failed`: it is tried again. `commit.refused`: no repetition can mend it. */
  "commit.transaction": { readonly transaction: TransactionName };
  "abort.transaction": { readonly transaction: TransactionName };
  "tell.subtask": { readonly event: SubtaskEvent };
}

export interface SinkTransactionAnswers {
  readonly "stage.transaction": "transaction.staged" | "staging.failed";
  readonly "commit.transaction": "transaction.committed" | "commit.failed" | "commit.refused";
  readonly "abort.transaction": "transaction.aborted";
}

interface Context {
  /** Empty while open: the barrier that cuts it gives it its name (P4). */
  readonly transaction: TransactionName;
  readonly restored: boolean;
  readonly retryMs: number;
  readonly reason: string;
}

const machine = setup({
  types: {} as { context: Context; events: SinkTransactionEvent; input: SinkTransactionInput },
  actions: {
    ...declareEffects<SinkTransactionEffects>({
      "stage.transaction": true,
      "commit.transaction": true,
      "abort.transaction": true,
      "tell.subtask": true,
      "timer.start": true,
      "timer.cancel": true,
    }),
    takeName: assign({
      transaction: ({ context, event }) =>
        event.type === "barrier.reached" ? event.transaction : context.transaction,
    }),
    keepReason: assign({
      reason: ({ context, event }) => ("reason" in event ? event.reason : context.reason),
    }),
  },
  guards: {
    restored: ({ context }) => context.restored,
  },
});

export const sinkTransactionMachine = machine.createMachine({
  id: "sink-transaction",
  options: { maxIterations: 20 },
  context: ({ input }) => ({
    transaction: input.restored ?? "",
    restored: input.restored !== null,
    retryMs: input.retryMs,
    reason: "",
  }),
  initial: "beginning",
  states: {
    beginning: {
      description: "New, or taken over from an older generation's manifest.",
      always: [{ guard: "restored", target: "prepared" }, { target: "open" }],
    },
    open: {
      description: "The writer adds records.",
      on: {
        "barrier.reached": { target: "preparing", actions: "takeName" },
        "generation.ended": { target: "aborting" },
      },
    },
    preparing: {
      description: "Cut at its barrier; what it holds is becoming durable.",
      entry: { type: "stage.transaction", params: ({ context }) => ({ transaction: context.transaction }) },
      on: {
        "transaction.staged": {
          target: "prepared",
          actions: {
            type: "tell.subtask",
            params: ({ context }) => ({
              event: { type: "transaction.prepared", transaction: context.transaction },
            }),
          },
        },
        "staging.failed": { target: "lost", actions: "keepReason" },
        "generation.ended": { target: "released" },
      },
    },
    prepared: {
      description: "Durable: it can be committed for ever, by this generation or a later one (P13).",
      on: {
        "commit.due": { target: "committing" },
        "generation.ended": { target: "released" },
      },
    },
    committing: {
      description: "Decided. Committed again and again until it is done (P17).",
      initial: "trying",
      states: {
        trying: {
          entry: {
            type: "commit.transaction",
            params: ({ context }) => ({ transaction: context.transaction }),
          },
          on: { "commit.failed": { target: "pausing", actions: "keepReason" } },
        },
        pausing: {
          entry: { type: "timer.start", params: ({ context }) => ({ timer: "commit", ms: context.retryMs }) },
          on: { "timer.fired": { target: "trying" } },
        },
      },
      on: {
        "transaction.committed": { target: "committed" },
        "commit.refused": { target: "refused", actions: "keepReason" },
        "generation.ended": { target: "released" },
      },
    },
    committed: {
      type: "final",
      description: "Visible at the target, exactly once.",
      entry: {
        type: "tell.subtask",
        params: ({ context }) => ({
          event: { type: "transaction.committed", transaction: context.transaction },
        }),
      },
    },
    refused: {
      type: "final",
      description: "A person has to mend the target; the job stops resumably (P24).",
      entry: {
        type: "tell.subtask",
        params: ({ context }) => ({
          event: { type: "subtask.broke", reason: context.reason, retry: "never" },
        }),
      },
    },
    lost: {
      type: "final",
      description: "Never became durable, so no checkpoint named it: its records are read again (P14).",
      entry: {
        type: "tell.subtask",
        params: ({ context }) => ({
          event: { type: "subtask.broke", reason: context.reason, retry: "restart" },
        }),
      },
    },
    released: {
      type: "final",
      description: "Its generation ended; the manifest that names it, if any, hands it to the next one.",
    },
    aborting: {
      description: "Never cut, and its generation is over (P14).",
      entry: { type: "abort.transaction", params: ({ context }) => ({ transaction: context.transaction }) },
      on: { "transaction.aborted": { target: "aborted" } },
    },
    aborted: { type: "final", description: "It was never cut, so no checkpoint names it." },
  },
});
