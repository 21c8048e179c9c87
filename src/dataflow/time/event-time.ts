/** How far event time has come at one operator of one subtask. Moved by the chain, read by the operator. */
export class EventTime {
  /**
   * The current watermark in ms: no record with a timestamp up to it is expected any more; one that comes is late.
   * -Infinity: event time has not begun, or the job has none. Infinity: the input has ended.
   */
  watermark = Number.NEGATIVE_INFINITY;
  /** What was due at the watermark is still being worked off. A cut that falls in between tells so. */
  isWorkingOff = false;
}
