/**
 * The jobs that workers offer themselves for, led here or not.
 *
 * Owns: what counts as an offer. Does not own: the workers of a job that is led (worker-registry.ts).
 *
 * - WO1 Any connection may name any job, so an offer that counts no more is forgotten when the next job is named.
 */
import type { Clock } from "../../../clock.ts";

interface Offer {
  /** Registrations that wait for their answer. */
  waiting: number;
  lastMs: number;
}

export class WorkerOffers {
  readonly #clock: Clock;
  /** A worker asks again so soon after an answer. */
  readonly #intervalMs: number;
  readonly #offers = new Map<string, Offer>();

  constructor(clock: Clock, intervalMs: number) {
    this.#clock = clock;
    this.#intervalMs = intervalMs;
  }

  /** A worker that waits for its answer, behind a submission perhaps, asks no more, and offers itself all the same. */
  async while<T>(job: string, answering: () => Promise<T>): Promise<T> {
    const offer = this.#offers.get(job) ?? this.#first(job);
    offer.waiting++;
    try {
      return await answering();
    } finally {
      offer.waiting--;
      offer.lastMs = this.#clock.elapsedMs();
    }
  }

  has(job: string): boolean {
    const offer = this.#offers.get(job);
    return offer !== undefined && this.#counts(offer);
  }

  /** How many jobs are remembered. */
  get size(): number {
    return this.#offers.size;
  }

  #first(job: string): Offer {
    for (const [old, offer] of this.#offers) if (!this.#counts(offer)) this.#offers.delete(old);
    const offer = { waiting: 0, lastMs: 0 };
    this.#offers.set(job, offer);
    return offer;
  }

  #counts({ waiting, lastMs }: Offer): boolean {
    return waiting > 0 || this.#clock.elapsedMs() - lastMs < 2 * this.#intervalMs;
  }
}
