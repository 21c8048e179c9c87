/**
 * Savepoints that their job has gone back behind (P59), as pure functions of what the record keeps about it.
 *
 * A savepoint decides nothing, so a job that fails before its next checkpoint goes back to one that is older. What it
 * writes then has other transactions than the savepoint holds, and markers of sinks, which know ids only, stand beyond
 * those.
 */
import type { JobRecord, Manifest } from "../protocol.ts";

/** Savepoints that the record lists. */
export const SAVEPOINTS_KEPT = 10;
const FALLBACKS_KEPT = 100;

/** A generation that began at a checkpoint although savepoints behind it may have been cut before. */
export interface Fallback {
  readonly incarnation: string;
  /** The last one raised over `completed`: what an older one has cut behind that is passed over. */
  readonly generation: number;
  /** The checkpoint that it went back to; 0: the beginning. */
  readonly completed: number;
  /** The first checkpoint decided since; null: none is, so nothing was written since. */
  readonly next: number | null;
}

/** The fallbacks once a generation is raised over the latest completed checkpoint. */
export function fallenBack(record: JobRecord, generation: number, completed: number): readonly Fallback[] {
  const { incarnation, fallbacks } = record;
  return [...decided(fallbacks), { incarnation, generation, completed, next: null }].slice(-FALLBACKS_KEPT);
}

/** The fallbacks once a checkpoint is decided. What passed over no savepoint is forgotten. */
export function wentOn(record: JobRecord, next: number): readonly Fallback[] {
  return record.fallbacks.flatMap((fallback) => {
    if (fallback.next !== null || fallback.incarnation !== record.incarnation) return [fallback];
    return passesOverSome(record, fallback) ? [{ ...fallback, next }] : [];
  });
}

/**
 * What went back behind this savepoint, the oldest that something was written after. undefined: it is what its job has
 * gone on from.
 */
export function passedOver(
  { fallbacks }: JobRecord,
  { incarnation, generation, checkpointId }: Pick<Manifest, "incarnation" | "generation" | "checkpointId">,
): Fallback | undefined {
  const all = fallbacks.filter(
    (one) => one.incarnation === incarnation && one.generation > generation && one.completed < checkpointId,
  );
  return all.find(({ next }) => next !== null) ?? all[0];
}

const decided = (fallbacks: readonly Fallback[]) => fallbacks.filter(({ next }) => next !== null);

/** A savepoint that is still being copied, or that the record does not list any more, may be meant, too. */
function passesOverSome(
  { savepoints, begunSavepoints }: JobRecord,
  { generation, completed }: Fallback,
): boolean {
  const [oldest] = savepoints;
  return (
    begunSavepoints.length > 0 ||
    (savepoints.length === SAVEPOINTS_KEPT && oldest!.checkpointId > completed) ||
    savepoints.some((one) => one.checkpointId > completed && one.generation < generation)
  );
}
