/** Short disturbed runs; `npm run chaos` is the long one. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { runChaos } from "./run.ts";
import { WORKLOADS } from "./workloads/workloads.ts";

/** How long the jobs of a seed are disturbed, all together. */
const SECONDS = 30;

const seeds = readFileSync(new URL("./seeds.txt", import.meta.url), "utf8")
  .split("\n")
  .filter((line) => /^\d+$/.test(line))
  .map(Number);

const runs = seeds.flatMap((seed) =>
  WORKLOADS.map((workload) => [`${workload.name}, seed ${seed}`, seed, workload] as const),
);

test.for(runs)("kills, stops and server restarts change nothing: %s", async ([name, seed, workload]) => {
  const report = await runChaos({ workload, seed, seconds: SECONDS / WORKLOADS.length });
  const where = `${name}, logs in ${report.directory}`;
  expect(report.findings, where).toEqual([]);
  expect(report, where).toMatchObject({ finished: true, lost: 0, duplicated: 0, outOfOrder: 0, wrong: 0 });
  const { kills, stops, serverRestarts, serverFreezes } = report;
  expect(kills + stops + serverRestarts + serverFreezes, "faults").toBeGreaterThan(0);
});
