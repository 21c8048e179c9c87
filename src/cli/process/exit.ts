/**
 * How a command ends: by its own word. The code of a job shares the process, and may call `process.exit` or set
 * `process.exitCode` at any time.
 */
import { startTimer } from "../../timer.ts";
import { exitCodes } from "../output/report-error.ts";
import { commandOutput } from "../output/stdout.ts";

/** What is said last may take so long to leave a process that was asked to end. */
const LAST_WORDS_MS = 2000;

const exit = process.exit.bind(process);
let outcome = 0;
let hurry: () => void = () => {};
const hurried = new Promise<void>((resolve) => {
  hurry = () => startTimer(LAST_WORDS_MS, resolve);
});

/** What the command ends with when it has done all that it does. */
export function setOutcome(code: number): void {
  outcome = code;
}

/** A signal has asked for the end: it does not wait long for those who read what is said. */
export function endSoon(): void {
  hurry();
}

/** At once. @param code default what `setOutcome` was told, else 0 */
export function exitProcess(code: number = outcome): never {
  return exit(code);
}

/**
 * When all that was said is written. An answer that cannot be is a failure of its own: what was asked for may be done, and
 * the one who asked does not know it.
 * @param code default what `setOutcome` was told, else 0
 */
export async function endProcess(code: number = outcome): Promise<never> {
  const flushed = commandOutput.flushed().then(() => true);
  if (!(await Promise.race([flushed, hurried.then(() => false)]))) commandOutput.giveUp();
  return exitProcess(commandOutput.isLost && code === exitCodes.ok ? exitCodes.environment : code);
}
