/**
 * One request: the calls of the user's function that it takes, within its time.
 *
 * Owns: attempts, the pauses between them, the timeout over all of them. Does not own: order (queue.ts), what becomes
 * of an answer (async.ts).
 *
 * - QC1 A request comes to one end: an answer, or a failure. What comes later is ignored.
 * - QC2 The time counts from the first call on, over all attempts. At its end the signal aborts, and the request has
 *   failed, whether or not the function heeds the signal.
 */
import type { Clock, Timer } from "../../../clock.ts";
import { AsyncTimeoutError } from "../../../errors.ts";
import { describeValue } from "../../../state/described.ts";
import type { Key } from "../../../state/descriptor.ts";
import { wanted } from "../../guards/answers.ts";

export interface Retries {
  /** The most calls for one record, the first included. */
  readonly attempts: number;
  /** The pause in front of the second call. */
  readonly delayMs: number;
  /** Each further pause is so many times as long as the one before. */
  readonly backoff: number;
  readonly delayMsMax: number;
  /** Whether this failure is worth another attempt. */
  readonly when?: ((error: unknown) => boolean) | undefined;
}

/** What the user's function is told of its request. */
export interface RequestContext<K = Key | undefined, Resource = unknown> {
  /**
   * The name of the request, unique in the job and the same in every attempt and after every restore: give it to the
   * service as the key by which it knows a request again.
   */
  readonly id: string;
  /** 1 for the first call; counts from 1 again after a restore. */
  readonly attempt: number;
  /** Aborts at the timeout and when the subtask ends: the answer is of no use then. */
  readonly signal: AbortSignal;
  /** The key of the record; undefined where the stream has none. */
  readonly key: K;
  /** The answer of `open`. */
  readonly resource: Resource;
}

export interface CallOptions {
  readonly clock: Pick<Clock, "after">;
  readonly timeoutMs: number;
  readonly retries: Retries;
  readonly call: (attempt: number, signal: AbortSignal) => unknown;
  /** An attempt has failed, and there will be another one. */
  readonly onRetry: (error: unknown) => void;
  readonly onAnswer: (answer: unknown) => void;
  /** @param attempt the one that has failed last */
  readonly onFailure: (error: unknown, attempt: number) => void;
}

/** What was thrown, in words. */
export function saidBy(error: unknown): string {
  return error instanceof Error ? error.message : `it threw ${describeValue(error)}`;
}

export class Call {
  readonly #options: CallOptions;
  readonly #aborting = new AbortController();
  readonly #timeout: Timer;
  #pause: Timer | undefined;
  #attempt = 0;
  #ended = false;

  /** Calls the function at once. */
  constructor(options: CallOptions) {
    this.#options = options;
    this.#timeout = options.clock.after(options.timeoutMs, () => this.#expired());
    this.#try();
  }

  /** The answer is of no use any more. */
  cancel(reason: unknown): void {
    if (this.#end()) this.#aborting.abort(reason);
  }

  #try(): void {
    const attempt = ++this.#attempt;
    const run = async () => await this.#options.call(attempt, this.#aborting.signal);
    run().then(
      (answer) => {
        if (this.#end()) this.#options.onAnswer(answer);
      },
      (error: unknown) => this.#failed(error),
    );
  }

  #failed(error: unknown): void {
    if (this.#ended) return;
    const { clock, retries } = this.#options;
    const { attempts, delayMs, backoff, delayMsMax } = retries;
    try {
      if (this.#attempt >= attempts || !this.#isWorthAnother(error)) {
        this.#fail(error);
        return;
      }
    } catch (ofWhen) {
      this.#fail(ofWhen);
      return;
    }
    const pauseMs = Math.min(delayMs * backoff ** (this.#attempt - 1), delayMsMax);
    this.#pause = clock.after(pauseMs, () => this.#try());
    this.#options.onRetry(error);
  }

  /** @throws Error that tells of both, when `when` itself fails */
  #isWorthAnother(error: unknown): boolean {
    const { when } = this.#options.retries;
    if (when === undefined) return true;
    let wrong: string;
    try {
      const answered: unknown = when(error);
      if (typeof answered === "boolean") return answered;
      wrong = `answered ${describeValue(answered)}, and ${wanted.boolean} is needed`;
    } catch (ofWhen) {
      wrong = `threw: ${saidBy(ofWhen)}`;
    }
    throw new Error(`${saidBy(error)}; and retries.when ${wrong}`, { cause: error });
  }

  #expired(): void {
    const error = new AsyncTimeoutError("there was no answer in time");
    this.#aborting.abort(error);
    this.#fail(error);
  }

  #fail(error: unknown): void {
    if (this.#end()) this.#options.onFailure(error, this.#attempt);
  }

  /** false: it had come to its end before. */
  #end(): boolean {
    if (this.#ended) return false;
    this.#ended = true;
    this.#timeout.cancel();
    this.#pause?.cancel();
    return true;
  }
}
