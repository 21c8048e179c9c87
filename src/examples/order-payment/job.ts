/**
 * Orders that must be paid within 30 minutes: a state machine for each order, as one would write it for a service.
 *
 * An order is paid, also in parts, or canceled by its customer, or it expires. What is paid for it after that is
 * refunded. Payments may come out of order, so the machine compares times and does not rely on which event came first:
 * `after` is over only when event time has come there.
 */
import { boundedOutOfOrderness, defineJob, fileSink, generatorSource } from "tidemark";
import { assign, emit, setup } from "xstate";

/** What has happened to an order, at a time in ms since 1970. */
export type OrderEvent =
  | { readonly type: "PLACED"; readonly order: string; readonly at: number; readonly price: number }
  | { readonly type: "PAID"; readonly order: string; readonly at: number; readonly amount: number }
  | { readonly type: "CANCELED"; readonly order: string; readonly at: number };

export interface Outcome {
  readonly type: "paid" | "canceled" | "expired" | "refunded";
  readonly order: string;
  /** In ms since 1970. */
  readonly at: number;
  /** What has been paid of the order by then; of a refund, what goes back. */
  readonly amount: number;
}

export const EVENTS = 3_600;
const START = Date.UTC(2026, 0, 1);
const MINUTE_MS = 60_000;

/** Every minute an order, and two events of earlier ones: a part of the price, and the rest, soon, late or never. */
export function eventAt(index: number): OrderEvent {
  const minute = Math.floor(index / 3);
  // Up to 16 s out of order.
  const at = START + minute * MINUTE_MS - ((index * 7) % 5) * 4_000;
  const named = (number: number) => `order-${number}`;
  if (index % 3 === 0) return { type: "PLACED", order: named(minute), at, price: 10 + (minute % 5) };
  if (index % 3 === 1) return { type: "PAID", order: named(minute - 5), at, amount: 4 };
  const order = named(minute - 10 - ((minute * 13) % 40));
  return minute % 11 === 0 ? { type: "CANCELED", order, at } : { type: "PAID", order, at, amount: 9 };
}

const orderMachine = setup({
  types: {
    context: {} as {
      readonly order: string;
      readonly price: number;
      readonly paid: number;
      readonly dueAt: number;
    },
    events: {} as OrderEvent,
    input: {} as { readonly order: string; readonly price: number; readonly dueAt: number },
    emitted: {} as Outcome,
  },
  actions: {
    take: assign({ paid: ({ context, event }) => context.paid + (event.type === "PAID" ? event.amount : 0) }),
    tellEnd: emit(({ context, event }, { type }: { type: "paid" | "canceled" }) => {
      return { type, order: context.order, at: event.at, amount: context.paid };
    }),
    tellExpiry: emit(({ context }) => {
      return { type: "expired", order: context.order, at: context.dueAt, amount: context.paid };
    }),
    refund: emit(({ context, event }) => {
      const amount = event.type === "PAID" ? event.amount : 0;
      return { type: "refunded", order: context.order, at: event.at, amount };
    }),
  },
  guards: {
    isLate: ({ context, event }) => event.at >= context.dueAt,
    isEnough: ({ context, event }) => event.type === "PAID" && context.paid + event.amount >= context.price,
  },
}).createMachine({
  id: "order",
  context: ({ input }) => ({ ...input, paid: 0 }),
  initial: "pending",
  states: {
    pending: {
      after: { [30 * MINUTE_MS]: "expired" },
      on: {
        PAID: [
          { guard: "isLate", target: "expired", actions: "refund" },
          {
            guard: "isEnough",
            target: "paid",
            actions: ["take", { type: "tellEnd", params: { type: "paid" } }],
          },
          { actions: "take" },
        ],
        CANCELED: [
          { guard: "isLate", target: "expired" },
          { target: "canceled", actions: { type: "tellEnd", params: { type: "canceled" } } },
        ],
      },
    },
    paid: { type: "final" },
    canceled: { on: { PAID: { actions: "refund" } } },
    expired: { entry: "tellExpiry", on: { PAID: { actions: "refund" } } },
  },
});

export default defineJob(
  "order-payment",
  { parallelism: 2, checkpointing: { interval: "500 ms" } },
  (job) => {
    const outcomes = job
      .source("events", generatorSource({ count: EVENTS, ratePerSecond: 450, generate: eventAt }), {
        timestamp: (event) => event.at,
        watermarks: boundedOutOfOrderness("20 s"),
        parallelism: 1,
      })
      .keyBy((event) => event.order)
      .machine("order", {
        machine: orderMachine,
        input: (event, order) => ({
          order,
          price: event.type === "PLACED" ? event.price : 0,
          dueAt: event.at + 30 * MINUTE_MS,
        }),
        unknownKey: (event) => (event.type === "PLACED" ? "start" : "refuse"),
        // Orders that have expired or were canceled are there for refunds so long.
        idle: "2 h",
      });
    outcomes.sink("outcomes-out", fileSink({ directory: "outcomes" }));
    outcomes.sideOutput("refused").sink("refused-out", fileSink({ directory: "refused" }));
  },
);
