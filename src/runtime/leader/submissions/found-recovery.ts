/** What a job goes on from, as it is found in storage (P20, P67). */
import type { CompletedCheckpoint, JobRecord, Manifest } from "../../../../machines/protocol.ts";
import { latestCheckpoint } from "../../../../machines/record.ts";
import { planRecovery } from "../../../../machines/recovery.ts";
import type { CheckpointStorage } from "../../../checkpoint/storage.ts";
import type { Clock } from "../../../clock.ts";
import type { InheritedFrom } from "../../../dataflow/sink.ts";
import type { TroubleWatcher } from "../../../dataflow/trouble.ts";
import type { RecordStore } from "../../record-store.ts";
import type { DirectoryDoubt } from "../directory-doubt.ts";
import { findInheritance } from "./found-inheritance.ts";
import { findManifest } from "./found-manifest.ts";

export interface RecoveryFacts {
  readonly record: () => JobRecord;
  readonly storage: CheckpointStorage;
  readonly store: RecordStore;
  readonly troubles: TroubleWatcher;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly doubt: DirectoryDoubt;
  readonly host: string;
  /** A worker is registered: it has proven that its directory is this one (P53). */
  readonly isRegistered: () => boolean;
  /** Told of the manifest that is restored. */
  readonly onManifest: (checkpoint: CompletedCheckpoint, manifest: Manifest) => void;
}

export type RecoveryFound =
  /** `inherits`: the job whose transactions this one holds. */
  { readonly inherits: InheritedFrom | null } | { readonly impossible: string };

/** undefined: leadership has ended meanwhile. */
export async function findRecovery(facts: RecoveryFacts): Promise<RecoveryFound | undefined> {
  const { signal, doubt, isRegistered, onManifest } = facts;
  for (;;) {
    const record = facts.record();
    const isProven = () => !doubt.isUnproven || isRegistered();
    const found = await findManifest(record, { ...facts, isProven });
    const inheritance = await findInheritance(record, found, facts);
    if (signal.aborted) return undefined;
    // What was decided while this one was read has subsumed it, so it may be deleted by now (P67).
    if (latestOf(facts.record()) !== latestOf(record)) continue;
    const plan = planRecovery(record, found);
    if (plan.plan === "restore") onManifest(plan.checkpoint, plan.manifest);
    if (plan.plan === "stop") return { impossible: plan.reason };
    return "refused" in inheritance ? { impossible: inheritance.refused } : inheritance;
  }
}

const latestOf = (record: JobRecord): number | undefined => latestCheckpoint(record)?.checkpointId;
