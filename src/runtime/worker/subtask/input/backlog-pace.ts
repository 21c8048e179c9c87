/**
 * The pace of one subtask of a source while it is behind: which of its splits are not read for now (P80).
 *
 * Owns: which splits are behind and which stand still, what is told to the leader and when, what it has answered. Does
 * not own: the limit, the leases and when a split is behind (machines/watermark-alignment.ts), how a split is not read
 * (the reader).
 *
 * - BK1 Splits of one subtask wait for each other whatever is left of them: it reads one of them at any time, so that
 *   costs nothing. It is also so with one that has no watermark yet.
 * - BK2 A subtask that is not behind looks each 10 ms at most, asks no leader and has no timer.
 * - BK3 A pause ends by itself: whatever it waits for has a lease, and as long as it lasts there is a timer.
 * - BK4 A split is not paused whose reader says that its input might not stay.
 */
import type { SubtaskName } from "../../../../../machines/protocol.ts";
import { isBehind, isInForce, isPaused } from "../../../../../machines/watermark-alignment.ts";
import type { Clock, Timer } from "../../../../clock.ts";
import type { ShortAnswer } from "../../../../control/shapes.ts";
import type { PausedReport, WatermarkReport } from "../../../../control/source-messages.ts";
import type { SourceReader } from "../../../../dataflow/source.ts";
import type { SourceAlignment, SourceTime } from "../../../../dataflow/time/source-time.ts";
import type { WatermarkCombiner } from "../../../../dataflow/time/watermark-combiner.ts";
import { type Pace, PausedSplits } from "./paused-splits.ts";

const LOOK_EVERY_MS = 10;
const ASKS_OFTEN = 10;
const NOTHING_HOLDS = Number.POSITIVE_INFINITY;

export interface BacklogPaceOptions {
  readonly alignment: SourceAlignment & { readonly whileBehind: number };
  readonly subtask: SubtaskName;
  readonly generation: number;
  /** The number of subtasks that are in the group. */
  readonly members: number;
  readonly splitIds: readonly string[];
  readonly reader: Pick<SourceReader<unknown>, "splitPending" | "splitMayWait">;
  readonly splitTime: Pick<SourceTime, "watermark">;
  readonly senders: Pick<WatermarkCombiner, "senderIsActive">;
  readonly clock: Clock;
  /** Resolves with the leader's answer; undefined: the generation has ended. */
  readonly ask: (report: WatermarkReport) => Promise<ShortAnswer | undefined>;
  readonly wake: () => void;
}

interface Split {
  /** At the last look. */
  isBehind: boolean;
  pending: number;
  watermark: number;
  /** When its watermark came that far, or it was paused last. */
  movedMs: number;
}

export class BacklogPace implements Pace {
  readonly #options: BacklogPaceOptions;
  readonly #splits: readonly Split[];
  readonly #paused: PausedSplits;
  #behind = 0;
  #behindSinceMs = Number.NEGATIVE_INFINITY;
  #nextLookMs = Number.NEGATIVE_INFINITY;
  /** What the leader has answered last; null: others hold nothing. */
  #limit: number | null = null;
  #heardMs = Number.NEGATIVE_INFINITY;
  /** A split is paused that those of the subtask itself would let read. */
  #waitsForOthers = false;
  #isAsking = false;
  #timer: Timer | undefined;
  #isClosed = false;

