/**
 * How far the sources of a group may read: fast ones wait for slow ones, so that little is read ahead of its time.
 * Pure functions: a worker decides with them about its splits, and the leader about all subtasks of a group (P87).
 *
 * - WL1 The limit is the least watermark of those that hold event time back, and the drift. One whose watermark is
 *   greater is not read.
 * - WL2 What is idle, has ended, or has no split, has no part in it. One that has no watermark yet holds all others.
 *   Where none holds event time back there is no limit.
 * - WL3 What was told counts for three intervals. A leader leaves out a subtask that it has not heard for so long, and
 *   a subtask that has not heard the limit for so long reads without it. So no lost message stops a job.
 * - WL4 For so long from the first report on, a member that the leader has not heard at all holds all others, too.
 *
 * Where sources wait for each other only while they are behind (P80), WL1 and WL3 hold, and these in place of the
 * others:
 *
 * - WL5 Only what is behind has a part in it. A split is behind when it has as many records left to read as was asked
 *   for, until it has less than a quarter of that.
 * - WL6 A split whose watermark has stood still for three intervals, though it was free to be read, holds no other. No
 *   subtask waits for one that has no watermark yet, or was not heard. So none waits at the start.
 * - WL7 A subtask waits only for those that have as much left to read as it has, or more. These need longer in any
 *   case, so the wait makes no job slower; and the one that has most left waits for none.
 *
 * Flink: SourceCoordinator.announceCombinedWatermark, SourceOperator.checkWatermarkAlignment; the leases and what
 * depends on a backlog are ours.
 */

/** What was said of one subtask last. */
export interface ToldWatermark {
  /** The least watermark of its splits that hold event time back, in ms; null: one of them has none yet. */
  readonly watermark: number | null;
  /** false: it holds nothing back. */
  readonly holds: boolean;
  /** How many records its splits have left to read; null: it waits for others whatever is left. */
  readonly pending: number | null;
  /** On the monotonic clock. */
  readonly atMs: number;
}

/** The limit below every watermark there is. */
export const NOTHING_YET = Number.MIN_SAFE_INTEGER;

const LEASE_INTERVALS = 3;

/** WL3 */
export function isInForce(toldMs: number, nowMs: number, intervalMs: number): boolean {
  return nowMs - toldMs <= LEASE_INTERVALS * intervalMs;
}

/** WL4. @param heard the members that were ever heard @param sinceMs when the first of them was */
export function isComplete(
  { heard, members }: { readonly heard: number; readonly members: number },
  sinceMs: number,
  nowMs: number,
  intervalMs: number,
): boolean {
  return heard >= members || !isInForce(sinceMs, nowMs, intervalMs);
}

/** How far all of them may read, a watermark in ms; null: as far as they like. */
export function limitOf(
  told: Iterable<Omit<ToldWatermark, "pending">>,
  { maxDriftMs, intervalMs }: { readonly maxDriftMs: number; readonly intervalMs: number },
  nowMs: number,
): number | null {
  let least: number | null = null;
  for (const { watermark, holds, atMs } of told) {
    if (!holds || !isInForce(atMs, nowMs, intervalMs)) continue;
    if (watermark === null) return NOTHING_YET;
    if (least === null || watermark < least) least = watermark;
  }
  return least === null ? null : Math.min(least + maxDriftMs, Number.MAX_SAFE_INTEGER);
}

/** A split has caught up when less than this part of what makes it one that is behind is left. */
const CAUGHT_UP_SHARE = 1 / 4;

/** WL5. @param fromRecords so many are left where a split begins to be behind @param wasBehind at the last look */
export function isBehind(pending: number, fromRecords: number, wasBehind: boolean): boolean {
  return pending >= (wasBehind ? fromRecords * CAUGHT_UP_SHARE : fromRecords);
}

/** Those that a subtask waits for which has so much left itself (WL7). */
export function longerThan(told: readonly ToldWatermark[], pending: number | null): readonly ToldWatermark[] {
  return pending === null ? told : told.filter((one) => one.pending !== null && one.pending >= pending);
}

/** WL1 */
export function isPaused(watermark: number, limit: number | null): boolean {
  return limit !== null && watermark > limit;
}
