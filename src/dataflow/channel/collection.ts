/** What one channel keeps for an unaligned checkpoint: the records in front of its barrier. */
import type { CheckpointFrame, InFlightRecords } from "./frame.ts";

export class Collection {
  #checkpointId = 0;
  #collect: ((records: InFlightRecords) => void) | undefined;

  get open(): boolean {
    return this.#collect !== undefined;
  }

  begin(checkpointId: number, collect: (records: InFlightRecords) => void): void {
    this.#checkpointId = checkpointId;
    this.#collect = collect;
  }

  records(records: InFlightRecords): void {
    this.#collect?.(records);
  }

  /** A barrier or marker comes by, in its place among the records. Those of older checkpoints are behind us. */
  reached(frame: CheckpointFrame): void {
    if (frame.checkpointId >= this.#checkpointId) this.end();
  }

  end(): void {
    this.#collect = undefined;
  }
}
