/**
 * Small durable records changed by compare-and-set: the job records and the lease (P7, P8, P11).
 *
 * Every read is a leader read. `compareAndSet` has three outcomes: stored, refused (the revision was another one),
 * or UnknownOutcomeError, after which the same call may be made again.
 */

export interface StoredRecord {
  readonly value: Uint8Array;
  readonly revision: number;
}

export type CompareAndSet =
  | { readonly outcome: "stored"; readonly revision: number }
  | { readonly outcome: "refused" };

export interface RecordStore {
  /** Name of the KV bucket, for commands in messages. */
  readonly bucket: string;
  /** @throws DisconnectedError or RequestTimeoutError; `undefined` only when the leader says there is no such key */
  read(key: string): Promise<StoredRecord | undefined>;
  /**
   * @param expectedRevision revision that the key must have; 0 when it must not exist
   * @throws UnknownOutcomeError when no answer came
   */
  compareAndSet(key: string, value: Uint8Array, expectedRevision: number): Promise<CompareAndSet>;
  /** All keys that begin with `prefix`. */
  keys(prefix: string): Promise<string[]>;
}
