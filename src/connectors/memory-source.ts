/** Reads a log in memory: the twin of the JetStream source, for tests and simulation. */

import {
  type Collect,
  NO_TIMESTAMP,
  type PollStatus,
  type Source,
  type SourceReader,
  type SourceSplit,
  type SplitPosition,
} from "../dataflow/source.ts";
import { type IndexedSplit, parseIndexed } from "../formats/positions/indexed-split.ts";

/** A log that grows at its end and keeps what was appended. */
export class MemoryLog<T> {
  readonly #records: T[] = [];
  readonly #readers = new Set<() => void>();

  append(...records: readonly T[]): void {
    this.#records.push(...records);
    for (const wake of this.#readers) wake();
  }

  get length(): number {
    return this.#records.length;
  }

  at(index: number): T | undefined {
    return this.#records[index];
  }

  /** Calls `wake` after each append, until the returned function is called. */
  onAppend(wake: () => void): () => void {
    this.#readers.add(wake);
    return () => this.#readers.delete(wake);
  }
}

export interface MemorySourceOptions {
  /** "end": up to what is there at submission. Default: never ends. */
  readonly until?: "end";
}

/** The split of one log: `index` names the log, `end` is its length at submission, for a bounded source. */
type MemorySplit = SourceSplit & IndexedSplit;

/** One split for each log. */
export function memorySource<T>(logs: readonly MemoryLog<T>[], options: MemorySourceOptions = {}): Source<T> {
  const bounded = options.until === "end";
  return {
    kind: "memory",
    replayable: true,
    bounded,
    timestamps: false,
    discover: async () =>
      logs.map((log, index) => ({ id: String(index), index, ...(bounded ? { end: log.length } : {}) })),
    open: async ({ operator }, positions) => new MemoryReader(logs, positions, bounded, operator),
  };
}

interface Cursor<T> {
  readonly split: MemorySplit;
  readonly log: MemoryLog<T>;
  readonly end: number;
  next: number;
}

class MemoryReader<T> implements SourceReader<T> {
  readonly #cursors: readonly Cursor<T>[];
  readonly #bounded: boolean;
  readonly #stops: (() => void)[] = [];
  currentSplit = 0;
  #isPaused: (split: number) => boolean = () => false;
  #last = "the beginning";

  constructor(
    logs: readonly MemoryLog<T>[],
    positions: readonly SplitPosition[],
    bounded: boolean,
    operator: string,
  ) {
    this.#bounded = bounded;
    this.#cursors = positions.map((found) => {
      const { split, position = 0 } = parseIndexed(found, operator);
      const { index, end = Number.POSITIVE_INFINITY } = split;
      return { split, log: logs[index]!, end, next: position };
    });
  }

  poll(collect: Collect<T>, recordsMax: number): PollStatus {
    let left = recordsMax;
    for (const [split, cursor] of this.#cursors.entries()) {
      if (this.#isPaused(split)) continue;
      this.currentSplit = split;
      const end = Math.min(cursor.end, cursor.log.length);
      while (left > 0 && cursor.next < end) {
        this.#last = `record ${cursor.next} of log ${cursor.split.id}`;
        const record = cursor.log.at(cursor.next++)!;
        left--;
        collect(record, NO_TIMESTAMP);
      }
    }
    if (this.#bounded && this.#cursors.every((cursor) => cursor.next >= cursor.end)) return "ended";
    return this.#cursors.some(
      (cursor, split) => !this.#isPaused(split) && cursor.next < Math.min(cursor.end, cursor.log.length),
    )
      ? "more"
      : "idle";
  }

  pauseSplits(isPaused: (split: number) => boolean): void {
    this.#isPaused = isPaused;
  }

  splitStatus(split: number): PollStatus {
    const { next, end, log } = this.#cursors[split]!;
    if (next >= end) return "ended";
    return next < log.length ? "more" : "idle";
  }

  splitPending(split: number): number {
    const { next, end, log } = this.#cursors[split]!;
    return Math.max(0, Math.min(end, log.length) - next);
  }

  onAvailable(wake: () => void): void {
    for (const { log } of this.#cursors) this.#stops.push(log.onAppend(wake));
  }

  describePosition(): string {
    return this.#last;
  }

  snapshot(): SplitPosition[] {
    return this.#cursors.map(({ split, next }) => ({ split, position: next }));
  }

  checkpointCompleted(): void {}

  async close(): Promise<void> {
    for (const stop of this.#stops) stop();
  }
}
