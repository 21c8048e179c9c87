/**
 * What a failing seed leaves behind: a line in seeds.txt, how to run it again, and the smallest story that still fails.
 */
import { appendFile, readFile } from "node:fs/promises";
import { join } from "node:path";
import { root } from "../../support/servers/compiled.ts";
import type { Outcome } from "../simulate.ts";
import { replayOf } from "./runner.ts";
import type { Shrunk } from "./shrink.ts";
import { shortStory } from "./story.ts";

const KEPT_SEEDS = join(root, "test/simulation/seeds.txt");
const STORY_LINES = 150;

/** Seeds that have failed once. */
export async function keptSeeds(): Promise<number[]> {
  const lines = (await readFile(KEPT_SEEDS, "utf8")).split("\n");
  return lines.filter((line) => /^\d+$/.test(line)).map(Number);
}

export async function keepSeed(seed: number): Promise<void> {
  if (!(await keptSeeds()).includes(seed)) await appendFile(KEPT_SEEDS, `${seed}\n`);
}

/** How a failure is told. */
export function describeFailure(failed: Outcome, shrunk: Shrunk): string[] {
  const lines = endOf(shortStory(shrunk.outcome.story));
  return [
    `seed ${failed.seed} fails: ${failed.findings.join("; ")}`,
    `  run it again: ${replayOf(failed.seed)}`,
    `  ${sizeOf(failed, shrunk)}: ${shrunkReplayOf(failed.seed, shrunk)}`,
    ...lines.map((line) => `    ${line}`),
    ...shrunk.outcome.findings.map((finding) => `    => ${finding}`),
  ];
}

function sizeOf(failed: Outcome, { edit, tries, isSmallest }: Shrunk): string {
  const input = Number.isFinite(edit.recordsMax) ? `${edit.recordsMax} records` : "all records";
  const operators = `${failed.operators.length - edit.without.length} of ${failed.operators.length} operators`;
  const size = `${edit.only.length} of its ${failed.taken.length} faults, ${operators} and ${input} are enough`;
  return isSmallest
    ? `${size} (after ${tries} runs)`
    : `${size} (not the smallest: ended after ${tries} runs)`;
}

export function shrunkReplayOf(seed: number, { edit }: Shrunk): string {
  const numbers = edit.only.map(({ number }) => number);
  const records = Number.isFinite(edit.recordsMax) ? ` --records ${edit.recordsMax}` : "";
  const without = edit.without.length === 0 ? "" : ` --without ${edit.without.join(",")}`;
  const workers = ` --workers ${edit.workersMax}`;
  const kept = numbers.join(",") || "none";
  return `npm run simulate -- --seed ${seed} --keep ${kept}${records}${without}${workers} --story`;
}

/** Its end, because that is where it goes wrong. */
function endOf(lines: readonly string[]): string[] {
  const left = lines.length - STORY_LINES;
  return left > 0 ? [`(${left} lines before)`, ...lines.slice(-STORY_LINES)] : [...lines];
}
