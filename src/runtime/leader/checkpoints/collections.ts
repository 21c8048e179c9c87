/**
 * `job.gc` on the leader: unreachable objects deleted because somebody asked.
 *
 * Owns: the proof of leadership before anything goes, and the answer to each repetition of a request. Does not own: what
 * may go (checkpoint/reachability.ts), the deleting (object-reaper.ts).
 *
 * G1  A collection begins with a write of the record: only what has just been written by compare-and-set says what is
 *     unreachable (P21), and only a leader can write it (P16).
 * G2  A request may take longer than anybody waits for an answer. So it is answered "collecting" until it is over, and
 *     whoever repeats it meets the collection that it began, not a second one that finds nothing left.
 */
import type { CollectionReport, LeaderAnswer } from "../../../control/messages.ts";
import { describeError, InvariantError } from "../../../errors.ts";
import type { Clock } from "../../clock.ts";
import type { WriteOutcome } from "../record-writer.ts";

export interface CollectionsOptions {
  readonly clock: Clock;
  /** Writes the record, unchanged. */
  readonly prove: () => Promise<WriteOutcome>;
  readonly collect: () => Promise<CollectionReport>;
}

/** Shorter than a client waits for one answer. */
const ANSWER_WITHIN_MS = 1000;

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

/** "collecting" when the answer takes longer than its client waits: it asks again. */
export function answerInTime(clock: Clock, answer: Promise<LeaderAnswer>): Promise<LeaderAnswer> {
  return new Promise<LeaderAnswer>((resolve, reject) => {
    const timer = clock.after(ANSWER_WITHIN_MS, () => resolve({ answer: "collecting" }));
    answer.then(resolve, reject).finally(() => timer.cancel());
  });
}
