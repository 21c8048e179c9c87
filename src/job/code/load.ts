/** Loads a user's job file. */
import { resolve } from "node:path";
import { show } from "../../config/quantity.ts";
import { ConfigurationError } from "../../errors.ts";
import { isJobOfAnotherCopy, Job } from "../job.ts";
import { importOwn } from "./import-own.ts";
import { observeImports } from "./module-graph.ts";
import { type ProjectCode, projectCodeOf } from "./project-code.ts";

const twoLines = `  import { defineJob } from "tidemark";
  export default defineJob("my-job", {}, (job) => { ... });`;

/**
 * @param path of a .ts, .mts, .cts, .js, .mjs or .cjs file, from the working directory
 * @returns the job that the file exports by default
 * @throws ConfigurationError with `path` as key: no such file; it throws while it loads (`cause` is what was thrown,
 *   the message names file and line); it exports no job. What `defineJob` refuses keeps its own key.
 */
export async function loadJob(path: string): Promise<Job> {
  return jobOf(path, await importOwn("job file", path, path));
}

/** A job, and what its code consists of (P51). */
export interface LoadedJob {
  readonly job: Job;
  readonly code: ProjectCode;
}

/**
 * Loads a job as `loadJob` does, and sees which files and packages it takes.
 *
 * @throws ConfigurationError as `loadJob`; EnvironmentError when a file that was loaded cannot be read
 */
export async function loadJobWithCode(path: string): Promise<LoadedJob> {
  // This comes before the job file can go to another directory.
  const file = resolve(path);
  const stopObserving = observeImports();
  const job = await loadJob(path).finally(stopObserving);
  return { job, code: projectCodeOf(file) };
}

function jobOf(path: string, exported: Record<string, unknown>): Job {
  const found = exported.default;
  if (found instanceof Job) return found;
  // A module that was compiled to CommonJS arrives with its exports as the default.
  const inner = (found as { default?: unknown } | null | undefined)?.default;
  if (inner instanceof Job) return inner;
  if (isJobOfAnotherCopy(found)) {
    throw new ConfigurationError(
      path,
      `job file ${path}: its job was made by another copy of tidemark than the one that runs; ` +
        "use the tidemark command that is installed beside the job file (npx tidemark)",
    );
  }
  throw new ConfigurationError(
    path,
    `job file ${path}: must export a job by default, but ${whatIs(exported)}. What is needed:\n\n${twoLines}`,
  );
}

function whatIs(exported: Record<string, unknown>): string {
  if ("default" in exported) {
    const found = exported.default;
    const promise = found instanceof Promise ? "a promise" : show(found);
    return `its default export is ${promise}`;
  }
  const names = Object.keys(exported);
  if (names.length === 0) return "it exports nothing";
  const job = names.find((name) => exported[name] instanceof Job);
  if (job !== undefined) return `it exports its job as "${job}"`;
  return `it exports only ${names.map((name) => `"${name}"`).join(", ")}`;
}
