/**
 * Simulates many seeds, in this process or in several.
 *
 * - SQ1 The report does not depend on how many processes there are, nor on which of them ran what: outcomes are taken
 *   in the order of their seeds.
 * - SQ2 Some seeds run twice. A second run that goes another way is a failure like any other.
 */
import { type ChildProcess, fork } from "node:child_process";
import { createHash } from "node:crypto";
import { compiled } from "../../support/servers/compiled.ts";
import { draws, type Outcome, simulate } from "../simulate.ts";

export interface Failure {
  readonly seed: number;
  readonly findings: readonly string[];
}

export interface Report {
  readonly seeds: number;
  readonly schedulesWithFaults: number;
  readonly faults: number;
  readonly crashes: number;
  readonly checkpoints: number;
  readonly recoveries: number;
  readonly statesCompared: number;
  readonly virtualHours: number;
  /** On how many seeds there was what: operators, edges, options, acts of the user. */
  readonly covered: Readonly<Record<string, number>>;
  readonly failures: readonly Failure[];
  /** The hash of all runs, in the order of their seeds. */
  readonly traceHash: string;
}

export interface RunnerOptions {
  readonly first: number;
  readonly seeds: number;
  /** Only seeds whose job has this, by a name of `coverageOf`; the others are passed over, and do not count. */
  readonly draws?: string | undefined;
  readonly processes: number;
  /** Nothing is run behind the first seed that fails. */
  readonly untilFailure?: boolean;
  /** After each seed: how many are done, and how many of them have failed. */
  readonly onProgress?: (done: number, failed: number) => void;
  /** At once, in whatever order they end. */
  readonly onFailure?: (failure: Failure) => void;
}

/** An outcome without what only a reader of its story needs. */
type Result = Omit<Outcome, "story" | "taken" | "operators" | "workers">;

const RUN_TWICE_EVERY = 50;
const DRAWN_IN_VAIN_MAX = 2000;

export async function simulateAll(options: RunnerOptions): Promise<Report> {
  const { processes, seeds } = options;
  const merged = new Merged(options);
  if (processes === 1) {
    for (let seed = merged.next(); seed !== undefined; seed = merged.next()) merged.add(await result(seed));
    return merged.report();
  }
  const hands = Array.from({ length: Math.min(processes, seeds) }, startHand);
  try {
    await Promise.all(hands.map((hand) => work(hand, merged)));
  } finally {
    for (const hand of hands) hand.kill();
  }
  return merged.report();
}

/** In a process that `simulateAll` has started: runs the seeds that it is sent. */
export function serveSeeds(): void {
  process.on("message", (seed: number) => {
    void result(seed).then((outcome) => process.send?.(outcome));
  });
  process.on("disconnect", () => process.exit());
}

async function result(seed: number): Promise<Result> {
  const { story: _, taken: __, operators: ___, workers: ____, ...first } = await simulate(seed);
  if (seed % RUN_TWICE_EVERY !== 0) return first;
  const { traceHash } = await simulate(seed);
  return { ...first, findings: [...first.findings, ...differences(first.traceHash, traceHash)] };
}

export const replayOf = (seed: number): string => `npm run simulate -- --seed ${seed} --story`;

/** Equal seeds make equal traces. */
export function differences(first: string, second: string): string[] {
  return first === second ? [] : [`the second run went another way: trace ${second} instead of ${first}`];
}

/**
 * The seeds that are run, in order, each looked for when it is asked for.
 *
 * @throws Error if so many seeds in a row draw no such job that there is probably no such name
 */
function* seedsOf({ first, seeds, draws: what }: RunnerOptions): Generator<number, void, undefined> {
  for (let seed = first, found = 0, inVain = 0; found < seeds; seed++) {
    if (what === undefined || draws(seed, what)) {
      found++;
      inVain = 0;
      yield seed;
    } else if (++inVain === DRAWN_IN_VAIN_MAX) throw new Error(`no job of ${inVain} seeds draws "${what}"`);
  }
}

