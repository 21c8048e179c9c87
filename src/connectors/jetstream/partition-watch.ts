/**
 * Looks now and then whether messages have come that are in no partition of a running source (JT1).
 *
 * - JL1 The server looks through all subjects of the stream for an answer. So it is asked when the stream has grown
 *   only, and looks take at most a fiftieth of the time.
 */
import type { TroubleWatch } from "../../dataflow/trouble.ts";
import type { StreamState } from "../../nats/reader/positions/stream-state.ts";
import { pause } from "../../timer.ts";
import type { StraySubjects } from "./stray-subjects.ts";

const PAUSE_MS = 5000;
const SHARE_OF_TIME = 1 / 50;

export class PartitionWatch {
  readonly #strays: StraySubjects;
  readonly #state: StreamState;
  readonly #trouble: TroubleWatch;
  readonly #ended = new AbortController();

  constructor(strays: StraySubjects, state: StreamState, trouble: TroubleWatch) {
    this.#strays = strays;
    this.#state = state;
    this.#trouble = trouble;
  }

  open(): void {
    void this.#look();
  }

  close(): void {
    this.#ended.abort();
    this.#trouble.forget();
  }

  async #look(): Promise<void> {
    const { signal } = this.#ended;
    let seen: number | undefined;
    let strays = false;
    while (!signal.aborted) {
      let tookMs = 0;
      try {
        const { state } = await this.#state.read();
        // What a user has taken out makes the stream no longer, and is asked for as long as something is wrong.
        if (state.last_seq !== seen || strays) {
          const askedMs = performance.now();
          const problem = await this.#strays.problem();
          tookMs = performance.now() - askedMs;
          seen = state.last_seq;
          strays = problem !== undefined;
          if (signal.aborted) return;
          if (problem === undefined) this.#trouble.passed();
          else this.#trouble.failed(problem);
        }
      } catch {
        // A server that does not answer is the reader's business, which tells of it.
      }
      await pause(Math.max(PAUSE_MS, tookMs / SHARE_OF_TIME), signal);
    }
  }
}
