/**
 * The in-memory twin of a transactional sink: the same marker and fence rules, for simulation and unit tests.
 *
 * Its target outlives writers and generations, as a stream outlives processes. A target whose calls fail leaves the
 * outcome unknown; the writer then reads the marker again before the next attempt, which is its caller's to make.
 */
import type {
  Committable,
  InheritedFrom,
  PreparingTransaction,
  Sink,
  SinkEnvironment,
  SinkWriter,
} from "../dataflow/sink.ts";
import {
  assertKnownOwner,
  assertStillOwned,
  type MarkerExpectation,
  memoryOf,
  missingMarker,
  partsCommitted,
  takeOver,
} from "../dataflow/transaction-marker.ts";
import { UnknownOutcomeError } from "../errors.ts";
import { parseMemoryTransaction } from "../formats/transactions/transaction-detail.ts";
import {
  type MarkerMemory,
  parseMarkerMemory,
  type TransactionMarker,
} from "../formats/transactions/transaction-marker.ts";

interface MarkerRevision {
  readonly revision: number;
  readonly marker: TransactionMarker;
}

/** What the sink asks of its target. Tests put faults in between. */
export interface MemoryTarget<T> {
  read(key: string): Promise<MarkerRevision | undefined>;
  /** Appends the values and moves the marker, both or neither. undefined: the revision is another one. */
  append(
    key: string,
    revision: number,
    marker: TransactionMarker,
    values: readonly T[],
  ): Promise<number | undefined>;
}

export class MemorySinkTarget<T> implements MemoryTarget<T> {
  /** What a reader sees, in order. */
  readonly committed: T[] = [];
  readonly markers = new Map<string, MarkerRevision>();
  #lastRevision = 0;

  async read(key: string): Promise<MarkerRevision | undefined> {
    return this.markers.get(key);
  }

  async append(
    key: string,
    revision: number,
    marker: TransactionMarker,
    values: readonly T[],
  ): Promise<number | undefined> {
    if ((this.markers.get(key)?.revision ?? 0) !== revision) return undefined;
    this.#lastRevision += 1;
    this.markers.set(key, { revision: this.#lastRevision, marker });
    for (const value of values) this.committed.push(value);
    return this.#lastRevision;
  }
}

export interface MemorySinkOptions {
  /** Records in one part of a commit. Default: all in one. */
  readonly partMessagesMax?: number;
}

export function memorySink<T>(target: MemoryTarget<T>, options: MemorySinkOptions = {}): Sink<T> {
  return {
    kind: "memory",
    guarantee: "exactly-once",
    async check() {},
    async open(environment) {
      const writer = new MemoryWriter(
        target,
        options.partMessagesMax ?? Number.MAX_SAFE_INTEGER,
        environment,
      );
      await writer.takeOver(
        environment.subtaskIndex,
        parseMarkerMemory(environment.restoredState, environment.operator),
      );
      return writer;
    },
  };
}

class MemoryWriter<T> implements SinkWriter<T> {
  readonly #target: MemoryTarget<T>;
  readonly #partMessagesMax: number;
  readonly #environment: SinkEnvironment;
  readonly #markers = new Map<number, MarkerRevision>();
  #open: T[] = [];

  constructor(target: MemoryTarget<T>, partMessagesMax: number, environment: SinkEnvironment) {
    this.#target = target;
    this.#partMessagesMax = partMessagesMax;
    this.#environment = environment;
  }

  async takeOver(writer: number, memory: MarkerMemory | undefined): Promise<void> {
    const { restoredCheckpointId } = this.#environment;
    const expected: MarkerExpectation = { restoredCheckpointId, memory };
    for (;;) {
      const key = this.#keyOf(writer);
      const found = await this.#target.read(key);
      const wanted = takeOver(found?.marker, this.#environment, expected, key);
      if (found !== undefined && wanted === found.marker) return this.#stand(writer, found.revision, wanted);
      const revision = await this.#target.append(key, found?.revision ?? 0, wanted, []);
      if (revision !== undefined) return this.#stand(writer, revision, wanted);
    }
  }

  write(value: T): void {
    this.#open.push(value);
  }

  blocked(): boolean {
    return false;
  }

  onAvailable(): void {}

  cut(checkpointId: number): PreparingTransaction | undefined {
    if (this.#open.length === 0) return undefined;
    const parts: T[][] = [];
    for (let from = 0; from < this.#open.length; from += this.#partMessagesMax) {
      parts.push(this.#open.slice(from, from + this.#partMessagesMax));
    }
    this.#open = [];
    const writer = this.#environment.subtaskIndex;
    const committable: Committable = { checkpointId, writer, staged: [], detail: { parts } };
    return { checkpointId, prepared: async () => committable };
  }

  snapshot(): MarkerMemory {
    return memoryOf(this.#markers.get(this.#environment.subtaskIndex)!.marker);
  }

  async commit(transaction: Committable, inheritedFrom?: InheritedFrom): Promise<void> {
    const { checkpointId, writer } = transaction;
    const parts = parseMemoryTransaction<T>(transaction.detail);
    if (inheritedFrom !== undefined) return this.#commitInherited(transaction, parts, inheritedFrom);
    if (!this.#markers.has(writer)) await this.takeOver(writer, { markerExists: true, checkpointId: 0 });
    await this.#readAgain(writer);
    const committed = partsCommitted(this.#markers.get(writer)!.marker, checkpointId, parts.length);
    for (let part = committed; part < parts.length; part += 1) {
      const position = { checkpointId, part: part + 1, parts: parts.length };
      const { revision, marker } = this.#markers.get(writer)!;
      const next: TransactionMarker = { ...marker, ...position };
      const moved = await this.#target.append(this.#keyOf(writer), revision, next, parts[part]!);
      if (moved === undefined) {
        await this.#readAgain(writer);
        throw new UnknownOutcomeError(`the marker of writer ${writer} moved during the commit`);
      }
      this.#stand(writer, moved, next);
    }
  }

  /** Commits under the marker that the other job has, with its own signature. */
  async #commitInherited(
    { checkpointId, writer }: Committable,
    parts: readonly T[][],
    inheritedFrom: InheritedFrom,
  ): Promise<void> {
    const key = keyOf(inheritedFrom.incarnation, this.#environment.operator, writer);
    for (;;) {
      const found = await this.#target.read(key);
      if (found === undefined) throw missingMarker(key);
      assertKnownOwner(found.marker, inheritedFrom, key);
      const part = partsCommitted(found.marker, checkpointId, parts.length);
      if (part >= parts.length) return;
      const next = { ...found.marker, checkpointId, part: part + 1, parts: parts.length };
      await this.#target.append(key, found.revision, next, parts[part]!);
    }
  }

  async flush(): Promise<void> {}

  async close(): Promise<void> {}

  /** An earlier attempt may have ended without an answer: only the marker knows how far it came. */
  async #readAgain(writer: number): Promise<void> {
    const key = this.#keyOf(writer);
    const found = await this.#target.read(key);
    assertStillOwned(found?.marker, this.#environment, key);
    this.#stand(writer, found!.revision, found!.marker);
  }

  #stand(writer: number, revision: number, marker: TransactionMarker): void {
    this.#markers.set(writer, { revision, marker });
  }

  #keyOf(writer: number): string {
    const { incarnation, operator } = this.#environment;
    return keyOf(incarnation, operator, writer);
  }
}

function keyOf(incarnation: string, operator: string, writer: number): string {
  return `marker ${incarnation}.${operator}.${writer}`;
}
