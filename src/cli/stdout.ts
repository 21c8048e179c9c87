/**
 * Standard output belongs to the command: its answer must stay readable for a program (`--json`). What the job's code
 * prints goes to standard error.
 */
const write = process.stdout.write.bind(process.stdout);

/** What the command itself says. */
export const commandOutput = {
  write(text: string): void {
    write(text);
  },
  get isTTY(): boolean {
    return process.stdout.isTTY;
  },
  get columns(): number {
    return process.stdout.columns;
  },
  /** Resolves once everything that was written has left the process, or can no longer. */
  flushed: (): Promise<void> => new Promise((resolve) => write("", () => resolve())),
};

/** From now on `console.log` and `process.stdout.write` of other code go to standard error. */
export function reserveStdout(): void {
  process.stdout.write = process.stderr.write.bind(process.stderr);
}
