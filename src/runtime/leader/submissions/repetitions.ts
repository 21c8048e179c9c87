/**
 * Requests that may take longer than a client waits for one answer, and are therefore sent again.
 *
 * All repetitions of a request meet the work that the first one began. Until it is done they are answered "pending".
 */

import type { Clock } from "../../../clock.ts";
import type { LeaderAnswer } from "../../../control/messages.ts";

/** Shorter than a client waits for one answer. */
const ANSWER_WITHIN_MS = 1000;
/** Longer than a client pauses between two repetitions. */
const KEPT_MS = 60_000;

export class Repetitions {
  readonly #clock: Clock;
  readonly #answers = new Map<string, Promise<LeaderAnswer>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The work is under way, or its answer is remembered. */
  knows(id: string): boolean {
    return this.#answers.has(id);
  }

  /** @param id random, the same in every repetition */
  request(id: string, work: () => Promise<LeaderAnswer>): Promise<LeaderAnswer> {
    const known = this.#answers.get(id);
    if (known !== undefined) return answerInTime(this.#clock, known);
    const answer = work();
    this.#answers.set(id, answer);
    const forget = () => this.#answers.delete(id);
    // What has failed is tried anew by the next repetition.
    answer.then(() => this.#clock.after(KEPT_MS, forget), forget);
    return answerInTime(this.#clock, answer);
  }
}

/** "pending" when the answer takes longer than its client waits: it asks again. */
export function answerInTime(clock: Clock, answer: Promise<LeaderAnswer>): Promise<LeaderAnswer> {
  return new Promise<LeaderAnswer>((resolve, reject) => {
    const timer = clock.after(ANSWER_WITHIN_MS, () => resolve({ answer: "pending" }));
    answer.then(resolve, reject).finally(() => timer.cancel());
  });
}
