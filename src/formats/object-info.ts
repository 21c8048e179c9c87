/** The info message of an object in a JetStream object store, as JSON, which any program may have written. */
import { z } from "zod";
import { count, type Parsed, parsedJson, text } from "./shape.ts";

/** What is read of it. */
export interface FoundInfo {
  readonly name: string;
  /** Names the subject of the chunks. */
  readonly nuid: string;
  readonly size: number;
  readonly chunks: number;
  /** `SHA-256=<base64url>`. Tombstones of the client library have none. */
  readonly digest?: string | undefined;
  readonly deleted?: boolean | undefined;
}

const schema: z.ZodType<FoundInfo> = z.object({
  name: text,
  nuid: text,
  size: count,
  chunks: count,
  digest: text.optional(),
  deleted: z.boolean().optional(),
});

/** Reads an info. Never throws. */
export function parseObjectInfo(value: Uint8Array): Parsed<FoundInfo> {
  return parsedJson(schema, value);
}
