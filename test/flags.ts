/** The options of a command of this folder. Its own head says what they mean. */
import { type ParseArgsConfig, parseArgs } from "node:util";

/** Ends the process with code 2 when they are wrong, and says what it takes. */
export function flagsOf<const C extends ParseArgsConfig>(
  config: C,
): ReturnType<typeof parseArgs<C>>["values"] {
  try {
    return parseArgs(config).values;
  } catch (error) {
    const known = Object.keys(config.options ?? {}).map((name) => `--${name}`);
    console.error(`${(error as Error).message}. There are ${known.join(", ")}`);
    process.exit(2);
  }
}
