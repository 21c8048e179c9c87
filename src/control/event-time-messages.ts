/** What subtasks tell of event time and of what holds it back, and what their leader makes of that: for reports. */
import type { SubtaskName } from "../../machines/protocol.ts";

/**
 * Why event time stands where it is.
 *
 * - Of a split: "noWatermarks": its source makes none; "noRecord": none has come in this generation; "silent": none
 *   since then; "noProgress": records come, and its watermark stays; "paused": it waits for slower ones.
 * - Of a channel: "upstream": so the sender says; "rules": it is held until another input has brought something.
 * - Of the subtask itself: "firing": what is due is being worked off; "requests": requests without their answers.
 * - Of any: "noRoom": what is behind takes no more; "stopped": the job takes no input.
 */
export type HoldReason =
  | "noWatermarks"
  | "noRecord"
  | "silent"
  | "noProgress"
  | "paused"
  | "upstream"
  | "rules"
  | "firing"
  | "requests"
  | "noRoom"
  | "stopped";

/** Why the holder of event time stands where it is. */
export type HolderReason = Exclude<HoldReason, "upstream">;

/** What holds the event time of one subtask: a split, a channel, or what is under way in the subtask itself. */
export interface TimeHold {
  /** Id of the split. Left out: it is none. */
  readonly split?: string;
  /** The sender of the channel. Left out: it is none. */
  readonly from?: SubtaskName;
  /** How far it has come, in ms; null: it has told nothing yet. */
  readonly watermark: number | null;
  /** Since when it stands there, on the clock of the worker, as precise as the leader's looks at the worker. */
  readonly sinceMs: number;
  readonly reason: HoldReason;
  /** When its last record came, on the clock of the worker. Left out: none has come, or it is not known. */
  readonly lastRecordMs?: number;
  /** The records that it has and that were not read yet. Left out: not known. */
  readonly pending?: number;
  /** Left out: it is never taken for idle. */
  readonly idleAfterMs?: number;
  /** The records whose requests are under way. */
  readonly requests?: number;
}

/** The event time of one subtask. */
export interface SubtaskTime {
  /** The subtask makes watermarks: it has a source, or assigns timestamps. */
  readonly makesWatermarks: boolean;
  /** "idle": it holds nothing back. "ended": all input has been processed. */
  readonly status: "active" | "idle" | "ended";
  /** How far it has come, in ms: all that was due up to there is done. null: nowhere yet, or the input has ended. */
  readonly watermark: number | null;
  readonly sinceMs: number;
  /** What holds it there; of many a few. None where it is idle or has ended. */
  readonly holds: readonly TimeHold[];
}

/** What holds event time back, found over all subtasks in between. */
export interface TimeHolder extends Omit<TimeHold, "from" | "reason"> {
  readonly reason: HolderReason;
  /** The operator that has the split, or in whose subtask it is held. */
  readonly operator: string;
  readonly subtask: SubtaskName;
}

/** The event time of operators that run together: that of their slowest subtask. */
export interface OperatorsTime extends Pick<SubtaskTime, "status" | "watermark" | "sinceMs"> {
  /** Upstream first. */
  readonly operators: readonly string[];
  /** Those that hold it there, the longest first, at most ten. */
  readonly holders: readonly TimeHolder[];
  /** How many more there are. */
  readonly holdersMore: number;
}
