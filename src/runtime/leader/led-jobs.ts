/** The jobs that a coordinator leads, by name. */
import type { KnownWorker } from "./generations/worker-registry.ts";
import type { JobRuntime } from "./job-runtime.ts";

export class LedJobs extends Map<string, JobRuntime> {
  /** The workers of jobs that are led anew in a moment. */
  readonly #workers = new Map<string, readonly KnownWorker[]>();

  leads(job: string): boolean {
    return this.get(job)?.ended === false;
  }

  forget(job: string): void {
    this.get(job)?.close();
    this.delete(job);
    this.#workers.delete(job);
  }

  /** Forgets the job until it is adopted again, but for its workers. */
  release(job: string): void {
    const workers = this.get(job)?.workers ?? [];
    this.forget(job);
    this.#workers.set(job, workers);
  }

  /** The workers of the job when it was released last. */
  workersOf(job: string): readonly KnownWorker[] {
    const workers = this.#workers.get(job) ?? [];
    this.#workers.delete(job);
    return workers;
  }

  closeAll(): void {
    for (const job of this.values()) job.close();
    this.clear();
    this.#workers.clear();
  }
}
