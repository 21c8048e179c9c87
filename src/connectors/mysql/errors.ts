/**
 * What an error of a MySQL or MariaDB server means for a sink, by its number: the client's names of errors are those of
 * one of the two servers.
 */
import { type ErrorClass, inWords, type JudgedError } from "../sql/errors.ts";

export const NO_SUCH_TABLE = 1146;
export const LOCK_WAIT_TIMEOUT = 1205;

/** 45009 and negative numbers are MariaDB's own for a connection that has ended. */
const LOST: ReadonlySet<number> = new Set([
  1053, 1158, 1159, 1160, 1161, 1180, 1927, 2006, 2013, 3024, 45009,
]);
const AGAIN: ReadonlySet<number> = new Set([1021, 1040, 1114, 1203, 1205, 1213, 1290, 1317, 1836]);
const TARGET: ReadonlySet<number> = new Set([
  1044, 1045, 1049, 1054, 1136, 1142, 1143, 1146, 1153, 1227, 1235, 1286, 1370, 1471,
]);
const RECORD: ReadonlySet<number> = new Set([
  1048, 1062, 1264, 1265, 1292, 1364, 1366, 1406, 1411, 1451, 1452, 3140, 3141, 3819, 4025,
]);

export function numberOf(error: unknown): number | undefined {
  const errno: unknown = (error as { errno?: unknown } | undefined)?.errno;
  return typeof errno === "number" ? errno : undefined;
}

export function judged(cause: unknown): JudgedError {
  return { is: classOf(cause), words: inWords(cause, numberOf(cause)), cause };
}

function classOf(error: unknown): ErrorClass {
  const errno = numberOf(error);
  if (errno === undefined || errno <= 0 || LOST.has(errno)) return "lost";
  if (AGAIN.has(errno)) return "again";
  if (TARGET.has(errno)) return "target";
  return RECORD.has(errno) ? "record" : "defect";
}
