/**
 * Makes records from a seed: for examples, tests and measurements. Replays exactly, because record number `index` is a
 * function of (seed, index) alone: neither the splits nor the parallelism nor a restart change it.
 */

import { checkMembers } from "../config/members.ts";
import { isAnswer, refuseAnswer } from "../dataflow/guards/answers.ts";
import {
  type Collect,
  NO_TIMESTAMP,
  type PollStatus,
  type Source,
  type SourceReader,
  type SourceSplit,
  type SplitPosition,
} from "../dataflow/source.ts";
import { ConfigurationError, OperatorError } from "../errors.ts";
import { type IndexedSplit, parseIndexed } from "../formats/positions/indexed-split.ts";
import { startTimer } from "../timer.ts";
import { type Random, SeededRandom } from "./seeded-random.ts";

/** The options of `generatorSource`. */
export interface GeneratorSourceOptions<T> {
  /** Whole number; another seed gives other records. Default 1. */
  readonly seed?: number;
  /** How many records in all; a bounded input. Default: never ends. */
  readonly count?: number;
  /**
   * Record number `index`, from 0. Must depend on nothing but its arguments. `random` gives the same numbers for the
   * same seed and index, and is valid only during the call.
   */
  readonly generate: (index: number, random: Random) => T;
  /** Records per second of all splits together. Default: as fast as they are read. */
  readonly ratePerSecond?: number;
  /** Split number s of n makes the records s, s+n, s+2n, … Default 1. */
  readonly splits?: number;
}

const OPTIONS = ["seed", "count", "generate", "ratePerSecond", "splits"];

/** Makes records by a function of their number, for tests and demos; it can replay them. @throws ConfigurationError */
export function generatorSource<T>(options: GeneratorSourceOptions<T>): Source<T> {
  checkMembers(options, OPTIONS, "generatorSource", "option");
  const { seed = 1, count, generate, ratePerSecond, splits = 1 } = options;
  if (!Number.isSafeInteger(seed)) throw wrong("seed", "must be a whole number");
  if (count !== undefined && !isWhole(count, 0)) throw wrong("count", "must be a whole number from 0 on");
  if (typeof generate !== "function") throw wrong("generate", "must be a function (index, random) => record");
  if (ratePerSecond !== undefined && !(ratePerSecond > 0 && ratePerSecond < Number.POSITIVE_INFINITY)) {
    throw wrong("ratePerSecond", "must be a number above 0");
  }
  if (!isWhole(splits, 1)) throw wrong("splits", "must be a whole number from 1 on");
  return {
    kind: "generator",
    replayable: true,
    bounded: count !== undefined,
    timestamps: false,
    discover: async () =>
      Array.from({ length: splits }, (_, index) => ({
        id: String(index),
        index,
        splits,
        ...(count === undefined ? {} : { end: count }),
      })),
    open: async (environment, positions) => {
      const perSplit = ratePerSecond === undefined ? Number.POSITIVE_INFINITY : ratePerSecond / splits;
      const opened = positions.map((it) => splitCursor(it, environment.operator));
      return new GeneratorReader(generate, seed, perSplit, opened, count !== undefined, environment.operator);
    },
  };
}

function isWhole(value: number, min: number): boolean {
  return Number.isSafeInteger(value) && value >= min;
}

function wrong(option: string, problem: string): ConfigurationError {
  return new ConfigurationError(
    `generatorSource.${option}`,
    `generatorSource: option "${option}" ${problem}`,
  );
}

type GeneratorSplit = SourceSplit & IndexedSplit;

/** How far one split has come. */
interface SplitCursor {
  readonly split: GeneratorSplit;
  /** Index of the next record; it is the position. */
  next: number;
  readonly stride: number;
  readonly end: number;
}

function splitCursor(found: SplitPosition, operator: string): SplitCursor {
  const { split, position } = parseIndexed(found, operator);
  const { index, splits = 1, end = Number.POSITIVE_INFINITY } = split;
  return { split, next: position ?? index, stride: splits, end };
}

class GeneratorReader<T> implements SourceReader<T> {
  readonly #generate: (index: number, random: Random) => T;
  readonly #seed: number;
  readonly #cursors: readonly SplitCursor[];
  readonly #bounded: boolean;
  readonly #operator: string;
  readonly #random = new SeededRandom();
  /** Records a millisecond, of all splits here. */
  readonly #ratePerMs: number;
  /** Records made since `#since`, which the rate is measured against. */
  #made = 0;
  #since = performance.now();
  #first = 0;
  currentSplit = 0;
  #isPaused: (split: number) => boolean = () => false;
  #lastIndex: number | undefined;
  #wake: (() => void) | undefined;
  #cancelTimer: (() => void) | undefined;

