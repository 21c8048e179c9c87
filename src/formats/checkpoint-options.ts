/** The options of a checkpoint: in its trigger, and behind the header of each barrier's frame. */
import { z } from "zod";
import type { CheckpointOptions } from "../../machines/protocol.ts";
import { encodeValue } from "./codec.ts";
import { count, ms, nullable, timeMs, unpacked } from "./shape.ts";

export const checkpointOptions: z.ZodType<CheckpointOptions> = z.object({
  alignment: z.enum(["aligned", "at-least-once", "unaligned", "aligned-with-timeout"]),
  alignedTimeoutMs: ms,
  triggeredAtMs: timeMs,
  savepoint: nullable.text,
  stop: z.boolean(),
  base: count.nullable(),
});

export function encodeOptions(options: CheckpointOptions): Uint8Array {
  return encodeValue(options);
}

/** @throws Error */
export function parseOptions(bytes: Uint8Array): CheckpointOptions {
  const found = unpacked(checkpointOptions, bytes);
  if ("value" in found) return found.value;
  throw new Error(`these are no options of a checkpoint: ${found.problem}`);
}
