/** What a harness does with loops, joins, idle sources and requests, and what of it a snapshot holds. */
import { expect, test } from "vitest";
import { ascendingTimestamps, defineJob, slidingWindows } from "../../src/index.ts";
import { createTestHarness } from "../../src/testing/index.ts";
import { testSink, testSource } from "../job/connectors.ts";

test("a loop works off what is in it before the input ends", async () => {
  const job = defineJob("halving", { checkpointing: { iterations: "exact" } }, (builder) => {
    builder
      .source<number>("in", testSource())
      .iterate("loop", (loop) => {
        const halved = loop.map("halve", (n) => Math.floor(n / 2));
        return { feedback: halved.filter("again", (n) => n > 0), output: halved };
      })
      .sink("out", testSink());
  });
  const harness = await createTestHarness(job);
  await harness.push("in", 9);
  await harness.end();
  expect(harness.output("out")).toEqual([4, 2, 1, 0]);
  await harness.close();
});

test("a source that was idle speaks again, and its window is open", async () => {
  const job = defineJob("idling", {}, (builder) => {
    const streams = ["a", "b"].map((name) =>
      builder.source<{ key: string; at: number }>(name, testSource(), {
        timestamp: ({ at }) => at,
        watermarks: ascendingTimestamps(),
      }),
    );
    streams[0]!
      .union(streams[1]!)
      .keyBy(({ key }) => key)
      .window(slidingWindows({ size: 20, slide: 10 }))
      .reduce("pairs", (a) => a)
      .sink("out", testSink());
  });
  const harness = await createTestHarness(job);
  await harness.idle("b");
  await harness.push("a", { key: "x", at: 5 });
  await harness.push("b", { key: "y", at: 7 });
  await harness.watermark("a", 100);
  expect(harness.output("out")).toEqual([]);
  const again = await createTestHarness(job, { restore: harness.snapshot() });
  await again.watermark("b", 9);
  expect(again.output("out")).toHaveLength(2);
  await again.close();
  await harness.close();
});

test("a join goes on from a snapshot with the records that wait in it", async () => {
  const job = defineJob("joined", {}, (builder) => {
    const [orders, payments] = ["orders", "payments"].map((name) =>
      builder
        .source<{ key: string; at: number }>(name, testSource(), {
          timestamp: ({ at }) => at,
          watermarks: ascendingTimestamps(),
        })
        .keyBy(({ key }) => key),
    );
    orders!
      .intervalJoin(payments!)
      .between(0, 10)
      .process("pay", (order, payment) => [order.at, payment.at])
      .sink("out", testSink());
  });
  const harness = await createTestHarness(job);
  await harness.push("orders", { key: "x", at: 5 });
  expect(harness.pending()).toEqual(['operator "pay": 1 in state "left" of intervalJoin']);
  const again = await createTestHarness(job, { restore: harness.snapshot() });
  await again.push("payments", { key: "x", at: 15 });
  expect(again.output("out")).toEqual([[5, 15]]);
  await again.end();
  expect(again.pending()).toEqual([]);
  await again.close();
  await harness.close();
});

test("a request that a snapshot holds is asked again, and times out when the clock says so", async () => {
  const asked: string[] = [];
  const job = defineJob("asking", {}, (builder) => {
    builder
      .source<string>("names", testSource())
      .async("ask", {
        timeout: "1s",
        capacity: 1,
        onFailure: "sideOutput",
        request: (name) => {
          asked.push(name);
          return asked.length < 3 ? new Promise<string>(() => {}) : Promise.resolve(name);
        },
      })
      .sink("out", testSink());
  });
  const first = await createTestHarness(job);
  await first.push("names", "ada");
  await first.push("names", "bob");
  const second = await createTestHarness(job, { restore: first.snapshot() });
  await first.close();
  expect(asked).toEqual(["ada", "ada"]);
  await second.advanceClock(1_000);
  expect(second.sideOutput("ask", "failed")).toMatchObject([{ value: "ada", attempts: 1 }]);
  expect(second.output("out")).toEqual(["bob"]);
  await second.close();
});
