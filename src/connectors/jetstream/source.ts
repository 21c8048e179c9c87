/**
 * The source of a JetStream stream, as a job names it: one split, or one split for each group of subjects.
 *
 * Owns: what a user calls. Does not own: which splits there are (source-splits.ts), reading them (source-reader.ts).
 */
import type { Source } from "../../dataflow/source.ts";
import { type Decode, type Decoder, exactJson } from "../../nats/reader/decoding.ts";
import type { Integers } from "../../nats/reader/json-integers.ts";
import { checkOptions, type JetStreamSourceOptions } from "./source-options.ts";
import { openReader } from "./source-reader.ts";
import { discover } from "./source-splits.ts";

export type { JetStreamSourceOptions };

/**
 * Records are parsed by JSON.parse; T is what you know them to be. The default of `decode`.
 *
 * JSON.parse rounds whole numbers beyond 2^53: 64-bit ids that differ in their last digits become one. `integers` says
 * what becomes of such numbers instead: "bigint", "text" (a string of their digits), or "refuse" (the job fails).
 * Numbers that are exact stay numbers, whatever it says.
 */
export function jetstreamSource<T = unknown>(
  options: JetStreamSourceOptions & { readonly decode?: "json"; readonly integers?: Integers },
): Source<T>;
/** Records are UTF-8 text. */
export function jetstreamSource(
  options: JetStreamSourceOptions & { readonly decode: "text" },
): Source<string>;
/** Records are copies of the payloads. */
export function jetstreamSource(
  options: JetStreamSourceOptions & { readonly decode: "bytes" },
): Source<Uint8Array>;
/** Records are what `decode` returns for (data, subject). `data` is a view: copy what is to be kept of it. */
export function jetstreamSource<T>(
  options: JetStreamSourceOptions & { readonly decode: Decoder<T> },
): Source<T>;
/** @throws ConfigurationError naming the option */
export function jetstreamSource<T>(
  options: JetStreamSourceOptions & { readonly decode?: Decode<T>; readonly integers?: Integers },
): Source<T> {
  checkOptions(options);
  const { integers } = options;
  const decode = integers === undefined ? (options.decode ?? "json") : (exactJson(integers) as Decoder<T>);
  return {
    kind: "jetstream",
    replayable: true,
    bounded: options.until === "end",
    discover: (environment) => discover(options, environment),
    open: (environment, splits) => openReader(options, decode, environment, splits),
  };
}
