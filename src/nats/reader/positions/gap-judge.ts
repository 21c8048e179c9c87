/**
 * Whether what is missing between two messages of a split is a loss (P42). Decides, sends nothing.
 *
 * Owns: how far the split is accounted for, which ranges were skipped, the release of buffered records. Does not own:
 * asking the server.
 *
 * - GJ1 `accounted` is the sequence up to which nothing of the split can be lost any more: it was delivered, or was no
 *   message of the split, or went away by design, or is counted as skipped. `reached` is how far the consumer has come.
 * - GJ2 A record is released when everything before it is accounted for. Where sequences go up by one that is at once,
 *   by one comparison. A hole waits for an answer of the server that was asked for after its other side had come.
 * - GJ3 An answer names the first sequence that is left. A hole above it was made by single deletions, or holds other
 *   subjects, and is no loss. What a hole holds below it may have gone unread, by a limit or a purge: a gap.
 * - GJ4 In front of a gap reading ends, or it is counted and reading goes on, as the source says. What is behind a gap
 *   is not released before one of the two.
 * - GJ5 Reading that begins with whatever there is stops in front of nothing: what the stream had at the submission of
 *   the job and has no more is counted as skipped.
 */
import type { StreamInfo } from "@nats-io/jetstream";
import type { Gaps, Skipped } from "../../../dataflow/source.ts";
import type { SourcePositionError } from "../../../errors.ts";
import type { RecordBuffer } from "../record-buffer.ts";
import { firstSequence, gapProblem, identityProblem, type SequenceRange } from "./stream-position.ts";

export const NOTHING_SKIPPED: Skipped = { ranges: 0, sequences: 0 };

export interface GapJudgeOptions {
  readonly stream: string;
  readonly job: string;
  readonly operator: string;
  readonly created: string;
  readonly retention?: StreamInfo["config"]["retention"] | undefined;
  readonly filters: readonly string[];
  readonly gaps: Gaps;
  readonly end: number | undefined;
  /** Everything up to here is accounted for. */
  readonly accounted: number;
  /** false: nothing was read yet, and nothing is missed if the stream begins later. */
  readonly resumed: boolean;
  /** Where nothing was read yet: the first sequence at the submission; undefined: it does not matter. */
  readonly first?: number | undefined;
  readonly skipped: Skipped;
  /** A range was counted, and why it is passed over. */
  readonly onSkipped: (range: SequenceRange, why: string) => void;
}

/** What had been received when the server was asked. */
export interface Asked {
  readonly records: number;
  readonly reached: number;
}

export class GapJudge<T> {
  accounted: number;
  reached: number;
  /** Up to here nothing held the split's messages in an interest stream. */
  unheld = 0;
  readonly #options: GapJudgeOptions;
  readonly #buffer: RecordBuffer<T>;
  #resumed: boolean;
  /** The ranges that were skipped before the position. */
  #passed: Skipped;
  /** The skipped ranges that the position has not passed yet, oldest first. */
  readonly #ahead: SequenceRange[] = [];

  constructor(options: GapJudgeOptions, buffer: RecordBuffer<T>) {
    this.#options = options;
    this.#buffer = buffer;
    this.accounted = options.accounted;
    this.reached = options.accounted;
    this.#resumed = options.resumed;
    this.#passed = options.skipped;
  }

  /** A message is there, and buffered unless it is no record. false: it waits for a judgement. */
  arrived(sequence: number): boolean {
    this.reached = sequence;
    if (sequence !== this.accounted + 1) return false;
    this.accounted = sequence;
    this.#buffer.release(this.#buffer.recordsIn);
    return true;
  }

  get #held(): { readonly filters: readonly string[]; readonly unheld: number } {
    return { filters: this.#options.filters, unheld: this.unheld };
  }

  get settled(): boolean {
    return this.accounted === this.reached;
  }

  ask(): Asked {
    return { records: this.#buffer.recordsIn, reached: this.reached };
  }

  /**
   * How far the records that were given out account for the split: to just before the next one.
   */
  get accountedOut(): number {
    const { next } = this.#buffer;
    return next === undefined ? this.accounted : next - 1;
  }

  /** What was skipped in the ranges before `accountedOut`. */
  get skippedOut(): Skipped {
    const upTo = this.accountedOut;
    while (this.#ahead.length > 0 && this.#ahead[0]!.to <= upTo) {
      const range = this.#ahead.shift()!;
      this.#passed = plus(this.#passed, range);
    }
    return this.#passed;
  }

  get skipped(): Skipped {
    return this.#ahead.reduce(plus, this.#passed);
  }

  /**
   * A consumer is about to read after `reached`, and `info` was asked for after it was made.
   * @returns what ends reading
   */
  begins(info: StreamInfo): SourcePositionError | undefined {
    const problem = this.answered(info, this.ask());
    if (problem !== undefined) return problem;
    // What was not held may be there all the same: it is judged when it comes, or does not.
    const before = firstSequence(info, { ...this.#held, unheld: 0 }) - 1;
    const resumed = this.#resumed;
    this.#resumed = true;
    if (before <= this.reached) return undefined;
    // Only what is before the end of a bounded input counts.
    const to = Math.min(before, this.#options.end ?? before);
    if (resumed && to > this.accounted) {
      const gap = this.#gap({ from: this.accounted + 1, to }, info);
      if (gap !== undefined) return gap;
    }
    const first = this.#options.first ?? Number.POSITIVE_INFINITY;
    if (!resumed && to >= first)
      this.#skip(
        { from: Math.max(1, first), to },
        "which it had when the job was submitted; no checkpoint of the job holds them, and it begins with what there is",
      );
    this.accounted = Math.max(to, this.accounted);
    this.reached = this.accounted;
    return undefined;
  }

  /** @returns what ends reading; records up to there are released, the others are gone */
  answered(info: StreamInfo, asked: Asked): SourcePositionError | undefined {
    const problem = identityProblem({ ...this.#options, received: asked.reached }, info);
    if (problem !== undefined) return problem;
    const first = firstSequence(info, this.#held);
    const buffer = this.#buffer;
    for (let record = buffer.recordsReleased; record < asked.records; record++) {
      const sequence = buffer.sequenceOf(record);
      const gap = this.#judge(sequence - 1, first, info);
      if (gap !== undefined) return gap;
      this.accounted = sequence;
      buffer.release(record + 1);
    }
    const gap = this.#judge(asked.reached, first, info);
    if (gap !== undefined) return gap;
    this.accounted = Math.max(this.accounted, asked.reached);
    return undefined;
  }

  /** Judges the hole from what is accounted for up to `to`. */
  #judge(to: number, first: number, info: StreamInfo): SourcePositionError | undefined {
    const from = this.accounted + 1;
    const gone = Math.min(to, first - 1);
    return gone < from ? undefined : this.#gap({ from, to: gone }, info);
  }

  #gap(range: SequenceRange, info: StreamInfo): SourcePositionError | undefined {
    if (this.#options.gaps === "fail") {
      this.#buffer.dropUnreleased();
      return gapProblem({ ...this.#options, unheld: this.unheld }, range, info);
    }
    this.#skip(range, 'which were not read; skipped, as gaps: "skip" says');
    return undefined;
  }

  #skip(range: SequenceRange, why: string): void {
    this.#ahead.push(range);
    this.#options.onSkipped(range, why);
  }
}

function plus({ ranges, sequences }: Skipped, { from, to }: SequenceRange): Skipped {
  return { ranges: ranges + 1, sequences: sequences + to - from + 1 };
}
