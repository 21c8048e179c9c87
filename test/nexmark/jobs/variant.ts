/** What a run does, handed to the processes of its job through the environment: their job file reads it there. */
import type { QueryName } from "../../../src/examples/nexmark/queries/index.ts";
import type { EventRange } from "../events.ts";

export interface NexmarkVariant {
  /** The name of the job. */
  readonly name: string;
  /** "gen": no query, the sink takes the events. */
  readonly query: QueryName | "gen";
  readonly events: EventRange;
  /** The stream that holds the events, one on each of its subjects in turn. Default: they are made on the way. */
  readonly stream?: { readonly name: string; readonly subjects: readonly string[] };
  /** Whether the results are digested, for the oracle, or forgotten. */
  readonly isChecked: boolean;
  readonly parallelism: number;
}

const VARIABLE = "NEXMARK_VARIANT";

export function variantEnvironment(variant: NexmarkVariant): Record<string, string> {
  return { [VARIABLE]: JSON.stringify(variant) };
}

export function variantOfEnvironment(): NexmarkVariant {
  const text = process.env[VARIABLE];
  if (text === undefined) throw new Error(`run by test/nexmark/main.ts, which sets ${VARIABLE}`);
  return JSON.parse(text) as NexmarkVariant;
}
