/**
 * Checkpoints and savepoints that somebody asked the leader for, until their outcome was fetched.
 *
 * Owns: which requests are known and what became of them. Does not own: taking checkpoints. A request is asked for again
 * and again by its name; a leader that does not know it (a new one) is handed it anew.
 */
import type { RequestOutcome } from "../../control/messages.ts";

/** Of those that are over: enough for whoever asks late. */
const REMEMBERED = 100;

export class JobRequests {
  readonly #outcomes = new Map<string, RequestOutcome>();
  readonly #followUps = new Map<string, () => void>();

  get(request: string): RequestOutcome | undefined {
    return this.#outcomes.get(request);
  }

  /** `onCompleted` is what follows its success. */
  begin(request: string, onCompleted?: () => void): void {
    this.#outcomes.set(request, { state: "pending" });
    if (onCompleted !== undefined) this.#followUps.set(request, onCompleted);
  }

  isPending(request: string): boolean {
    return this.#outcomes.get(request)?.state === "pending";
  }

  complete(request: string, checkpointId: number, location: string | null): void {
    const followUp = this.#followUps.get(request);
    this.#end(request, { state: "completed", checkpointId, location });
    followUp?.();
  }

  fail(request: string, reason: string): void {
    if (this.isPending(request)) this.#end(request, { state: "failed", reason });
  }

  failAll(reason: string): void {
    for (const request of [...this.#outcomes.keys()]) this.fail(request, reason);
  }

  #end(request: string, outcome: RequestOutcome): void {
    if (request === "") return;
    this.#outcomes.delete(request);
    this.#followUps.delete(request);
    this.#outcomes.set(request, outcome);
    const [oldest] = this.#outcomes.keys();
    if (this.#outcomes.size > REMEMBERED && oldest !== undefined) this.#outcomes.delete(oldest);
  }
}
