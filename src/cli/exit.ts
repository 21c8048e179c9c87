/**
 * How a command ends: by its own word. The code of a job shares the process, and may call `process.exit` or set
 * `process.exitCode` at any time.
 */
const exit = process.exit.bind(process);
let outcome = 0;

/** What the command ends with when it has done all that it does. */
export function setOutcome(code: number): void {
  outcome = code;
}

/** At once. @param code default what `setOutcome` was told, else 0 */
export function exitProcess(code: number = outcome): never {
  return exit(code);
}
