/** The arguments of a command that disturbs a job for a while. */
import { parseArgs } from "node:util";

interface RunArguments {
  readonly seconds: number;
  /** Random unless it was given. */
  readonly seed: number;
  readonly json: boolean;
  /** Logs stay, also when all is well. */
  readonly keep: boolean;
  /** What to restrict the disturbance to; undefined: nothing. */
  readonly only: string | undefined;
}

/**
 * Ends the process with code 2 when they are wrong. Tells the seed.
 *
 * @param canRestrict whether the command knows `--only`
 */
export function runArguments(canRestrict: boolean): RunArguments {
  const { values } = parseArgs({
    options: {
      seconds: { type: "string", default: "60" },
      seed: { type: "string" },
      json: { type: "boolean", default: false },
      keep: { type: "boolean", default: false },
      only: { type: "string" },
    },
  });
  const seconds = Number(values.seconds);
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
  if (!(seconds > 0) || !Number.isSafeInteger(seed)) {
    console.error("--seconds is a positive number, --seed a whole one");
    process.exit(2);
  }
  if (values.only !== undefined && !canRestrict) {
    console.error("--only is for the command that has kinds of messages: fuzz");
    process.exit(2);
  }
  console.error(`seed ${seed}`);
  return { seconds, seed, json: values.json, keep: values.keep, only: values.only };
}
