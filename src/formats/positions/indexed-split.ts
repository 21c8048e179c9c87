/**
 * A split whose records have an index, and the index of the next record as its position: of generated records and logs
 * in memory.
 */
import { z } from "zod";
import { ObjectCorruptError } from "../../errors.ts";
import { count, positive, problemIn, text } from "../shape.ts";

export interface IndexedSplit {
  readonly id: string;
  readonly index: number;
  /** The number of splits, where records are dealt to them by turns. */
  readonly splits?: number;
  /** The first index that no record has. */
  readonly end?: number;
}

const schema = z.object({
  split: z.object({ id: text, index: count, splits: positive.optional(), end: count.optional() }),
  position: count.optional(),
});

/** @param source for the message. @throws ObjectCorruptError: begun anew, it would be read twice */
export function parseIndexed<S extends { readonly id: string }>(
  found: { readonly split: S; readonly position: unknown },
  source: string,
): { readonly split: S & IndexedSplit; readonly position: number | undefined } {
  const problem = problemIn(schema, found);
  if (problem === undefined)
    return found as { readonly split: S & IndexedSplit; readonly position: number | undefined };
  const place = `position of split ${found.split.id} of source ${source}`;
  throw new ObjectCorruptError(place, `the ${place} cannot be read: ${problem}`);
}
