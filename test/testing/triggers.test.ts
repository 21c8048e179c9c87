/** Windows with a trigger, results that are taken back and states of their own, in a job that is restored. */
import { expect, test } from "vitest";
import {
  ascendingTimestamps,
  type Change,
  continuousEventTimeTrigger,
  defineJob,
  tumblingWindows,
  valueState,
} from "../../src/index.ts";
import { createTestHarness } from "../../src/testing/index.ts";
import { testSink, testSource } from "../job/connectors.ts";

interface View {
  readonly room: string;
  readonly at: number;
}

const job = defineJob("rooms", {}, (builder) => {
  const counts = builder
    .source<View>("views", testSource(), { timestamp: ({ at }) => at, watermarks: ascendingTimestamps() })
    .keyBy(({ room }) => room)
    .window(tumblingWindows({ size: 100 }), {
      trigger: continuousEventTimeTrigger(10),
      retract: true,
      windowState: { told: valueState(0) },
      keyState: { told: valueState(0) },
    })
    .process("counts", (views, { key, firing, windowState, keyState }) => {
      windowState.told.set(windowState.told.get() + 1);
      keyState.told.set(keyState.told.get() + 1);
      return `${key} ${views.length} ${firing}, ${windowState.told.get()} and ${keyState.told.get()}`;
    });
  counts.map("shown", ({ change, value }: Change<string>) => `${change} ${value}`).sink("out", testSink());
});

test("early results are taken back behind a restore, and the states of windows go with them", async () => {
  const first = await createTestHarness(job);
  await first.push("views", { room: "a", at: 3 });
  await first.watermark("views", 20);
  expect(first.output("out")).toEqual(["add a 1 early, 1 and 1"]);
  const harness = await createTestHarness(job, { restore: first.snapshot() });
  await first.close();
  await harness.push("views", { room: "a", at: 30 });
  await harness.watermark("views", 99);
  expect(harness.output("out")).toEqual(["retract a 1 early, 1 and 1", "add a 2 onTime, 2 and 2"]);
  await harness.push("views", { room: "a", at: 130 });
  await harness.watermark("views", 200);
  expect(harness.output("out")).toEqual(["add a 1 onTime, 1 and 3"]);
  // The state of a key stays, and waits for nothing.
  expect(harness.pending()).toEqual([]);
  await harness.close();
});
