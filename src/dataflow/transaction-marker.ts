/**
 * The transaction marker: what a sink's target itself says about how far one writer's transactions are committed.
 *
 * Owns: every judgement about a marker that was found in a target. Pure functions over facts read, so that the
 * JetStream, file and memory sinks fence and resume by the same rules. Does not own: what a marker looks like
 * (formats/transactions/transaction-marker.ts); how it is read, compared and written: each target has its own way.
 *
 * - TM1 One marker per (incarnation, sink, writer); it moves only forward: (checkpointId, part) never decreases (P22).
 * - TM2 Taking over changes the owner and nothing else, starting from the very revision that is compared (P23).
 * - TM3 A marker of a newer generation fences its reader (P2, C5).
 * - TM4 A marker that should exist, or should be further, or has my generation under another nonce, was set back; one
 *   beyond the restored checkpoint was set ahead. Either stops the job by name, never goes on (P6, P20, P22).
 * - TM5 A transaction is never cut twice (P4): its number of parts is the same whenever it is seen.
 * - TM6 A marker of another job, whose transactions this one has inherited, is believed up to the generation that this
 *   job's leader knows of. A newer one may have gone back behind them: then a marker in front of them is about to move
 *   past them, and one beyond them says nothing of them (P59).
 */
import {
  CommitRefusedError,
  FencedError,
  InvariantError,
  MarkerMovedError,
  ObjectMissingError,
  RequestRefusedError,
} from "../errors.ts";
import type {
  MarkerMemory,
  MarkerOwner,
  TransactionMarker,
} from "../formats/transactions/transaction-marker.ts";
import type { InheritedFrom } from "./sink.ts";

/** What the restored checkpoint says about a marker. */
export interface MarkerExpectation {
  readonly restoredCheckpointId: number;
  /** undefined: no checkpoint has ever seen it, so it may not exist yet. */
  readonly memory: MarkerMemory | undefined;
}

/** The state of a transaction after one of its parts. */
export interface MarkerPosition {
  readonly checkpointId: number;
  readonly part: number;
  readonly parts: number;
}

/**
 * The marker to write in order to own what was found; `found` itself when it is owned already.
 *
 * @throws FencedError (TM3), ObjectMissingError, CommitRefusedError (TM4)
 */
export function takeOver(
  found: TransactionMarker | undefined,
  owner: MarkerOwner,
  expected: MarkerExpectation,
  place: string,
): TransactionMarker {
  const { restoredCheckpointId, memory } = expected;
  if (found === undefined) {
    if (memory !== undefined) throw missingMarker(place);
    return { ...signature(owner), checkpointId: 0, part: 0, parts: 0 };
  }
  assertNotForeign(found, owner, place);
  if (found.generation === owner.generation) return found;
  if (memory !== undefined && found.checkpointId < memory.checkpointId) {
    throw new CommitRefusedError(
      `${place} was set back: it stands at transaction ${found.checkpointId}, but checkpoint ` +
        `${restoredCheckpointId} has seen it at ${memory.checkpointId}; output was lost with it (power loss, or an ` +
        "old copy was restored). Restore the target, or start the job fresh",
    );
  }
  assertNotBeyond(found, restoredCheckpointId, place);
  return { ...found, ...signature(owner) };
}

/** @throws CommitRefusedError (TM4) */
export function assertNotBeyond(found: TransactionMarker, restoredCheckpointId: number, place: string): void {
  if (found.checkpointId > restoredCheckpointId) {
    throw new CommitRefusedError(
      `${place} stands at transaction ${found.checkpointId}, beyond the restored checkpoint ` +
        `${restoredCheckpointId}: going on would write the output after it a second time. A job that was restored from ` +
        `savepoint ${found.checkpointId} of this one has committed it, or the job record was set back. Go on from that ` +
        `savepoint or a later one with its location, "tidemark restore FILE --from LOCATION --fresh", or start the job fresh`,
    );
  }
}

