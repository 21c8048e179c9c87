/** A short disturbed run; `npm run chaos` is the long one. */
import { expect, test } from "vitest";
import { runChaos } from "./run.ts";

const SEED = 20_261;

test("kills, stops and server restarts change nothing in the output", { timeout: 150_000 }, async () => {
  const report = await runChaos({ seed: SEED, seconds: 12 });
  const where = `seed ${SEED}, logs in ${report.directory}`;
  expect(report.findings, where).toEqual([]);
  expect(report, where).toMatchObject({ finished: true, lost: 0, duplicated: 0, outOfOrder: 0, wrong: 0 });
  expect(report.kills + report.stops + report.serverRestarts, "faults").toBeGreaterThan(0);
});
