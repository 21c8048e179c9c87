/** What a round runs, handed to the processes of a job through the environment: their job file reads it there. */

import type { CheckpointingOptions, StateBackendOptions } from "../../../src/config/options.ts";

export interface Variant {
  /** The name of the job, and of its output stream. */
  readonly name: string;
  readonly input:
    | {
        readonly kind: "jetstream";
        readonly stream: string;
        readonly end: number;
        readonly reader?: "public";
      }
    /** Arrays of bids, one a message. */
    | { readonly kind: "framed"; readonly stream: string; readonly end: number }
    /**
     * Records from a pool in memory: whole bids, whole bids whose bidders are integers, or such bidders and prices
     * only.
     */
    | {
        readonly kind: "generator";
        readonly count: number;
        readonly keys: number;
        readonly records?: "numbered-bids" | "numbered-pairs";
      }
    /** Made on the way, key and price only, so that nothing but state takes memory. */
    | LightInput;
  /** Rate of a light input, from the first record on that visits no new key. */
  readonly ratePerSecond?: number;
  /** Whole bids have timestamps, and the source makes watermarks. */
  readonly timed?: boolean;
  /** Only key and price go on behind the source. */
  readonly projected?: boolean;
  readonly sink: "jetstream" | "discard";
  /** undefined: checkpoints are off. */
  readonly intervalMs?: number;
  readonly parallelism: number;
  /** What else the job says; what it does not say, copies that are compared need not know. */
  readonly state?: Pick<StateBackendOptions, "backend" | "cacheSize">;
  readonly checkpointing?: Pick<CheckpointingOptions, "incremental" | "localRecovery" | "localDirectory">;
}

export interface LightInput {
  readonly kind: "light";
  readonly keys: number;
  /** Default: never ends. */
  readonly count?: number;
  /** Keys are integers instead of names. */
  readonly numbered?: boolean;
  /** Such a share of the records is drawn from the first `keys` keys alone, once all keys have been visited. */
  readonly hot?: { readonly share: number; readonly keys: number };
}

const VARIABLE = "BENCH_VARIANT";

export function variantEnvironment(variant: Variant): Record<string, string> {
  return { [VARIABLE]: JSON.stringify(variant) };
}

export function variantOfEnvironment(): Variant {
  const text = process.env[VARIABLE];
  if (text === undefined) throw new Error(`run by test/bench/main.ts, which sets ${VARIABLE}`);
  return JSON.parse(text) as Variant;
}
