/** A split and how far it was read: one entry of a source's state, as msgpack. */
import { z } from "zod";
import { ObjectCorruptError } from "../../errors.ts";
import { encodeValue } from "../codec.ts";
import { text, unpacked } from "../shape.ts";
import { type StoredSplitTime, splitTime } from "./event-time.ts";

/**
 * The part of `split` that the engine reads; only the source understands the rest and `position`, and looks at them.
 */
export interface StoredSplitPosition {
  readonly split: {
    readonly id: string;
    readonly input?: string;
    readonly gaps?: "fail" | "skip";
    readonly gapsReason?: string;
    readonly progressConsumer?: string;
    readonly [field: string]: unknown;
  };
  /** undefined: from the split's beginning. */
  readonly position: unknown;
  /** Left out where the source keeps no event time. */
  readonly time?: StoredSplitTime;
}

const schema = z.object({
  split: z.object({
    id: text,
    input: text.optional(),
    gaps: z.enum(["fail", "skip"]).optional(),
    gapsReason: text.optional(),
    progressConsumer: text.optional(),
  }),
  position: z.unknown(),
  time: splitTime.exactOptional(),
});

export function encodeSplitPosition(position: StoredSplitPosition): Uint8Array {
  return encodeValue(position);
}

/** @param operator whose state holds it. @throws ObjectCorruptError */
export function parseSplitPosition(entry: Uint8Array, operator: string): StoredSplitPosition {
  const found = unpacked(schema as z.ZodType<StoredSplitPosition>, entry);
  if ("value" in found) return found.value;
  const place = `state of source ${operator}`;
  throw new ObjectCorruptError(place, `the ${place} holds no position of a split: ${found.problem}`);
}
