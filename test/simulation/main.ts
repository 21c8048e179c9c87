/**
 * `npm run simulate -- --seeds 100`: whole jobs in virtual time, one for each seed; then the mutations are hunted.
 * `--seed N` runs one seed, twice. Exit code 0 only when nothing was wrong and every mutation was found.
 *
 *     --seeds N         how many, from --from on; default 1
 *     --from N          the first one; default 1
 *     --seed N          this one only, twice, and no mutations
 *     --processes N     default: one for each core
 *     --draws "operator session"   only seeds whose job has this, by a name in "covered" of the report
 *     --json            the report as JSON on stdout
 *     --story           prints what happened on --seed N
 *     --keep 3,17       with --seed: only these of its faults, by their numbers in the full run
 *     --records N       with --seed: at most so many records of input
 *     --without o1,o3   with --seed: the job without these operators
 *     --workers N       with --seed: at most so many workers, but enough for the job
 *     --no-shrink       tells of a failing seed only that it fails
 *     --until-failure   stops at the first seed that fails
 *     --no-mutations    hunts none
 *     --mutation TEXT   hunts only those whose name has this text
 */
import { availableParallelism } from "node:os";
import { flagsOf } from "../flags.ts";
import type { Edit } from "./decisions.ts";
import { type Hunt, hunt } from "./mutations/hunt.ts";
import { MUTATIONS } from "./mutations/mutations.ts";
import { describeFailure, keepSeed, shrunkReplayOf } from "./runner/failing-seed.ts";
import { differences, type Report, replayOf, serveSeeds, simulateAll } from "./runner/runner.ts";
import { shrink } from "./runner/shrink.ts";
import { fullStory, shortStory } from "./runner/story.ts";
import { type Outcome, simulate } from "./simulate.ts";

const values = flagsOf({
  options: {
    seeds: { type: "string", default: "1" },
    from: { type: "string", default: "1" },
    seed: { type: "string" },
    processes: { type: "string", default: String(availableParallelism()) },
    draws: { type: "string" },
    json: { type: "boolean", default: false },
    story: { type: "boolean", default: false },
    keep: { type: "string" },
    records: { type: "string" },
    without: { type: "string" },
    workers: { type: "string" },
    shrink: { type: "boolean", default: true },
    "until-failure": { type: "boolean", default: false },
    mutations: { type: "boolean", default: true },
    mutation: { type: "string", default: "" },
    /** Set for the processes that this one starts. */
    serve: { type: "boolean", default: false },
  },
  allowNegative: true,
});

const HUNT_SEEDS_MAX = 500;
const PROGRESS_EVERY_MS = 10_000;
const STORIES_MAX = 5;

async function simulateMany(): Promise<number> {
  const processes = whole("processes", values.processes, 1);
  const seeds = whole("seeds", values.seeds, 1);
  const report = await simulateAll({
    first: whole("from", values.from),
    seeds,
    draws: values.draws,
    processes,
    untilFailure: values["until-failure"],
    onProgress: progress(seeds),
    onFailure: ({ seed, findings }) => console.error(`seed ${seed} fails: ${findings[0]}`),
  });
  const told = new Map<number, ToldFailure | undefined>();
  if (values.shrink)
    for (const { seed } of report.failures.slice(0, STORIES_MAX)) told.set(seed, await tellFailure(seed));
  const hunts = values.mutations ? await huntAll(processes) : [];
  const found = hunts.filter(({ foundBy }) => foundBy !== undefined).length;
  const { traceHash: _, failures, ...sums } = report;
  const all = {
    ...sums,
    failures: failures.map((one) => ({ ...one, replay: replayOf(one.seed), ...told.get(one.seed) })),
    mutations: hunts.length,
    mutationsFound: found,
  };
  console.log(values.json ? JSON.stringify(all) : inWords(report, hunts.length, found));
  return failures.length === 0 && found === hunts.length ? 0 : 1;
}

async function replay(seed: number): Promise<number> {
  const run = await simulate(seed, await editOf(seed));
  if (values.story) for (const line of fullStory(run.story)) console.log(line);
  const again = await simulate(seed, await editOf(seed));
  const findings = [...run.findings, ...differences(run.traceHash, again.traceHash)];
  for (const finding of findings) console.error(`seed ${seed}: ${finding}`);
  if (values.shrink && !isEdited() && run.findings.length > 0) await tellFailure(seed);
  const { story: _, taken, operators: __, workers: ___, ...rest } = run;
  console.log(values.json ? JSON.stringify({ ...rest, findings, taken }) : outcomeInWords(run));
  return findings.length === 0 ? 0 : 1;
}

