/**
 * What an error of a PostgreSQL server means for a sink, by its SQLSTATE.
 *
 * https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
import {
  CommitRefusedError,
  describeError,
  EnvironmentError,
  InvariantError,
  TargetUnavailableError,
  TidemarkError,
} from "../../errors.ts";

/** The fields of a server's error that are used. */
interface ServerError {
  readonly code?: string;
  readonly detail?: string;
  readonly where?: string;
  readonly table?: string;
  readonly column?: string;
  readonly constraint?: string;
}

export const LOCK_NOT_AVAILABLE = "55P03";
export const UNDEFINED_TABLE = "42P01";

/**
 * - "lost": the connection is gone, or about to be; what was under way may have been done.
 * - "again": refused for now: a deadlock, a lock, a resource, a server that only reads.
 * - "target": a person has to mend table, role or server.
 * - "record": a record is refused.
 * - "defect": the sink has asked for what cannot be.
 */
export type ErrorClass = "lost" | "again" | "target" | "record" | "defect";

export function codeOf(error: unknown): string | undefined {
  const code: unknown = (error as ServerError | undefined)?.code;
  return typeof code === "string" ? code : undefined;
}

/** 0A000 is also what a statement gets that was prepared before its table was altered: that passes. */
export function classOf(error: unknown): ErrorClass {
  const code = codeOf(error);
  // Errors of the client, and of the system below it ("ECONNRESET"), have no SQLSTATE.
  if (code === undefined || !/^[0-9A-Z]{5}$/.test(code) || /^E[A-Z]{4}$/.test(code)) return "lost";
  if (/^(08|57P0[1-5]|25P0[34]|40003|XX000|XX001|58)/.test(code)) return "lost";
  if (/^(40|53|55P03|55006|57014|25006)/.test(code)) return "again";
  if (code === "0A000" && /cached plan/.test(describeError(error))) return "again";
  if (/^(22|23|44)/.test(code)) return "record";
  if (/^(28|3D|3F|42501|42P01|42703|42804|42P10|42883|0A|55|54|42P07)/.test(code)) return "target";
  return "defect";
}

/** Begins with the message: "23505: duplicate key value …, Key (id)=(7) already exists." */
export function inWords(error: unknown): string {
  const { code, detail, where } = error as ServerError;
  const parts = [describeError(error), detail, where?.split("\n")[0]];
  const text = parts.filter((part) => part !== undefined && part !== "").join("; ");
  return code === undefined ? text : `${text} (${code})`;
}

/**
 * @param place the table in words
 * @param act "committing transaction 7 of writer 0 of sink orders"
 */
export function commitError(error: unknown, place: string, act: string): TidemarkError {
  if (error instanceof TidemarkError) return error;
  const words = inWords(error);
  const options = { cause: error };
  switch (classOf(error)) {
    case "lost":
    case "again":
      return new TargetUnavailableError(`${place}: ${words}`, options);
    case "record":
      return new CommitRefusedError(
        `${act}: ${place} refuses a record: ${words}. Nothing of the transaction is written. Mend the table, or what ` +
          "stands in the way of the record, then start the job again: it goes on where it stopped",
        options,
      );
    case "target":
      return new CommitRefusedError(
        `${act}: ${place}: ${words}. Mend it, then start the job again: it goes on where it stopped`,
        options,
      );
    case "defect":
      return new InvariantError(`broken invariant: ${act}: ${place}: ${words}`, options);
  }
}

/** The same while a sink is checked or opened. */
export function openError(error: unknown, place: string): TidemarkError {
  if (error instanceof TidemarkError) return error;
  const isPassing = ["lost", "again"].includes(classOf(error));
  const Kind = isPassing ? TargetUnavailableError : EnvironmentError;
  return new Kind(`${place}: ${inWords(error)}`, { cause: error });
}
