/**
 * The marker that a sink's target holds, as JSON, and what a checkpoint remembers of it
 * (dataflow/transaction-marker.ts).
 */
import { crc32 } from "node:zlib";
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

const members = z.object({
  job: text,
  incarnation: text,
  generation: count,
  nonce: text,
  checkpointId: count,
  part: count,
  parts: count,
});
const PARTS = { message: "more than there are parts", path: ["part"] };
const marker = members.extend({ checksum: count }).refine(({ part, parts }) => part <= parts, PARTS);

const memory: z.ZodType<MarkerMemory> = z.object({ markerExists: z.literal(true), checkpointId: count });

/**
 * The marker, with a check sum: a disk keeps whatever bytes it has, any file may be copied over another one, and any
 * connection may publish a message again.
 * @param name of its place: a file, a subject
 */
export function encodeMarker(found: TransactionMarker, name: string): string {
  return JSON.stringify({ ...found, checksum: checksumOf(found, name) });
}

/**
 * @param place in words
 * @throws CommitRefusedError when the target holds something at the marker's place that is no marker, or not its own
 */
export function parseMarker(content: string, name: string, place: string): TransactionMarker {
  const found = parsedJson(marker, content);
  if (!("value" in found))
    throw new CommitRefusedError(`${place} is not a marker of this engine: ${found.problem}`);
  const { checksum, ...stored } = found.value;
  if (checksum === checksumOf(stored, name)) return stored;
  throw new CommitRefusedError(
    `${place} was changed, or copied from another one: its check sum does not fit; put it back, then start the job again`,
  );
}

function checksumOf(
  { job, incarnation, generation, nonce, ...position }: TransactionMarker,
  name: string,
): number {
  const { checkpointId, part, parts } = position;
  return crc32(JSON.stringify([name, job, incarnation, generation, nonce, checkpointId, part, parts]));
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
