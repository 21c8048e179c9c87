/**
 * A stream that loses its oldest messages: by limits, by age, or because an administrator purges it.
 *
 * Owns: which messages there are, and since when one is gone. Does not own: what a reader makes of that
 * (retained-source.ts).
 */
import type { StreamInfo } from "@nats-io/jetstream";

export interface Limits {
  /** Default: none. */
  readonly messagesMax?: number;
  /** How many messages of a subject, which is the message's key, stay. Older ones go away by design. */
  readonly perSubjectMax?: number;
  readonly ageMsMax?: number;
}

interface Stored<T> {
  readonly sequence: number;
  readonly subject: unknown;
  readonly storedMs: number;
  readonly value: T;
}

export class RetainedStream<T> {
  readonly name: string;
  readonly #limits: Limits;
  readonly #nowMs: () => number;
  readonly #subjectOf: (value: T) => unknown;
  readonly #readers = new Set<() => void>();
  #messages: Stored<T>[] = [];
  #last = 0;

  constructor(name: string, limits: Limits, nowMs: () => number, subjectOf: (value: T) => unknown) {
    this.name = name;
    this.#limits = limits;
    this.#nowMs = nowMs;
    this.#subjectOf = subjectOf;
  }

  /** Sequence of the last message that was ever stored. */
  get length(): number {
    return this.#last;
  }

  append(...values: readonly T[]): void {
    for (const value of values) {
      const subject = this.#subjectOf(value);
      this.#messages.push({ sequence: ++this.#last, subject, storedMs: this.#nowMs(), value });
      const { messagesMax = Number.POSITIVE_INFINITY, perSubjectMax = Number.POSITIVE_INFINITY } =
        this.#limits;
      const alike = this.#messages.filter((one) => one.subject === subject);
      if (alike.length > perSubjectMax) this.#messages = this.#messages.filter((one) => one !== alike[0]);
      if (this.#messages.length > messagesMax) this.#messages.shift();
    }
    for (const wake of this.#readers) wake();
  }

  /** An administrator takes away all but the newest. Answers how many are gone. */
  purge(kept: number): number {
    this.#expire();
    const gone = Math.max(0, this.#messages.length - kept);
    this.#messages.splice(0, gone);
    return gone;
  }

  /** Messages behind this sequence, oldest first, at most so many. */
  after(sequence: number, most: number): readonly Stored<T>[] {
    this.#expire();
    return this.#messages.filter((one) => one.sequence > sequence).slice(0, most);
  }

  has(sequence: number): boolean {
    this.#expire();
    return this.#messages.some((one) => one.sequence === sequence);
  }

  /** What the server would tell of it, as far as a reader looks at it. */
  info(): StreamInfo {
    this.#expire();
    const { messagesMax = -1, perSubjectMax = -1, ageMsMax = 0 } = this.#limits;
    const config = {
      name: this.name,
      retention: "limits",
      max_msgs: messagesMax,
      max_msgs_per_subject: perSubjectMax,
      max_bytes: -1,
      max_age: ageMsMax * 1e6,
    };
    const state = { first_seq: this.#messages[0]?.sequence ?? this.#last + 1, last_seq: this.#last };
    return { created: "2026-01-01T00:00:00Z", config, state } as unknown as StreamInfo;
  }

  /** Answers how to stop. */
  onAppend(wake: () => void): () => void {
    this.#readers.add(wake);
    return () => this.#readers.delete(wake);
  }

  #expire(): void {
    const { ageMsMax = Number.POSITIVE_INFINITY } = this.#limits;
    const oldestMs = this.#nowMs() - ageMsMax;
    while ((this.#messages[0]?.storedMs ?? oldestMs) < oldestMs) this.#messages.shift();
  }
}
