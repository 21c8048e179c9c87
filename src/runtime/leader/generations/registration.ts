/** Whether a worker may run a job: a pure function of what was submitted and what the worker has loaded. */
import type { CodeListing, JobRecord } from "../../../../machines/protocol.ts";
import type { CheckpointStorage } from "../../../checkpoint/storage.ts";
import type { WorkerRegistration } from "../../../control/messages.ts";

type Offered = Pick<WorkerRegistration, "worker" | "codeFingerprint" | "storage" | "directory">;
type Submitted = Pick<JobRecord, "job" | "codeFingerprint" | "codeListing">;

/** The code of the submitted job: the worker says what differs, because it alone knows both (P51). */
export interface OtherCode {
  readonly reason: string;
  readonly codeListing: CodeListing;
}

/**
 * A worker with other code than the submitted one; undefined: it has the same.
 */
export function otherCode(offered: Offered, submitted: Submitted): OtherCode | undefined {
  if (offered.codeFingerprint === submitted.codeFingerprint) return undefined;
  const reason =
    `worker ${offered.worker} has loaded another version of job ${submitted.job} than the one submitted ` +
    `(code ${short(offered.codeFingerprint)}, submitted ${short(submitted.codeFingerprint)})`;
  return { reason, codeListing: submitted.codeListing };
}

/**
 * undefined: it may. Else why not, in words, and what to do.
 * @param storage the leader's checkpoint storage. Whether two directories are one, their names do not say (P53).
 */
export function refusalOf(
  offered: Offered,
  submitted: Submitted,
  storage: Pick<CheckpointStorage, "notes" | "description">,
): string | undefined {
  const { worker } = offered;
  const { job } = submitted;
  const bothDirectories = offered.directory !== null && storage.notes !== undefined;
  if (!bothDirectories && offered.storage !== storage.description)
    return (
      `worker ${worker} keeps checkpoints of job ${job} in ${offered.storage}, but the coordinator keeps them in ${storage.description}: ` +
      "neither could read what the other has written; give both the same checkpointing.storage and checkpointing.directory " +
      "(--checkpoint-dir)"
    );
  return undefined;
}

const short = (fingerprint: string): string => fingerprint.slice(0, "sha256:".length + 10);
