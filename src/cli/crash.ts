/**
 * How a process of ours ends that cannot go on: a rejection that nobody handles, an exception that nobody catches.
 *
 * In a worker that is almost always the job's own code: it starts something asynchronous, does not wait for it, and it
 * fails. The process ends, because Node ends it too, and what has failed may have been meant to stop the job.
 */
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { describeError, TidemarkError } from "../errors.ts";
import { placeIn } from "../job/load.ts";
import { startTimer } from "../timer.ts";
import { exitCodeOf, exitCodes } from "./report-error.ts";

interface Crash {
  /** One line. */
  readonly reason: string;
  readonly code: number;
}

const OWN_MODULES = fileURLToPath(new URL("../", import.meta.url));
const TELL_BOUND_MS = 1000;

/** @param jobPath undefined: this process runs no job */
function describeCrash(error: unknown, kind: string, jobPath: string | undefined): Crash {
  const stack = error instanceof Error ? (error.stack ?? "") : "";
  const place = jobPath === undefined ? undefined : placeIn(stack, resolve(jobPath));
  const what = error instanceof Error && !(error instanceof TidemarkError) ? `${error.name}: ` : "";
  const where = place === undefined ? "" : ` (at ${place})`;
  const cause = `${what}${describeError(error)}${where}`;
  if (error instanceof TidemarkError || (place === undefined && isOurs(stack)))
    return { reason: `${kind}: ${cause}`, code: exitCodeOf(error) };
  if (jobPath === undefined) return { reason: `${kind}: ${cause}`, code: exitCodes.bug };
  return { reason: `${kind} in the job's code: ${cause}`, code: exitCodes.jobCrashed };
}

/** Every line of the stack that is not Node's own. */
function isOurs(stack: string): boolean {
  const lines = stack.split("\n").filter((line) => /^\s*at /.test(line) && !line.includes("node:"));
  return lines.length > 0 && lines.every((line) => line.includes(OWN_MODULES));
}

/**
 * Ends the process by its first crash: says why, tells it to whoever should know, and exits with the crash's code.
 * @param tell is waited for a second at most
 */
export function watchCrashes(jobPath: string | undefined, tell: (crash: Crash) => Promise<unknown>): void {
  let crashed = false;
  const end = async (error: unknown, kind: string): Promise<void> => {
    if (crashed) return;
    crashed = true;
    const crash = describeCrash(error, kind, jobPath);
    process.stderr.write(`tidemark: this process ends by an ${crash.reason}\n`);
    if (crash.code === exitCodes.bug && error instanceof Error) process.stderr.write(`${error.stack}\n`);
    startTimer(TELL_BOUND_MS, () => process.exit(crash.code));
    await tell(crash).catch(() => undefined);
    process.exit(crash.code);
  };
  process.on("uncaughtException", (error) => void end(error, "uncaught exception"));
  process.on("unhandledRejection", (error) => void end(error, "unhandled rejection"));
}
