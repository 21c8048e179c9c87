/**
 * How much a reader may ask the server for: decides, sends nothing.
 *
 * - PW1 At most two pulls are open. The next one goes out when the one before the last is surely used up: the server
 *   serves open pulls in turn, so that is so after twice as many records as were left of it.
 * - PW2 Buffered and requested records together never exceed the capacity: four pulls.
 * - PW3 A pull brings at most a quarter of the bytes, and none goes out while more than half of them is buffered.
 * - PW4 A single record that is larger than a quarter still comes: the pull grows until it fits, then shrinks again.
 * - PW5 Of that quarter a pull asks for the share that the connection bears.
 */

interface Pull {
  readonly records: number;
  readonly bytes: number;
}

export class PullWindow {
  /** Delivery sequence of the consumer: how many records it has delivered. */
  delivered = 0;
  readonly #capacity: number;
  #pullRecords: number;
  readonly #pullBytesUsual: number;
  #pullBytes: number;
  /** Records that were pulled and have not come. */
  #requested = 0;
  /** The value of `requested` when the last pull went out. */
  #requestedBefore = 0;
  #deliveredBefore = 0;

  constructor(recordsMax: number, bytesMax: number) {
    this.#capacity = recordsMax;
    this.#pullRecords = Math.floor(recordsMax / 4);
    this.#pullBytesUsual = Math.floor(bytesMax / 4);
    this.#pullBytes = this.#pullBytesUsual;
  }

  /** The server owes something: records or a sign of life. */
  get open(): boolean {
    return this.#requested > 0;
  }

  /** The server allows at most so many records in a pull; 0: any number. */
  limit(recordsMax: number): void {
    if (recordsMax > 0) this.#pullRecords = Math.min(this.#pullRecords, recordsMax);
  }

  /** A new consumer knows nothing of the pulls of the old one. */
  reset(): void {
    this.delivered = 0;
    this.#requested = 0;
    this.#requestedBefore = 0;
    this.#deliveredBefore = 0;
  }

  arrived(): void {
    this.delivered++;
    this.#requested--;
  }

  /** The server ended a pull of which `left` records had not come; `tooSmall`: the next one does not fit into it. */
  ended(left: number, tooSmall: boolean): void {
    this.#requested = Math.max(0, this.#requested - left);
    const nothingCame = this.delivered === this.#deliveredBefore;
    this.#pullBytes = tooSmall && nothingCame ? this.#pullBytes * 2 : this.#pullBytesUsual;
  }

  /**
   * The pull to send now, if any; it counts as sent.
   * @param share of the usual bytes of a pull (PW5)
   */
  next(recordsBuffered: number, bytesBuffered: number, share = 1): Pull | undefined {
    const requested = this.#requested;
    const records = this.#pullRecords;
    if (requested * 4 > records) return undefined;
    if (requested > 0 && this.delivered - this.#deliveredBefore < 2 * this.#requestedBefore) return undefined;
    if (recordsBuffered + requested + records > this.#capacity) return undefined;
    if (bytesBuffered > 2 * this.#pullBytesUsual) return undefined;
    this.#requestedBefore = requested;
    this.#deliveredBefore = this.delivered;
    this.#requested = requested + records;
    return { records, bytes: Math.max(1, Math.floor(this.#pullBytes * share)) };
  }
}
