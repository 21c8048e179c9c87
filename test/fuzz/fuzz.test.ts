/** Short runs; `npm run fuzz` is the long one. */
import { expect, test } from "vitest";
import { runFuzz } from "./run.ts";

test("what a stranger says changes nothing", async () => {
  const report = await runFuzz({ seed: 20_262, seconds: 10 });
  const where = `npm run fuzz -- --seconds 10 --seed ${report.seed}; logs in ${report.directory}`;
  expect(report.findings, where).toEqual([]);
  expect(report.messages, "sent").toBeGreaterThan(100);
  expect(report.records, "read").toBeGreaterThan(100);
});
