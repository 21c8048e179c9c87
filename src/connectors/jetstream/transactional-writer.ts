/**
 * The exactly-once writer of the JetStream sink: buffers, stages and commits the transactions of one sink subtask.
 *
 * Owns: which marker guards which transaction.
 * Does not own: the cut into parts (transaction-buffer.ts), what is staged and when input must wait
 * (transactions/staged-transactions.ts), the marker and its retries (nats/publisher/sink-marker.ts).
 *
 * - JW1 Nothing reaches the stream before the decision; a commit sends what was staged, byte for byte (C2, P13).
 * - JW2 Each part is one atomic batch that ends with the marker of the writer that cut it, also when another subtask
 *   commits it after a rescale: that marker is taken over first (P22, P23).
 * - JW3 `write` refuses whatever a commit could be refused for (P24).
 */
import type {
  Committable,
  InheritedFrom,
  PreparingTransaction,
  SinkEnvironment,
  SinkWriter,
} from "../../dataflow/sink.ts";
import {
  type MarkerExpectation,
  memoryOf,
  partsCommitted,
  signature,
} from "../../dataflow/transaction-marker.ts";
import type { TroubleWatch } from "../../dataflow/trouble.ts";
import { CommitRefusedError, ConfigurationError } from "../../errors.ts";
import {
  parseStreamTransaction,
  type StreamTransactionDetail,
} from "../../formats/transactions/transaction-detail.ts";
import type { MarkerMemory, MarkerOwner } from "../../formats/transactions/transaction-marker.ts";
import type { JetStreamManager, NatsEnvironment, StreamInfo } from "../../nats/connection/environment.ts";
import { natsCommand } from "../../nats/connection/nats-command.ts";
import type { MessageLimit } from "../../nats/limits/message-limit.ts";
import { messageRefusal, type RefusedBatch } from "../../nats/publisher/commit-refusal.ts";
import { type MessageRange, MessageReader } from "../../nats/publisher/message-block.ts";
import { SinkMarker } from "../../nats/publisher/sink-marker.ts";
import { readStream, shortcomings, unsuitable } from "../../nats/publisher/sink-target.ts";
import { isSubjectToken, subjectMatcher } from "../../nats/publisher/stream-subjects.ts";
import { StagedTransactions } from "../transactions/staged-transactions.ts";
import type { RecordForm } from "./record.ts";
import {
  countParts,
  describeProgress,
  detailOf,
  largestPart,
  type PartLimits,
  rangesOf,
  TransactionBuffer,
} from "./transaction-buffer.ts";

interface TargetOptions {
  readonly stream: string;
  readonly markerPrefix: string;
}

/** The stream of one sink subtask with the markers of all writers whose transactions it commits (JW2). */
export class MarkedTarget {
  readonly #options: TargetOptions;
  readonly #nats: NatsEnvironment;
  readonly #manager: JetStreamManager;
  readonly #environment: SinkEnvironment;
  readonly #owner: MarkerOwner;
  readonly #markers = new Map<number, SinkMarker>();
  readonly #adopted = new Map<string, SinkMarker>();
  readonly #committing: TroubleWatch;

  constructor(
    options: TargetOptions,
    nats: NatsEnvironment,
    manager: JetStreamManager,
    environment: SinkEnvironment,
  ) {
    if (!isSubjectToken(environment.operator)) {
      throw new ConfigurationError(
        environment.operator,
        `"${environment.operator}" is no token of a subject`,
      );
    }
    this.#options = options;
    this.#nats = nats;
    this.#manager = manager;
    this.#environment = environment;
    this.#owner = signature(environment);
    this.#committing = environment.troubles.watch(`committing to stream ${options.stream}`);
  }

  /** @throws what `SinkMarker.takeOver` throws */
  async markerOf(writer: number, expected: MarkerExpectation): Promise<SinkMarker> {
    const known = this.#markers.get(writer);
    if (known !== undefined) return known;
    const marker = this.#newMarker(writer, this.#environment.incarnation);
    await marker.takeOver(expected);
    this.#committing.passed();
    this.#markers.set(writer, marker);
    return marker;
  }

