/**
 * The contract of a target that can do one thing in one atomic step: write the records of a transaction, and replace a
 * marker if it is still the one that was read. Databases can, and so can many services.
 *
 * The engine does all the rest (marked-writer.ts): it keeps the records durably until their checkpoint is decided,
 * takes markers over, repeats, and judges what it finds.
 */
import type { TransactionMarker } from "../../formats/transactions/transaction-marker.ts";

/** The writer whose transactions a marker counts. Each has a marker of its own. */
export interface MarkerKey {
  /** The life of the job. */
  readonly incarnation: string;
  /** Name of the sink in the job. */
  readonly operator: string;
  /** Index of its subtask. */
  readonly writer: number;
}

/** What one writer has written between two checkpoints, in the order in which it was written. */
export interface StagedTransaction<B> {
  /** The checkpoint whose decision lets it be written. With the marker's key a name that is never used again. */
  readonly checkpointId: number;
  /** How many records it holds. */
  readonly records: number;
  /**
   * Reads them back, about 1 MiB at a time, so that a transaction of any size needs little memory. Begins at the first
   * one each time it is called.
   *
   * @throws ObjectMissingError, ObjectCorruptError: roll back, and let it pass
   */
  batches(): AsyncIterable<B>;
}

export interface TransactionTarget<B> {
  /**
   * Reads a marker as it stands now, not as an older snapshot of the target shows it. undefined: there is none.
   *
   * @throws CommitRefusedError when what stands there is no marker; any other error: it is read again
   */
  readMarker(key: MarkerKey): Promise<TransactionMarker | undefined>;
  /**
   * In one atomic step: where the marker of `key` is `expected` (undefined: where there is none), it becomes `next`,
   * and the records of `transaction` are written. Called for one transaction at a time, oldest first, as often as it
   * takes, also by a process that does not know yet that it was replaced: the comparison is what keeps it out.
   *
   * @param transaction undefined: only the marker is replaced
   * @returns false: the marker was another one, and nothing was changed
   * @throws CommitRefusedError when a person has to mend something first; the job stops and can go on there. Any other
   *   error: whether it was done is not known. The marker is read, and if it was not, it is tried again
   */
  replaceMarker(
    key: MarkerKey,
    expected: TransactionMarker | undefined,
    next: TransactionMarker,
    transaction: StagedTransaction<B> | undefined,
  ): Promise<boolean>;
  /** Called once, last, also after a failure. */
  close(): Promise<void>;
}
