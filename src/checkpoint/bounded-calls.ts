/**
 * Calls to directories that may not answer, such as a network file system whose server is gone. The caller gets an
 * error after a bound, the call itself cannot be taken back: it keeps one of the few threads that Node has for files.
 * All directories of a process, of checkpoints and of savepoints, share one of these.
 *
 * - BC1 Each call ends for its caller within its bound, counted from its turn on. The turn comes, or the call is
 *   refused, because those in front of it end within their bounds.
 * - BC2 At most `CALLS_AT_ONCE` calls are under way, stuck ones included, so that a thread is left for the rest of the
 *   process. While all of them are stuck, further calls are refused at once.
 * - BC3 While a call is stuck at a place, none begins there.
 * - BC4 A call that has ended in time is not taken for a stuck one because this process was held up.
 */
import type { Clock, Timer } from "../clock.ts";
import { StorageStalledError } from "../errors.ts";

const CALL_MS = 10_000;
/** A directory that takes less than 1 MiB a second counts as one that does not answer. */
const BYTES_PER_MS = 1024;
/** Node has four threads for files. */
const CALLS_AT_ONCE = 3;

export interface CallOptions<T> {
  /** How many bytes it moves at most: it gets the more time. Default 0. */
  readonly bytes?: number;
  /** Is given what a call answers that has not ended within its bound. */
  readonly onLate?: (answer: T) => void;
}

/** What is stuck at one place. */
interface StuckPlace {
  calls: number;
  /** What is done once none is stuck there any more. */
  readonly afterwards: (() => void)[];
}

export class BoundedCalls {
  readonly #clock: Pick<Clock, "after" | "later">;
  readonly #waiting: (() => void)[] = [];
  readonly #stuck = new Map<string, StuckPlace>();
  #underWay = 0;

  constructor(clock: Pick<Clock, "after" | "later">) {
    this.#clock = clock;
  }

  /**
   * @param place in messages, and the calls that share a fate: "directory /mnt/x"
   * @throws StorageStalledError when it has not ended within its bound, or could not begin
   */
  async run<T>(place: string, work: () => Promise<T>, options: CallOptions<T> = {}): Promise<T> {
    this.#refuseStuck(place);
    while (this.#underWay >= CALLS_AT_ONCE) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
      this.#refuseStuck(place);
    }
    this.#underWay++;
    return await this.#bounded(place, work(), options);
  }

  /** As `run`. Where a call is stuck at the place now, it is done when none is any more, and the caller goes on. */
  async runOnceAnswering(place: string, work: () => Promise<void>, bytes = 0): Promise<void> {
    const stuck = this.#stuck.get(place);
    if (stuck === undefined) return await this.run(place, work, { bytes });
    stuck.afterwards.push(() => void this.runOnceAnswering(place, work, bytes).catch(() => undefined));
  }

  #refuseStuck(place: string): void {
    const all = [...this.#stuck.values()].reduce((sum, { calls }) => sum + calls, 0);
    if (this.#stuck.has(place)) throw stalled(place, "it does not answer");
    if (all >= CALLS_AT_ONCE)
      throw stalled(place, `${[...this.#stuck.keys()].join(" and ")} does not answer`);
  }

  #bounded<T>(place: string, working: Promise<T>, { bytes = 0, onLate }: CallOptions<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      let isStuck = false;
      let hasEnded = false;
      const giveUp = () => {
        if (hasEnded) return;
        isStuck = true;
        this.#isStuck(place);
        this.#wake();
        reject(stalled(place, "it does not answer"));
      };
      const timer: Timer = this.#clock.after(CALL_MS + bytes / BYTES_PER_MS, () =>
        // What has come meanwhile is heard first (BC4).
        this.#clock.later(giveUp),
      );
      const ended = () => {
        hasEnded = true;
        timer.cancel();
        this.#underWay--;
        if (isStuck) this.#answers(place);
        this.#wake();
      };
      working.then(
        (answer) => {
          ended();
          if (isStuck) onLate?.(answer);
          resolve(answer);
        },
        (error: unknown) => {
          ended();
          reject(error);
        },
      );
    });
  }

  #isStuck(place: string): void {
    const stuck = this.#stuck.get(place) ?? { calls: 0, afterwards: [] };
    stuck.calls++;
    this.#stuck.set(place, stuck);
  }

  #answers(place: string): void {
    const stuck = this.#stuck.get(place)!;
    if (--stuck.calls > 0) return;
    this.#stuck.delete(place);
    for (const run of stuck.afterwards) run();
  }

  /** Those that wait look again. */
  #wake(): void {
    for (const look of this.#waiting.splice(0)) look();
  }
}

function stalled(place: string, reason: string): StorageStalledError {
  return new StorageStalledError(`${place}: ${reason}`, { reason });
}
