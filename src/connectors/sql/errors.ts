/** What an error of a database means for a sink, and what the user reads of it. */
import {
  CommitRefusedError,
  describeError,
  EnvironmentError,
  InvariantError,
  TargetUnavailableError,
  TidemarkError,
} from "../../errors.ts";

/**
 * - "lost": the connection is gone, or about to be; what was under way may have been done.
 * - "again": refused for now: a deadlock, a lock, a resource, a server that only reads.
 * - "target": a person has to mend table, role or server.
 * - "record": a record is refused.
 * - "defect": the sink has asked for what cannot be.
 */
export type ErrorClass = "lost" | "again" | "target" | "record" | "defect";

/** An error of the server, as its own module understands it. */
export interface JudgedError {
  readonly is: ErrorClass;
  readonly words: string;
  readonly cause: unknown;
}

/** @param code SQLSTATE or number. @param more what the server says beside its message */
export function inWords(
  error: unknown,
  code: string | number | undefined,
  more: readonly unknown[] = [],
): string {
  const parts = [describeError(error), ...more].filter((part) => typeof part === "string" && part !== "");
  return code === undefined ? parts.join("; ") : `${parts.join("; ")} (${code})`;
}

/**
 * @param place the table in words
 * @param act "committing transaction 7 of writer 0 of sink orders"
 */
export function commitError({ is, words, cause }: JudgedError, place: string, act: string): TidemarkError {
  if (cause instanceof TidemarkError) return cause;
  switch (is) {
    case "lost":
    case "again":
      return new TargetUnavailableError(`${place}: ${words}`, { cause });
    case "record":
      return new CommitRefusedError(
        `${act}: ${place} refuses a record: ${words}. Nothing of the transaction is written. Mend the table, or what ` +
          "stands in the way of the record, then start the job again: it goes on where it stopped",
        { cause },
      );
    case "target":
      return new CommitRefusedError(
        `${act}: ${place}: ${words}. Mend it, then start the job again: it goes on where it stopped`,
        { cause },
      );
    case "defect":
      return new InvariantError(`broken invariant: ${act}: ${place}: ${words}`, { cause });
  }
}

/** The same while a sink is checked or opened. */
export function openError({ is, words, cause }: JudgedError, place: string): TidemarkError {
  if (cause instanceof TidemarkError) return cause;
  if (is === "again") return new TargetUnavailableError(`${place}: ${words}`, { cause });
  if (is !== "lost") return new EnvironmentError(`${place}: ${words}`, { cause });
  const hint = "is the server running, and does option connection name it?";
  return new TargetUnavailableError(`${place}: ${words}; ${hint}`, { cause });
}
