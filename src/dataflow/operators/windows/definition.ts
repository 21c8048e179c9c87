/** What the author of a job says of windows, as the engine runs it; and what all window operators have in common. */
import type { MigrateWindows, WindowBounds } from "../../../../machines/protocol.ts";
import type { StateRow, StateTable } from "../../../state/contract.ts";
import type { StateDescriptors } from "../../../state/descriptor.ts";
import { NO_TIMESTAMP } from "../../source.ts";
import type { OperatorDetails, Slices } from "../contract.ts";
import type { Joins } from "../keyed/combine.ts";
import type { KeySelector } from "../keyed/key-selector.ts";
import type { Aggregation } from "./aggregation.ts";
import { formerStates } from "./former/tables.ts";
import type { WindowFunction } from "./window-output.ts";

export interface WindowDefinition {
  readonly key: KeySelector;
  /** The windows in words: a job that goes on has the same. */
  readonly description: string;
  /** How records become one value; undefined: the window function gets them all. */
  readonly aggregation?: Aggregation;
  /** undefined: the aggregated value leaves as it is. */
  readonly process?: WindowFunction;
  /** In ms of event time, also Infinity: a window stays so long behind its end, and fires again for late records. */
  readonly allowedLateness: number;
  /** "processing": the wall clock takes the place of event time. */
  readonly time: "event" | "processing";
  /** How much event time one window takes, in ms; undefined: that follows from the records, or it is no event time. */
  readonly spanMs?: number;
  /** Tag of the output for records that no window took; undefined: they are only counted. */
  readonly lateTag?: string;
  /** What becomes at the end of input of windows whose end is not one of event time. Default "fire". */
  readonly endOfInput?: "fire" | "drop";
  /** What becomes of other windows whose state is restored. Default: it is refused. */
  readonly migrateWindows?: MigrateWindows;
  /** Windows by processing time: the clock goes on from a restored checkpoint. Default: it is that of the worker. */
  readonly replayClock?: "resume";
}

/** Windows that can be finished when the job has others. */
export interface FinishableWindows extends WindowDefinition {
  readonly bounds: WindowBounds;
  /**
   * Records of one key and pane become one in front of the exchange: by `add`, which answers a record, or as an
   * accumulator, which is merged here. Default: they do not.
   */
  readonly combine?: Joins["kind"] | undefined;
}

/** How many keys one slice of a firing has: the user's window function may be slow. */
export const KEYS_PER_SLICE = 2;

/** @throws Error for a record without a time, which lies in no window */
export function checkTimestamp(timestamp: number): void {
  if (Number.isFinite(timestamp)) return;
  throw new Error(
    timestamp === NO_TIMESTAMP
      ? "a record has no timestamp, and windows of event time need one: give the source a timestamp, or use windows of " +
          "processing time"
      : `a record has the timestamp ${timestamp}, and windows need a time: give it to emit(value, timestamp)`,
  );
}

/** Looks at each row of a table that was restored. */
export function rowByRow(table: StateTable, look: (row: StateRow) => void): Slices {
  const rows = table.rows();
  return {
    step() {
      const next = rows.next();
      if (next.done === true) return false;
      look(next.value);
      return true;
    },
  };
}

/** What the engine asks of every window operator. */
export function windowDetails(
  { description, time, spanMs, allowedLateness, lateTag, migrateWindows, replayClock }: WindowDefinition,
  states: StateDescriptors,
): OperatorDetails {
  return {
    states,
    ownStates: true,
    emitsAtEnd: true,
    windows: description,
    needsWatermarks: time === "event",
    ...(time === "event" ? { needsTimestamps: true } : { timestamps: "all" }),
    allowedLatenessMs: allowedLateness,
    ...(spanMs !== undefined && { spanMs }),
    ...(lateTag !== undefined && { tags: [lateTag] }),
    ...(migrateWindows && { migrateWindows }),
    ...(replayClock && { replayClock }),
  };
}

/** The same, of windows that a job with others can finish; and the states of those that this one finishes. */
export function finishableDetails(
  definition: FinishableWindows,
  states: StateDescriptors,
  keepsRecords: boolean,
): OperatorDetails {
  const { bounds, time, allowedLateness, aggregation, combine, migrateWindows } = definition;
  return {
    ...windowDetails(definition, {
      ...(migrateWindows === "finish-old" && formerStates),
      ...states,
    }),
    windowsPlan: {
      bounds,
      time,
      staysForLate: allowedLateness > 0,
      aggregates: aggregation !== undefined,
      keepsRecords,
      combines: combine !== undefined,
    },
  };
}
