/** The words for stored state that cannot be read. */
import { ObjectCorruptError } from "../../errors.ts";
import type { SnapshotBytes } from "../contract.ts";

export function corrupt(
  source: SnapshotBytes,
  at: number,
  what: string,
  cause?: unknown,
): ObjectCorruptError {
  return new ObjectCorruptError(
    source.object,
    `state object "${source.object}" is corrupt at byte ${at}: ${what}`,
    cause === undefined ? {} : { cause },
  );
}
