/** What a source or sink gets from the process it runs in. */
import type { TroubleWatcher } from "./trouble.ts";

/** Minimal structured logger; pino's own shape, so that a pino logger is one. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface ConnectorEnvironment {
  readonly job: string;
  readonly logger: Logger;
  /** A connector that tries again after a failure tells of it here, so that the user sees what the job waits for. */
  readonly troubles: TroubleWatcher;
  /**
   * The process's NATS environment (see src/nats/connection/environment.ts), or undefined when the job runs in memory.
   */
  readonly nats: unknown;
  /** Only what would happen is asked (`restore --dry-run`, any submission at first): make and change nothing (P56). */
  readonly dryRun?: true;
  /**
   * At a submission all sinks are looked at (`dryRun`) before the first one makes anything. What they would make stands
   * here, by kind and name, so that a later one knows of it.
   */
  readonly planned?: Map<string, unknown>;
  /** Called with what was made or changed outside, in words: "stream COUNTS". */
  readonly made?: (what: string) => void;
  /** true at a submission: the job has run before, and would go on with its state. */
  readonly resumes?: boolean | undefined;
  /**
   * At a submission that would begin a job anew because no record knows it, and without --fresh: the KV bucket that was
   * looked in. A sink refuses it where its target holds output of such a job (P72).
   */
  readonly unrecorded?: string | undefined;
}

export interface SubtaskEnvironment extends ConnectorEnvironment {
  readonly incarnation: string;
  readonly generation: number;
  /** Random per generation, written into whatever is written outside (P6). */
  readonly nonce: string;
  /** Operator id as the user named it. */
  readonly operator: string;
  readonly subtaskIndex: number;
  readonly parallelism: number;
  /** Aborts when the generation is over: what is still repeated then, an opening included, ends. */
  readonly signal: AbortSignal;
  /** The subtask cannot go on; the generation fails with this error. */
  fail(error: unknown): void;
}