  /** The marker of the job whose transactions this one has inherited: moved on for it, not taken over. */
  async adopted(inheritedFrom: InheritedFrom, writer: number): Promise<SinkMarker> {
    const { incarnation } = inheritedFrom;
    const name = `${incarnation}.${writer}`;
    const known = this.#adopted.get(name);
    if (known !== undefined) return known;
    const marker = this.#newMarker(writer, incarnation);
    await marker.adopt(inheritedFrom);
    this.#adopted.set(name, marker);
    return marker;
  }

  close(): void {
    this.#committing.forget();
    for (const marker of [...this.#markers.values(), ...this.#adopted.values()]) marker.close();
  }

  #newMarker(writer: number, incarnation: string): SinkMarker {
    const marker = new SinkMarker(
      {
        nats: this.#nats,
        manager: this.#manager,
        stream: this.#options.stream,
        subject: this.#subjectOf(writer, incarnation),
        diagnose: (batch) => this.#diagnose(writer, batch),
        onRetry: (description, attempts) => this.#retries(description, attempts),
        onPassed: () => this.#committing.passed(),
      },
      this.#owner,
    );
    // The marker may be closed while it is still being taken over.
    this.#environment.signal.addEventListener("abort", () => marker.close());
    return marker;
  }

  #subjectOf(writer: number, incarnation: string): string {
    const { operator } = this.#environment;
    return `${this.#options.markerPrefix}.${incarnation}.${operator}.${writer}`;
  }

  #retries(description: string, attempts: number): void {
    const fields = { stream: this.#options.stream, attempts };
    this.#committing.failed(description);
    this.#environment.logger.debug(fields, `commit is retried: ${description}`);
  }

