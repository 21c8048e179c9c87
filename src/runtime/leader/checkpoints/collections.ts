/**
 * `job.gc` on the leader: unreachable objects deleted because a client asked.
 *
 * Owns: the proof of leadership before anything goes, and the answer to each repetition of a request. Does not own:
 * what may go (checkpoint/reachability.ts), the deleting (object-reaper.ts).
 *
 * GC1  A collection begins with a write of the record: only what has just been written by compare-and-set says what is
 *     unreachable (P21), and only a leader can write it (P16).
 * GC2  A request may take longer than a client waits for an answer. So it is answered "pending" until it is over. A
 *     client that repeats it meets the collection that it began, not a second one that finds nothing left.
 */

import type { Clock } from "../../../clock.ts";
import type { LeaderAnswer } from "../../../control/messages.ts";
import type { CollectionReport } from "../../../control/requests/deletion.ts";
import { describeError, InvariantError } from "../../../errors.ts";
import type { WriteOutcome } from "../records/record-writer.ts";
import { answerInTime } from "../submissions/repetitions.ts";

export interface CollectionsOptions {
  readonly clock: Clock;
  /** Writes the record, unchanged. */
  readonly prove: () => Promise<WriteOutcome>;
  readonly collect: () => Promise<CollectionReport>;
}

export class Collections {
  readonly #options: CollectionsOptions;
  #latest: { readonly requestId: string; readonly answer: Promise<LeaderAnswer> } | undefined;

  constructor(options: CollectionsOptions) {
    this.#options = options;
  }

  async request(requestId: string): Promise<LeaderAnswer> {
    if (this.#latest?.requestId !== requestId) this.#latest = { requestId, answer: this.#collect() };
    return await answerInTime(this.#options.clock, this.#latest.answer);
  }

  async #collect(): Promise<LeaderAnswer> {
    const { outcome } = await this.#options.prove();
    if (outcome !== "stored")
      return { answer: "refused", reason: "another coordinator has begun to lead; ask again" };
    try {
      return { answer: "collected", report: await this.#options.collect() };
    } catch (error) {
      if (error instanceof InvariantError) throw error;
      return { answer: "refused", reason: `the collection did not come to its end: ${describeError(error)}` };
    }
  }
}
