/**
 * Makes a failing run small: leaves out faults and acts of the user as long as the run fails without them, and input,
 * operators and workers.
 *
 * Each try is a whole run, so whatever fails in it is a failure of the engine, also where it is not the one that was
 * found first.
 */
import type { Edit } from "../decisions.ts";
import { type Outcome, simulate } from "../simulate.ts";

export interface Shrunk {
  readonly outcome: Outcome;
  /** What is left of the run. */
  readonly edit: Required<Edit>;
  readonly tries: number;
  /** No fault and no operator can be dropped any more; false: the tries ran out. */
  readonly isSmallest: boolean;
}

const TRIES_MAX = 600;
const RECORDS_MAX = 1024;

/** Runs a seed with what is left of it. */
export type Run = (seed: number, edit: Edit) => Promise<Outcome>;

/** @param triesMax runs, default 600 */
export async function shrink(failed: Outcome, run: Run = simulate, triesMax = TRIES_MAX): Promise<Shrunk> {
  const shrinker = new Shrinker(failed, run, triesMax);
  await shrinker.run();
  return shrinker.shrunk();
}

class Shrinker {
  readonly #triesMax: number;
  readonly #run: Run;
  readonly #seed: number;
  #tries = 0;
  #outcome: Outcome;
  /** The decisions are as the whole run had them, so that their numbers are enough to run this again. */
  #edit: Required<Edit>;

  constructor(failed: Outcome, run: Run, triesMax: number) {
    this.#run = run;
    this.#seed = failed.seed;
    this.#triesMax = triesMax;
    this.#outcome = failed;
    this.#edit = {
      only: failed.taken,
      recordsMax: Number.POSITIVE_INFINITY,
      without: [],
      workersMax: failed.workers,
    };
  }

  /** Less input may need fewer faults, and the other way round. */
  async run(): Promise<void> {
    for (let before = ""; before !== this.#size && !this.#isOver; ) {
      before = this.#size;
      await this.#leaveOutOperators();
      await this.#leaveOutWorkers();
      await this.#leaveOutRecords();
      await this.#leaveOutDecisions();
    }
  }

  get #size(): string {
    return `${this.#edit.only.length} ${this.#edit.without.length}`;
  }

  shrunk(): Shrunk {
    return { outcome: this.#outcome, edit: this.#edit, tries: this.#tries, isSmallest: !this.#isOver };
  }

  get #isOver(): boolean {
    return this.#tries >= this.#triesMax;
  }

  /** Whether the run fails when it is made smaller so; if so, it goes on from there. */
  async #fails(less: Edit): Promise<boolean> {
    if (this.#isOver) return false;
    this.#tries++;
    const edit = { ...this.#edit, ...less };
    const outcome = await this.#run(this.#seed, edit);
    if (outcome.findings.length === 0) return false;
    this.#outcome = outcome;
    // Others did not come to strike.
    const struck = new Set(outcome.taken.map(({ number }) => number));
    this.#edit = { ...edit, only: edit.only.filter(({ number }) => struck.has(number)) };
    return true;
  }

  async #leaveOutOperators(): Promise<void> {
    for (const operator of this.#outcome.operators)
      await this.#fails({ without: [...this.#edit.without, operator] });
  }

  async #leaveOutWorkers(): Promise<void> {
    while (this.#outcome.workers > 1) {
      const workersMax = this.#outcome.workers - 1;
      if (!(await this.#fails({ workersMax })) || this.#outcome.workers > workersMax) return;
    }
  }

  async #leaveOutRecords(): Promise<void> {
    let fewest = 1;
    let most = Math.min(this.#edit.recordsMax, RECORDS_MAX);
    while (fewest < most) {
      const middle = (fewest + most) >> 1;
      if (await this.#fails({ recordsMax: middle })) most = middle;
      else fewest = middle + 1;
    }
  }

  /** Delta debugging: halves first, at last one by one, until each that is left is needed. */
  async #leaveOutDecisions(): Promise<void> {
    if (this.#edit.only.length > 0 && (await this.#fails({ only: [] }))) return;
    for (let pieces = 2; this.#edit.only.length > 0; ) {
      const { length } = this.#edit.only;
      pieces = Math.min(pieces, length);
      if (await this.#leavesOutOne(pieces)) pieces = Math.max(2, pieces - 1);
      else if (pieces === length) return;
      else pieces *= 2;
    }
  }

  async #leavesOutOne(pieces: number): Promise<boolean> {
    const taken = this.#edit.only;
    for (let piece = 0; piece < pieces; piece++) {
      const from = Math.floor((piece * taken.length) / pieces);
      const to = Math.floor(((piece + 1) * taken.length) / pieces);
      const rest = [...taken.slice(0, from), ...taken.slice(to)];
      if (rest.length < taken.length && (await this.#fails({ only: rest }))) return true;
    }
    return false;
  }
}
