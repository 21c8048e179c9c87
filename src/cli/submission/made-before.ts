/** What was made outside for a job that then does not begin: its user is told, with the commands that delete it. */
import type { JobSubmission } from "../../control/messages.ts";
import { EnvironmentError, PrerequisiteError, RequestRefusedError } from "../../errors.ts";

const madeFor = new WeakMap<JobSubmission, readonly string[]>();

/** @param made in words */
export function noteMade(submission: JobSubmission, made: readonly string[]): void {
  if (made.length > 0) madeFor.set(submission, made);
}

/** Hands the submission in. @throws what `ask` throws, and what was made before is in its words */
export async function sayingWhatStays<T>(submission: JobSubmission, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    throw withMade(error, madeFor.get(submission) ?? []);
  }
}

/** The same error where nothing was made, or it is a bug. */
export function withMade(error: unknown, made: readonly string[]): unknown {
  if (made.length === 0 || !(error instanceof EnvironmentError || error instanceof RequestRefusedError))
    return error;
  const text = `${error.message}; made for the job before that, and still there: ${made.join(", ")}`;
  if (error instanceof RequestRefusedError) return new RequestRefusedError(text);
  if (error instanceof PrerequisiteError) return new PrerequisiteError(text);
  return new EnvironmentError(text, { cause: error });
}
