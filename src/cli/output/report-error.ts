/** How errors leave the process: one message that says what to do, and an exit code. */
import {
  ConfigurationError,
  describeError,
  EnvironmentError,
  InvariantError,
  ObjectCorruptError,
  ObjectMissingError,
  RequestRefusedError,
  TidemarkError,
} from "../../errors.ts";
import { inOneSentence } from "../../nats/connection/jetstream-refusal.ts";
import { writeMessage } from "./advice.ts";

/** Documented in the README. */
export const exitCodes = {
  ok: 0,
  /** The job failed, or ended otherwise than asked. */
  jobFailed: 1,
  /** Wrong options, or a job file that cannot work. */
  usage: 2,
  /** Server, stream, permission, standard output: something outside has to be mended. */
  environment: 3,
  /** The coordinator refused, and said why; or there is no such job or checkpoint. */
  refused: 4,
  /** A retained checkpoint is not whole. */
  damaged: 5,
  /** The job's code ended its worker: a rejection that it does not handle, an exception outside of a record. */
  jobCrashed: 6,
  /** A bug in Tidemark. */
  bug: 70,
  /** A second Ctrl-C, or one before the job was submitted. */
  interrupted: 130,
} as const;

type Outcome = keyof typeof exitCodes;

const MEANINGS: Readonly<Record<Outcome, string>> = {
  ok: "done: finished, suspended, stopped with a savepoint, or the request was taken",
  jobFailed: "the job failed or was canceled",
  usage: "wrong options, or a job file that cannot work",
  environment: "server, stream, permission, directory, standard output: something outside has to be mended",
  refused: "the coordinator refused, and said why; or there is no such job or checkpoint",
  damaged: "an object of a retained checkpoint is missing or corrupt",
  jobCrashed:
    "the job's code ended this worker: an unhandled rejection, an uncaught exception, or a function that does not end",
  bug: "a bug in Tidemark",
  interrupted: "interrupted before an orderly end; nothing is lost",
};

/** The exit codes, for the end of a `--help`. @param ok what 0 means there, when that can be said better */
export function exitCodeHelp(
  outcomes: readonly Outcome[] = Object.keys(exitCodes) as Outcome[],
  ok: string = MEANINGS.ok,
): string {
  const lines = outcomes.map(
    (outcome) => `  ${String(exitCodes[outcome]).padEnd(3)}  ${outcome === "ok" ? ok : MEANINGS[outcome]}`,
  );
  return `\nExit codes:\n${lines.join("\n")}`;
}

export function exitCodeOf(error: unknown): number {
  if (error instanceof ConfigurationError) return exitCodes.usage;
  if (error instanceof RequestRefusedError) return exitCodes.refused;
  if (error instanceof ObjectMissingError || error instanceof ObjectCorruptError) return exitCodes.damaged;
  if (error instanceof InvariantError || !(error instanceof TidemarkError)) return exitCodes.bug;
  // A passing fault that has lasted longer than the command waited.
  const outside = error instanceof EnvironmentError || error.retry === "now";
  return outside ? exitCodes.environment : exitCodes.jobFailed;
}

export function reportError(thrown: unknown): number {
  // What JetStream refuses is never a bug of ours, wherever it comes from.
  const error = inOneSentence("NATS", thrown);
  const code = exitCodeOf(error);
  writeMessage(describeError(error));
  if (code === exitCodes.bug && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  return code;
}
