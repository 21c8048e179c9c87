/** A split of a JetStream source and how far it was read, as the source keeps them in a split position (P42). */
import { z } from "zod";
import { ObjectCorruptError } from "../../errors.ts";
import { count, problemIn, text, texts } from "../shape.ts";

/** How far one split was read. */
export interface ReadPosition {
  /** Sequence of the record last given out; 0: none yet. */
  readonly read: number;
  /** Nothing of the split up to here can be lost any more (GJ1). At least `read`. */
  readonly accounted: number;
  /** What was skipped before it. */
  readonly skipped: { readonly ranges: number; readonly sequences: number };
}

/** Which messages of which stream a split has. Stored in the job record, too. */
export interface StreamSplit {
  readonly id: string;
  readonly stream: string;
  readonly created: string;
  readonly retention: "limits" | "interest" | "workqueue";
  /** Empty: every message. */
  readonly filters: readonly string[];
  readonly gaps: "fail" | "skip";
  /** false: stream or account takes too few consumers. */
  readonly showsProgress?: false;
  /** First sequence wanted; undefined: whatever the stream begins with. */
  readonly start?: number;
  /** Where there is no `start`: the sequence that the stream began with when the job was submitted. */
  readonly first?: number;
  /** Last sequence wanted; undefined: never ends. */
  readonly end?: number;
}

const position: z.ZodType<ReadPosition> = z
  .object({ read: count, accounted: count, skipped: z.object({ ranges: count, sequences: count }) })
  .refine(({ read, accounted }) => accounted >= read, { message: "less than read", path: ["accounted"] });

const split = z.object({
  id: text,
  stream: text,
  created: text,
  retention: z.enum(["limits", "interest", "workqueue"]),
  filters: texts,
  gaps: z.enum(["fail", "skip"]),
  showsProgress: z.literal(false).optional(),
  start: count.optional(),
  first: count.optional(),
  end: count.optional(),
});

/** The position of a split in its stream; undefined: the split is at its beginning, or has no stream. */
export function streamPositionIn(
  found: { readonly id: string },
  read: unknown,
): { readonly split: StreamSplit; readonly position: ReadPosition } | undefined {
  const isOurs = problemIn(split, found) === undefined && problemIn(position, read) === undefined;
  return isOurs ? { split: found as StreamSplit, position: read as ReadPosition } : undefined;
}

/** @param source for the message. @throws ObjectCorruptError */
export function parseStreamSplit<S extends { readonly id: string }>(
  found: S,
  source: string,
): S & StreamSplit {
  const problem = problemIn(split, found);
  if (problem === undefined) return found as S & StreamSplit;
  const place = `split ${found.id} of source ${source}`;
  throw new ObjectCorruptError(place, `${place} is no split of a JetStream source: ${problem}`);
}

/** @param found undefined: the split is at its beginning. @throws ObjectCorruptError */
export function parseReadPosition(found: unknown, id: string, source: string): ReadPosition | undefined {
  if (found === undefined) return undefined;
  const problem = problemIn(position, found);
  if (problem === undefined) return found as ReadPosition;
  const place = `position of split ${id} of source ${source}`;
  throw new ObjectCorruptError(place, `the ${place} is none in a stream: ${problem}`);
}
