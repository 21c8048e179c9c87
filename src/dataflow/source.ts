/**
 * The contract of a source.
 *
 * `discover` runs once, at submission, where the user's code is loaded; its splits are stored in the job record before
 * the first read, so every generation reads the same input (P31). `open` runs in each subtask of each generation.
 */
import type { ConnectorEnvironment, SubtaskEnvironment } from "./connector.ts";

export type Gaps = "fail" | "skip";

/** Ranges of input that were skipped, and how long they are together. They may have held nothing for the job. */
export interface Skipped {
  readonly ranges: number;
  readonly sequences: number;
}

/** A part of a source's input that one subtask reads. Plain data. */
export interface SourceSplit {
  /** Unique within the source, and stable over restarts. */
  readonly id: string;
  /**
   * What it is read from, in words: "stream ORDERS". A position means nothing in another input, so a state is not
   * restored to one.
   */
  readonly input?: string;
  /**
   * When it was made, where another one may come in its place under the same name. A position means nothing in that
   * one, unless the user says that it is a copy.
   */
  readonly created?: string;
  /** The user says so: positions go on in the input that was made at `created`, whichever they were taken in. */
  readonly accepted?: true;
  /**
   * What the source does where input has gone that the job may not have read (P42): stop in front of it, or count it
   * and go on. Left out by sources whose input cannot go. The newest submission decides.
   */
  readonly gaps?: Gaps;
  /** Why so, in words. */
  readonly gapsReason?: string;
  /**
   * Name of the consumer that shows its progress in the broker, if the user has chosen one. The newest submission
   * decides.
   */
  readonly progressConsumer?: string;
  readonly [field: string]: unknown;
}

/** A split and how far it was read; `position` is plain data that only the source understands. Split state. */
export interface SplitPosition {
  /** The split as `discover` has answered it. */
  readonly split: SourceSplit;
  /** undefined: from the split's beginning. */
  readonly position: unknown;
}

/** An input of a job: finds its splits, and opens a reader of some of them in each subtask. */
export interface Source<T> {
  /** "jetstream", "generator", … for messages and the printed plan. */
  readonly kind: string;
  /** false: after a failure records are lost, and the job says so when it starts. */
  readonly replayable: boolean;
  /** true: every split ends. */
  readonly bounded: boolean;
  /** false: its records come without timestamps, unless the job's author gives them some. Default true: they may. */
  readonly timestamps?: boolean;
  /** @throws EnvironmentError, ConfigurationError naming what to do */
  discover(environment: ConnectorEnvironment): Promise<SourceSplit[]>;
  /** Called in each subtask of each generation, with the splits that it is to read and where it goes on. */
  open(environment: SubtaskEnvironment, splits: readonly SplitPosition[]): Promise<SourceReader<T>>;
}

/** "more": call again soon; "idle": nothing now, `onAvailable` will tell; "ended": every split has ended. */
export type PollStatus = "more" | "idle" | "ended";

/** Takes one record. `timestamp`: its event time, a whole number of ms, or `NO_TIMESTAMP`. */
export type Collect<T> = (value: T, timestamp: number) => void;

/** No event time is known for a record. */
export const NO_TIMESTAMP = Number.NEGATIVE_INFINITY;

/** All methods are called in the turns of the subtask, never concurrently. */
export interface SourceReader<T> {
  /** Called again and again while the subtask runs. Synchronous: emits at most `recordsMax` records and returns. */
  poll(collect: Collect<T>, recordsMax: number): PollStatus;
  /** `wake` may be called at any time, also spuriously. Set once, before the first poll. */
  onAvailable(wake: () => void): void;
  /**
   * The split of the record that is being given to `collect`, an index into the splits that `open` was given: event
   * time is kept for each split. Left out: for all of them together, which is right for one.
   */
  readonly currentSplit?: number;
  /**
   * Whether a split has something to be read now, as far as its broker has told: one that has is never taken for idle.
   * Left out: all are as `poll` answers.
   */
  splitStatus?(split: number): PollStatus;
  /**
   * Gives no record of a split for which `isPaused` answers true, until the next call; `poll` answers "idle" where
   * there is nothing else. Its position stays, and what is read ahead stays bounded. Left out: where sources are
   * aligned, the splits of a subtask stop together.
   */
  pauseSplits?(isPaused: (split: number) => boolean): void;
  /**
   * About how many records of a split are there and not read yet; Infinity: it never ends, and all of it is there. A
   * source that is behind by it keeps pace by default. Asked up to a hundred times a second. Left out: it keeps pace
   * only where the job says so.
   */
  splitPending?(split: number): number;
  /**
   * false: what the split has left could be gone before it is read, so it does not wait for slower ones unless the job
   * says so. Left out: it stays.
   */
  splitMayWait?(split: number): boolean;
  /** The origin of the record last given to `collect`, for error messages: "stream LINES sequence 42". */
  describePosition(): string;
  /**
   * Called at the barrier, synchronous: positions such that exactly the records emitted so far are before them. Also
   * called once before the first poll, because a barrier may come as early as that (D49).
   */
  snapshot(): SplitPosition[];
  /** What was skipped since the job began, for all splits; counted in their positions. Left out: nothing ever is. */
  skipped?(): Skipped;
  /** The checkpoint that holds `positions` is decided; best effort, may be skipped. */
  checkpointCompleted(positions: readonly SplitPosition[]): void;
  /** Called once, last, also after a failure. */
  close(): Promise<void>;
}

/**
 * The same splits, with what was decided anew for others of the same id: about gaps, about a copy, and where progress
 * is shown.
 */
export function asDecided<S extends { readonly id: string }>(
  splits: readonly S[],
  deciding: readonly { readonly id: string }[],
): S[] {
  const decisions = new Map(deciding.map((split) => [split.id, split as SourceSplit]));
  return splits.map((split) => {
    const decision = decisions.get(split.id);
    if (decision === undefined) return split;
    const { gaps, gapsReason, progressConsumer, created, accepted } = decision;
    const decided: S & { progressConsumer?: string } = {
      ...split,
      ...(gaps === undefined ? {} : { gaps }),
      ...(gapsReason === undefined ? {} : { gapsReason }),
      ...(progressConsumer === undefined ? {} : { progressConsumer }),
      ...(accepted === true && created !== undefined ? { created, accepted } : {}),
    };
    if (progressConsumer === undefined) delete decided.progressConsumer;
    return decided;
  });
}

/**
 * The positions that a subtask begins at: those of the restored checkpoint, and the beginning of the other splits that
 * it is dealt. Those are all splits without a checkpoint, else the splits that have come to the source since.
 */
export function positionsOf(
  restored: readonly SplitPosition[] | undefined,
  dealt: readonly SourceSplit[],
  deciding: readonly { readonly id: string }[],
): SplitPosition[] {
  const known = restored?.map(({ split }) => split) ?? [];
  const ids = new Set(known.map(({ id }) => id));
  const splits = [...known, ...dealt.filter(({ id }) => !ids.has(id))];
  return asDecided(splits, deciding).map((split, i) => ({ split, position: restored?.[i]?.position }));
}

/** The splits of one subtask: dealt round robin, so that every generation deals alike. */
export function splitsOf<S>(splits: readonly S[], subtaskIndex: number, parallelism: number): S[] {
  return splits.filter((_, i) => i % parallelism === subtaskIndex);
}
