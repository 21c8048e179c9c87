/** Short disturbed runs; `npm run chaos` is the long one. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { runChaos } from "./run.ts";

const seeds = readFileSync(new URL("./seeds.txt", import.meta.url), "utf8")
  .split("\n")
  .filter((line) => /^\d+$/.test(line))
  .map(Number);

test.for(seeds)("kills, stops and server restarts change nothing, seed %i", async (seed) => {
  const report = await runChaos({ seed, seconds: 12 });
  const where = `seed ${seed}, logs in ${report.directory}`;
  expect(report.findings, where).toEqual([]);
  expect(report, where).toMatchObject({ finished: true, lost: 0, duplicated: 0, outOfOrder: 0, wrong: 0 });
  expect(report.kills + report.stops + report.serverRestarts, "faults").toBeGreaterThan(0);
});
