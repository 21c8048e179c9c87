/** How far a file of lines has been read. */
import { z } from "zod";
import { ObjectCorruptError } from "../../errors.ts";
import { count, problemIn, text } from "../shape.ts";

export interface FileSplit {
  /** Absolute path. */
  readonly id: string;
  /** Bytes that it had when the job was submitted, where the input ends there. */
  readonly end?: number;
}

export interface FilePosition {
  /** Bytes of the lines that were given out. */
  readonly offset: number;
  readonly lines: number;
  /** CRC-32 of the first bytes in front of `offset`: whether it is still the same file. */
  readonly head: number;
}

const schema = z.object({
  split: z.object({ id: text, end: count.optional() }),
  position: z.object({ offset: count, lines: count, head: count }).optional(),
});

/** @param source for the message. @throws ObjectCorruptError: begun anew, it would be read twice */
export function parseFilePosition<S extends { readonly id: string }>(
  found: { readonly split: S; readonly position: unknown },
  source: string,
): { readonly split: S & FileSplit; readonly position: FilePosition | undefined } {
  const problem = problemIn(schema, found);
  if (problem === undefined)
    return found as { readonly split: S & FileSplit; readonly position: FilePosition | undefined };
  const place = `position of split ${found.split.id} of source ${source}`;
  throw new ObjectCorruptError(place, `the ${place} cannot be read: ${problem}`);
}
