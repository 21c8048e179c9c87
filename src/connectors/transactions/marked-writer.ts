/**
 * The exactly-once writer over a target that can replace a marker and write records in one step (target.ts).
 *
 * Owns: the life of its transactions, and which marker guards which. Does not own: what a record looks like in bytes
 * (the sink's form), the marker (target-marker.ts), staging (staged-transactions.ts).
 *
 * - XW1 Nothing reaches the target before the decision; a commit writes what was staged (C2, P13).
 * - XW2 A transaction is guarded by the marker of the writer that cut it, also when another subtask commits it after a
 *   rescale: that marker is taken over first (P22, P23).
 */
import type {
  Committable,
  InheritedFrom,
  PreparingTransaction,
  SinkEnvironment,
  SinkWriter,
} from "../../dataflow/sink.ts";
import { type MarkerExpectation, memoryOf } from "../../dataflow/transaction-marker.ts";
import type { TroubleWatch } from "../../dataflow/trouble.ts";
import { retryOf } from "../../errors.ts";
import { parseRecordTransaction } from "../../formats/transactions/transaction-detail.ts";
import { type MarkerMemory, parseMarkerMemory } from "../../formats/transactions/transaction-marker.ts";
import { pause } from "../../timer.ts";
import type { ByteBlock } from "./byte-block.ts";
import { detailOf, RecordBuffer } from "./record-buffer.ts";
import { StagedTransactions } from "./staged-transactions.ts";
import type { StagedTransaction, TransactionTarget } from "./target.ts";
import { TargetMarker } from "./target-marker.ts";

const RETRY_MS = 250;

/** How a record is staged. */
export interface RecordForm<T> {
  /** Appends it to the block. @throws RecordRefusedError when it could never be written (P24) */
  append(value: T, timestamp: number, block: ByteBlock): void;
}

export interface MarkedWriterOptions<T> {
  readonly form: RecordForm<T>;
  readonly target: TransactionTarget<Uint8Array>;
  /** The target in words: "table tidemark_marker of database orders". */
  readonly place: string;
  /** What a sink calls itself in messages: "the PostgreSQL sink". */
  readonly sink: string;
}

/** Takes the marker of this subtask over, which fences older generations (P23). Closes the target when it cannot. */
export async function openMarkedWriter<T>(
  options: MarkedWriterOptions<T>,
  environment: SinkEnvironment,
): Promise<SinkWriter<T>> {
  const writer = new MarkedWriter(options, environment);
  try {
    await writer.takeOver();
    return writer;
  } catch (error) {
    await writer.close();
    throw error;
  }
}

class MarkedWriter<T> implements SinkWriter<T> {
  readonly #options: MarkedWriterOptions<T>;
  readonly #environment: SinkEnvironment;
  readonly #transactions: StagedTransactions;
  readonly #buffer: RecordBuffer;
  /** By incarnation and writer. */
  readonly #markers = new Map<string, TargetMarker<Uint8Array>>();
  readonly #taking: TroubleWatch;
  #own: TargetMarker<Uint8Array> | undefined;

  constructor(options: MarkedWriterOptions<T>, environment: SinkEnvironment) {
    this.#options = options;
    this.#environment = environment;
    this.#transactions = new StagedTransactions(environment);
    this.#buffer = new RecordBuffer(this.#transactions.stager);
    this.#taking = environment.troubles.watch(`taking over ${options.place} for ${environment.operator}`);
  }

  async takeOver(): Promise<void> {
    const { restoredState, operator, subtaskIndex } = this.#environment;
    this.#own = await this.#takenOver(subtaskIndex, parseMarkerMemory(restoredState, operator));
  }

  write(value: T, timestamp: number): void {
    const { block } = this.#buffer;
    const start = block.length;
    try {
      this.#options.form.append(value, timestamp, block);
    } catch (error) {
      block.truncate(start);
      throw error;
    }
    this.#buffer.recordEnded();
  }

  blocked(): boolean {
    return this.#transactions.isBlocked;
  }

  onAvailable(wake: () => void): void {
    this.#transactions.onAvailable(wake);
  }

