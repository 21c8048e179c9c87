/**
 * How a command ends: by its own word. The code of a job shares the process, and may call `process.exit` or set
 * `process.exitCode` at any time.
 */
import { startTimer } from "../../timer.ts";
import { exitCodes } from "../output/report-error.ts";
import { commandOutput } from "../output/stdout.ts";

/** The output of a process that was asked to end may take so long to be read. */
const OUTPUT_READ_MS = 2000;

const exit = process.exit.bind(process);
let outcome = 0;
let hurry: () => void = () => {};
const hurried = new Promise<void>((resolve) => {
  hurry = () => startTimer(OUTPUT_READ_MS, resolve);
});

/** What the command ends with when it has done all that it does. */
export function setOutcome(code: number): void {
  outcome = code;
}

/** A signal has asked for the end: the process does not wait long for the reader of its output. */
export function endSoon(): void {
  hurry();
}

/** Ends the process at once. @param code default what `setOutcome` was told, else 0 */
export function exitProcess(code: number = outcome): never {
  return exit(code);
}

/**
 * Ends the process when all of its output is written. Output that cannot be written is a failure of its own: the
 * command may have done its work, and the user does not know it.
 * @param code default what `setOutcome` was told, else 0
 */
export async function endProcess(code: number = outcome): Promise<never> {
  const flushed = commandOutput.flushed().then(() => true);
  if (!(await Promise.race([flushed, hurried.then(() => false)]))) commandOutput.giveUp();
  return exitProcess(commandOutput.isLost && code === exitCodes.ok ? exitCodes.environment : code);
}
