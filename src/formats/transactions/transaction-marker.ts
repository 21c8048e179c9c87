/**
 * The marker that a sink's target holds, as JSON, and what a checkpoint remembers of it
 * (dataflow/transaction-marker.ts).
 */
import { z } from "zod";
import { CommitRefusedError } from "../../errors.ts";
import { count, parsedJson, problemIn, text } from "../shape.ts";

/** One generation of one job's life, as it signs what it writes. */
export interface MarkerOwner {
  readonly job: string;
  readonly incarnation: string;
  readonly generation: number;
  readonly nonce: string;
}

export interface TransactionMarker extends MarkerOwner {
  /** The transaction committed last, 0 before the first one. */
  readonly checkpointId: number;
  /** Parts of that transaction which are committed, 1-based count; it is complete when `part` equals `parts`. */
  readonly part: number;
  readonly parts: number;
}

/** What a checkpoint remembers about the marker. Plain data. */
export interface MarkerMemory {
  readonly markerExists: true;
  /** `checkpointId` of the marker at that moment; it never goes below it. */
  readonly checkpointId: number;
}

const marker: z.ZodType<TransactionMarker> = z
  .object({
    job: text,
    incarnation: text,
    generation: count,
    nonce: text,
    checkpointId: count,
    part: count,
    parts: count,
  })
  .refine(({ part, parts }) => part <= parts, { message: "more than there are parts", path: ["part"] });

const memory: z.ZodType<MarkerMemory> = z.object({ markerExists: z.literal(true), checkpointId: count });

export function encodeMarker(found: TransactionMarker): string {
  return JSON.stringify(found);
}

/** @throws CommitRefusedError when the target holds something at the marker's place that is no marker */
export function parseMarker(content: string, place: string): TransactionMarker {
  const found = parsedJson(marker, content);
  if ("value" in found) return found.value;
  throw new CommitRefusedError(`${place} is not a marker of this engine: ${found.problem}`);
}

/**
 * What `SinkWriter.snapshot` had returned. What another kind of sink remembers is no memory of a marker.
 *
 * @throws CommitRefusedError for a broken one: taken for none, a marker that is gone would not be missed
 */
export function parseMarkerMemory(state: unknown, operator: string): MarkerMemory | undefined {
  if (typeof state !== "object" || state === null || !("markerExists" in state)) return undefined;
  const problem = problemIn(memory, state);
  if (problem === undefined) return state as MarkerMemory;
  throw new CommitRefusedError(
    `what the checkpoint remembers of the marker of sink ${operator} is broken: ${problem}`,
  );
}
