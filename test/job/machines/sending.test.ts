/** Events from actor to actor: over a loop of the operator's own. */

import { expect, test } from "vitest";
import { assign, emit, setup } from "xstate";
import { resolveJobConfig } from "../../../src/config/job-config.ts";
import { defineJob } from "../../../src/index.ts";
import { buildGraph } from "../../../src/job/graph.ts";
import { createTestHarness } from "../../../src/testing/index.ts";
import { testSink, testSource } from "../connectors.ts";
import { type Ping, ping, pingJob } from "./pings.ts";

/** An account that pays what it has on to the next one. */
const account = setup({
  types: {
    events: {} as Ping,
    context: {} as { balance: number },
    emitted: {} as
      | { type: "PAY"; to: string; amount: number; hops: number }
      | { type: "paid"; amount: number },
  },
  actions: {
    take: assign({ balance: ({ context, event }) => context.balance + Number(event["amount"]) }),
    passOn: emit(({ event }) => ({
      type: "PAY",
      to: String(event["to"]),
      amount: Number(event["amount"]),
      hops: Number(event["hops"]) - 1,
    })),
  },
  guards: { isLast: ({ event }) => Number(event["hops"]) === 0 },
}).createMachine({
  context: { balance: 0 },
  on: {
    PAY: [
      {
        guard: "isLast",
        actions: ["take", emit(({ event }) => ({ type: "paid", amount: Number(event["amount"]) }))],
      },
      { actions: "passOn" },
    ],
  },
});

const addressee = (event: { type: string; to?: string }) => (event.type === "PAY" ? event.to : undefined);
const pay = (hops: number, to = "next") => ping("PAY", 7, { to, amount: 5, hops });

test("an event comes to the actor of the key that it names, and leaves the operator nowhere else", async () => {
  const emit = (event: object, { key }: { key: string }) => ({ ...event, key });
  const harness = await createTestHarness(pingJob(account, { addressee, emit }));
  await harness.push("events", pay(3));
  expect(harness.timedOutput("out")).toEqual([
    { value: { type: "paid", amount: 5, key: "next" }, timestamp: 7 },
  ]);
  expect(harness.pending()).toEqual(['operator "actors": 2 actors']);
  const restore = harness.snapshot();
  await harness.close();
  const second = await createTestHarness(pingJob(account, { addressee, emit }), { restore });
  await second.push("events", pay(1_000));
  await second.end();
  expect(second.output("out")).toEqual([{ type: "paid", amount: 5, key: "next" }]);
  await second.close();
});

test("an event for a key without an actor starts one, or is refused, as the job says", async () => {
  const refusing = await createTestHarness(pingJob(account, { addressee, unknownKey: "refuse" }));
  await refusing.push("events", pay(1));
  expect(refusing.output("out")).toEqual([]);
  expect(refusing.sideOutput("actors", "refused")).toEqual([
    { key: "next", event: { type: "PAY", to: "next", amount: 5, hops: 0 }, reason: "unknownKey" },
  ]);
  await refusing.push("events", ping("OPEN", 1, { key: "next" }));
  await refusing.push("events", pay(1));
  expect(refusing.output("out")).toEqual([{ type: "paid", amount: 5 }]);
  await refusing.close();
  const asked: unknown[] = [];
  const unknownKey = ({ type }: Ping, from: string) => {
    asked.push([type, from]);
    return "start";
  };
  const asking = await createTestHarness(pingJob(account, { addressee, unknownKey }));
  await asking.push("events", pay(1));
  expect(asked).toEqual([
    ["PAY", "record"],
    ["PAY", "actor"],
  ]);
  await asking.close();
});

test("the way back is an edge of the operator to itself, by key; without addressee there is none", () => {
  const options = { parallelism: 2, checkpointing: { iterations: "exact" } } as const;
  const config = resolveJobConfig(options).config;
  const edgesOf = (definition: object) =>
    buildGraph(pingJob(account, definition, options), config)
      .edges.filter(({ to }) => to === "actors")
      .map(({ from, port, partitioner, feedback, loop }) => [from, port, partitioner.kind, feedback, loop]);
  expect(edgesOf({})).toEqual([["events", 0, "hash", undefined, undefined]]);
  expect(edgesOf({ addressee })).toEqual([
    ["events", 0, "hash", undefined, undefined],
    ["actors", 1, "hash", true, "actors"],
  ]);
});

test("actors that send events to each other lie in no other loop", () => {
  const nested = () =>
    defineJob("nested", {}, (job) => {
      job
        .source<Ping>("events", testSource())
        .iterate("loop", (loop) => {
          const out = loop.keyBy(({ key }) => key).machine("actors", { machine: account, addressee });
          return { feedback: out.map("back", () => ping("PAY", 1)), output: out };
        })
        .sink("out", testSink());
    });
  expect(nested).toThrow(
    /operator "actors": its actors send events to each other over a loop of their own.*"loop"/,
  );
});
