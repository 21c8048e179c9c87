/** How errors leave the process: one message that says what to do, and an exit code. */
import {
  ConfigurationError,
  describeError,
  EnvironmentError,
  InvariantError,
  RequestRefusedError,
  TidemarkError,
} from "../errors.ts";

/** Documented in the README. */
export const exitCodes = {
  ok: 0,
  /** The job failed, or ended otherwise than asked. */
  jobFailed: 1,
  /** Wrong options, or a job file that cannot work. */
  usage: 2,
  /** Server, stream, permission: something outside has to be mended. */
  environment: 3,
  /** The coordinator refused, and said why. */
  refused: 4,
  /** A bug in Tidemark. */
  bug: 70,
  /** A second Ctrl-C, or one before the job was submitted. */
  interrupted: 130,
} as const;

function exitCodeOf(error: unknown): number {
  if (error instanceof ConfigurationError) return exitCodes.usage;
  if (error instanceof RequestRefusedError) return exitCodes.refused;
  if (error instanceof InvariantError || !(error instanceof TidemarkError)) return exitCodes.bug;
  return error instanceof EnvironmentError ? exitCodes.environment : exitCodes.jobFailed;
}

export function reportError(error: unknown): number {
  const code = exitCodeOf(error);
  process.stderr.write(`tidemark: ${describeError(error)}\n`);
  if (code === exitCodes.bug && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  return code;
}
