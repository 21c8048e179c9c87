/**
 * The groups of sources of a job whose subtasks read at about the same pace, as its leader knows them.
 *
 * Owns: what each subtask has told last. Does not own: the limit that follows (machines/watermark-alignment.ts), what a
 * subtask does with it (runtime/worker/subtask/input/source-pace.ts).
 */
import {
  isComplete,
  limitOf,
  longerThan,
  NOTHING_YET,
  type ToldWatermark,
} from "../../../../machines/watermark-alignment.ts";
import type { WatermarkReport } from "../../../control/source-messages.ts";

interface Group {
  readonly sinceMs: number;
  /** By subtask. */
  readonly told: Map<string, ToldWatermark>;
}

export class SourceGroups {
  readonly #groups = new Map<string, Group>();

  /**
   * Notes what a subtask tells. Answers how far it may read; null: as far as it likes.
   *
   * @param nowMs on the monotonic clock
   */
  reported(report: WatermarkReport, nowMs: number): number | null {
    const { group, subtask, members, watermark, holds, pending, maxDriftMs, intervalMs } = report;
    const known = this.#groups.get(group) ?? { sinceMs: nowMs, told: new Map<string, ToldWatermark>() };
    const { sinceMs, told } = known;
    this.#groups.set(group, known);
    told.set(subtask, { watermark, holds, pending, atMs: nowMs });
    const waitsForAll = pending === null;
    if (waitsForAll && !isComplete({ heard: told.size, members }, sinceMs, nowMs, intervalMs))
      return NOTHING_YET;
    // The subtask knows best how far it is itself.
    const others = [...told].filter(([member]) => member !== subtask).map(([, one]) => one);
    return limitOf(longerThan(others, pending), { maxDriftMs, intervalMs }, nowMs);
  }
}
