/** Loads a job file so that what it does meanwhile does not decide how the command ends. */
import { resolve } from "node:path";
import { ConfigurationError } from "../errors.ts";
import { type LoadedJob, loadJobWithCode, placeIn } from "../job/load.ts";
import { exitCodes, reportError } from "./report-error.ts";

/**
 * The job that the file at `path` exports. A process that ends meanwhile (the file calls `process.exit`, or awaits what
 * never comes) says so, and exits with code 2.
 *
 * @throws ConfigurationError as `loadJobWithCode`
 */
export async function loadJobFile(path: string): Promise<LoadedJob> {
  const { exitCode } = process;
  let idle = false;
  const onIdle = () => {
    idle = true;
  };
  const onExit = (code: number) => {
    const place = placeIn(new Error("exit").stack ?? "", resolve(path)) ?? path;
    const problem = idle
      ? "awaits something at its top level that never comes"
      : `called process.exit(${code}) while it was loaded; a job file only describes its job`;
    process.exitCode = reportError(new ConfigurationError(path, `job file ${place}: ${problem}`));
  };
  process.once("beforeExit", onIdle);
  process.once("exit", onExit);
  try {
    return await loadJobWithCode(path);
  } finally {
    process.off("beforeExit", onIdle);
    process.off("exit", onExit);
    process.exitCode = exitCode ?? exitCodes.ok;
  }
}