  cut(checkpointId: number): PreparingTransaction | undefined {
    const transaction = this.#buffer.cut();
    const { segments } = transaction;
    if (segments.length === 0) return undefined;
    this.#transactions.cut(checkpointId, segments);
    const detail = detailOf(transaction);
    return { checkpointId, prepared: () => this.#transactions.prepared(checkpointId, segments, detail) };
  }

  snapshot(): MarkerMemory {
    return memoryOf(this.#own!.current);
  }

  commit(transaction: Committable, inheritedFrom?: InheritedFrom): Promise<void> {
    const transactions = this.#transactions;
    return transactions.committing(async () => {
      if (inheritedFrom === undefined) transactions.assertOldest(transaction);
      const staged = this.#staged(transaction);
      const marker = await this.#markerOf(transaction.writer, inheritedFrom);
      await marker.advance(staged);
      transactions.forget(transaction);
    });
  }

  /** What was written leaves with its transaction, not before (XW1). */
  async flush(): Promise<void> {}

  async close(): Promise<void> {
    this.#taking.forget();
    this.#transactions.close();
    await this.#options.target.close();
  }

  async #markerOf(
    writer: number,
    inheritedFrom: InheritedFrom | undefined,
  ): Promise<TargetMarker<Uint8Array>> {
    const known = this.#markers.get(
      nameOf(inheritedFrom?.incarnation ?? this.#environment.incarnation, writer),
    );
    if (known !== undefined) return known;
    // A transaction proves that its writer had made a marker: one that is missing was lost (P22).
    if (inheritedFrom === undefined) return this.#takenOver(writer, { markerExists: true, checkpointId: 0 });
    const marker = this.#newMarker(writer, inheritedFrom.incarnation);
    await marker.adopt(inheritedFrom);
    return this.#keep(writer, inheritedFrom.incarnation, marker);
  }

  /** Repeats what fails in passing until the generation ends (P17). */
  async #takenOver(writer: number, memory: MarkerMemory | undefined): Promise<TargetMarker<Uint8Array>> {
    const { incarnation, restoredCheckpointId, signal } = this.#environment;
    const expected: MarkerExpectation = { restoredCheckpointId, memory };
    const marker = this.#newMarker(writer, incarnation);
    for (;;) {
      try {
        await marker.takeOver(expected);
        this.#taking.passed();
        return this.#keep(writer, incarnation, marker);
      } catch (error) {
        if (retryOf(error) !== "now" || signal.aborted) throw error;
        this.#taking.failed(error);
        await pause(RETRY_MS, signal);
      }
    }
  }

  #newMarker(writer: number, incarnation: string): TargetMarker<Uint8Array> {
    const { target, place } = this.#options;
    const { operator } = this.#environment;
    return new TargetMarker(target, { incarnation, operator, writer }, this.#environment, place);
  }

  #keep(writer: number, incarnation: string, marker: TargetMarker<Uint8Array>): TargetMarker<Uint8Array> {
    this.#markers.set(nameOf(incarnation, writer), marker);
    return marker;
  }

  #staged(transaction: Committable): StagedTransaction<Uint8Array> {
    const transactions = this.#transactions;
    const { checkpointId, staged } = transaction;
    const detail = parseRecordTransaction(transaction.detail, staged.length, this.#options.sink);
    const records = detail.records.reduce((sum, count) => sum + count, 0);
    const named = <R>(look: () => Promise<R>) =>
      transactions.named(transaction, () => `Nothing of its ${records} records is committed`, look);
    async function* batches(): AsyncGenerator<Uint8Array> {
      // All are found before the first one is written: without them the rest never could be (P45).
      if (detail.inline === undefined) await named(() => transactions.assertPresent(transaction));
      for (let index = 0; index < detail.records.length; index += 1)
        yield await named(() => transactions.bytesOf(transaction, detail.inline, index));
    }
    return { checkpointId, records, batches };
  }
}

function nameOf(incarnation: string, writer: number): string {
  return `${incarnation}/${writer}`;
}
