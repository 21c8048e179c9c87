/**
 * A pending checkpoint on its leader: what its subtasks have said, and what follows from that. Pure functions of it.
 */
import type {
  AbortReason,
  CheckpointRequest,
  JobRecord,
  Manifest,
  MissingSubtask,
  ObjectHandle,
  SavepointEntry,
  SubtaskName,
  SubtaskSnapshot,
} from "../../../../machines/protocol.ts";
import { reasonInWords } from "../../../../machines/words.ts";
import { snapshotObjects } from "../../../checkpoint/storage.ts";
import { withEqualCopiesOnce } from "../../../job/restore/broadcast-copies.ts";

/** A pending checkpoint's acknowledgements and times. */
export interface Pending {
  readonly startedMs: number;
  readonly startedAtMs: number;
  readonly request: CheckpointRequest;
  readonly snapshots: Map<SubtaskName, SubtaskSnapshot>;
  /** The subtask that said first that the checkpoint cannot complete, and why. */
  trouble: string | undefined;
  /** It may be in the storage, whatever became of the put. */
  manifestName: string | undefined;
  stored: { readonly manifest: Manifest; readonly handle: ObjectHandle } | undefined;
  savepoint: SavepointEntry | undefined;
}

/** What the subtask said that could not go on; else the reason, and after a timeout the subtasks that were missing. */
export function detailOf(
  reason: AbortReason,
  { trouble }: Pending,
  missing: readonly MissingSubtask[],
): string {
  if (trouble !== undefined) return trouble;
  const why = reasonInWords(reason);
  if (reason !== "expired" || missing.length === 0) return why;
  return `${why}; it waited for ${missing.map(({ subtask, phase }) => `${subtask} (${phase})`).join(", ")}`;
}

/** Its own objects: snapshots and manifest, not what transactions have staged (P15). */
export function uploadedBy({ snapshots, manifestName }: Pending): string[] {
  const names = [...snapshots.values()].flatMap(snapshotObjects).map(({ name }) => name);
  return manifestName === undefined ? names : [...names, manifestName];
}

export function manifestOf(record: JobRecord, checkpointId: number, snapshots: SubtaskSnapshot[]): Manifest {
  return {
    format: 1,
    job: record.job,
    incarnation: record.incarnation,
    generation: record.generation,
    nonce: record.nonce,
    checkpointId,
    graphFingerprint: record.graphFingerprint,
    maxParallelism: record.plan.maxParallelism,
    subtasks: withEqualCopiesOnce(snapshots.sort((a, b) => (a.subtask < b.subtask ? -1 : 1))),
  };
}
