/** What a round runs, handed to the processes of a job through the environment: their job file reads it there. */

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
    /** Made on the way, key and price only, so that nothing but state takes memory; never ends. */
    | { readonly kind: "light"; readonly keys: number };
  readonly ratePerSecond?: number;
  /** Whole bids have timestamps, and the source makes watermarks. */
  readonly timed?: boolean;
  /** Only key and price go on behind the source. */
  readonly projected?: boolean;
  readonly sink: "jetstream" | "discard";
  /** undefined: checkpoints are off. */
  readonly intervalMs?: number;
  readonly parallelism: number;
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
