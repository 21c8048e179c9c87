/** Processing time as an operator has it: the wall clock of the process that runs its subtask. */
export interface ProcessingTime {
  /** The wall clock, in ms. It may be set back. */
  nowMs(): number;
  /**
   * Asks for `OpenOperator.advanceProcessingTime` as soon as `timeMs` is past. The earliest time that was asked for
   * counts, so an operator asks again for its next one whenever it has been called.
   */
  wakeAt(timeMs: number): void;
}
