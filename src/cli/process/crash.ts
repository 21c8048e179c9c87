/**
 * How a process of ours ends that cannot go on: a rejection that is not handled, an exception that is not caught.
 *
 * In a worker that is almost always the job's own code: it starts something asynchronous, does not wait for it, and it
 * fails. The process ends, because Node ends it too, and what has failed may have been meant to stop the job.
 */
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describeError, TidemarkError } from "../../errors.ts";
import { placeIn } from "../../job/code/import-own.ts";
import { startTimer } from "../../timer.ts";
import { exitCodeOf, exitCodes } from "../output/report-error.ts";
import { exitProcess } from "./exit.ts";

interface Crash {
  /** One line. */
  readonly reason: string;
  readonly code: number;
  /** A line of the job's own files is on its stack. */
  readonly passesJob: boolean;
}

const OWN_MODULES = fileURLToPath(new URL("../../", import.meta.url));
const TELL_BOUND_MS = 1000;

/** @param jobPath undefined: this process runs no job */
function describeCrash(error: unknown, kind: string, jobPath: string | undefined): Crash {
  const stack = error instanceof Error ? (error.stack ?? "") : "";
  const place = jobPath === undefined ? undefined : placeIn(stack, resolve(jobPath));
  const what = error instanceof Error && !(error instanceof TidemarkError) ? `${error.name}: ` : "";
  const where = place === undefined ? "" : ` (at ${place})`;
  const cause = `${what}${describeError(error)}${where}`;
  const passesJob = place !== undefined;
  if (error instanceof TidemarkError || (place === undefined && isOurs(stack)))
    return { reason: `${kind}: ${cause}`, code: exitCodeOf(error), passesJob };
  if (jobPath === undefined) return { reason: `${kind}: ${cause}`, code: exitCodes.bug, passesJob };
  return { reason: `${kind} in the job's code: ${cause}`, code: exitCodes.jobCrashed, passesJob };
}

/** Every line of the stack that is not Node's own. */
function isOurs(stack: string): boolean {
  const lines = stack.split("\n").filter((line) => /^\s*at /.test(line) && !line.includes("node:"));
  return lines.length > 0 && lines.every((line) => line.includes(OWN_MODULES));
}

/**
 * Ends the process by its first crash: says why, tells the process that should know, and exits with the crash's code.
 * @param tell is waited for a second at most
 */
export function watchCrashes(jobPath: string | undefined, tell: (crash: Crash) => Promise<unknown>): void {
  let crashed = false;
  const end = async (error: unknown, kind: string): Promise<void> => {
    if (crashed) return;
    crashed = true;
    const crash = describeCrash(error, kind, jobPath);
    sayCrash(crash, error);
    startTimer(TELL_BOUND_MS, () => process.exit(crash.code));
    await tell(crash).catch(() => undefined);
    process.exit(crash.code);
  };
  process.on("uncaughtException", (error) => void end(error, "uncaught exception"));
  process.on("unhandledRejection", (error) => void end(error, "unhandled rejection"));
}

/** Faults that one command may meet. */
const TOLD_MAX = 10;

/**
 * Keeps a command alive in whose process the job's code is, but does not run: a fault of that code is said once, and
 * changes nothing. One of ours ends the process.
 */
export function outliveJobFaults(jobPath: string): void {
  const file = resolve(jobPath);
  const told = new Set<string>();
  const take = (error: unknown, kind: string): void => {
    const crash = describeCrash(error, kind, file);
    if (crash.code !== exitCodes.jobCrashed && !crash.passesJob) {
      sayCrash(crash, error);
      exitProcess(crash.code);
    }
    if (told.has(crash.reason) || told.size === TOLD_MAX) return;
    told.add(crash.reason);
    process.stderr.write(`tidemark: warning: ${crash.reason}; the command goes on without it\n`);
  };
  process.on("uncaughtException", (error) => take(error, "uncaught exception"));
  process.on("unhandledRejection", (error) => take(error, "unhandled rejection"));
}

function sayCrash(crash: Crash, error: unknown): void {
  process.stderr.write(`tidemark: this process ends by an ${crash.reason}\n`);
  if (crash.code === exitCodes.bug && error instanceof Error) process.stderr.write(`${error.stack}\n`);
}

/**
 * The job's code may end the process itself, by `process.exit`. That cannot be prevented; here it is said which line
 * did it.
 * @param tell must not wait: the process is about to be gone
 */
export function watchExits(jobPath: string, tell: (reason: string) => void): void {
  process.on("exit", (code) => {
    const place = placeIn(new Error("exit").stack ?? "", resolve(jobPath));
    if (place === undefined) return;
    const reason = `process.exit(${code}) in the job's code (at ${place})`;
    process.stderr.write(`tidemark: this process ends by ${reason}\n`);
    tell(reason);
  });
}
