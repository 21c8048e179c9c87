/**
 * Ctrl-C of a command that waits for what it has asked a coordinator for (P57): the command ends at once, and says what
 * goes on without it and which command shows the outcome.
 */
import { exitCodes } from "../output/report-error.ts";
import { exitProcess } from "./exit.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** @param outlook what becomes of the request, as it is known at the moment of the signal */
export async function interruptible<T>(outlook: () => string, wait: () => Promise<T>): Promise<T> {
  const end = (): void => {
    process.stderr.write(`tidemark: interrupted: ${outlook()}\n`);
    exitProcess(exitCodes.interrupted);
  };
  for (const signal of SIGNALS) process.on(signal, end);
  try {
    return await wait();
  } finally {
    for (const signal of SIGNALS) process.removeListener(signal, end);
  }
}