  /** A user may have changed the stream since `open` (P24). */
  async #diagnose(writer: number, batch: RefusedBatch): Promise<RefusedBatch["held"]> {
    const { stream, markerPrefix } = this.#options;
    let info: StreamInfo | undefined;
    try {
      info = await readStream(this.#nats, stream);
    } catch {
      return undefined; // Not answered: nothing is known, the commit is tried again.
    }
    // A missing stream is for the marker's own read to find, which asks more than once.
    if (info === undefined) return undefined;
    const { config, state } = info;
    const found = shortcomings(config, `${markerPrefix}.>`);
    if (found.length > 0)
      throw new CommitRefusedError(unsuitable(this.#nats, stream, found, "exactly-once", true));
    const tooLarge = messageRefusal(batch, config.max_msg_size);
    if (tooLarge !== undefined) throw tooLarge;
    const lost = batch.messages && firstSubjectOutside(batch.messages, config.subjects ?? []);
    if (lost === undefined) return state;
    const subjects = [...(config.subjects ?? []), lost].join(",");
    throw new CommitRefusedError(
      `stream ${stream} does not take subject ${lost} any more, and a transaction of writer ${writer} holds a record ` +
        `for it. Run: ${natsCommand(this.#nats, "stream", "edit", stream, `--subjects=${subjects}`, "--force")}, then ` +
        "start the job again: it goes on where it stopped",
    );
  }
}

function firstSubjectOutside(messages: MessageRange, subjects: readonly string[]): string | undefined {
  const isCaptured = subjectMatcher(subjects);
  const reader = new MessageReader(messages);
  while (reader.next()) if (!isCaptured(reader.subject)) return reader.subject;
  return undefined;
}

export class TransactionalWriter<T> implements SinkWriter<T> {
  readonly #form: RecordForm<T>;
  readonly #buffer: TransactionBuffer;
  readonly #limit: MessageLimit;
  readonly #messageBytesMax: number;
  readonly #target: MarkedTarget;
  readonly #environment: SinkEnvironment;
  readonly #transactions: StagedTransactions;
  readonly #marker: SinkMarker;

  /** @param marker of this subtask, taken over */
  constructor(
    form: RecordForm<T>,
    limits: PartLimits,
    limit: MessageLimit,
    target: MarkedTarget,
    marker: SinkMarker,
    environment: SinkEnvironment,
  ) {
    this.#form = form;
    this.#marker = marker;
    this.#limit = limit;
    this.#messageBytesMax = limits.messageBytesMax;
    this.#target = target;
    this.#environment = environment;
    this.#transactions = new StagedTransactions(environment);
    this.#buffer = new TransactionBuffer(this.#transactions.stager, limits);
  }

  write(value: T): void {
    const form = this.#form;
    form.prepare(value);
    if (!this.#buffer.append(form.subject, form.headerLines, form.payload)) {
      const bytes = Buffer.byteLength(form.headerLines) + Buffer.byteLength(form.payload);
      const withOurs = bytes + this.#limit.bytesMax - this.#messageBytesMax;
      throw this.#limit.refusal(form.words, withOurs, this.#messageBytesMax);
    }
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
    return memoryOf(this.#marker.current);
  }

  commit(transaction: Committable, inheritedFrom?: InheritedFrom): Promise<void> {
    return this.#transactions.committing(async () => {
      const marker = await (inheritedFrom === undefined
        ? this.#markerFor(transaction.writer)
        : this.#target.adopted(inheritedFrom, transaction.writer));
      await this.#commitParts(transaction, marker, inheritedFrom);
    });
  }

  /** What was written leaves with its transaction, not before (JW1). */
  async flush(): Promise<void> {}

  async close(): Promise<void> {
    this.#transactions.close();
    this.#target.close();
  }

  /** A transaction proves that its writer had created a marker: one that is missing was lost (P22). */
  #markerFor(writer: number): Promise<SinkMarker> {
    const memory: MarkerMemory = { markerExists: true, checkpointId: 0 };
    const { restoredCheckpointId } = this.#environment;
    return this.#target.markerOf(writer, { restoredCheckpointId, memory });
  }

  async #commitParts(
    transaction: Committable,
    marker: SinkMarker,
    inheritedFrom: InheritedFrom | undefined,
  ): Promise<void> {
    const transactions = this.#transactions;
    const { checkpointId } = transaction;
    if (inheritedFrom === undefined) transactions.assertOldest(transaction);
    const detail = parseStreamTransaction(transaction.detail, transaction.staged.length);
    const parts = countParts(detail);
    // The marker is one more message in each part.
    const largest = largestPart(detail) + 1;
    // The marker is looked at for each part: the other job may have committed several meanwhile.
    const committed = () => partsCommitted(marker.current, checkpointId, parts);
    const named = <R>(look: () => Promise<R>) =>
      transactions.named(transaction, () => describeProgress(detail, committed()), look);
    // All staged bytes are found before the first part is committed: without them the rest never could be (P45).
    if (detail.inline === undefined)
      await named(() => transactions.assertPresent(transaction, firstUncommitted(detail, committed())));
    let part = 0;
    for (const [index, cuts] of detail.segments.entries()) {
      const end = part + cuts.length / 2;
      if (end > committed()) {
        const bytes = await named(() => transactions.bytesOf(transaction, detail.inline, index));
        for (const range of rangesOf(bytes, cuts)) {
          part += 1;
          if (part > committed()) await marker.advance(range, { checkpointId, part, parts }, largest);
        }
      }
      part = end;
    }
    transactions.forget(transaction);
  }
}

/** The first segment that holds a part which is not committed. @param committed parts, from the first one on */
function firstUncommitted({ segments }: StreamTransactionDetail, committed: number): number {
  let end = 0;
  const first = segments.findIndex((cuts) => {
    end += cuts.length / 2;
    return end > committed;
  });
  return first === -1 ? segments.length : first;
}
