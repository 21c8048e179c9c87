/** Takes from the input what jobs have put there to show their progress, once they have ended for good. */
import type { JobRecord } from "../../../machines/protocol.ts";
import type { Clock } from "../../clock.ts";
import type { Logger } from "../../dataflow/connector.ts";
import { describeError } from "../../errors.ts";
import { goesOn } from "./submissions/submission.ts";

/**
 * The deletion of the progress consumers of a job that has ended; harmless where none is left. Once `signal` is aborted
 * it deletes nothing more.
 * @param successor the next run of the job, which keeps those that it has too; undefined: there is none
 */
export type ReleaseInput = (record: JobRecord, signal: AbortSignal, successor?: JobRecord) => Promise<void>;

interface InputReleasesOptions {
  readonly releaseInput: ReleaseInput;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The longest wait of a coordinator that stops. */
const WAIT_MS = 2000;
const NEVER = new AbortController().signal;

export class InputReleases {
  readonly #options: InputReleasesOptions;
  /** The releases under way, by job. */
  readonly #underWay = new Map<string, Promise<void>>();

  constructor(options: InputReleasesOptions) {
    this.#options = options;
  }

  /** Best effort: the next leader tries again, and so does `tidemark dispose`. */
  ended(record: JobRecord, signal: AbortSignal): void {
    if (!goesOn(record)) this.#begin(record, signal);
  }

  /** The next run of the job may read other input, or show its progress under other names. */
  replaced(record: JobRecord, successor: JobRecord): void {
    this.#begin(record, NEVER, successor);
  }

  /** The consumers of the job's next run have the same names. */
  async released(job: string): Promise<void> {
    await this.#underWay.get(job);
  }

  /** A `tidemark run` ends its coordinator as soon as its job has ended. */
  async settle(): Promise<void> {
    const released = Promise.all(this.#underWay.values());
    await new Promise<void>((resolve) => {
      const timer = this.#options.clock.after(WAIT_MS, resolve);
      void released.then(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  #begin(record: JobRecord, signal: AbortSignal, successor?: JobRecord): void {
    const { job } = record;
    const release = this.#release(record, signal, successor).finally(() => {
      if (this.#underWay.get(job) === release) this.#underWay.delete(job);
    });
    this.#underWay.set(job, release);
  }

  /** Never rejects. */
  async #release(record: JobRecord, signal: AbortSignal, successor?: JobRecord): Promise<void> {
    const { releaseInput, logger } = this.#options;
    try {
      await releaseInput(record, signal, successor);
    } catch (error) {
      const fields = { job: record.job, error: describeError(error) };
      logger.warn(fields, "progress consumers of the ended job are left on its input");
    }
  }
}
