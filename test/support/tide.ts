/** Holds back what a source reads, so that a test says how far its job has read at a checkpoint. */
import { MemoryLog } from "../../src/connectors/memory-source.ts";
import { until } from "./until.ts";

/** A log of which only so much is seen. */
export class Tide<T> extends MemoryLog<T> {
  readonly #log: MemoryLog<T>;
  readonly #wakes = new Set<() => void>();
  #level = 0;
  #readTo = 0;

  constructor(log: MemoryLog<T>) {
    super();
    this.#log = log;
  }

  override get length(): number {
    return Math.min(this.#level, this.#log.length);
  }

  override at(index: number): T | undefined {
    this.#readTo = Math.max(this.#readTo, index + 1);
    return this.#log.at(index);
  }

  override onAppend(wake: () => void): () => void {
    this.#wakes.add(wake);
    return () => this.#wakes.delete(wake);
  }

  /** How far it is seen from now on. */
  turn(level: number): void {
    this.#level = level;
    this.#readTo = 0;
    for (const wake of this.#wakes) wake();
  }

  /** All that is seen has been read since the last turn. */
  get isRead(): boolean {
    return this.#readTo === this.length;
  }
}

export async function readUpTo(level: number, tides: readonly Tide<unknown>[]): Promise<void> {
  for (const tide of tides) tide.turn(level);
  await allRead(tides);
}

export async function allRead(tides: readonly Tide<unknown>[]): Promise<void> {
  await until("all that is seen has been read", () => tides.every(({ isRead }) => isRead) || undefined);
}
