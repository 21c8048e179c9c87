/**
 * Loads a job file so that what it does meanwhile decides neither how the command ends nor what it answers.
 *
 * Not kept out: what is written to the descriptor of standard output itself (`fs.writeSync(1)`, a child process that
 * inherits it). Node cannot exchange the descriptor of a process that runs.
 */
import { resolve } from "node:path";
import { ConfigurationError } from "../../errors.ts";
import { placeIn } from "../../job/code/import-own.ts";
import { type LoadedJob, loadJobWithCode } from "../../job/code/load.ts";
import { reportError } from "../output/report-error.ts";
import { outliveJobFaults } from "../process/crash.ts";
import { ProcessState } from "../process/process-state.ts";

/**
 * The job that the file at `path` exports, for a command that describes it or hands it in. From here on a fault of the
 * job's code (a timer that throws, a rejection that it does not handle, a late `process.exit`) is named, and ends
 * nothing.
 *
 * @throws ConfigurationError as `loadJobWithCode`
 */
export async function loadJobFile(path: string): Promise<LoadedJob> {
  outliveJobFaults(path);
  const loaded = await load(path, false);
  process.exit = (code) => {
    throw new Error(`process.exit(${code ?? ""}) was called after the job file was loaded`);
  };
  return loaded;
}

/**
 * The same for the process that runs the job: what the job adds to `process` stays, and a fault of its code ends it.
 */
export function loadJobFileToRun(path: string): Promise<LoadedJob> {
  return load(path, true);
}

/** A process that ends meanwhile (the file calls `process.exit`, or awaits what never comes) says so, with code 2. */
async function load(path: string, keepsListeners: boolean): Promise<LoadedJob> {
  const file = resolve(path);
  let idle = false;
  const onIdle = () => {
    idle = true;
  };
  const onExit = (code: number) => {
    const place = placeIn(new Error("exit").stack ?? "", file) ?? path;
    const problem = idle
      ? "awaits something at its top level that never comes"
      : `called process.exit(${code}) while it was loaded; a job file only describes its job`;
    process.exitCode = reportError(new ConfigurationError(path, `job file ${place}: ${problem}`));
  };
  process.once("beforeExit", onIdle);
  process.once("exit", onExit);
  const before = new ProcessState();
  try {
    return await loadJobWithCode(path);
  } finally {
    before.restore(keepsListeners);
    process.off("beforeExit", onIdle);
    process.off("exit", onExit);
  }
}
