/**
 * A shop: the clicks of each user are put together to sessions, and orders meet the payments that came for them within
 * two minutes.
 */
import { boundedOutOfOrderness, defineJob, fileSink, generatorSource, sessionWindows } from "tidemark";

export interface Click {
  readonly user: string;
  /** In ms since 1970, as in the others. */
  readonly at: number;
}

export interface Order {
  readonly id: number;
  readonly at: number;
}

export interface Payment {
  readonly order: number;
  readonly amount: number;
  readonly at: number;
}

export const CLICKS = 2_000;
export const ORDERS = 500;
const START = Date.UTC(2026, 0, 1);

/** Up to 6 s out of order. Users come in bursts, of which each is one session or several. */
export function clickAt(index: number): Click {
  const burst = Math.floor(index / 50);
  return {
    user: `user-${(burst * 5 + ((index * index) % 3)) % 11}`,
    at: START + index * 1_000 - (index % 7) * 1_000,
  };
}

export function orderAt(id: number): Order {
  return { id, at: START + id * 4_000 };
}

/** Some come too late, and each ninth is for an order that is not there. */
export function paymentAt(index: number): Payment {
  const order = index % 9 === 0 ? ORDERS + index : index;
  return { order, amount: (index * 13) % 500, at: START + index * 4_000 + ((index * 11) % 40) * 4_000 };
}

export default defineJob("orders", { parallelism: 2, checkpointing: { interval: "500 ms" } }, (job) => {
  job
    .source("clicks", generatorSource({ count: CLICKS, ratePerSecond: 500, generate: clickAt }), {
      timestamp: (click) => click.at,
      watermarks: boundedOutOfOrderness("10 s"),
      parallelism: 1,
    })
    .keyBy((click) => click.user)
    .window(sessionWindows({ gap: "30 s" }))
    .aggregate(
      "sessions",
      {
        createAccumulator: () => 0,
        add: (clicks) => clicks + 1,
        merge: (clicks, others) => clicks + others,
        getResult: (clicks) => clicks,
      },
      (clicks, { key, window }) => ({ user: key, start: window.start, end: window.end, clicks }),
    )
    .sink("sessions-out", fileSink({ directory: "sessions" }));

  const orders = job.source(
    "orders",
    generatorSource({ count: ORDERS, ratePerSecond: 125, generate: orderAt }),
    { timestamp: (order) => order.at, watermarks: boundedOutOfOrderness("10 s"), parallelism: 1 },
  );
  const payments = job.source(
    "payments",
    generatorSource({ count: ORDERS, ratePerSecond: 125, generate: paymentAt }),
    { timestamp: (payment) => payment.at, watermarks: boundedOutOfOrderness("3 min"), parallelism: 1 },
  );
  orders
    .keyBy((order) => order.id)
    .intervalJoin(payments.keyBy((payment) => payment.order))
    .between(0, "2 min")
    .process("paid", (order, { amount, at }) => ({ order: order.id, amount, paidAfterMs: at - order.at }))
    .sink("paid-out", fileSink({ directory: "paid" }));
});
