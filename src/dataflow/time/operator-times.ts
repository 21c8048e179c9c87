/**
 * The times of a chain's keyed operators in a cut, and what a restore makes of them: how far event time had come for
 * their key groups, and what the clocks of their own showed.
 */
import type { KeyedState } from "../../state/keyed-state.ts";
import type { EventTime } from "./event-time.ts";
import { type GroupTime, GroupTimes } from "./group-times.ts";
import type { ReplayClock } from "./replay-clock.ts";

/** How far time has come at a keyed operator for some keys: by that it judges which of their records are late. */
export interface OperatorTime extends GroupTime {
  readonly operator: string;
  /** How late it is by the clock of values whose time to live pauses with the job, if it has some. */
  readonly pausingClockMs?: number;
  /** How late it is by the operator's own clock, if that resumes at the cut. */
  readonly replayClockMs?: number;
}

export interface TimedOperator {
  readonly id: string;
  readonly state: KeyedState;
  readonly time: EventTime;
  readonly replay: ReplayClock | undefined;
}

export function timesOf(operators: readonly TimedOperator[]): OperatorTime[] {
  return operators.flatMap(({ id, time, state, replay }) => {
    const { watermark, isWorkingOff, ahead } = time;
    const { pausingClock, keyGroups } = state;
    if (
      watermark === Number.NEGATIVE_INFINITY &&
      ahead === undefined &&
      (pausingClock ?? replay) === undefined
    )
      return [];
    const clocks = {
      ...(pausingClock && { pausingClockMs: pausingClock.now() }),
      ...(replay && { replayClockMs: replay.nowMs() }),
    };
    const groups = ahead?.entries(time) ?? [{ keyGroups, watermark, isWorkingOff }];
    return groups.map((group) => ({ operator: id, ...group, ...clocks }));
  });
}

/** @param times those of operators that are not there are left out */
export function restoreTimesOf(operators: readonly TimedOperator[], times: readonly OperatorTime[]): void {
  for (const { id, time, state, replay } of operators) {
    const own = times.filter(({ operator }) => operator === id);
    if (own.length === 0) continue;
    GroupTimes.restore(time, state.keyGroups, own);
    for (const { watermark, pausingClockMs, replayClockMs } of own) {
      if (pausingClockMs !== undefined) state.pausingClock?.restore(pausingClockMs);
      if (replayClockMs !== undefined) replay?.restore(replayClockMs, watermark);
    }
  }
}
