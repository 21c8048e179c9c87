/** Logs as JSON lines (pino), to standard error or a file. */
import { pino } from "pino";
import type { Logger } from "../dataflow/connector.ts";
import { LogOutput, logToFile, logToStandardError } from "./log-output.ts";

export const logLevels = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

export interface LoggerOptions {
  readonly level: LogLevel;
  /** The fields of every line: which process this is. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** Default: standard error. */
  readonly file?: string;
}

/** @throws ConfigurationError for a file that cannot be written */
export function createLogger({ level, fields, file }: LoggerOptions): Logger {
  const gap = (missing: number, reason: string) =>
    JSON.stringify({
      ...{ level: pino.levels.values.warn, time: Date.now(), ...fields },
      msg: `${missing} lines of this log are missing here: ${reason}`,
    });
  const write = file === undefined ? logToStandardError() : logToFile(file);
  return pino({ level, base: fields }, new LogOutput(write, gap));
}

/** Messages for the user of a command: one line of text each, to standard error. */
export function createMessages(write: (line: string) => void): Logger {
  return {
    debug: () => {},
    info: () => {},
    warn: (_fields, message) => write(`tidemark: warning: ${message}\n`),
    error: (_fields, message) => write(`tidemark: ${message}\n`),
  };
}
