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
import type { Clock } from "../../../clock.ts";
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
  /** The objects of the checkpoint that its barriers name may go, as far as it is concerned. */
  releaseBase: () => void;
}

export function pendingOf(request: CheckpointRequest, clock: Pick<Clock, "elapsedMs" | "nowMs">): Pending {
  return {
    startedMs: clock.elapsedMs(),
    startedAtMs: clock.nowMs(),
    request,
    snapshots: new Map(),
    trouble: undefined,
    manifestName: undefined,
    stored: undefined,
    savepoint: undefined,
    releaseBase: () => {},
  };
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

/**
 * Its snapshots and its manifest, not what transactions have staged (P15). What it has in common with another
 * checkpoint is among them, and the record reaches that (P81).
 */
export function uploadedBy({ snapshots, manifestName }: Pending): string[] {
  const names = [...snapshots.values()].flatMap(snapshotObjects).map(({ name }) => name);
  return manifestName === undefined ? names : [...names, manifestName];
}

/** What was stored for a checkpoint, and, if a restore reads more than that, how much that is (P81). */
export function sizesOf(
  { subtasks }: Manifest,
  { bytes: ofManifest }: ObjectHandle,
): { readonly bytes: number; readonly fullBytes?: number } {
  const bytes = ofManifest + subtasks.reduce((sum, subtask) => sum + subtask.bytes, 0);
  const objects = subtasks.flatMap(snapshotObjects);
  const fullBytes = ofManifest + objects.reduce((sum, object) => sum + object.bytes, 0);
  return fullBytes > bytes ? { bytes, fullBytes } : { bytes };
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
