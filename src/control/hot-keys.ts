/** What a report tells of a hot key, and to whom (P91). */
import type { JobReport, SubtaskReport } from "./messages.ts";

/** A key that much of a subtask's records have. */
export interface HotKeyReport {
  /** As text, shortened. Left out: the command has not asked for it. */
  readonly key?: string;
  readonly keyGroup: number;
  /** The part of the records that have it, at least; 101 to 1000. */
  readonly perMille: number;
}

/** The hot keys of one subtask, whose operator is the first one of its vertex. */
export interface HotKeysReport {
  /** true: the operator could have `combine: true`, and has not. */
  readonly mayCombine: boolean;
  /** The hottest first; one to three. */
  readonly keys: readonly HotKeyReport[];
}

/** The report for one who has not asked for keys. */
export function withoutKeys(report: JobReport): JobReport {
  return { ...report, subtasks: report.subtasks.map(subtaskWithoutKeys) };
}

function subtaskWithoutKeys(subtask: SubtaskReport): SubtaskReport {
  const { hotKeys } = subtask;
  if (hotKeys === undefined) return subtask;
  const keys = hotKeys.keys.map(({ keyGroup, perMille }) => ({ keyGroup, perMille }));
  return { ...subtask, hotKeys: { ...hotKeys, keys } };
}
