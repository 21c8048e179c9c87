/**
 * What to restore and what to commit again, from the facts found in storage: a pure function (P20).
 *
 * Owns: the decision. Does not own: reading the facts, retrying reads that stalled (never taken for missing).
 */
import type { CompletedCheckpoint, JobRecord, Manifest } from "./protocol.ts";

/** What a leader read found under the name that the record's latest checkpoint gives. */
export type ManifestFound =
  | { readonly found: "manifest"; readonly manifest: Manifest }
  | { readonly found: "missing"; readonly object: string }
  /** `problem`: what is wrong with it, in words. */
  | { readonly found: "corrupt"; readonly object: string; readonly problem?: string };

export type RecoveryPlan =
  /** No checkpoint was ever decided: begin at the beginning. */
  | { readonly plan: "fresh" }
  | { readonly plan: "restore"; readonly checkpoint: CompletedCheckpoint; readonly manifest: Manifest }
  /** Stops the job by name; never goes back behind a decided checkpoint by itself. */
  | { readonly plan: "stop"; readonly reason: string };

export function planRecovery(record: JobRecord, found: ManifestFound | undefined): RecoveryPlan {
  const latest = record.checkpoints.at(-1);
  if (latest === undefined) return { plan: "fresh" };
  const name = `checkpoint ${latest.checkpointId} of job ${record.job}`;
  if (found === undefined) return { plan: "stop", reason: `the manifest of ${name} was not read` };
  if (found.found !== "manifest") {
    const problem = found.found === "corrupt" && found.problem !== undefined ? `: ${found.problem}` : "";
    return {
      plan: "stop",
      reason:
        `the manifest of ${name} is ${found.found} (object ${found.object})${problem}. Its output may already be committed, so going ` +
        `back behind it would duplicate output; restore the object, or start over with --fresh`,
    };
  }
  const { manifest } = found;
  if (manifest.checkpointId !== latest.checkpointId || manifest.incarnation !== record.incarnation)
    return {
      plan: "stop",
      reason: `the manifest of ${name} is that of checkpoint ${manifest.checkpointId}, incarnation ${manifest.incarnation}`,
    };
  if (manifest.generation !== latest.generation)
    return {
      plan: "stop",
      reason: `the manifest of ${name} was written by generation ${manifest.generation}`,
    };
  if (manifest.graphFingerprint !== record.graphFingerprint)
    return { plan: "stop", reason: `the manifest of ${name} was taken of another job graph` };
  return { plan: "restore", checkpoint: latest, manifest };
}
