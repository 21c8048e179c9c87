/**
 * Orders get their prices from an HTTP service that fails at times: `GET /price/ITEM` answers `{ "price": 12 }`. A
 * request is made again until it succeeds, at most ten times; an order without a price goes to files of its own.
 *
 * The service lies beside this file (service.ts); `PRICES_URL` names another one.
 */
import { defineJob, fileSink, generatorSource } from "tidemark";

export interface Order {
  readonly id: number;
  readonly item: number;
}

export const ORDERS = 1_000;
const service = process.env.PRICES_URL ?? "http://127.0.0.1:8090";

export function orderAt(id: number): Order {
  return { id, item: (id * 7) % 50 };
}

export default defineJob("enrichment", { parallelism: 2, checkpointing: { interval: "500 ms" } }, (job) => {
  const priced = job
    .source("orders", generatorSource({ count: ORDERS, ratePerSecond: 250, splits: 2, generate: orderAt }))
    .keyBy((order) => order.item)
    .async("price", {
      async request(order, { id, signal }) {
        const answer = await fetch(`${service}/price/${order.item}`, {
          signal,
          headers: { "idempotency-key": id },
        });
        if (!answer.ok) throw new Error(`the service of prices answers ${answer.status}`);
        const { price } = (await answer.json()) as { readonly price: number };
        return { ...order, price };
      },
      timeout: "1 min",
      retries: { attempts: 10, delay: "20 ms" },
      onFailure: "sideOutput",
    });
  priced.sink("priced-out", fileSink({ directory: "priced" }));
  priced.sideOutput("failed").sink("unpriced-out", fileSink({ directory: "unpriced" }));
});
