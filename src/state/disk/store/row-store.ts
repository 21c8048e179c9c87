/**
 * The contract of the store under a disk backend: sorted bytes that are worthless after a crash.
 *
 * A store is one operator's in one subtask. Nothing of it has to survive the process, so nothing waits for the disk.
 *
 * - QX1 Keys are in order byte by byte, the shorter one first where one begins with the other. They have 1 to 1,900
 *   bytes, and values at least one.
 * - QX2 What a transaction has put or removed is read from its end on. No read keeps an older state open.
 * - QX3 Bytes that are given to the store are the caller's again when the call returns, and bytes that it answers are
 *   valid until its next call.
 */
export interface RowStore {
  /** undefined: there is no such row. @throws EnvironmentError where what is there is damaged */
  get(key: Uint8Array): Uint8Array | undefined;
  /**
   * Gives the rows from `from` on that lie before `to`, in order, at most `limit`. `take` calls nothing of the store.
   * @throws EnvironmentError as `get` does
   */
  range(
    from: Uint8Array,
    to: Uint8Array,
    limit: number,
    take: (key: Uint8Array, value: Uint8Array) => void,
  ): void;
  /**
   * `put` and `remove` are called within one, and nothing else of the store. When it throws, it is not known which of
   * them have happened, and the store can only be closed.
   * @throws EnvironmentError where the disk does not take them; what `act` throws
   */
  transaction(act: () => void): void;
  put(key: Uint8Array, value: Uint8Array): void;
  remove(key: Uint8Array): void;
  /** Lets everything go, also the files. Nothing may be called afterwards. */
  close(): void;
}
