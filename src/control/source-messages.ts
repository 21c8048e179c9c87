/** What subtasks of aligned sources and their leader tell each other (P87). */
import type { SubtaskName } from "../../machines/protocol.ts";

/** How far a subtask of an aligned source has come. The answer tells how far it may read (P87). */
export interface WatermarkReport {
  readonly type: "watermark.reported";
  readonly generation: number;
  readonly subtask: SubtaskName;
  readonly group: string;
  /** The number of subtasks that are in the group. */
  readonly members: number;
  readonly maxDriftMs: number;
  readonly intervalMs: number;
  /** In ms; null: it has none yet, or holds nothing back. */
  readonly watermark: number | null;
  /** false: it is idle, has ended, or has no splits; or it is not behind, in a group that waits only while it is. */
  readonly holds: boolean;
  /** How many records it has left to read; null: the group waits whatever is left. */
  readonly pending: number | null;
}

/** What a source does not read for now, because it is aligned with others. */
export interface PausedReport {
  /** The ids of the splits that are paused. */
  readonly splits: readonly string[];
  /** How long some split was paused in this generation, all in all. */
  readonly pausedMs: number;
  /** true: the job does not ask for it; sources that are behind keep pace by default (P80). */
  readonly byDefault: boolean;
}
