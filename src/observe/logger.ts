/** Logs as JSON lines (pino), to standard error or a file. */
import { type DestinationStream, destination, pino } from "pino";
import type { Logger } from "../dataflow/connector.ts";

export const logLevels = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

export interface LoggerOptions {
  readonly level: LogLevel;
  /** In every line: which process this is. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** Default: standard error. */
  readonly file?: string;
}

export function createLogger(options: LoggerOptions): Logger {
  const to: DestinationStream = destination(
    options.file === undefined ? { dest: 2, sync: true } : { dest: options.file, sync: true, mkdir: true },
  );
  return pino({ level: options.level, base: options.fields }, to);
}

/** Messages for the person who waits for a command: one line of text each, to standard error. */
export function createMessages(write: (line: string) => void): Logger {
  return {
    debug: () => {},
    info: () => {},
    warn: (_fields, message) => write(`tidemark: warning: ${message}\n`),
    error: (_fields, message) => write(`tidemark: ${message}\n`),
  };
}
