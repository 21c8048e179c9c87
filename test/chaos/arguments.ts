/** The arguments of a command that disturbs a job for a while. */
import { flagsOf } from "../flags.ts";

interface RunArguments {
  readonly seconds: number;
  /** Random unless it was given. */
  readonly seed: number;
  readonly json: boolean;
  /** Logs stay, also when all is well. */
  readonly keep: boolean;
  /** What to restrict the disturbance to; undefined: nothing. */
  readonly only: string | undefined;
  /** What to disturb; undefined: all in turn. */
  readonly job: string | undefined;
  /** Where the workers keep keyed state. */
  readonly backend: "heap" | "disk";
  /** A user rescales the job meanwhile. */
  readonly rescale: boolean;
  /** The workers keep copies of their state. */
  readonly localRecovery: boolean;
}

/**
 * Ends the process with code 2 when they are wrong. Tells the seed.
 *
 * @param restriction the option by which the command disturbs less
 */
export function runArguments(restriction: "only" | "job"): RunArguments {
  const values = flagsOf({
    options: {
      seconds: { type: "string", default: "60" },
      seed: { type: "string" },
      json: { type: "boolean", default: false },
      keep: { type: "boolean", default: false },
      only: { type: "string" },
      job: { type: "string" },
      backend: { type: "string", default: "heap" },
      rescale: { type: "boolean", default: false },
      "local-recovery": { type: "boolean", default: false },
    },
  });
  const seconds = Number(values.seconds);
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
  if (!(seconds > 0) || !Number.isSafeInteger(seed))
    refuse("--seconds is a positive number, --seed a whole one");
  const { only, job, json, keep, backend, rescale, "local-recovery": localRecovery } = values;
  if (backend !== "heap" && backend !== "disk") refuse(`--backend is heap or disk, and not "${backend}"`);
  if (only !== undefined && restriction !== "only")
    refuse("--only is for the command that has kinds of messages: fuzz");
  if ((rescale || localRecovery) && restriction !== "job")
    refuse("--rescale and --local-recovery are for the command that has workers with state: chaos");
  if (job !== undefined && restriction !== "job") refuse("--job is for the command that has several: chaos");
  console.error(`seed ${seed}`);
  return { seconds, seed, json, keep, only, job, backend, rescale, localRecovery };
}

export function refuse(reason: string): never {
  console.error(reason);
  process.exit(2);
}