  constructor(options: BacklogPaceOptions) {
    this.#options = options;
    this.#paused = new PausedSplits(options.splitIds);
    this.#splits = options.splitIds.map(() => ({
      isBehind: false,
      pending: 0,
      watermark: Number.NEGATIVE_INFINITY,
      movedMs: Number.NEGATIVE_INFINITY,
    }));
  }

  start(): void {
    const nowMs = this.#options.clock.elapsedMs();
    for (const split of this.#splits) split.movedMs = nowMs;
  }

  isPaused(split: number): boolean {
    return this.#paused.has(split);
  }

  get isAtLimit(): boolean {
    const { senders } = this.#options;
    return (
      this.#paused.count > 0 &&
      this.#splits.every((_, i) => this.#paused.has(i) || !senders.senderIsActive(i))
    );
  }

  look(): boolean {
    const nowMs = this.#options.clock.elapsedMs();
    if (nowMs < this.#nextLookMs) return false;
    this.#nextLookMs = nowMs + LOOK_EVERY_MS;
    const wasBehind = this.#behind > 0;
    this.#note(nowMs);
    if (this.#behind === 0 && this.#paused.count === 0) return false;
    const waitedForOthers = this.#waitsForOthers;
    const hasChanged = this.#decide(nowMs);
    if (!wasBehind) this.#behindSinceMs = nowMs;
    if (this.#needsLeader && !wasBehind) void this.#tell();
    if (this.#waitsForOthers && !waitedForOthers) this.#cancelTimer();
    this.#setTimer();
    return hasChanged;
  }

  report(): PausedReport | null {
    const { clock, alignment } = this.#options;
    return this.#paused.report(clock.elapsedMs(), alignment.isDefault === true);
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelTimer();
  }

  get #needsLeader(): boolean {
    return this.#behind > 0 && this.#options.members > 1;
  }

  #note(nowMs: number): void {
    const { senders, reader, splitTime, alignment } = this.#options;
    this.#behind = 0;
    for (let i = 0; i < this.#splits.length; i++) {
      const split = this.#splits[i]!;
      split.pending = senders.senderIsActive(i) ? (reader.splitPending?.(i) ?? 0) : 0;
      split.isBehind = isBehind(split.pending, alignment.whileBehind, split.isBehind);
      if (split.isBehind) this.#behind++;
      const watermark = splitTime.watermark(i);
      if (watermark !== split.watermark || this.#paused.has(i)) split.movedMs = nowMs;
      split.watermark = watermark;
    }
  }

  /** Answers whether other splits are paused now. */
  #decide(nowMs: number): boolean {
    const { alignment, reader } = this.#options;
    const { maxDriftMs, intervalMs } = alignment;
    const own = this.#least(nowMs) + maxDriftMs;
    const others = isInForce(this.#heardMs, nowMs, intervalMs)
      ? (this.#limit ?? NOTHING_HOLDS)
      : NOTHING_HOLDS;
    const limit = Math.min(own, others);
    this.#waitsForOthers = false;
    let hasChanged = false;
    for (let i = 0; i < this.#splits.length; i++) {
      const { isBehind, watermark } = this.#splits[i]!;
      const paused = isBehind && isPaused(watermark, limit) && (reader.splitMayWait?.(i) ?? true);
      if (paused && !isPaused(watermark, own)) this.#waitsForOthers = true;
      if (this.#paused.set(i, paused, nowMs)) hasChanged = true;
    }
    return hasChanged;
  }

  /** The least watermark of the splits that are behind and have not stood still; Infinity: there is none. */
  #least(nowMs: number): number {
    const { intervalMs } = this.#options.alignment;
    let least = NOTHING_HOLDS;
    for (const { isBehind, movedMs, watermark } of this.#splits)
      if (isBehind && isInForce(movedMs, nowMs, intervalMs)) least = Math.min(least, watermark);
    return least;
  }

  #cancelTimer(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** BK2, BK3 */
  #setTimer(): void {
    if (this.#timer !== undefined || this.#isClosed || !(this.#needsLeader || this.#paused.count > 0)) return;
    const { clock, alignment, wake } = this.#options;
    const { intervalMs } = alignment;
    // At the beginning the leader may not have heard of the others.
    const isNew = isInForce(this.#behindSinceMs, clock.elapsedMs(), intervalMs);
    const asksOften = this.#waitsForOthers || (isNew && this.#needsLeader);
    const everyMs = asksOften ? Math.max(LOOK_EVERY_MS, intervalMs / ASKS_OFTEN) : intervalMs;
    this.#timer = clock.after(everyMs, () => {
      this.#timer = undefined;
      // What is left may have been read meanwhile, or a lease may be over: the next look tells.
      wake();
      if (this.#needsLeader) void this.#tell();
      this.#setTimer();
    });
  }

  /** One report at a time, so that an older one never follows a newer one. */
  async #tell(): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    const { alignment, subtask, generation, members, ask, clock, wake } = this.#options;
    const { group, maxDriftMs, intervalMs } = alignment;
    const least = this.#least(clock.elapsedMs());
    const pending = this.#splits.reduce((sum, split) => sum + split.pending, 0);
    const answer = await ask({
      type: "watermark.reported",
      ...{ generation, subtask, group, members, maxDriftMs, intervalMs },
      watermark: Number.isFinite(least) ? least : null,
      holds: Number.isFinite(least),
      pending: Math.min(Math.ceil(pending), Number.MAX_SAFE_INTEGER),
    });
    this.#isAsking = false;
    if (this.#isClosed || answer?.limit === undefined) return;
    this.#limit = answer.limit;
    this.#heardMs = clock.elapsedMs();
    this.#nextLookMs = this.#heardMs;
    if (this.#paused.count > 0) wake();
  }
}
