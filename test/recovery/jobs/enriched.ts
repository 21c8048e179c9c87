/** The job file of the test of requests: each order gets the price that an HTTP service tells. */
import { defineJob, jetstreamSink, jetstreamSource } from "../../../src/index.ts";
import { throttled } from "../../support/graphs/throttled-source.ts";

export interface Order {
  readonly user: string;
  /** Counts all orders. */
  readonly n: number;
}

export interface PricedOrder extends Order {
  readonly price: number;
}

const service = process.env.PRICE_SERVICE;

export default defineJob(
  "prices",
  {
    parallelism: 2,
    checkpointing: { interval: "300 ms", timeout: "1 h" },
    heartbeat: { timeout: "1 h" },
    restart: { initialBackoff: "100 ms", maxBackoff: "1 s" },
  },
  (job) => {
    const orders = jetstreamSource<Order>({ stream: "IN", subjects: ["in.0", "in.1"], until: "end" });
    job
      .source("read", throttled(orders, { recordsPerSecond: 400, recordsPerCheckpoint: 200 }))
      .keyBy(({ user }) => user)
      .async("price", {
        open: () => ({ url: `${service}/price` }),
        request: async (order, { id, signal, resource }) => {
          const response = await fetch(`${resource.url}/${order.n}`, {
            headers: { "idempotency-key": id },
            signal,
          });
          const answer = await response.text();
          if (!response.ok) throw new Error(`HTTP ${response.status}`);
          return { ...order, price: Number(answer) };
        },
        capacity: 20,
        timeout: "1 h",
        retries: { attempts: 100, delay: 5, maxDelay: 50 },
      })
      .sink(
        "write",
        jetstreamSink<PricedOrder>({
          stream: "OUT",
          subject: ({ user }) => `out.${user}`,
          subjects: ["out.>"],
          provision: true,
        }),
      );
  },
);
