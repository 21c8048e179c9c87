/** The machine of the tests: an order that must be paid within 30 minutes. */
import { assign, emit, setup } from "xstate";
import { ascendingTimestamps, type JobBuilder } from "../../../src/index.ts";
import { testSource } from "../connectors.ts";

export interface OrderRecord {
  readonly order: string;
  readonly at: number;
  readonly type: "PLACED" | "PAID" | "CANCELED" | "NOTE";
  readonly amount?: number;
}

export const MINUTE = 60_000;

const machine = setup({
  types: {
    context: {} as { order: string; owed: number; notes: string[] },
    events: {} as
      | { type: "PLACED"; amount: number }
      | { type: "PAID"; amount: number }
      | { type: "CANCELED" }
      | { type: "NOTE" },
    input: {} as { order: string; amount: number },
    output: {} as { order: string; paid: boolean },
    emitted: {} as { type: "settled"; order: string } | { type: "expired"; order: string; owed: number },
  },
  actions: {
    remind: (_, _params: { owed: number }) => {},
    takePayment: assign({
      owed: ({ context, event }) => (event.type === "PAID" ? context.owed - event.amount : context.owed),
    }),
    note: assign({ notes: ({ context }) => [...context.notes, "note"] }),
  },
  guards: {
    paysAll: ({ context, event }) => event.type === "PAID" && event.amount >= context.owed,
  },
});

export const orderMachine = machine.createMachine({
  id: "order",
  context: ({ input }) => ({ order: input.order, owed: input.amount, notes: [] }),
  initial: "pending",
  output: ({ context }) => ({ order: context.order, paid: context.owed <= 0 }),
  states: {
    pending: {
      after: {
        600000: { actions: { type: "remind", params: ({ context }) => ({ owed: context.owed }) } },
        1800000: { target: "expired" },
      },
      on: {
        PAID: [
          {
            guard: "paysAll",
            target: "paid",
            actions: ["takePayment", emit(({ context }) => ({ type: "settled", order: context.order }))],
          },
          { actions: "takePayment" },
        ],
        CANCELED: "canceled",
        NOTE: { actions: "note" },
      },
    },
    paid: { type: "final" },
    canceled: { type: "final" },
    expired: {
      type: "final",
      entry: emit(({ context }) => ({ type: "expired", order: context.order, owed: context.owed })),
    },
  },
});

export function ordersOf(job: JobBuilder) {
  return job
    .source<OrderRecord>("events", testSource(), {
      timestamp: ({ at }) => at,
      watermarks: ascendingTimestamps(),
    })
    .keyBy(({ order }) => order);
}

export const eventOf = ({ type, amount = 0 }: OrderRecord) =>
  type === "PLACED" || type === "PAID" ? { type, amount } : { type };

export const inputOf = (event: { type: string; amount?: number }, order: string) => ({
  order,
  amount: event.type === "PLACED" ? (event.amount ?? 0) : 0,
});
