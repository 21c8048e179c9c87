/**
 * The pace of one subtask of a source that is aligned with others at any time: which of its splits are not read for
 * now. What keeps pace only while it is behind has another one (backlog-pace.ts).
 *
 * Owns: what is told to the leader and when, what the leader has answered, which splits are paused and for how long.
 * Does not own: the limit and the leases (machines/watermark-alignment.ts), how a split is not read (the reader).
 *
 * - KP1 The leader is told by the clock, not by turns: a subtask that waits for room still holds its group back.
 * - KP2 Between two answers of the leader, the subtask's own splits keep each other within the drift.
 * - KP3 A subtask tells one thing at a time, so an older report never follows a newer one. One that has paused a split,
 *   or has no watermark yet, asks ten times as often.
 */
import type { SubtaskName } from "../../../../../machines/protocol.ts";
import { isInForce, isPaused, limitOf, NOTHING_YET } from "../../../../../machines/watermark-alignment.ts";
import type { Clock, Timer } from "../../../../clock.ts";
import type { ShortAnswer } from "../../../../control/shapes.ts";
import type { PausedReport, WatermarkReport } from "../../../../control/source-messages.ts";
import type { SourceAlignment, SourceTime } from "../../../../dataflow/time/source-time.ts";
import type { WatermarkCombiner } from "../../../../dataflow/time/watermark-combiner.ts";
import { type Pace, PausedSplits } from "./paused-splits.ts";

const MIN_ASK_MS = 10;
const ASKS_WHILE_PAUSED = 10;

export interface SourcePaceOptions {
  readonly alignment: SourceAlignment;
  readonly subtask: SubtaskName;
  readonly generation: number;
  /** The number of subtasks that are in the group. */
  readonly members: number;
  readonly splitIds: readonly string[];
  readonly splitTime: Pick<SourceTime, "watermark">;
  readonly senders: Pick<WatermarkCombiner, "senderIsActive">;
  readonly clock: Clock;
  /** Resolves with the leader's answer; undefined: the generation has ended. */
  readonly ask: (report: WatermarkReport) => Promise<ShortAnswer | undefined>;
  readonly wake: () => void;
}

export class SourcePace implements Pace {
  readonly #options: SourcePaceOptions;
  readonly #paused: PausedSplits;
  /** What the leader has answered last. At the beginning, others may have none yet: nothing is read ahead of them. */
  #limit: number | null = NOTHING_YET;
  #heardMs = Number.NEGATIVE_INFINITY;
  /** The leader knows no watermark of the subtask, and so lets no subtask of the group read on. */
  #holdsAll = true;
  #timer: Timer | undefined;
  #isClosed = false;

  constructor(options: SourcePaceOptions) {
    this.#options = options;
    this.#paused = new PausedSplits(options.splitIds);
  }

  start(): void {
    this.#heardMs = this.#options.clock.elapsedMs();
    void this.#tell();
  }

  isPaused(split: number): boolean {
    return this.#paused.has(split);
  }

  get isAtLimit(): boolean {
    const { senders, splitIds } = this.#options;
    return (
      this.#paused.count > 0 && splitIds.every((_, i) => this.#paused.has(i) || !senders.senderIsActive(i))
    );
  }

  look(): boolean {
    const { splitIds, splitTime, senders, clock } = this.#options;
    const nowMs = clock.elapsedMs();
    const limit = this.#limitAt(nowMs);
    const before = this.#paused.count;
    let hasChanged = false;
    for (let i = 0; i < splitIds.length; i++) {
      const paused = senders.senderIsActive(i) && isPaused(splitTime.watermark(i), limit);
      if (this.#paused.set(i, paused, nowMs)) hasChanged = true;
    }
    if (this.#paused.count > 0 && before === 0) this.#askSoon();
    return hasChanged;
  }

  report(): PausedReport | null {
    return this.#paused.report(this.#options.clock.elapsedMs(), false);
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }

  /** The least of the leader's limit, while that is in force, and of what the subtask's own splits come to. */
  #limitAt(nowMs: number): number | null {
    const { alignment } = this.#options;
    const own = limitOf([{ ...this.#own(), atMs: nowMs }], alignment, nowMs);
    if (this.#limit === null || !isInForce(this.#heardMs, nowMs, alignment.intervalMs)) return own;
    return own === null ? this.#limit : Math.min(own, this.#limit);
  }

  #own(): { readonly watermark: number | null; readonly holds: boolean } {
    const { splitIds, splitTime, senders } = this.#options;
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i < splitIds.length; i++)
      if (senders.senderIsActive(i)) least = Math.min(least, splitTime.watermark(i));
    if (least === Number.POSITIVE_INFINITY) return { watermark: null, holds: false };
    return { watermark: least <= NOTHING_YET ? null : least, holds: true };
  }

  get #everyMs(): number {
    const { intervalMs } = this.#options.alignment;
    return this.#paused.count > 0 || this.#holdsAll
      ? Math.max(MIN_ASK_MS, intervalMs / ASKS_WHILE_PAUSED)
      : intervalMs;
  }

  /** The next report is due earlier than it was when the timer was set. */
  #askSoon(): void {
    if (this.#timer === undefined) return;
    this.#timer.cancel();
    this.#setTimer();
  }

  #setTimer(): void {
    this.#timer = this.#options.clock.after(this.#everyMs, () => {
      this.#timer = undefined;
      void this.#tell();
      // A lease may be over (WL3).
      if (this.#paused.count > 0) this.#options.wake();
    });
  }

  /** KP3 */
  async #tell(): Promise<void> {
    const { alignment, subtask, generation, members, ask, clock, wake } = this.#options;
    const { group, maxDriftMs, intervalMs } = alignment;
    const about = { generation, subtask, group, members, maxDriftMs, intervalMs };
    // While there is no answer, the end of the lease still needs a turn.
    const patience = clock.after(4 * intervalMs, wake, false);
    const own = this.#own();
    this.#holdsAll = own.holds && own.watermark === null;
    const answer = await ask({ type: "watermark.reported", ...about, ...own, pending: null });
    patience.cancel();
    if (this.#isClosed) return;
    if (answer?.limit !== undefined) {
      this.#limit = answer.limit;
      this.#heardMs = clock.elapsedMs();
      wake();
    }
    this.#setTimer();
  }
}
