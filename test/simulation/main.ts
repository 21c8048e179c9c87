/**
 * `node dist/test/simulation/main.js --seeds 100 [--seed N] [--json] [--story] [--until-failure] [--no-mutations]`: runs whole jobs in
 * virtual time, the seed twice where only one is asked for; then, where no seed was named, hunts the mutations. Exit code 0 only when
 * nothing was wrong and every mutation was found.
 */
import { parseArgs } from "node:util";
import { type Hunt, hunt } from "./hunt.ts";
import { MUTATIONS } from "./mutations.ts";
import { type Outcome, simulate } from "./simulate.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "1" },
    seed: { type: "string" },
    json: { type: "boolean", default: false },
    story: { type: "boolean", default: false },
    "until-failure": { type: "boolean", default: false },
    mutations: { type: "boolean", default: true },
  },
  allowNegative: true,
});

const seeds = Number(values.seeds);
const first = values.seed === undefined ? 1 : Number(values.seed);
if (!(Number.isSafeInteger(seeds) && seeds > 0) || !Number.isSafeInteger(first)) {
  console.error("--seeds is a positive whole number, --seed a whole one");
  process.exit(2);
}

const STORY_LINES = 60;
const HUNT_SEEDS_MAX = 500;
const HUNTS_AT_A_TIME = 2;
const report = {
  seeds: 0,
  schedulesWithFaults: 0,
  faults: 0,
  crashes: 0,
  checkpoints: 0,
  recoveries: 0,
  virtualHours: 0,
  mutations: 0,
  mutationsFound: 0,
  failures: [] as { readonly seed: number; readonly findings: readonly string[]; readonly replay: string }[],
};
const hashes: string[] = [];
for (let seed = first; seed < first + seeds; seed++) {
  const outcome = await simulate(seed);
  count(outcome);
  hashes.push(outcome.traceHash);
  if (values.story) for (const line of outcome.story) console.error(line);
  if (outcome.findings.length > 0) tellFailure(outcome);
  if (values["until-failure"] && report.failures.length > 0) break;
}
if (seeds === 1) {
  const again = await simulate(first);
  if (again.traceHash !== hashes[0])
    tellFailure({
      ...again,
      findings: [`the second run went another way: ${again.traceHash}, ${hashes[0]}`],
    });
}
if (values.mutations && values.seed === undefined) {
  for (let at = 0; at < MUTATIONS.length; at += HUNTS_AT_A_TIME) {
    const some = MUTATIONS.slice(at, at + HUNTS_AT_A_TIME);
    for (const found of await Promise.all(some.map((mutation) => hunt(mutation, HUNT_SEEDS_MAX))))
      countHunt(found);
  }
}
console.log(values.json ? JSON.stringify(report) : inWords());
process.exit(report.failures.length === 0 && report.mutationsFound === report.mutations ? 0 : 1);

function count({ faults, crashes, checkpoints, recoveries, virtualMs }: Outcome): void {
  report.seeds++;
  if (faults > 0) report.schedulesWithFaults++;
  report.faults += faults;
  report.crashes += crashes;
  report.checkpoints += checkpoints;
  report.recoveries += recoveries;
  report.virtualHours += virtualMs / 3_600_000;
}

function countHunt({ mutation, foundBy, findings }: Hunt): void {
  report.mutations++;
  if (foundBy !== undefined) report.mutationsFound++;
  const how = foundBy === undefined ? "NOT FOUND" : `found by seed ${foundBy}: ${findings[0]}`;
  console.error(`mutation "${mutation}": ${how}`);
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