/** Outcomes come in any order, and count in that of their seeds. */
class Merged {
  readonly #options: RunnerOptions;
  readonly #waiting = new Map<number, Result>();
  readonly #failures: Failure[] = [];
  readonly #covered = new Map<string, number>();
  readonly #traces = createHash("sha256");
  readonly #sums = {
    seeds: 0,
    schedulesWithFaults: 0,
    faults: 0,
    crashes: 0,
    checkpoints: 0,
    recoveries: 0,
    statesCompared: 0,
    virtualHours: 0,
  };
  readonly #left: Iterator<number, void, undefined>;
  /** Those that were given out, in order. */
  readonly #seeds: number[] = [];
  /** Index of the one that counts next. */
  #counted = 0;
  #failedAt = Number.POSITIVE_INFINITY;
  #done = 0;
  #failed = 0;

  constructor(options: RunnerOptions) {
    this.#options = options;
    this.#left = seedsOf(options);
  }

  /** The seed to run next; undefined: there is none. */
  next(): number | undefined {
    const { value: seed } = this.#left.next();
    if (seed === undefined || seed > this.#failedAt) return undefined;
    this.#seeds.push(seed);
    return seed;
  }

  add(outcome: Result): void {
    this.#done++;
    if (outcome.findings.length > 0) {
      this.#failed++;
      this.#options.onFailure?.(outcome);
      if (this.#options.untilFailure === true) this.#failedAt = Math.min(this.#failedAt, outcome.seed);
    }
    this.#options.onProgress?.(this.#done, this.#failed);
    this.#waiting.set(outcome.seed, outcome);
    for (let due = this.#waitingAt(this.#counted); due !== undefined; ) {
      this.#waiting.delete(due.seed);
      if (due.seed <= this.#failedAt) this.#count(due);
      due = this.#waitingAt(++this.#counted);
    }
  }

  #waitingAt(index: number): Result | undefined {
    const seed = this.#seeds[index];
    return seed === undefined ? undefined : this.#waiting.get(seed);
  }

  report(): Report {
    return {
      ...this.#sums,
      covered: Object.fromEntries([...this.#covered].sort(([a], [b]) => (a < b ? -1 : 1))),
      failures: this.#failures,
      traceHash: this.#traces.digest("hex").slice(0, 16),
    };
  }

  #count(result: Result): void {
    const { seed, findings, faults, crashes, checkpoints, recoveries, virtualMs, traceHash, covered } =
      result;
    const sums = this.#sums;
    sums.seeds++;
    if (faults > 0) sums.schedulesWithFaults++;
    sums.faults += faults;
    sums.crashes += crashes;
    sums.checkpoints += checkpoints;
    sums.recoveries += recoveries;
    sums.statesCompared += result.statesCompared;
    sums.virtualHours += virtualMs / 3_600_000;
    for (const one of covered) this.#covered.set(one, (this.#covered.get(one) ?? 0) + 1);
    this.#traces.update(traceHash);
    if (findings.length > 0) this.#failures.push({ seed, findings });
  }
}

/** Room for young objects, in MB: a run spends a tenth less of its time in the garbage collector. */
export const ROOMY = "--max-semi-space-size=64";

const startHand = (): ChildProcess =>
  fork(compiled("test/simulation/main.ts"), ["--serve"], { execArgv: [...process.execArgv, ROOMY] });

/** Keeps one process busy until no seed is left. */
function work(hand: ChildProcess, merged: Merged): Promise<void> {
  return new Promise((resolve, reject) => {
    let running: number | undefined;
    const give = (): void => {
      try {
        running = merged.next();
      } catch (error) {
        running = undefined;
        reject(error);
        return;
      }
      if (running === undefined) resolve();
      else hand.send(running);
    };
    hand.on("message", (outcome: Result) => {
      merged.add(outcome);
      give();
    });
    hand.on("error", reject);
    hand.on("exit", (code, signal) => {
      if (running !== undefined)
        reject(new Error(`the process with seed ${running} ended: ${signal ?? code}`));
    });
    give();
  });
}