/** @throws MarkerMovedError (TM6) */
export function assertKnownOwner(
  found: TransactionMarker,
  { generation }: InheritedFrom,
  place: string,
): void {
  if (generation === null || found.generation <= generation) return;
  throw new MarkerMovedError(
    `${place} was taken over by generation ${found.generation} of job ${found.job}, which may have gone back behind what ` +
      `this job has inherited of it; generation ${generation} was its newest when this job was restored. The job is ` +
      "restored again, and looks at the other one anew",
  );
}

/**
 * A marker that we own was read again, because the outcome of a commit was refused or unknown.
 *
 * @throws FencedError (TM3), ObjectMissingError, CommitRefusedError (TM4)
 */
export function assertStillOwned(
  found: TransactionMarker | undefined,
  owner: MarkerOwner,
  place: string,
): asserts found is TransactionMarker {
  if (found === undefined) throw missingMarker(place);
  assertNotForeign(found, owner, place);
  if (found.generation < owner.generation) {
    throw new CommitRefusedError(
      `${place} was set back: generation ${owner.generation} had taken it over, and now it belongs to generation ` +
        `${found.generation} again. Restore the target, or start the job fresh`,
    );
  }
}

/** Parts of transaction `checkpointId` that need no commit any more. */
export function partsCommitted(marker: TransactionMarker, checkpointId: number, parts: number): number {
  if (marker.checkpointId > checkpointId) return parts;
  if (marker.checkpointId < checkpointId) return 0;
  if (marker.parts !== parts) {
    throw new InvariantError(
      `transaction ${checkpointId} was committed in ${marker.parts} parts and now has ${parts} (P4)`,
    );
  }
  return marker.part;
}

export function memoryOf(marker: TransactionMarker): MarkerMemory {
  return { markerExists: true, checkpointId: marker.checkpointId };
}

export function signature({ job, incarnation, generation, nonce }: MarkerOwner): MarkerOwner {
  return { job, incarnation, generation, nonce };
}

/**
 * The refusal of a job that would begin anew although a target says that it has written there before (P72).
 *
 * @param markers of a target, of any job
 * @param unrecorded the KV bucket that knows no such job
 * @returns undefined: nothing of the job is committed there
 */
export function unknownLife(
  markers: readonly TransactionMarker[],
  job: string,
  target: string,
  unrecorded: string,
): RequestRefusedError | undefined {
  const committed = markers.filter((marker) => marker.job === job && marker.checkpointId > 0);
  const furthest = committed.reduce<TransactionMarker | undefined>(
    (most, one) => (most === undefined || one.checkpointId > most.checkpointId ? one : most),
    undefined,
  );
  if (furthest === undefined) return undefined;
  return new RequestRefusedError(
    `${target} holds output of job ${job} (incarnation ${furthest.incarnation}, committed up to transaction ${furthest.checkpointId}), ` +
      `and no record in KV bucket ${unrecorded} knows of it: the bucket was lost, or the job has run with another --prefix. ` +
      `To begin anew would write that output a second time. Bring stream KV_${unrecorded} back from a backup (nats stream restore DIR), ` +
      "then submit the job again: it goes on where it stopped. Or add --fresh: the job starts over and writes beside what is there",
  );
}

function assertNotForeign(found: TransactionMarker, owner: MarkerOwner, place: string): void {
  if (found.incarnation !== owner.incarnation) {
    throw new CommitRefusedError(`${place} belongs to another life of the job (${found.incarnation})`);
  }
  if (found.generation > owner.generation) {
    throw new FencedError(
      `${place} was taken over by generation ${found.generation}; this one is ${owner.generation}`,
    );
  }
  if (found.generation === owner.generation && found.nonce !== owner.nonce) {
    throw new CommitRefusedError(
      `${place} was written by another generation ${owner.generation} (another nonce): the job record or the target ` +
        "was set back to an older copy. Bring both to the same point in time, or start the job fresh",
    );
  }
}

export function missingMarker(place: string): ObjectMissingError {
  return new ObjectMissingError(
    place,
    `${place} is missing although this job had written it: the target was purged, recreated or has evicted it. What ` +
      "was committed can no longer be told; start the job fresh, or restore the target",
  );
}
