/**
 * `node dist/test/simulation/main.js --seeds 100 [--seed N] [--json] [--story]`: runs whole jobs in virtual time, each seed twice where
 * only one is asked for. Exit code 0 only when nothing was wrong.
 */
import { parseArgs } from "node:util";
import { type Outcome, simulate } from "./simulate.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "1" },
    seed: { type: "string" },
    json: { type: "boolean", default: false },
    story: { type: "boolean", default: false },
  },
});

const seeds = Number(values.seeds);
const first = values.seed === undefined ? 1 : Number(values.seed);
if (!(Number.isSafeInteger(seeds) && seeds > 0) || !Number.isSafeInteger(first)) {
  console.error("--seeds is a positive whole number, --seed a whole one");
  process.exit(2);
}

const STORY_LINES = 60;
const report = {
  seeds: 0,
  schedulesWithFaults: 0,
  faults: 0,
  crashes: 0,
  checkpoints: 0,
  recoveries: 0,
  virtualHours: 0,
  failures: [] as { readonly seed: number; readonly findings: readonly string[]; readonly replay: string }[],
};
const hashes: string[] = [];
for (let seed = first; seed < first + seeds; seed++) {
  const outcome = await simulate(seed);
  count(outcome);
  hashes.push(outcome.traceHash);
  if (values.story) for (const line of outcome.story) console.error(line);
  if (outcome.findings.length > 0) tellFailure(outcome);
}
if (seeds === 1) {
  const again = await simulate(first);
  if (again.traceHash !== hashes[0])
    tellFailure({
      ...again,
      findings: [`the second run went another way: ${again.traceHash}, ${hashes[0]}`],
    });
}
console.log(values.json ? JSON.stringify(report) : inWords());
process.exit(report.failures.length === 0 ? 0 : 1);

function count({ faults, crashes, checkpoints, recoveries, virtualMs }: Outcome): void {
  report.seeds++;
  if (faults > 0) report.schedulesWithFaults++;
  report.faults += faults;
  report.crashes += crashes;
  report.checkpoints += checkpoints;
  report.recoveries += recoveries;
  report.virtualHours += virtualMs / 3_600_000;
}

function tellFailure({ seed, findings, story }: Outcome): void {
  const replay = `npm run simulate -- --seed ${seed} --story`;
  report.failures.push({ seed, findings, replay });
  console.error(`seed ${seed}:\n  ${findings.join("\n  ")}\n  the end of its story:`);
  for (const line of story.slice(-STORY_LINES)) console.error(`    ${line.slice(0, 300)}`);
  console.error(`  again: ${replay}`);
}

function inWords(): string {
  const {
    seeds: ran,
    schedulesWithFaults,
    faults,
    crashes,
    checkpoints,
    recoveries,
    virtualHours,
    failures,
  } = report;
  return (
    `${ran} seeds, ${schedulesWithFaults} with faults: ${faults} faults (${crashes} crashes), ${checkpoints} checkpoints, ` +
    `${recoveries} recoveries, ${virtualHours.toFixed(2)} virtual hours; failures: ${failures.length}; ` +
    `trace ${hashes.at(-1)}`
  );
}