  constructor(
    generate: (index: number, random: Random) => T,
    seed: number,
    ratePerSplit: number,
    cursors: readonly SplitCursor[],
    bounded: boolean,
    operator: string,
  ) {
    this.#generate = generate;
    this.#seed = seed;
    this.#cursors = cursors;
    this.#bounded = bounded;
    this.#operator = operator;
    this.#ratePerMs = (ratePerSplit * cursors.length) / 1000;
  }

  poll(collect: Collect<T>, recordsMax: number): PollStatus {
    const cursors = this.#cursors;
    if (cursors.length === 0) return this.#bounded ? "ended" : "idle";
    let budget = Math.min(recordsMax, this.#due());
    if (budget === 0 && !this.#ended()) {
      this.#wakeWhenDue();
      return "idle";
    }
    const turns = cursors.length;
    for (let asked = 0; asked < turns && budget > 0; asked++) {
      // A fair share each, so that rate-limited splits advance together.
      const share = Math.ceil(budget / (turns - asked));
      const split = (this.#first + asked) % turns;
      if (this.#isPaused(split)) continue;
      this.currentSplit = split;
      budget -= this.#make(cursors[this.currentSplit]!, collect, share);
    }
    this.#first = (this.#first + 1) % turns;
    if (this.#ended()) return "ended";
    return cursors.some((cursor, i) => !this.#isPaused(i) && cursor.next < cursor.end) ? "more" : "idle";
  }

  pauseSplits(isPaused: (split: number) => boolean): void {
    this.#isPaused = isPaused;
  }

  splitStatus(split: number): PollStatus {
    const { next, end } = this.#cursors[split]!;
    return next < end ? "more" : "ended";
  }

  splitPending(split: number): number {
    const { next, end, stride } = this.#cursors[split]!;
    const due = this.#due() / this.#cursors.length;
    return Math.min(due, Math.max(0, Math.ceil((end - next) / stride)));
  }

  onAvailable(wake: () => void): void {
    this.#wake = wake;
  }

  describePosition(): string {
    return this.#lastIndex === undefined ? "before the first record" : `generated record ${this.#lastIndex}`;
  }

  snapshot(): SplitPosition[] {
    return this.#cursors.map(({ split, next }) => ({ split, position: next }));
  }

  checkpointCompleted(): void {
    // There is no broker to tell.
  }

  async close(): Promise<void> {
    this.#cancelTimer?.();
  }

  #make(cursor: SplitCursor, collect: Collect<T>, share: number): number {
    const random = this.#random;
    let made = 0;
    while (made < share && cursor.next < cursor.end) {
      const index = cursor.next;
      this.#lastIndex = index;
      random.start(this.#seed, index);
      let value: T;
      try {
        value = this.#generate(index, random.next);
      } catch (error) {
        throw new OperatorError(this.#operator, error, this.describePosition());
      }
      if (!isAnswer(value)) refuseAnswer(this.#operator, "generate answered", value);
      cursor.next += cursor.stride;
      made++;
      this.#made++;
      collect(value, NO_TIMESTAMP);
    }
    return made;
  }

  /** How many records the rate allows now. A pause is made up for by at most a second's worth. */
  #due(): number {
    if (this.#ratePerMs === Number.POSITIVE_INFINITY) return Number.MAX_SAFE_INTEGER;
    const now = performance.now();
    const due = Math.floor((now - this.#since) * this.#ratePerMs) - this.#made;
    const most = Math.max(1, Math.ceil(1000 * this.#ratePerMs));
    if (due <= most) return Math.max(0, due);
    this.#since = now - most / this.#ratePerMs;
    this.#made = 0;
    return most;
  }

  #wakeWhenDue(): void {
    if (this.#cancelTimer !== undefined) return;
    const dueAt = this.#since + (this.#made + 1) / this.#ratePerMs;
    this.#cancelTimer = startTimer(Math.max(1, Math.ceil(dueAt - performance.now())), () => {
      this.#cancelTimer = undefined;
      this.#wake?.();
    });
  }

  #ended(): boolean {
    for (const cursor of this.#cursors) if (cursor.next < cursor.end) return false;
    return true;
  }
}
