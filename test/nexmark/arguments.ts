/** What `npm run nexmark --` takes. */
import { parseArgs } from "node:util";
import { QUERIES, type QueryName } from "../../src/examples/nexmark/queries/index.ts";
import { UsageError } from "../bench/arguments.ts";

export type Measurable = QueryName | "gen";

/** In the order in which they are measured; "gen" is the generator alone. */
export const MEASURABLE: readonly Measurable[] = ["gen", ...(Object.keys(QUERIES) as QueryName[])];

export interface NexmarkArguments {
  readonly queries: readonly Measurable[];
  /** How many events are measured. */
  readonly events: number;
  /** How many come before those. */
  readonly warmup: number;
  readonly seed: number;
  readonly outOfOrderGroup: number;
  readonly parallelism: number;
  readonly source: "generator" | "jetstream";
  /** How often each query runs; the best run is reported. */
  readonly runs: number;
  readonly json: boolean;
  /** Folder for profiles of the workers' processor time. */
  readonly profile: string | undefined;
  /** Where to write the events to, instead of measuring. */
  readonly write: string | undefined;
}

/** A group whose size is a multiple of it would not hold all of its events. */
const PRIME = 953;

/** @throws UsageError */
export function parseNexmarkArguments(args: readonly string[]): NexmarkArguments {
  const flags = parseFlags(args);
  const outOfOrderGroup = whole("out-of-order", flags["out-of-order"], 1, 1);
  if (outOfOrderGroup % PRIME === 0) {
    throw new UsageError(`--out-of-order ${outOfOrderGroup}: take a number that is no multiple of ${PRIME}`);
  }
  if (flags.source !== "generator" && flags.source !== "jetstream") {
    throw new UsageError(`--source ${flags.source}: give generator or jetstream`);
  }
  return {
    queries:
      flags.query.length === 0 ? MEASURABLE : flags.query.flatMap((list) => list.split(",").map(known)),
    events: whole("events", flags.events, 2_000_000, 1),
    warmup: whole("warmup", flags.warmup, 1_000_000, 0),
    seed: whole("seed", flags.seed, 42, 0),
    outOfOrderGroup,
    parallelism: whole("parallelism", flags.parallelism, 1, 1),
    source: flags.source,
    runs: whole("runs", flags.runs, 1, 1),
    json: flags.json,
    profile: flags.profile,
    write: flags.write,
  };
}

function parseFlags(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        query: { type: "string", multiple: true, default: [] },
        events: { type: "string" },
        warmup: { type: "string" },
        seed: { type: "string" },
        "out-of-order": { type: "string" },
        parallelism: { type: "string" },
        source: { type: "string", default: "generator" },
        runs: { type: "string" },
        json: { type: "boolean", default: false },
        profile: { type: "string" },
        write: { type: "string" },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message, { cause: error });
  }
}

function known(name: string): Measurable {
  const found = MEASURABLE.find((one) => one === name.trim());
  if (found === undefined)
    throw new UsageError(`there is no query "${name}"; there are ${MEASURABLE.join(", ")}`);
  return found;
}

function whole(flag: string, text: string | undefined, byDefault: number, least: number): number {
  if (text === undefined) return byDefault;
  const value = Number(text);
  if (text.trim() === "" || !Number.isSafeInteger(value) || value < least) {
    throw new UsageError(`--${flag} ${text}: give a whole number from ${least} on`);
  }
  return value;
}
