/**
 * The transactions that one writer has cut and not committed yet, with what they have staged.
 *
 * Owns: when input must wait for commits, and where the bytes of a transaction are. Does not own: staging
 * (segments.ts), what a commit writes.
 *
 * - SX1 Input stops while segments wait to be staged, and while a commit is under way with more than two transactions
 *   behind it (P25). Transactions that merely wait for a decision never stop it: the barrier that decides them comes
 *   behind records.
 * - SX2 Transactions of this writer are committed oldest first (P17).
 */
import type { Committable, SinkEnvironment } from "../../dataflow/sink.ts";
import { invariant, ObjectCorruptError, ObjectMissingError } from "../../errors.ts";
import { type Segment, SegmentStager } from "./segments.ts";

/** Decided transactions that may wait behind the one being committed before input stops (SX1). */
const DECIDED_MAX = 2;

export class StagedTransactions {
  readonly stager: SegmentStager;
  readonly #environment: SinkEnvironment;
  readonly #uncommitted = new Map<number, readonly Segment[]>();
  #committing = false;
  #closed = false;
  #wake: () => void = () => {};

  constructor(environment: SinkEnvironment) {
    this.#environment = environment;
    this.stager = new SegmentStager(environment.staging, {
      onStaged: () => this.#wake(),
      onFailed: (error) => {
        // No transaction can be prepared any more without this segment (P14).
        if (!this.#closed) environment.fail(error);
      },
    });
  }

  get isBlocked(): boolean {
    return this.stager.isFull || (this.#committing && this.#uncommitted.size > DECIDED_MAX);
  }

  onAvailable(wake: () => void): void {
    this.#wake = wake;
  }

  /** Transaction `checkpointId` consists of these segments. */
  cut(checkpointId: number, segments: readonly Segment[]): void {
    this.#uncommitted.set(checkpointId, segments);
  }

  /** Resolves when all segments are durable. */
  async prepared(checkpointId: number, segments: readonly Segment[], detail: unknown): Promise<Committable> {
    const handles = await Promise.all(segments.map((segment) => segment.staged));
    const staged = handles.filter((handle) => handle !== undefined);
    return { checkpointId, writer: this.#environment.subtaskIndex, staged, detail };
  }

  /** Input waits for `commit` where too many wait behind it (SX1). */
  async committing<R>(commit: () => Promise<R>): Promise<R> {
    this.#committing = true;
    try {
      return await commit();
    } finally {
      this.#committing = false;
      this.#wake();
    }
  }

  /** A marker would take an older transaction for a committed one. */
  assertOldest(transaction: Committable): void {
    if (this.#own(transaction) === undefined) return;
    const [oldest] = this.#uncommitted.keys();
    invariant(
      oldest === transaction.checkpointId,
      `transaction ${transaction.checkpointId} is to be committed before ${oldest} (P17)`,
    );
  }

  /** Finds the staged bytes from segment `from` on, before any of them is committed (P45). */
  async assertPresent(transaction: Committable, from = 0): Promise<void> {
    const own = this.#own(transaction);
    const needed = transaction.staged.filter(
      (_, index) => index >= from && own?.[index]?.bytes === undefined,
    );
    await this.#environment.staging.assertPresent(needed);
  }

  /** The bytes of one segment. @param inline Base64 of the only segment of a small transaction */
  async bytesOf(transaction: Committable, inline: string | undefined, index: number): Promise<Uint8Array> {
    const kept = this.#own(transaction)?.[index]?.bytes;
    if (kept !== undefined) return kept;
    if (inline !== undefined) return Buffer.from(inline, "base64");
    return this.#environment.staging.get(transaction.staged[index]!);
  }

  /** Says of a transaction whose bytes are gone what is committed of it and what is not. */
  async named<R>(
    { checkpointId, writer }: Committable,
    progress: () => string,
    look: () => Promise<R>,
  ): Promise<R> {
    try {
      return await look();
    } catch (error) {
      if (!(error instanceof ObjectMissingError || error instanceof ObjectCorruptError)) throw error;
      const { operator } = this.#environment;
      const message =
        `transaction ${checkpointId} of writer ${writer} of sink ${operator} cannot be committed: ${error.message}. ` +
        `${progress()}. Bring the object back from a backup, then start the job again: it goes on where it stopped; or ` +
        "start the job fresh";
      const Kind = error instanceof ObjectMissingError ? ObjectMissingError : ObjectCorruptError;
      throw new Kind(error.object, message, { cause: error });
    }
  }

  /** The transaction is committed. */
  forget(transaction: Committable): void {
    const segments = this.#own(transaction);
    if (segments === undefined) return;
    this.stager.release(segments);
    this.#uncommitted.delete(transaction.checkpointId);
  }

  close(): void {
    this.#closed = true;
  }

  #own(transaction: Committable): readonly Segment[] | undefined {
    if (transaction.writer !== this.#environment.subtaskIndex) return undefined;
    return this.#uncommitted.get(transaction.checkpointId);
  }
}