const isEdited = (): boolean =>
  [values.keep, values.records, values.without, values.workers].some((value) => value !== undefined);

/** Faults are numbered as in the whole run, so that has to be run first. */
async function editOf(seed: number): Promise<Edit> {
  const { keep, records, without, workers } = values;
  const smaller: Edit = {
    ...(records !== undefined && { recordsMax: whole("records", records, 1) }),
    ...(without !== undefined && { without: without.split(",") }),
    ...(workers !== undefined && { workersMax: whole("workers", workers, 1) }),
  };
  if (keep === undefined) return smaller;
  const numbers = new Set(keep === "none" ? [] : keep.split(",").map((one) => whole("keep", one, 0)));
  const { taken } = await simulate(seed);
  return { ...smaller, only: taken.filter(({ number }) => numbers.has(number)) };
}

interface ToldFailure {
  /** Runs what is left of it. */
  readonly smallest: string;
  readonly faults: number;
  /** The story of the smallest run. */
  readonly story: readonly string[];
}

/** undefined: it fails no more. */
async function tellFailure(seed: number): Promise<ToldFailure | undefined> {
  await keepSeed(seed);
  const failed = await simulate(seed);
  if (failed.findings.length === 0) {
    console.error(`seed ${seed} has failed, and fails no more`);
    return undefined;
  }
  const shrunk = await shrink(failed);
  for (const line of describeFailure(failed, shrunk)) console.error(line);
  const { edit, outcome } = shrunk;
  return {
    smallest: shrunkReplayOf(seed, shrunk),
    faults: edit.only.length,
    story: shortStory(outcome.story),
  };
}

/** Hunts as many at a time as there are processes. */
async function huntAll(processes: number): Promise<Hunt[]> {
  const hunts: Hunt[] = [];
  const left = MUTATIONS.filter(({ name }) => name.includes(values.mutation));
  const huntOn = async (): Promise<void> => {
    for (let mutation = left.shift(); mutation !== undefined; mutation = left.shift()) {
      const found = await hunt(mutation, HUNT_SEEDS_MAX);
      hunts.push(found);
      const how =
        found.foundBy === undefined ? "NOT FOUND" : `found by seed ${found.foundBy}: ${found.findings[0]}`;
      console.error(`mutation "${found.mutation}": ${how}`);
    }
  };
  await Promise.all(Array.from({ length: processes }, huntOn));
  return hunts;
}

/** Tells now and then how far it is. */
function progress(seeds: number): (done: number, failed: number) => void {
  const startedMs = performance.now();
  let toldMs = startedMs;
  return (done, failed) => {
    const nowMs = performance.now();
    if (nowMs - toldMs < PROGRESS_EVERY_MS) return;
    toldMs = nowMs;
    const leftS = ((nowMs - startedMs) / done / 1000) * (seeds - done);
    console.error(`${done} of ${seeds} seeds, ${failed} failed; about ${Math.ceil(leftS)} s left`);
  };
}

function whole(option: string, text: string, min = Number.MIN_SAFE_INTEGER): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= min) return value;
  console.error(`--${option} is a whole number${min === 1 ? " above 0" : ""}: ${text}`);
  process.exit(2);
}

function inWords(report: Report, mutations: number, found: number): string {
  const { seeds, schedulesWithFaults, faults, crashes, checkpoints, recoveries, virtualHours } = report;
  return (
    `${seeds} seeds, ${schedulesWithFaults} with faults: ${faults} faults (${crashes} crashes), ` +
    `${checkpoints} checkpoints, ${recoveries} recoveries, ${virtualHours.toFixed(2)} virtual hours; ` +
    `failures: ${report.failures.length}; mutations found: ${found} of ${mutations}; trace ${report.traceHash}`
  );
}

function outcomeInWords({
  seed,
  faults,
  crashes,
  checkpoints,
  recoveries,
  traceHash,
  virtualMs,
}: Outcome): string {
  return (
    `seed ${seed}: ${faults} faults (${crashes} crashes), ${checkpoints} checkpoints, ${recoveries} recoveries, ` +
    `${Math.round(virtualMs / 1000)} s of virtual time; trace ${traceHash}`
  );
}

if (values.serve) serveSeeds();
else if (values.seed !== undefined) process.exit(await replay(whole("seed", values.seed)));
else process.exit(await simulateMany());
