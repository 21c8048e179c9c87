/** Logs as JSON lines (pino), to standard error or a file. */
import { type LoggerOptions as LoggerOptionsOfPino, pino } from "pino";
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
  /** What becomes of texts: of messages, and of fields such as reasons. Default: nothing. */
  readonly complete?: (text: string) => string;
}

/** @throws ConfigurationError for a file that cannot be written */
export function createLogger({ level, fields, file, complete }: LoggerOptions): Logger {
  const gap = (missing: number, reason: string) =>
    JSON.stringify({
      ...{ level: pino.levels.values.warn, time: Date.now(), ...fields },
      msg: `${missing} lines of this log are missing here: ${reason}`,
    });
  const write = file === undefined ? logToStandardError() : logToFile(file);
  return pino({ level, base: fields, ...completing(complete) }, new LogOutput(write, gap));
}

function completing(complete: LoggerOptions["complete"]): LoggerOptionsOfPino {
  if (complete === undefined) return {};
  const texts = (some: Record<string, unknown>) =>
    Object.fromEntries(
      Object.entries(some).map(([name, value]) => [
        name,
        typeof value === "string" ? complete(value) : value,
      ]),
    );
  return {
    formatters: { log: texts },
    hooks: {
      logMethod(args, method) {
        const [some, message, ...others] = args;
        return typeof message === "string"
          ? method.apply(this, [some, complete(message), ...others])
          : method.apply(this, args);
      },
    },
  };
}

/** Messages for the user of a command: one line of text each, without its end. */
export function createMessages(write: (message: string) => void): Logger {
  return {
    debug: () => {},
    info: () => {},
    warn: (_fields, message) => write(`warning: ${message}`),
    error: (_fields, message) => write(message),
  };
}
