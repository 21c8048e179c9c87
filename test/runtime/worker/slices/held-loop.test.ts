/** HL1: a turn that takes long is told with its operators, once a minute. */
import { expect, test } from "vitest";
import { defineOperator } from "../../../../src/dataflow/operators/contract.ts";
import { operatorKinds as kinds } from "../../../../src/dataflow/operators/kinds.ts";
import type { FeedEvent } from "../../../../src/observe/feed.ts";
import type { SubtaskOptions } from "../../../../src/runtime/worker/subtask/subtask.ts";
import { Turns } from "../../../../src/runtime/worker/subtask/turns.ts";
import { heldLoop } from "../../../../src/runtime/worker/time/held-loop.ts";
import { testSink, testSource } from "../../../job/connectors.ts";
import { inRow, map } from "../../../support/graphs/operators.ts";

test("functions that take a second or more are told by the names of their operators", () => {
  let elapsedMs = 0;
  const later: (() => void)[] = [];
  const clock = {
    nowMs: () => 0,
    elapsedMs: () => elapsedMs,
    after: () => ({ cancel() {} }),
    later: (run: () => void) => void later.push(run),
  };
  const lines: unknown[] = [];
  const events: FeedEvent[] = [];
  const operators = inRow([
    defineOperator(kinds.source, "numbers", { source: testSource<unknown>() }),
    map("halve", (value) => value),
    map("price", (value) => value),
    defineOperator(kinds.sink, "out", { sink: testSink<unknown>() }),
  ]);
  const options = {
    vertex: { id: "numbers", parallelism: 2, operators },
    index: 1,
    deployment: { job: "prices", generation: 3 },
    clock,
    logger: { warn: (fields: object, text: string) => lines.push({ ...fields, text }) },
    feed: { publish: (event: FeedEvent) => events.push(event) },
  } as unknown as SubtaskOptions;
  // Records that take so long, and a while between two of them.
  const records = [900, 30_000, 2000, 1500, 1000];
  const turns = new Turns({
    input: {
      take() {
        const tookMs = records.shift();
        if (tookMs === undefined) return "idle";
        elapsedMs += tookMs;
        return "more";
      },
      takeBarrier: () => false,
      onAvailable() {},
    },
    timers: { isDue: false, step() {}, onDue() {} },
    clock,
    rooms: [],
    outputs: [],
    flushMs: 10,
    onHeld: heldLoop(options),
    onEnded() {},
    onFailure(error) {
      throw error;
    },
  });
  turns.start();
  for (let turn = later.shift(); turn !== undefined; turn = later.shift()) {
    turn();
    elapsedMs += 29_000;
  }
  const told = { subtask: "numbers/1", operators: ["halve", "price"] };
  expect(lines).toMatchObject([
    { ...told, tookMs: 30_000, turns: 1, text: expect.stringMatching(/did not return for long.*async\(id/) },
    { ...told, tookMs: 1500, turns: 2 },
  ]);
  expect(events).toMatchObject([
    { job: "prices", generation: 3, role: "operator", id: "numbers/1", event: "loop.held", tookMs: 30_000 },
    { event: "loop.held", operators: ["halve", "price"], turns: 2 },
  ]);
});
