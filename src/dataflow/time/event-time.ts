import type { GroupTimes } from "./group-times.ts";

/** How far event time has come at one operator of one subtask. Moved by the chain, read by the operator. */
export class EventTime {
  /**
   * The current watermark in ms: no record with a timestamp up to it is expected any more; one that comes is late.
   * -Infinity: event time has not begun, or the job has none. Infinity: the input has ended.
   */
  watermark = Number.NEGATIVE_INFINITY;
  /** What was due at the watermark is still being worked off. A cut that falls in between tells so. */
  isWorkingOff = false;
  /** The key groups that had come further than `watermark` before a restore; undefined: none has (P93). */
  ahead: GroupTimes | undefined = undefined;

  /** What was due at the watermark is done. */
  hasCome(): void {
    this.isWorkingOff = false;
    if (this.ahead !== undefined && this.ahead.greatest <= this.watermark) this.ahead = undefined;
  }

  /** Everything that is due up to the watermark was done for all keys, and nothing behind it for any. */
  get isEven(): boolean {
    return !this.isWorkingOff && this.ahead === undefined;
  }
}
