/**
 * What an error of a PostgreSQL server means for a sink, by its SQLSTATE.
 *
 * https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
import { describeError } from "../../errors.ts";
import { type ErrorClass, inWords, type JudgedError } from "../sql/errors.ts";

export const LOCK_NOT_AVAILABLE = "55P03";
export const UNDEFINED_TABLE = "42P01";

interface ServerError {
  readonly code?: unknown;
  readonly detail?: unknown;
  readonly where?: unknown;
}

export function codeOf(error: unknown): string | undefined {
  const code = (error as ServerError | undefined)?.code;
  return typeof code === "string" ? code : undefined;
}

export function judged(cause: unknown): JudgedError {
  const { detail, where } = (cause ?? {}) as ServerError;
  const words = inWords(cause, codeOf(cause), [
    detail,
    typeof where === "string" ? where.split("\n")[0] : where,
  ]);
  return { is: classOf(cause), words, cause };
}

/** 0A000 is also what a statement gets that was prepared before its table was altered: that passes. */
function classOf(error: unknown): ErrorClass {
  const code = codeOf(error);
  // Errors of the client, and of the system below it ("EPIPE"), have no SQLSTATE.
  if (code === undefined || !/^[0-9A-Z]{5}$/.test(code) || /^E[A-Z]{4}$/.test(code)) return "lost";
  if (/^(08|57P0[1-5]|25P0[34]|40003|XX00[01]|58)/.test(code)) return "lost";
  if (/^(40|53|55P03|55006|57014|25006)/.test(code)) return "again";
  if (code === "0A000" && /cached plan/.test(describeError(error))) return "again";
  if (/^(22|23|44)/.test(code)) return "record";
  if (/^(28|3D|3F|0A|54|55|42501|42P01|42P07|42P10|42703|42804|42883)/.test(code)) return "target";
  return "defect";
}
