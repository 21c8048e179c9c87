/** Actors of a user's machine, as a user sees them: events and time in, records out, across snapshots. */
import { describe, expect, test } from "vitest";
import { defineJob, type MachineDefinition } from "../../../src/index.ts";
import { createTestHarness } from "../../../src/testing/index.ts";
import { testSink } from "../connectors.ts";
import { eventOf, inputOf, MINUTE, type OrderRecord, orderMachine, ordersOf } from "./orders.ts";

type Options = Partial<
  MachineDefinition<OrderRecord, string, typeof orderMachine, unknown, unknown, unknown, unknown>
>;

const orders = (options: Options = {}) =>
  defineJob("orders", {}, (job) => {
    ordersOf(job)
      .machine("order", {
        machine: orderMachine,
        event: eventOf,
        input: inputOf,
        unknownKey: ({ type }) => (type === "PLACED" ? "start" : "refuse"),
        ...options,
      })
      .sink("out", testSink());
  });

const placed = (order: string, at: number, amount = 10): OrderRecord => ({
  type: "PLACED",
  order,
  at,
  amount,
});
const paid = (order: string, at: number, amount = 10): OrderRecord => ({ type: "PAID", order, at, amount });

describe("an order that must be paid within 30 minutes", () => {
  test("guards, assign, emit and named actions: each key has an actor of its own", async () => {
    const harness = await createTestHarness(orders());
    await harness.push("events", placed("a", 0, 10));
    await harness.push("events", placed("b", 1, 5));
    await harness.push("events", paid("a", 2, 4));
    expect(harness.output("out")).toEqual([]);
    await harness.push("events", paid("a", 3, 6));
    expect(harness.timedOutput("out")).toEqual([{ value: { type: "settled", order: "a" }, timestamp: 3 }]);
    expect(harness.pending()).toEqual([
      'operator "order": 1 actors',
      'operator "order": 2 timers of event time',
    ]);
    await harness.watermark("events", 10 * MINUTE);
    expect(harness.output("out")).toEqual([]);
    await harness.watermark("events", 10 * MINUTE + 1);
    expect(harness.timedOutput("out")).toEqual([
      { value: { type: "remind", params: { owed: 5 } }, timestamp: 10 * MINUTE + 1 },
    ]);
    await harness.watermark("events", 40 * MINUTE);
    expect(harness.timedOutput("out")).toEqual([
      { value: { type: "expired", order: "b", owed: 5 }, timestamp: 30 * MINUTE + 1 },
    ]);
    expect(harness.pending()).toEqual([]);
    await harness.close();
  });

  test("a final state lets the actor go: its key is unknown again, and its delays are over", async () => {
    const harness = await createTestHarness(orders({ done: (output) => output }));
    await harness.push("events", placed("a", 0));
    await harness.push("events", { type: "CANCELED", order: "a", at: 1 });
    expect(harness.output("out")).toEqual([{ order: "a", paid: false }]);
    await harness.push("events", paid("a", 2));
    expect(harness.sideOutput("order", "refused")).toEqual([
      { key: "a", event: { type: "PAID", amount: 10 }, reason: "unknownKey" },
    ]);
    await harness.push("events", placed("a", 3));
    await harness.push("events", paid("a", 4));
    expect(harness.output("out")).toEqual([
      { type: "settled", order: "a" },
      { order: "a", paid: true },
    ]);
    await harness.end();
    expect(harness.output("out")).toEqual([]);
    await harness.close();
  });

  test("a kept actor refuses events by reason; idle ones go, kept or not, and say so", async () => {
    const harness = await createTestHarness(
      orders({ final: "keep", idle: "1h", expired: ({ key, value }) => ({ gone: key, value }) }),
    );
    await harness.push("events", placed("a", 0));
    await harness.push("events", paid("a", 1));
    await harness.push("events", paid("a", 2));
    await harness.push("events", placed("b", 3));
    await harness.push("events", placed("b", 4));
    expect(harness.output("out")).toEqual([{ type: "settled", order: "a" }]);
    expect(harness.sideOutput("order", "refused")).toEqual([
      { key: "a", event: { type: "PAID", amount: 10 }, reason: "done" },
      { key: "b", event: { type: "PLACED", amount: 10 }, reason: "unhandled" },
    ]);
    await harness.watermark("events", 59 * MINUTE);
    expect(harness.output("out")).toEqual([
      { type: "remind", params: { owed: 10 } },
      { type: "expired", order: "b", owed: 10 },
    ]);
    await harness.watermark("events", 61 * MINUTE);
    expect(harness.output("out")).toEqual([{ gone: "a", value: "paid" }]);
    await harness.watermark("events", 120 * MINUTE);
    expect(harness.output("out")).toEqual([{ gone: "b", value: "expired" }]);
    expect(harness.pending()).toEqual([]);
    await harness.close();
  });

  test("delays go on in a restored job, and none is there twice", async () => {
    const first = await createTestHarness(orders());
    await first.push("events", placed("a", 0));
    await first.push("events", placed("b", 0));
    await first.push("events", { type: "NOTE", order: "b", at: 1 });
    await first.watermark("events", 10 * MINUTE);
    expect(first.output("out")).toHaveLength(2);
    const snapshot = first.snapshot();
    await first.close();
    const second = await createTestHarness(orders(), { restore: snapshot });
    await second.push("events", paid("b", 11 * MINUTE));
    await second.end();
    expect(second.output("out")).toEqual([
      { type: "settled", order: "b" },
      { type: "expired", order: "a", owed: 10 },
    ]);
    await second.close();
  });

  test("by the clock of the worker", async () => {
    const harness = await createTestHarness(orders({ time: "processing" }), { nowMs: 1_000 });
    await harness.push("events", placed("a", 0));
    await harness.watermark("events", 100 * MINUTE);
    await harness.advanceClock(10 * MINUTE);
    expect(harness.output("out")).toEqual([]);
    await harness.advanceClock(1);
    expect(harness.output("out")).toEqual([{ type: "remind", params: { owed: 10 } }]);
    await harness.push("events", paid("a", 1));
    await harness.advanceClock(60 * MINUTE);
    expect(harness.timedOutput("out")).toEqual([{ value: { type: "settled", order: "a" }, timestamp: 1 }]);
    await harness.close();
  });

  test("delays that are under way when the input ends fire by event time, or are dropped", async () => {
    for (const endOfInput of ["fire", "drop"] as const) {
      const harness = await createTestHarness(orders({ endOfInput }));
      await harness.push("events", placed("a", 0));
      await harness.end();
      expect(harness.output("out")).toHaveLength(endOfInput === "fire" ? 2 : 0);
      const left = endOfInput === "fire" ? [] : ['operator "order": 1 actors'];
      expect(harness.pending()).toEqual(left);
      await harness.close();
    }
  });
});
