import { InvariantError } from "../../errors.ts";

/** In place of a time that is waited for: it is past, and the call comes before the next record. */
export const AT_ONCE = Number.NEGATIVE_INFINITY;

/** Processing time as an operator has it: the wall clock of the process that runs its subtask, or one behind it. */
export interface ProcessingTime {
  /** The clock, in ms. A wall clock may be set back. */
  nowMs(): number;
  /**
   * Asks for `OpenOperator.advanceProcessingTime` as soon as `timeMs` is past. The earliest time that was asked for
   * counts, so an operator asks again for its next one whenever it has been called.
   */
  wakeAt(timeMs: number): void;
}

/** For a chain whose operators are not to ask for it. */
export const NO_PROCESSING_TIME: ProcessingTime = { nowMs: withoutClock, wakeAt: withoutClock };

function withoutClock(): never {
  throw new InvariantError("broken invariant: this chain was given no processing time");
}
