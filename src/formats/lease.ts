/** A lease of coordinators as it lies in its bucket, as JSON. Its revisions, not its content, are the tokens. */
import { z } from "zod";
import type { LeaseRecord } from "../../machines/protocol.ts";
import { count, type Parsed, parsedJson, text } from "./shape.ts";

const schema: z.ZodType<LeaseRecord> = z.object({
  holder: text,
  place: text,
  token: count,
  renewals: count,
  released: z.boolean(),
});

export function encodeLease(lease: LeaseRecord): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(lease));
}

/** Reads a lease. Never throws: what is no lease counts as held (LS2 of runtime/leader/lease.ts). */
export function parseLease(value: Uint8Array): Parsed<LeaseRecord> {
  return parsedJson(schema, value);
}
