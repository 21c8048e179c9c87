/**
 * Jobs of this leader whose record cannot be used: something else lies in its place, or it is gone (P72).
 *
 * Owns: that each of them stays named until it is led again, and is looked at again and again, so that a record that
 * is put back is enough. Does not own: what is done with a record that can be read (coordinator.ts).
 */
import { type Clock, pauseOn } from "../../../clock.ts";
import type { Logger } from "../../../dataflow/connector.ts";
import type { TroubleWatch, TroubleWatcher } from "../../../dataflow/trouble.ts";
import { RecordUnreadableError, retryOf } from "../../../errors.ts";
import { jobKey } from "../../../formats/job-record.ts";
import { newLife } from "../../life.ts";
import type { RecordStore } from "../../record-store.ts";
import { readRecord } from "./stored-record.ts";

export interface DamagedJobsOptions {
  readonly store: RecordStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly troubles: TroubleWatcher;
  /** One piece of work on records at a time. */
  readonly inOrder: (work: () => Promise<void>) => Promise<void>;
  /** Leads the job from its record on, unless it is led already. @throws RecordUnreadableError */
  readonly adopt: (job: string) => Promise<void>;
  readonly onCrash: (error: unknown) => void;
}

interface Damage {
  readonly watch: TroubleWatch;
  error: RecordUnreadableError | undefined;
}

/** The record of a job that was led is gone, and no command of ours takes it away. */
export class RecordGoneError extends RecordUnreadableError {
  constructor(job: string, bucket: string) {
    super(
      `record "${jobKey(job)}" of KV bucket ${bucket} is gone: the key was deleted, or the bucket was emptied or made anew. ` +
        `Nothing of job ${job} is committed meanwhile. Put the record back, or stream KV_${bucket} from a backup (nats stream restore DIR), ` +
        "and the job goes on; or submit the job again with --fresh, which starts over",
    );
  }
}

const LOOK_EVERY_MS = 1000;

export class DamagedJobs {
  readonly #options: DamagedJobsOptions;
  readonly #jobs = new Map<string, Damage>();
  /** Jobs that were led here in the term before, and had not ended. */
  #ledBefore: readonly string[] = [];
  #term = newLife();

  constructor(options: DamagedJobsOptions) {
    this.#options = options;
  }

  begin(): void {
    this.#term = newLife();
    void this.#watch(this.#term.signal);
  }

  /** @param led the jobs that have not ended */
  end(led: readonly string[]): void {
    this.#term.abort();
    const gone = [...this.#jobs].filter(([, { error }]) => error instanceof RecordGoneError);
    this.#ledBefore = [...led, ...gone.map(([job]) => job)];
    for (const { watch } of this.#jobs.values()) watch.forget();
    this.#jobs.clear();
  }

  /** Between two terms of this process the bucket may have been emptied, or made anew. @param keys of all records */
  found(keys: readonly string[]): void {
    for (const job of this.#ledBefore)
      if (!keys.includes(jobKey(job))) this.add(job, new RecordGoneError(job, this.#options.store.bucket));
    this.#ledBefore = [];
  }

  add(job: string, error: RecordUnreadableError): void {
    const { logger, troubles } = this.#options;
    const damage = this.#jobs.get(job) ?? { watch: troubles.watch(`leading job ${job}`), error: undefined };
    this.#jobs.set(job, damage);
    damage.watch.failed(error);
    const isNews = damage.error?.message !== error.message;
    damage.error = error;
    if (isNews) logger.error({ job }, error.message);
  }

  /** The job is led, or its user has given it up. */
  remove(job: string): void {
    this.#jobs.get(job)?.watch.passed();
    this.#jobs.delete(job);
  }

  /** @throws RecordUnreadableError */
  assertWhole(job: string): void {
    const error = this.#jobs.get(job)?.error;
    if (error !== undefined) throw error;
  }

  /** One job whose record is none does not keep the others from being led. */
  async unlessDamaged(job: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof RecordUnreadableError)) throw error;
      this.add(job, error);
    }
  }

  async #watch(signal: AbortSignal): Promise<void> {
    const { clock, inOrder, onCrash } = this.#options;
    while (!signal.aborted) {
      await pauseOn(clock, LOOK_EVERY_MS, signal);
      for (const job of [...this.#jobs.keys()]) {
        try {
          await inOrder(() => (signal.aborted ? Promise.resolve() : this.#lookAgain(job)));
        } catch (error) {
          // Where no record can be read at all, the lease tells it.
          if (retryOf(error) !== "now") return onCrash(error);
        }
      }
    }
  }

  async #lookAgain(job: string): Promise<void> {
    const { store, adopt } = this.#options;
    const damage = this.#jobs.get(job);
    if (damage === undefined) return;
    await this.unlessDamaged(job, async () => {
      const isThere = (await readRecord(store, job)) !== undefined;
      if (!isThere && damage.error instanceof RecordGoneError) return;
      this.remove(job);
      if (isThere) await adopt(job);
    });
  }
}
