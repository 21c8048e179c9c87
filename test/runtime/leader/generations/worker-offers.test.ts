/** What counts as the offer of a worker, and that forged ones do not pile up. */
import { expect, test } from "vitest";
import { WorkerOffers } from "../../../../src/runtime/leader/generations/worker-offers.ts";
import { latch } from "../../../support/latch.ts";
import { ManualClock } from "../../../support/manual-clock.ts";

test("a worker offers itself while it waits for its answer, however long, and for two intervals after it", async () => {
  const clock = new ManualClock();
  const offers = new WorkerOffers(clock, 500);
  expect(offers.has("words")).toBe(false);
  const { opened, open } = latch();
  const answered = offers.while("words", () => opened);
  clock.advance(60_000);
  expect(offers.has("words")).toBe(true);
  open();
  await answered;
  clock.advance(999);
  expect(offers.has("words")).toBe(true);
  clock.advance(1);
  expect(offers.has("words")).toBe(false);
});

test("offers for jobs that nothing leads are forgotten", async () => {
  const clock = new ManualClock();
  const offers = new WorkerOffers(clock, 500);
  for (let i = 0; i < 1000; i++) {
    await offers.while(`forged${i}`, async () => {});
    clock.advance(100);
  }
  expect(offers.size).toBeLessThan(20);
});
