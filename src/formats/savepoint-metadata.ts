/** The metadata of a savepoint, as msgpack in an object beside those that it names (P37). */
import { z } from "zod";
import type { SavepointMetadata } from "../../machines/protocol.ts";
import { ConfigurationError, ObjectCorruptError } from "../errors.ts";
import { encodeValue } from "./codec.ts";
import { plan, splits, unfinished } from "./job.ts";
import { manifestSchema } from "./manifest.ts";
import { text, timeMs, unpacked } from "./shape.ts";

const FORMAT = 1;

const schema: z.ZodType<SavepointMetadata> = z.object({
  format: z.literal(FORMAT),
  location: text,
  createdAtMs: timeMs,
  drained: z.boolean(),
  unfinished: z.array(unfinished),
  plan,
  splits,
  manifest: manifestSchema,
});

export function encodeSavepoint(metadata: SavepointMetadata): Uint8Array {
  return encodeValue(metadata);
}

/**
 * @param location of the savepoint, @param name of the object
 * @throws ObjectCorruptError, ConfigurationError when a newer version has written it
 */
export function parseSavepoint(content: Uint8Array, location: string, name: string): SavepointMetadata {
  const found = unpacked(schema, content, FORMAT);
  if ("value" in found) return found.value;
  if (found.newer) throw new ConfigurationError("savepoint", `${location} cannot be read: ${found.problem}`);
  throw new ObjectCorruptError(
    name,
    `${location} holds no metadata of a savepoint: object "${name}": ${found.problem}`,
  );
}
