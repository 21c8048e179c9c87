/** What a process makes of connections that end without a word. */
import { expect, test } from "vitest";
import { SilentLosses } from "../../src/nats/limits/silent-losses.ts";

test("each end halves what a pull may bring, and the third within a minute is told with the settings", () => {
  const losses = new SilentLosses();
  expect(losses.shareOfPulls()).toBe(1);
  expect(losses.lost()).toBeUndefined();
  expect(losses.shareOfPulls()).toBe(0.5);
  expect(losses.lost()).toBeUndefined();
  expect(losses.lost()).toMatch(
    /^3 connections within a minute.*Slow Consumer Detected.*max_pending.*write_deadline/,
  );
  for (let i = 0; i < 100; i++) losses.lost();
  expect(losses.shareOfPulls()).toBeGreaterThan(0);
});
