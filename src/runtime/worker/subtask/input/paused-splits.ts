/** What keeps some splits of a source from being read for now. */
import type { PausedReport } from "../../../../control/source-messages.ts";

export interface Pace {
  start(): void;
  isPaused(split: number): boolean;
  /** Not one split that holds event time back may be read. */
  readonly isAtLimit: boolean;
  /** Decides again which splits are paused. Answers whether that has changed. */
  look(): boolean;
  /** null: no split was ever paused. */
  report(): PausedReport | null;
  close(): void;
}

/** The splits that are paused, and for how long some split was. */
export class PausedSplits {
  /** How many there are. */
  count = 0;
  readonly #splitIds: readonly string[];
  readonly #paused: boolean[];
  #sinceMs = 0;
  #beforeMs = 0;

  constructor(splitIds: readonly string[]) {
    this.#splitIds = splitIds;
    this.#paused = splitIds.map(() => false);
  }

  has(split: number): boolean {
    return this.#paused[split] === true;
  }

  /** Answers whether that is new. @param nowMs on the monotonic clock */
  set(split: number, paused: boolean, nowMs: number): boolean {
    if (paused === this.#paused[split]) return false;
    this.#paused[split] = paused;
    if (paused && this.count++ === 0) this.#sinceMs = nowMs;
    if (!paused && --this.count === 0) this.#beforeMs += nowMs - this.#sinceMs;
    return true;
  }

  report(nowMs: number, byDefault: boolean): PausedReport | null {
    const pausedMs = Math.round(this.#beforeMs + (this.count > 0 ? nowMs - this.#sinceMs : 0));
    const splits = this.#splitIds.filter((_, i) => this.#paused[i]);
    return splits.length === 0 && pausedMs === 0 ? null : { splits, pausedMs, byDefault };
  }
}
